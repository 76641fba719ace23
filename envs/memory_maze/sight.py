"""What the agent's camera sees at each pixel: rays cast through a maze of upright walls on a grid.

The camera looks down a little and never rolls. Hence one number tells which wall a ray meets: its slope to the right,
seen from above (`across`). The walls are found once for a fan of slopes, by testing every grid line against a bit mask
of the cells behind it; a pixel looks its slope up in the fan and computes the exact distance.

Positions are metres from the maze's centre, x east and y north; yaw is in radians counter-clockwise from east.

Ref: memory_maze/tasks.py:65 (1.0.3), jumping_ball_with_head.xml:20 (dm_control 1.0.14).
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from envs.memory_maze import textures
from envs.memory_maze.stages import once

HALF_VIEW = math.tan(math.radians(40))  # The view is 80 degrees wide and high.
EYE_HEIGHT, EYE_AHEAD = 0.9, 0.15  # Metres above and ahead of the body.
PITCH = math.atan(0.1)  # Radians downwards.
WALL_HEIGHT, LOW_WALL_HEIGHT = 1.5, 0.4  # Metres.
TARGET_HEIGHT, HIGH_TARGET_HEIGHT = 0.0, 1.1  # Metres of a target's centre above the floor.
TARGET_RADIUS = 0.598  # Metres. The original's, 0.6 m, are polyhedra; a ball this wide covers as many pixels.
FAN = 8  # Slopes in the fan for each column of the picture.
FAR = 1e9
SKY, LEVEL, WALL, TARGET = range(4)  # Kinds of surface; a level one is a floor or the top of a low wall.


class Scene(struct.PyTreeNode):
    """What there is to see.

    Attributes:
      walls: bool (side, side), [y, x] from south to north; the border is wall.
      cells: texture of each cell's wall or floor, int32 (side * side,).
      targets: centres x, y, float32 (n, 2).
      colours: of the targets, 0..255, float32 (n, 3).
      good_visibility: walls are low and targets hover.
    """

    walls: jax.Array
    cells: jax.Array
    targets: jax.Array
    colours: jax.Array
    good_visibility: bool = struct.field(pytree_node=False, default=False)

    @property
    def side(self) -> int:
        """Cells in a row."""
        return self.walls.shape[0]

    @property
    def wall_height(self) -> float:
        """Metres."""
        return LOW_WALL_HEIGHT if self.good_visibility else WALL_HEIGHT

    @property
    def target_height(self) -> float:
        """Metres of the targets' centres above the floor."""
        return HIGH_TARGET_HEIGHT if self.good_visibility else TARGET_HEIGHT


class Eye(NamedTuple):
    """The camera: its place x, y, its height, and the level directions x, y ahead and to the right; all scalars."""

    place: tuple[jax.Array, jax.Array]
    height: jax.Array
    ahead: tuple[jax.Array, jax.Array]
    right: tuple[jax.Array, jax.Array]


class Rays(NamedTuple):
    """A ray through each pixel: where it gets when it goes one metre ahead on the level; float32 (pixels,).

    Attributes:
      across: metres to the right.
      slope: metres up.
      depth: metres along the camera's axis.
      reach: how far ahead it has come when it is one metre down; very far where it goes up.
    """

    across: np.ndarray
    slope: np.ndarray
    depth: np.ndarray
    reach: np.ndarray


class Plane(NamedTuple):
    """The plane of a wall and how rays approach it.

    Attributes:
      along_x: whether the wall runs along x.
      toward: on which side of the eye it is, -1 or 1 (0 on it).
      distance: metres from the eye, at right angles.
      approach: metres that a ray gets nearer to it per metre ahead.
      drift: metres that a ray goes along it per metre ahead, in the direction of the axis.
      origin: the eye's coordinate along it.
    """

    along_x: jax.Array
    toward: jax.Array
    distance: jax.Array
    approach: jax.Array
    drift: jax.Array
    origin: jax.Array


