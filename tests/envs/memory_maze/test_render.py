"""Pictures: those that the original took from the same places, and rays that are followed in small steps.

`pytest -s` prints how far they are apart.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.memory_maze import sight, textures
from envs.memory_maze.render import SAMPLES, make_scene, render, render_map, survey
from tests.envs.memory_maze.sizes import smallest_first

GOLDEN = np.load(pathlib.Path(__file__).parents[2] / "golden" / "memory_maze" / "render.npz")
SIZES = (9, 11, 15)
BORDER = 2  # Pixels; the recorded frames show the prompt there.
CLEARANCE = 0.19  # Metres between the body's centre and a wall at the closest.

parametrize_sizes = pytest.mark.parametrize("size", smallest_first(SIZES))


def golden(size: int, *names: str) -> list[np.ndarray]:
    return [GOLDEN[f"{size}/{name}"] for name in names]


@functools.cache
def frames(size: int) -> dict[str, np.ndarray]:
    """Return our pictures, kinds and depths for the recorded poses."""
    maze = [jnp.asarray(x) for x in golden(size, "walls", "rooms", "wall_textures", "targets", "colours")]
    scene = make_scene(*maze)

    def view(position, yaw):
        return {
            "1": render(*maze, position, yaw, samples=1),
            "4": render(*maze, position, yaw, samples=4),
            "kinds": survey(scene, position, yaw)[0],
            "depth": survey(scene, position, yaw, at=SAMPLES[4][0])[1],
        }

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(view))(*golden(size, "position", "yaw")))


@parametrize_sizes
def test_pixels_show_what_the_original_shows(size):
    agreement = np.mean(frames(size)["kinds"] == golden(size, "segments")[0])
    print(f"{size}: {agreement:.3%} of pixels show the same")
    assert agreement >= 0.999


@parametrize_sizes
def test_depth_is_the_originals(size):
    expected, segments = golden(size, "depth", "segments")
    seen = (segments > 0) & (frames(size)["kinds"] == segments) & np.isfinite(frames(size)["depth"])
    error = np.abs(frames(size)["depth"] / expected.astype(np.float32) - 1)[seen]
    print(f"{size}: depth is off by {np.median(error):.1e} in the median")
    assert seen.mean() > 0.5
    assert np.median(error) < 5e-4 and np.percentile(error, 98) < 1e-2


@parametrize_sizes
@pytest.mark.parametrize("samples, most_error, least_psnr", [(1, 1.5, 35), (4, 0.8, 45)])
def test_colours_are_the_originals(size, samples, most_error, least_psnr):
    inside = np.s_[:, BORDER:-BORDER, BORDER:-BORDER]
    error = frames(size)[str(samples)][inside].astype(float) - golden(size, "images")[0][inside]
    psnr = 10 * np.log10(255**2 / np.mean(error**2, axis=(1, 2, 3)))
    print(f"{size}, samples {samples}: colours are off by {np.abs(error).mean():.2f} of 255, {psnr.mean():.1f} dB")
    assert np.abs(error).mean() < most_error and psnr.mean() > least_psnr


def recorded_scene(size: int, **kwargs) -> sight.Scene:
    return make_scene(
        *map(jnp.asarray, golden(size, "walls", "rooms", "wall_textures", "targets", "colours")), **kwargs
    )


def random_poses(size: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (number, 3) in all free cells, often as near to walls as a body gets, and headings."""
    rng = np.random.default_rng(0)
    free = np.argwhere(~golden(size, "walls")[0])[:, ::-1]
    cells = free[rng.permutation(number) % len(free)]
    offsets = np.clip(rng.uniform(-1.5, 1.5, (number, 2)), CLEARANCE - 1, 1 - CLEARANCE)
    position = np.c_[(cells - (size + 1) / 2) * 2 + offsets, rng.uniform(-0.002, 0.006, number)]
    return position.astype(np.float32), rng.uniform(-np.pi, np.pi, number).astype(np.float32)


