"""Rays in place of a picture: those of the renderer's own survey and of the original's frames; no object is missed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.memory_maze import ranges, sight, task
from envs.memory_maze.environment import MemoryMaze
from envs.memory_maze.render import make_scene, survey
from envs.observation import Categorical, Continuous
from tests.envs.memory_maze.sizes import smallest_first
from tests.envs.memory_maze.test_render import golden, random_poses, recorded_scene

DIRECTIONS = len(ranges.COLUMNS)
FLOOR, WALL, OBJECT = 1, 2, 3  # as `survey` and the recordings number them


def summed_up(kinds: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what `ranges.find` should, of pictures of kinds and depths (B, 64, 64), one direction after the other."""
    kinds, depth = (values[:, ranges.ROWS][:, :, ranges.COLUMNS] for values in (kinds, depth))
    found, metres = np.zeros((len(kinds), DIRECTIONS), int), np.zeros((len(kinds), DIRECTIONS))
    for picture, column in np.ndindex(found.shape):
        seen = list(zip(depth[picture, :, column], kinds[picture, :, column], strict=True))
        objects = [pair for pair in seen if pair[1] >= OBJECT]
        walls = [pair for pair in seen if pair[1] == WALL]
        if objects:
            metres[picture, column], kind = min(objects)
            found[picture, column] = ranges.FIRST_TARGET + kind - OBJECT
        elif walls:
            metres[picture, column], found[picture, column] = walls[0][0], ranges.A_WALL
    return found, metres


@functools.cache
def looked(good_visibility: bool):
    """Return kinds and distances from 300 places, and what sums up the survey from there."""
    scene, poses = recorded_scene(9, good_visibility=good_visibility), random_poses(9, 300)
    both = jax.jit(jax.vmap(lambda *pose: (ranges.find(scene, *pose), survey(scene, *pose))))
    (found, metres), (kinds, depth) = jax.tree.map(np.asarray, both(*poses))
    return found, metres, *summed_up(kinds, depth)


@pytest.mark.parametrize("good_visibility", [False, True])
def test_rays_are_those_of_the_renderers_survey(good_visibility):
    found, metres, expected, expected_metres = looked(good_visibility)
    same = found == expected
    assert same.mean() > 0.9995  # a rounding error turns what an edge is to a ray
    np.testing.assert_allclose(metres[same], expected_metres[same], rtol=1e-4)
    assert {ranges.A_WALL, *range(ranges.FIRST_TARGET, ranges.FIRST_TARGET + 3)} <= set(np.unique(found))
    assert ((found == ranges.NOTHING) == (metres == 0)).all()
    assert (found != ranges.NOTHING).all() or good_visibility


@pytest.mark.parametrize("size", smallest_first((9, 11, 15)))
def test_rays_meet_what_the_original_shows(size):
    scene = make_scene(*map(jnp.asarray, golden(size, "walls", "rooms", "wall_textures", "targets", "colours")))
    found, metres = jax.jit(jax.vmap(functools.partial(ranges.find, scene)))(*golden(size, "position", "yaw"))
    segments, depth = golden(size, "segments", "depth")
    expected, expected_metres = summed_up(segments, depth.astype(np.float32))
    same = np.asarray(found) == expected
    assert same.mean() > 0.99
    # The recorded depth is not that of a pixel's centre but of a sample of it, an eighth and three eighths aside.
    off = np.abs(np.asarray(metres)[same] / expected_metres[same] - 1)
    assert np.median(off) < 5e-3 and np.percentile(off, 95) < 0.05