@functools.cache
def rays(size: int, right: float = 0.0, down: float = 0.0) -> Rays:
    """Return the rays through the points (right, down) pixels from the centres of size by size pixels."""
    steps = (np.arange(size) + 0.5) / size * 2 - 1
    u = (steps + 2 * right / size) * HALF_VIEW
    v = -(steps[:, None] + 2 * down / size) * HALF_VIEW
    depth = 1 / (math.cos(PITCH) + v * math.sin(PITCH))
    slope = (v * math.cos(PITCH) - math.sin(PITCH)) * depth
    values = u * depth, slope, depth, 1 / np.maximum(-slope, 1e-4)
    return Rays(*(np.broadcast_to(value, (size, size)).ravel().astype(np.float32) for value in values))


def make_eye(position: jax.Array, yaw: jax.Array) -> Eye:
    """Return the camera of a body at `position` (3,) that heads for `yaw`."""

    def stage() -> Eye:
        cos, sin = jnp.cos(yaw), jnp.sin(yaw)
        place = position[0] + EYE_AHEAD * cos, position[1] + EYE_AHEAD * sin
        return Eye(place, position[2] + EYE_HEIGHT, (cos, sin), (sin, -cos))

    return once(stage)


def _sweep(eye: Eye, walls: jax.Array, across: np.ndarray, within: jax.Array | float = FAR) -> jax.Array:
    """Return the nearest wall face that each ray enters.

    A face's nearness is the inverse of its distance ahead. On one plane it is linear in `across`.

    Args:
      eye: the camera.
      walls: bool (side, side).
      across: the rays' slopes to the right, float32, any shape.
      within: only faces with less nearness count.

    Returns:
      The number 1..side-1 of the grid line that the face is on, plus 32 if it runs along x; 0 where there is none.
      int32, shaped as `across`.
    """
    side = walls.shape[0]
    powers = jnp.uint32(1) << jnp.arange(side, dtype=jnp.uint32)
    nearest, face = jnp.zeros(across.shape, jnp.float32), jnp.zeros(across.shape, jnp.int32)
    for axis in (0, 1):
        other = 1 - axis
        # Bit masks of the cells of each column or row, then of those behind each line as seen from the eye.
        bits = jnp.where(walls.T if axis == 0 else walls, powers[None], jnp.uint32(0))
        masks = jnp.sum(bits, axis=1, dtype=jnp.uint32)
        offset = jnp.arange(2 - side, side, 2, dtype=jnp.float32) - eye.place[axis]
        behind = jnp.where(offset > 0, masks[1:], masks[:-1])
        inverse = 1 / jnp.where(jnp.abs(offset) < 1e-6, 1e-6, offset)
        approach = eye.ahead[axis] + across * eye.right[axis]
        approach = jnp.where(jnp.abs(approach) < 1e-9, 1e-9, approach)
        drift = 0.5 * (eye.ahead[other] + across * eye.right[other]) / approach
        origin = 0.5 * (eye.place[other] + side)
        for line in range(1, side):
            # A crossing outside the grid may test any bit: the border is in front of it.
            cell = jnp.floor(origin + offset[line - 1] * drift).astype(jnp.int32) & 31
            nearness = approach * inverse[line - 1]
            hit = ((behind[line - 1] >> cell.astype(jnp.uint32)) & 1 != 0) & (nearness > nearest) & (nearness < within)
            nearest = jnp.where(hit, nearness, nearest)
            face = jnp.where(hit, line + 32 * axis, face)
    return face


