"""The agent's picture, lit and textured as in the original, and a map from above.

The light is a headlight that shines along the view; walls, floors and sky are those of the original; a pixel of
several samples is shaded once for each surface in it, at its centre, as graphics cards do. Compared with frames
recorded from the original: see tests/golden/make_memory_maze_render.py.

Ref: memory_maze/maze.py:29, :303, :312 (1.0.3), dm_control/composer/arena.xml (1.0.14).
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from envs.memory_maze import layout, textures
from envs.memory_maze.sight import (
    HALF_VIEW,
    LEVEL,
    PITCH,
    SKY,
    TARGET,
    TARGET_RADIUS,
    WALL,
    Eye,
    Plane,
    Scene,
    find_skyline,
    find_surfaces,
    make_eye,
    plane_of,
    rays,
    target_distance,
)
from envs.memory_maze.stages import once

AMBIENT, DIFFUSE = 0.3, 0.6
SAMPLES: dict[int, tuple[tuple[float, float], ...]] = {
    1: ((0.0, 0.0),),
    4: ((-0.125, 0.375), (0.375, 0.125), (-0.375, -0.125), (0.125, -0.375)),
}  # Where a pixel is sampled: (right, down) from its centre, in pixels.
SKY_ABOVE = (102, 153, 204)  # The sky is black below.
MAP_MARGIN = 1.1  # The map is this much wider than the maze.
MARKER = (0.9, 0.4)  # Metres from the middle to the tip of the agent's mark on the map, and half its width.
CHANNELS = (0, 8, 16)  # Bits of red, green and blue in a packed colour.


def make_scene(
    walls: jax.Array,
    rooms: jax.Array,
    wall_textures: jax.Array,
    targets_xy: jax.Array,
    target_colors: jax.Array,
    good_visibility: bool = False,
) -> Scene:
    """Return the scene; for the arguments see `render`."""
    sections = layout.sections(walls.shape[0] - 2)
    floor = jnp.where(rooms, jnp.int32(textures.ROOM), jnp.int32(textures.CORRIDOR))
    cells = jnp.where(walls, wall_textures.astype(jnp.int32)[sections], floor)
    scale = 255 if jnp.issubdtype(target_colors.dtype, jnp.floating) else 1
    colours = target_colors.astype(jnp.float32) * scale
    return Scene(walls=walls, cells=cells.ravel(), targets=targets_xy, colours=colours, good_visibility=good_visibility)


@functools.cache
def _sky(size: int) -> np.ndarray:
    """Return the packed colours of the sky behind each pixel, uint32 (size * size,).

    Ref: mujoco/src/user/user_objects.cc (2.3.7), the built-in gradient.
    """
    view = rays(size)
    height = np.arcsin(view.slope / np.sqrt(1 + view.across**2 + view.slope**2)) * 2 / np.pi
    part = 0.5 * (1 + np.sqrt(2) * height / np.sqrt(1 + height**2))
    return textures.pack(np.round(part[:, None] * SKY_ABOVE))


def _spots(eye: Eye, scene: Scene, number: jax.Array, plane: Plane, size: int) -> tuple[jax.Array, ...]:
    """Return the arguments of `textures.colour` for walls and level surfaces at the pixels' centres.

    A surface that only some of a pixel's samples meet is continued to its centre.
    """
    view, is_wall, is_top = rays(size), number & 3 == WALL, number & 7 == LEVEL | 1 << 2
    pixel = view.depth * (2 * HALF_VIEW / size)  # Width of a pixel one metre ahead.

    approach = jnp.maximum(plane.approach, 1e-3)
    distance = plane.distance / approach
    turn = jnp.where(plane.along_x, plane.toward, -plane.toward)  # The drawing runs to the right as one faces it.
    right = turn * (plane.origin + distance * plane.drift)
    down = 1 + scene.wall_height / 2 - eye.height - view.slope * distance
    tilt = view.slope * jnp.where(plane.along_x, eye.right[1], eye.right[0])
    width = jnp.sqrt(1 + tilt * tilt) / approach  # How the point moves from column to column; from row to row by depth.
    footprint = distance * pixel * jnp.maximum(width, view.depth)

    period = jnp.where(is_top, 1.0, 2.0)
    level = (eye.height - jnp.where(is_top, scene.wall_height, 0.0)) * view.reach
    east, north = (eye.place[axis] + level * (eye.ahead[axis] + view.across * eye.right[axis]) for axis in (0, 1))
    steep = view.depth * view.reach
    length = np.hypot(steep, view.across * (steep - math.sin(PITCH)))  # How the point moves from row to row.
    level_footprint = level * (pixel * np.maximum(1, length)).astype(np.float32)
    return (
        number >> 8,
        jnp.where(is_wall, right, (east + scene.side) / period),
        jnp.where(is_wall, down, -(north + scene.side) / period),
        jnp.where(is_wall, footprint, level_footprint / period),
    )


def _shade(eye: Eye, scene: Scene, number: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Return the packed colours of surfaces, uint32, and the light on them at the pixels' centres, float32."""
    view = rays(size)

    def plane() -> Plane:
        return plane_of(number >> 2 & 63, eye, scene.side, view.across)

    pattern = textures.colour(*once(lambda: _spots(eye, scene, number, plane(), size)))

    def stage() -> tuple[jax.Array, jax.Array]:
        kind, detail, wall = number & 3, number >> 2 & 63, plane()
        facing = wall.toward * jnp.where(wall.along_x, eye.ahead[1], eye.ahead[0]) * math.cos(PITCH)
        facing = jnp.where(kind == LEVEL, math.sin(PITCH), facing)
        x, y, paint = jnp.float32(0), jnp.float32(0), jnp.uint32(0)
        channels = jnp.round(scene.colours).astype(jnp.uint32) << np.array([CHANNELS], np.uint32)
        packed = jnp.sum(channels, axis=1, dtype=jnp.uint32)
        for i in range(scene.targets.shape[0]):
            x, y = (jnp.where(detail == i, scene.targets[i, axis], c) for axis, c in ((0, x), (1, y)))
            paint = jnp.where(detail == i, packed[i], paint)
        near = target_distance(eye, x, y, scene.target_height, view)
        ahead = (x - eye.place[0]) * eye.ahead[0] + (y - eye.place[1]) * eye.ahead[1]
        middle = math.cos(PITCH) * ahead - math.sin(PITCH) * (scene.target_height - eye.height)
        bulge = (middle - near * (math.cos(PITCH) - math.sin(PITCH) * view.slope)) / TARGET_RADIUS
        facing = jnp.where(kind == TARGET, jnp.where(near > 0, bulge, 0.0), facing)
        light = jnp.where(kind == SKY, 1.0, AMBIENT + DIFFUSE * jnp.maximum(facing, 0.0))
        return jnp.where(kind == TARGET, paint, jnp.where(kind == SKY, _sky(size), pattern)), light

    return once(stage)