def follow(scene: sight.Scene, position: np.ndarray, yaw: np.ndarray, size: int, step: float = 0.02):
    """Return kinds and depths by going along rays in small steps, (number, size * size) each."""
    walls, targets = np.asarray(scene.walls), np.asarray(scene.targets)
    steps = ((np.arange(size) + 0.5) / size * 2 - 1) * np.tan(np.radians(40))
    right, up = (c.ravel() for c in np.meshgrid(steps, -steps))
    cos, sin, pitch = np.cos(yaw)[:, None], np.sin(yaw)[:, None], np.arctan(0.1)
    level, rise = np.cos(pitch) + up * np.sin(pitch), up * np.cos(pitch) - np.sin(pitch)
    along = np.stack([level * cos + right * sin, level * sin - right * cos, rise + 0 * cos], -1).reshape(-1, 3)
    eyes = position + [0, 0, 0.9] + 0.15 * np.concatenate([cos, sin, 0 * cos], 1)
    start = np.repeat(eyes, size * size, 0)
    kinds, depth, going = np.zeros(len(along), np.uint8), np.full(len(along), np.inf), np.arange(len(along))
    for distance in np.arange(0, 50, step):
        place = start[going] + distance * along[going]
        column, row = (np.clip((place[:, i] + scene.side) // 2, 0, scene.side - 1).astype(int) for i in (0, 1))
        found = np.where((place[:, 2] < scene.wall_height) & walls[row, column], 2, 0)
        found = np.where((place[:, 2] < 0) & (found == 0), 1, found)
        for i, target in enumerate(targets):
            ball = np.linalg.norm(place - [*target, scene.target_height], axis=-1) < sight.TARGET_RADIUS
            found = np.where(ball & (place[:, 2] >= 0), 3 + i, found)
        kinds[going], depth[going] = found, np.where(found > 0, distance, np.inf)
        going = going[(found == 0) & ((along[going, 2] < 0) | (place[:, 2] < 2))]
    return kinds.reshape(len(yaw), -1), depth.reshape(len(yaw), -1)


@functools.cache
def random_surveys(good_visibility: bool) -> tuple[np.ndarray, ...]:
    """Return positions, headings, kinds and depths, the last two (number, 24 * 24)."""
    scene, poses = recorded_scene(9, good_visibility=good_visibility), random_poses(9, 500)
    seen = jax.jit(jax.vmap(lambda *pose: survey(scene, *pose, size=24)))(*poses)
    return *poses, *(np.asarray(x).reshape(500, -1) for x in seen)


@pytest.mark.heavy
@pytest.mark.parametrize("good_visibility", [False, True])
def test_rays_end_where_small_steps_end(good_visibility):
    position, yaw, kinds, depth = (x[:20] for x in random_surveys(good_visibility))
    scene = recorded_scene(9, good_visibility=good_visibility)
    expected_kinds, expected_depth = follow(scene, position, yaw, 24)
    agree = kinds == expected_kinds
    assert agree.mean() > 0.995 and len(np.unique(expected_kinds)) >= 5
    seen = agree & (expected_kinds > 0)
    assert np.mean(np.abs(depth[seen] - expected_depth[seen]) < 0.021) > 0.995


@pytest.mark.parametrize("good_visibility", [False, True])
def test_every_pixel_shows_something_from_everywhere(good_visibility):
    _, _, kinds, depth = random_surveys(good_visibility)
    assert np.all(kinds[:, sight.rays(24).slope < 0] > 0)
    assert np.all((depth > 0) & (np.isfinite(depth) | (kinds == 0)))
    assert np.all(depth[kinds == 2] > 0.02)  # A picture taken inside a wall would be filled by it at no distance.


def test_a_batch_is_its_members_and_the_same_again():
    maze = [jnp.asarray(x) for x in golden(9, "walls", "rooms", "wall_textures", "targets", "colours")]
    position, yaw = golden(9, "position", "yaw")
    one = jax.jit(lambda p, y: render(*maze, p, y))
    for i in (0, 5):
        picture = np.asarray(one(position[i], yaw[i]))
        np.testing.assert_array_equal(picture, one(position[i], yaw[i]))
        difference = np.abs(picture.astype(int) - frames(9)["4"][i])
        # Contracted multiplications may turn a colour, or a sample on an edge, the other way.
        assert np.mean(difference > 0) < 1e-3


@pytest.mark.heavy
def test_greater_pictures_show_the_same():
    maze = [jnp.asarray(x) for x in golden(11, "walls", "rooms", "wall_textures", "targets", "colours")]
    position, yaw = (x[4] for x in golden(11, "position", "yaw"))
    great = np.asarray(jax.jit(lambda p, y: render(*maze, p, y, size=128, samples=1))(position, yaw), float)
    small = great.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert great.shape == (128, 128, 3)
    assert np.abs(small - frames(11)["4"][4]).mean() < 2


def test_colours_may_be_bytes():
    maze = golden(9, "walls", "rooms", "wall_textures", "targets", "colours")
    scenes = [
        make_scene(*map(jnp.asarray, (*maze[:4], colours))) for colours in (maze[4], np.uint8(maze[4] * 255 + 0.5))
    ]
    np.testing.assert_allclose(scenes[0].colours, scenes[1].colours, atol=0.5)


def test_refuses_other_numbers_of_samples():
    with pytest.raises(ValueError, match="samples=2 should be one of"):
        render(*golden(9, "walls", "rooms", "wall_textures", "targets", "colours"), np.zeros(3), 0.0, samples=2)


def unpack(packed) -> np.ndarray:
    return np.stack([np.asarray(packed) >> shift & 255 for shift in (0, 8, 16)], -1)


def test_texels_and_means_of_textures():
    with np.load(textures.PATH) as file:
        drawings, which, palettes = file["walls"], file["drawing"], file["palettes"]
    rng = np.random.default_rng(0)
    texture, (row, column) = rng.integers(0, 8, 200), rng.integers(0, textures.WALL_SIDE, (2, 200))
    u, v = ((c + 0.5) / textures.WALL_SIDE + rng.integers(-9, 9, 200) for c in (column, row))
    near = textures.colour(*map(jnp.asarray, (texture, np.float32(u), np.float32(v), np.full(200, 1e-4, np.float32))))
    values = drawings[which[texture], row, column]
    # float32 leaves a texel's centre up to a 60th of a texel away.
    np.testing.assert_allclose(unpack(near), palettes[texture, -1, values], atol=8)
    assert np.mean(unpack(near) == palettes[texture, -1, values]) > 0.8

    every = np.arange(10, dtype=np.int32)
    far = textures.colour(jnp.asarray(every), *(jnp.full(10, x, jnp.float32) for x in (0.3, 0.7, 1e6)))
    means = [[33, 120, 183], [175, 68, 107], [169, 201, 159], [88, 125, 78], [71, 83, 181], [218, 126, 105]]
    means += [[148, 33, 26], [203, 175, 40], [54, 89, 109], [111, 148, 170]]
    np.testing.assert_allclose(unpack(far), means, atol=1)


def test_filter_between_texels_and_levels():
    """Halfway between two texels, and between two levels, the number read is the mean."""
    with np.load(textures.PATH) as file:
        floor, palette = file["floor"].astype(float), file["palettes"][textures.CORRIDOR]
    column = np.arange(0, 256, 2)
    row = np.full(128, 255)  # The texel below the last row is the first one.
    u, v = ((c + 1) / 256 for c in (column, row))
    ours = textures.colour(
        jnp.full(128, textures.CORRIDOR), *map(jnp.float32, (u, v)), jnp.full(128, 2**0.5 / 256, jnp.float32)
    )
    quad = (floor[255, column] + floor[255, column + 1] + floor[0, column] + floor[0, column + 1]) / 4
    half = floor.reshape(128, 2, 128, 2).mean((1, 3))
    # The point is the corner of texels of the coarser level, in odd places, or the middle of an edge.
    x = (column + 1) / 2 - 0.5
    left, part = np.floor(x).astype(int), x % 1
    edge = (half[127] + half[0]) / 2
    coarse = edge[left % 128] * (1 - part) + edge[(left + 1) % 128] * part
    values = np.round((quad + coarse) / 2).astype(int)
    level = textures.LEVELS - 2
    close = np.minimum(*(np.abs(unpack(ours) - palette[at, values].astype(int)).max(-1) for at in (level, level - 1)))
    assert np.all(close <= 2)


def test_map_shows_walls_targets_and_the_agent():
    maze = [jnp.asarray(x) for x in golden(9, "walls", "rooms", "wall_textures", "targets", "colours")]
    picture = np.asarray(jax.jit(lambda: render_map(make_scene(*maze), jnp.array([4.0, 8.0, 0]), jnp.float32(0)))())

    def at(x, y):
        scale = 256 / (22 * 1.1)
        return picture[int(128 - y * scale), int(128 + x * scale)].astype(int)

    assert picture.shape == (256, 256, 3) and not picture[0].any()
    assert (at(4, 8) == 255).all() and (at(4.5, 8) == 255).all() and not (at(4, 8.5) == 255).all()
    for target, colour in zip(np.asarray(maze[3]), np.asarray(maze[4]), strict=True):
        np.testing.assert_allclose(at(*target), colour * 255 * 0.9, atol=3)
    free = np.argwhere(~np.asarray(maze[0]))[:, ::-1] * 2 - 10
    shades = np.array([at(*cell) for cell in free])
    assert np.mean(shades[:, 2] > shades[:, 0]) > 0.8  # The floors are blue.