def plane_of(face: jax.Array, eye: Eye, side: int, across: np.ndarray | jax.Array) -> Plane:
    """Return the planes of faces, as `_sweep` numbers them, for rays with slopes `across`."""
    along_x = face >= 32

    def on(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Pick the component at right angles to the wall."""
        return jnp.where(along_x, pair[1], pair[0])

    def along(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.where(along_x, pair[0], pair[1])

    offset = (face & 31).astype(jnp.float32) * 2 - side - on(eye.place)
    toward = jnp.sign(offset)
    return Plane(
        along_x,
        toward,
        jnp.abs(offset),
        (on(eye.ahead) + across * on(eye.right)) * toward,
        along(eye.ahead) + across * along(eye.right),
        along(eye.place),
    )


@functools.cache
def _fan(size: int) -> np.ndarray:
    """Return evenly spaced slopes from the left to the right edge of a picture, float32 (FAN * size + 1,)."""
    widest = 1.001 * HALF_VIEW / (math.cos(PITCH) - HALF_VIEW * math.sin(PITCH))
    return np.linspace(-widest, widest, FAN * size + 1, dtype=np.float32)


def find_skyline(eye: Eye, walls: jax.Array, size: int) -> jax.Array:
    """Return which wall faces are seen between each two slopes of the fan.

    There are one or two. If two, the nearer one ends in between, at the first grid point past the place where the ray
    on its side meets it. (A face narrower than the interval may be missed.)

    Returns:
      uint32 (FAN * size,): the left face, 6 bits; the right face, 6 bits; and how far from left to right the left face
      ends, in 65536ths.
    """
    fan, side = _fan(size), walls.shape[0]
    faces = once(lambda: _sweep(eye, walls, fan))

    def stage() -> jax.Array:
        left, right = faces[:-1], faces[1:]
        nearness = [
            plane.approach / plane.distance
            for plane in (plane_of(face, eye, side, (fan[:-1] + fan[1:]) / 2) for face in (left, right))
        ]
        is_left = nearness[0] > nearness[1]
        plane = plane_of(jnp.where(is_left, left, right), eye, side, jnp.where(is_left, fan[:-1], fan[1:]))
        cell = jnp.floor((plane.origin + plane.drift * plane.distance / plane.approach + side) / 2)
        rises = (plane.toward > 0) == plane.along_x  # Whether the coordinate along the wall grows to the right.
        corner = 2 * (cell + (rises == is_left).astype(jnp.float32)) - side - plane.origin
        offset = plane.toward * plane.distance
        x, y = jnp.where(plane.along_x, corner, offset), jnp.where(plane.along_x, offset, corner)
        ahead = jnp.maximum(x * eye.ahead[0] + y * eye.ahead[1], 1e-6)
        end = ((x * eye.right[0] + y * eye.right[1]) / ahead - fan[:-1]) / (fan[1] - fan[0])
        part = jnp.where(end > 0, jnp.minimum(end, 1) * 65536, jnp.float32(0))
        return left.astype(jnp.uint32) | right.astype(jnp.uint32) << 6 | part.astype(jnp.uint32) << 12

    return once(stage)


def _look_up_face(skyline: jax.Array, across: np.ndarray, size: int) -> jax.Array:
    """Return the face that each ray sees, int32, shaped as `across`."""
    fan = _fan(size)
    place = (across.astype(np.float64) - fan[0]) / (fan[1] - fan[0])
    interval = np.clip(place.astype(np.int32), 0, len(fan) - 2)
    part = np.round((place - interval) * 65536).astype(np.uint32)
    word = textures.look_up(skyline, interval)
    return (jnp.where(part < word >> 12, word, word >> 6) & 63).astype(jnp.int32)


def target_distance(eye: Eye, x: jax.Array, y: jax.Array, height: float, view: Rays) -> jax.Array:
    """Return how far ahead rays meet the near side of the ball at (x, y, height); NaN where they miss it."""
    x, y, z = x - eye.place[0], y - eye.place[1], height - eye.height
    ahead, right = x * eye.ahead[0] + y * eye.ahead[1], x * eye.right[0] + y * eye.right[1]
    square = 1 + view.across * view.across + view.slope * view.slope
    middle = ahead + view.across * right + view.slope * z
    power = ahead * ahead + right * right + z * z - TARGET_RADIUS**2
    return (middle - jnp.sqrt(middle * middle - square * power)) / square


def find_surfaces(
    eye: Eye, scene: Scene, skyline: jax.Array | None, view: Rays, size: int
) -> tuple[jax.Array, jax.Array]:
    """Return what each ray meets and how far ahead.

    Args:
      eye: the camera.
      scene: what there is to see.
      skyline: of `find_skyline`; None: each ray looks for its own wall, which is less work where rays are few.
      view: the rays.
      size: of the picture.

    Returns:
      The surface's number, int32, of its kind in bits 0 and 1, in bits 2 to 7 a wall's face, a target's index, or for
      a level surface whether it is the top of a wall, and from bit 8 on its texture; and the distance, float32.
    """
    if scene.good_visibility:
        return once(lambda: _over_low_walls(eye, scene, view))
    if skyline is None:
        face = once(lambda: _sweep(eye, scene.walls, view.across))
    else:
        face = once(lambda: _look_up_face(skyline, view.across, size))
    return once(lambda: _before_targets(eye, scene, view, *_walls_and_floor(eye, scene, view, face)))


def _texture_at(eye: Eye, scene: Scene, view: Rays, distance: jax.Array, inwards: tuple) -> jax.Array:
    """Return the texture of the cell that rays reach at a distance ahead and a step (x, y) `inwards`, int32."""
    side = scene.side

    def cell(axis: int) -> jax.Array:
        place = eye.place[axis] + distance * (eye.ahead[axis] + view.across * eye.right[axis]) + inwards[axis]
        return jnp.clip((place + side) / 2, 0, side - 1).astype(jnp.int32)

    return textures.look_up(scene.cells, cell(1) * side + cell(0))


def _walls_and_floor(eye: Eye, scene: Scene, view: Rays, face: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return `find_surfaces` without targets, given the nearest wall on the way."""
    plane = plane_of(face, eye, scene.side, view.across)
    wall = jnp.where(face > 0, plane.distance / jnp.maximum(plane.approach, 1e-6), FAR)
    floor = eye.height * view.reach
    is_floor = (floor < wall) & (view.slope < 0)
    is_wall = ~is_floor & (eye.height + view.slope * wall <= scene.wall_height)
    distance = jnp.where(is_floor, floor, wall)
    step = jnp.where(is_wall, plane.toward, 0.0)
    inwards = jnp.where(plane.along_x, 0.0, step), jnp.where(plane.along_x, step, 0.0)
    number = jnp.where(is_wall, WALL | face << 2, LEVEL) | _texture_at(eye, scene, view, distance, inwards) << 8
    seen = is_floor | is_wall
    return jnp.where(seen, number, SKY), jnp.where(seen, distance, FAR)


def _before_targets(
    eye: Eye, scene: Scene, view: Rays, number: jax.Array, distance: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Put the targets in front of other surfaces."""
    for i in range(scene.targets.shape[0]):
        near = target_distance(eye, scene.targets[i, 0], scene.targets[i, 1], scene.target_height, view)
        hit = (near > 0) & (near < distance)  # False where the ray misses the ball.
        number, distance = jnp.where(hit, TARGET | i << 2, number), jnp.where(hit, near, distance)
    return number, distance


def _over_low_walls(eye: Eye, scene: Scene, view: Rays) -> tuple[jax.Array, jax.Array]:
    """Return `find_surfaces` where walls hide nothing above them: each ray looks for its own wall.

    The first one counts that it meets after it has gone below their height; where it does so over a wall, it ends on
    top of it.
    """
    top = (eye.height - scene.wall_height) * view.reach
    face = _sweep(eye, scene.walls, view.across, 1 / top)
    number, distance = _walls_and_floor(eye, scene, view, face)
    texture = _texture_at(eye, scene, view, top, (0.0, 0.0))
    on_top = (texture < textures.CORRIDOR) & (view.slope < 0)
    number = jnp.where(on_top, LEVEL | 1 << 2 | texture << 8, number)
    return _before_targets(eye, scene, view, number, jnp.where(on_top, top, distance))