def test_no_object_is_missed():
    """In an empty hall, at any distance up to 24 metres, and in any direction."""
    side = 29
    walls = np.pad(np.zeros((side - 2, side - 2), bool), 1, constant_values=True)
    nothing = jnp.zeros((side, side), jnp.int32).ravel()
    eye = np.array([-26.0, 0.0, 0.0], np.float32)

    def seen(distance, bearing):
        away = distance * jnp.array([jnp.cos(bearing), jnp.sin(bearing)])
        place = jnp.asarray(eye[:2]) + jnp.array([sight.EYE_AHEAD, 0.0]) + away
        scene = sight.Scene(jnp.asarray(walls), nothing, place[None], jnp.zeros((1, 3)))
        return ranges.find(scene, jnp.asarray(eye), jnp.float32(0.0))

    distances, bearings = (
        grid.ravel().astype(np.float32)
        for grid in np.meshgrid(np.geomspace(0.7, 24, 200), np.radians(np.linspace(-36, 36, 41)))
    )
    found, metres = jax.tree.map(np.asarray, jax.jit(jax.vmap(seen))(distances, bearings))
    assert (found == ranges.FIRST_TARGET).any(1).all()
    # Its near side is between its middle less its radius, and its middle, along the camera's axis.
    nearest = np.where(found == ranges.FIRST_TARGET, metres, np.inf).min(1)
    middle = np.cos(np.arctan(0.1)) * distances * np.cos(bearings) + np.sin(np.arctan(0.1)) * sight.EYE_HEIGHT
    assert (nearest < middle + 1e-3).all() and (nearest > middle - 1.0).all()


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_observation_is_made_of_the_declared_parts(shuffled):
    env = MemoryMaze(11, observation="rays", shuffled_colors=shuffled)
    params = env.default_params
    kinds, distances, asked = env.observation_parts(params)
    colours = 6 if shuffled else env.num_targets
    assert (kinds, distances, asked) == (Categorical(2 + colours, 32), Continuous(32), Categorical(colours))
    obs, state = jax.jit(jax.vmap(env.reset, (0, None)))(jax.random.split(jax.random.key(0), 64), params)
    assert obs.shape == (64, *env.observation_space(params).shape) and obs.dtype == jnp.float32
    assert jax.vmap(env.observation_space(params).contains)(obs).all()
    classes, metres, wanted = np.split(np.asarray(obs), [kinds.size, kinds.size + distances.size], 1)
    one_hot = classes.reshape(64, 32, -1)
    assert np.isin(one_hot, (0, 1)).all() and (one_hot.sum(-1) == 1).all() and (metres > 0).all()
    asked_for = np.asarray(state.colors)[np.arange(64), np.asarray(state.prompt)]
    np.testing.assert_array_equal(wanted, np.eye(colours)[asked_for])
    scene = lambda state: make_scene(
        state.maze.walls, state.maze.rooms, state.maze.wall_textures,
        task.centres(state.maze.targets, 11), jnp.zeros((env.num_targets, 3), jnp.float32),
    )  # fmt: skip
    find = lambda state: ranges.find(scene(state), state.body.position, state.body.yaw)
    found, far = jax.tree.map(np.asarray, jax.jit(jax.vmap(find))(state))
    colour = np.take_along_axis(np.asarray(state.colors), np.maximum(found - ranges.FIRST_TARGET, 0), 1)
    np.testing.assert_array_equal(one_hot.argmax(-1), np.where(found < 2, found, 2 + colour))
    np.testing.assert_allclose(metres, far / task.CELL, rtol=1e-5)


@pytest.mark.heavy
def test_it_is_the_same_game():
    """From the same keys: mazes, ways, rewards and ends are those of the other forms of observation."""
    seeing, knowing = envs.make("memory_maze/9x9-rays")[0], MemoryMaze(9, observation="vector")

    def play(env, key):
        params = env.default_params
        _, state = env.reset(key, params)

        def step(state, key):
            _, state, *rest = env.step(key, state, jax.random.randint(key, (), 0, 6), params)
            return state, (state.body.position, state.prompt, *rest[:3])

        return jax.lax.scan(step, state, jax.random.split(key, 60))

    states, seen = jax.jit(lambda key: play(seeing, key))(jax.random.key(3))
    expected = jax.jit(lambda key: play(knowing, key))(jax.random.key(3))
    ours, theirs = (states.maze, seen), (expected[0].maze, expected[1])
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), ours, theirs)


@pytest.mark.parametrize("settings", [{}, {"observation": "rays"}, {"shuffled_colors": True}])
def test_what_is_in_view_is_what_the_rays_show(settings):
    """By number, whatever the colours, and whatever the agent sees."""
    env = MemoryMaze(9, **settings)
    rays = MemoryMaze(9, **(settings | {"observation": "rays"}))
    keys = jax.random.split(jax.random.key(4), 64)
    _, states = jax.jit(jax.vmap(rays.reset_env, (0, None)))(keys, rays.default_params)
    in_view = np.asarray(jax.jit(jax.vmap(env.in_view))(states))
    shown = np.asarray(jax.jit(jax.vmap(lambda state: rays._seen(state)[0]))(states)) - ranges.FIRST_TARGET
    for row, kinds, colors in zip(in_view, shown, np.asarray(states.colors), strict=True):
        assert set(colors[row]) == set(kinds[kinds >= 0])
    assert 0 < in_view.mean() < 1