def render(
    walls: jax.Array,
    rooms: jax.Array,
    wall_textures: jax.Array,
    targets_xy: jax.Array,
    target_colors: jax.Array,
    position: jax.Array,
    yaw: jax.Array,
    *,
    size: int = 64,
    samples: int = 4,
    good_visibility: bool = False,
) -> jax.Array:
    """Return what the agent sees.

    Args:
      walls: bool (side, side), [y, x] from south to north; the border is wall.
      rooms: which cells are the floor of a room, bool (side, side).
      wall_textures: texture 0..7 of each of the 3 by 3 sections, integers (9,).
      targets_xy: centres of the targets, metres, float32 (n, 2).
      target_colors: (n, 3), uint8, or floats from 0 to 1.
      position: of the body, x, y, z, metres, float32 (3,); its eye must be in a free cell.
      yaw: heading, radians counter-clockwise from east, float32 ().
      size: width and height in pixels; static.
      samples: a pixel, 4 as in the original or 1 (hard edges, half the work); static.
      good_visibility: low walls and targets that hover; static. Not compared with the original's pictures.

    Returns:
      uint8 (size, size, 3).

    Raises:
      ValueError: for another number of samples.
    """
    if samples not in SAMPLES:
        raise ValueError(f"render: samples={samples} should be one of {sorted(SAMPLES)}")
    scene = make_scene(walls, rooms, wall_textures, targets_xy, target_colors, good_visibility)
    eye = make_eye(position, yaw)
    skyline = find_skyline(eye, walls, size)
    numbers = [find_surfaces(eye, scene, skyline, rays(size, *at), size)[0] for at in SAMPLES[samples]]

    if samples == 1:
        parts = [(_shade(eye, scene, numbers[0], size), jnp.float32(1))]
    else:
        second, share = once(lambda: _second(numbers))
        parts = [(_shade(eye, scene, numbers[0], size), 1 - share), (_shade(eye, scene, second, size), share)]

    def mix() -> jax.Array:
        """Return the packed colours of the pixels."""
        channels = [
            sum((colour >> at & 255).astype(jnp.float32) * (light * part) for (colour, light), part in parts)
            for at in CHANNELS
        ]
        red, green, blue = (jnp.round(channel).astype(jnp.uint32) for channel in channels)
        return red | green << 8 | blue << 16

    return _unpack(once(mix)).reshape(size, size, 3)


def _second(numbers: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Return a surface besides `numbers[0]` among the samples of each pixel, and its share.

    A third one, as at corners, is taken for the second.
    """
    second, others = numbers[0], jnp.zeros(numbers[0].shape, jnp.float32)
    for number in numbers[1:]:
        second = jnp.where(number == numbers[0], second, number)
        others += (number != numbers[0]).astype(jnp.float32)
    return second, others / len(numbers)


def _unpack(packed: jax.Array) -> jax.Array:
    """Return red, green and blue of packed colours, uint8 (..., 3)."""
    shifts = np.array(CHANNELS, np.uint32).reshape([1] * packed.ndim + [-1])
    return (packed[..., None] >> shifts & 255).astype(jnp.uint8)


def survey(
    scene: Scene, position: jax.Array, yaw: jax.Array, *, size: int = 64, at: tuple[float, float] = (0.0, 0.0)
) -> tuple[jax.Array, jax.Array]:
    """Return what each pixel shows and how far away it is, from the geometry that `render` uses.

    Args:
      scene: of `make_scene`.
      position: of the body, metres, float32 (3,).
      yaw: its heading, radians, float32 ().
      size: width and height in pixels; static.
      at: which point of a pixel, (right, down) from its centre, in pixels; static.

    Returns:
      uint8 (size, size): 0 sky, 1 floor, 2 wall, 3 + i target i; and float32 (size, size): metres along the camera's
      axis, infinity for the sky.
    """
    eye, view = make_eye(position, yaw), rays(size, *at)
    number, distance = find_surfaces(eye, scene, find_skyline(eye, scene.walls, size), view, size)
    kind = number & 3
    kind = jnp.where(number & 7 == LEVEL | 1 << 2, WALL, kind) + jnp.where(kind == TARGET, number >> 2, 0)
    depth = jnp.where(kind == SKY, jnp.inf, distance * view.depth)
    return kind.astype(jnp.uint8).reshape(size, size), depth.reshape(size, size)


def render_map(scene: Scene, position: jax.Array, yaw: jax.Array, *, size: int = 256) -> jax.Array:
    """Return the maze seen from straight above, north up, with the targets and a white mark that points ahead.

    The picture is ours: it shows what the original's camera above the maze shows, without perspective.

    Args:
      scene: of `make_scene`.
      position: of the body, metres, float32 (3,).
      yaw: its heading, radians, float32 ().
      size: width and height in pixels; static.

    Returns:
      uint8 (size, size, 3).
    """
    side = scene.side
    pixel = 2 * side * MAP_MARGIN / size
    east = ((np.arange(size, dtype=np.float32) + 0.5) * pixel - side * MAP_MARGIN)[None]
    north = -east.T
    column, row = (np.clip((c + side) / 2, 0, side - 1).astype(np.int32) for c in (east, north))
    texture = textures.look_up(scene.cells, row * side + column)
    period = jnp.where(texture < textures.CORRIDOR, 1.0, 2.0)
    packed = textures.colour(
        texture, jnp.asarray(east + side) / period, -jnp.asarray(north + side) / period, pixel / period
    )
    outside = np.maximum(np.abs(east), np.abs(north)) > side
    picture = jnp.where(outside[..., None], jnp.float32(0), _unpack(packed).astype(jnp.float32)) * (AMBIENT + DIFFUSE)
    for i in range(scene.targets.shape[0]):
        height = TARGET_RADIUS**2 - (east - scene.targets[i, 0]) ** 2 - (north - scene.targets[i, 1]) ** 2
        light = AMBIENT + DIFFUSE * jnp.sqrt(jnp.maximum(height, 0)) / TARGET_RADIUS
        picture = jnp.where((height > 0)[..., None], light[..., None] * scene.colours[i][None, None], picture)
    x, y, cos, sin = east - position[0], north - position[1], jnp.cos(yaw), jnp.sin(yaw)
    ahead, aside = x * cos + y * sin, y * cos - x * sin
    tip, half = MARKER
    mark = (ahead > -tip) & (jnp.abs(aside) < half * (tip - ahead) / (2 * tip))
    return jnp.round(jnp.where(mark[..., None], 255.0, picture)).astype(jnp.uint8)
