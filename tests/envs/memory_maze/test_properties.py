"""What holds of every episode, whatever is done in it, and when mazes are made."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.environment import EnvParams
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import episodes
from envs.memory_maze import layout, motion
from envs.memory_maze.environment import MemoryMaze
from tests.envs.memory_maze.mazes import clearance
from tests.envs.playing import QUICK

FORWARD, FORWARD_LEFT, FORWARD_RIGHT = 1, 4, 5
ROWS, STEPS = 48, 48
SHORT = EnvParams(max_steps_in_episode=3)

# Compiled in a third of the time, and run for moments.
fast = functools.partial(jax.jit, compiler_options=QUICK)

# Never inside a wall


def into_the_corner(state: Any, key: jax.Array) -> jax.Array:
    """Drive at the nearest corner of a wall, however it stands."""
    place, walls = state.body.position[:2], state.maze.walls
    side = walls.shape[0]
    grid = 2 * jnp.arange(side + 1, dtype=jnp.float32) - side
    cells = jnp.pad(walls, 1)
    corner = cells[1:, 1:] | cells[:-1, 1:] | cells[1:, :-1] | cells[:-1, :-1]
    away = jnp.stack(jnp.meshgrid(grid - place[0], grid - place[1]), -1)
    nearest = jnp.argmin(jnp.where(corner, jnp.sum(away**2, -1), jnp.inf))
    x, y = away.reshape(-1, 2)[nearest]
    left = jnp.sin(jnp.arctan2(y, x) - state.body.yaw)
    return jnp.where(jnp.abs(left) < 0.1, FORWARD, jnp.where(left > 0, FORWARD_LEFT, FORWARD_RIGHT))


def along_the_wall(state: Any, key: jax.Array) -> jax.Array:
    """Push forward and to the right, as one who keeps a hand on the wall."""
    return jnp.where(jax.random.bernoulli(key, 0.3), FORWARD_RIGHT, FORWARD)


def anything(state: Any, key: jax.Array) -> jax.Array:
    """Act at random, one time in two beyond the actions."""
    return jax.random.randint(key, (), -3, 9)


POLICIES = (into_the_corner, along_the_wall, anything)


@functools.cache
def player() -> Any:
    """Return a function key -> (last state, bodies and rewards by row and step); row r follows policy r % 3."""
    env = MemoryMaze(9, observation="vector")
    params = env.default_params

    def play(row, key):
        _, state = env.reset_env(key, params)

        def step(state, key):
            action = jax.lax.switch(row % len(POLICIES), POLICIES, state, key)
            _, state, reward, _, _ = env.step_env(key, state, action, params)
            return state, (state.body, reward)

        return jax.lax.scan(step, state, jax.random.split(key, STEPS))

    return fast(lambda key: jax.vmap(play)(jnp.arange(ROWS), jax.random.split(key, ROWS)))


@pytest.mark.heavy
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_one_gets_into_a_wall(seed):
    last, (body, reward) = jax.device_get(player()(jax.random.key(seed)))
    gap = clearance(last.maze.walls, body.position[..., :2])
    # The wheel is 0.2 m wide and a wall gives way by millimetres; who hops against one comes a little nearer.
    assert gap.min() > 0.165, gap.min()
    assert np.mean(gap[:: len(POLICIES)] < 0.22) > 0.3, "corners are met"
    assert np.isin(reward, (0, 1)).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(body))


# The same again, and otherwise


@pytest.mark.heavy
def test_one_key_is_one_episode_and_another_is_another():
    one, again, other = (jax.device_get(player()(jax.random.key(seed))) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, one, again)
    assert (one[0].maze.walls != other[0].maze.walls).any((1, 2)).all()


# New mazes


def unlike(states: list[Any]) -> bool:
    """Return whether no two rows of any of the states have the same maze with the same objects, start and textures."""
    leaves = zip(*(jax.tree.leaves(state.maze) for state in states), strict=True)
    mazes = np.concatenate([np.concatenate(leaf).reshape(len(states) * len(leaf[0]), -1) for leaf in leaves], 1)
    return len(np.unique(mazes, axis=0)) == len(mazes)


@pytest.fixture
def made(monkeypatch):
    """Count the mazes that are made while programs run. The agent stands still: motion takes long to compile."""
    count = [0]
    generate = layout.generate

    def counted(key, size):
        # With an argument of each row, so that a batch counts as its rows.
        jax.debug.callback(lambda _: count.__setitem__(0, count[0] + 1), jax.random.key_data(key))
        return generate(key, size)

    monkeypatch.setattr(layout, "generate", counted)
    monkeypatch.setattr(motion, "step", lambda body, walls, action: (body, body.position[None, :2]))
    return count


@pytest.mark.heavy
@pytest.mark.parametrize("rows", [3, episodes.RESET_BLOCK + 3])
def test_every_end_brings_new_mazes_and_no_other_step_makes_one(made, rows):
    env = MemoryMaze(9, observation="vector")
    key = jax.random.key(0)
    _, state = fast(jax.vmap(env.reset_env, (0, None)))(jax.random.split(key, rows), SHORT)
    jax.effects_barrier()
    assert made[0] == rows, "the counter counts"
    seen, step = [state], fast(jax.vmap(env.step, (0, 0, None, None)))
    for number in range(1, 10):
        before = made[0]
        _, state, _, terminated, truncated, _ = step(
            jax.random.split(jax.random.fold_in(key, number), rows), state, FORWARD, SHORT
        )
        jax.effects_barrier()
        over = number % 3 == 0
        assert not terminated.any() and (truncated == over).all()
        if over:
            assert made[0] - before >= rows
            seen.append(state)
        else:
            assert made[0] == before
            np.testing.assert_array_equal(state.maze.walls, seen[-1].maze.walls)
    assert unlike(seen)
    assert len(np.unique(np.concatenate([state.body.yaw for state in seen]))) > 3 * rows


@pytest.mark.heavy
def test_only_the_rows_that_end_get_a_new_maze(made):
    env, rows = MemoryMaze(9, observation="vector"), 5 * episodes.RESET_BLOCK
    keys = jax.random.split(jax.random.key(3), rows)
    _, state = fast(jax.vmap(env.reset_env, (0, None)))(keys, SHORT)
    ends = np.arange(rows) % 50 == 0
    jax.effects_barrier()
    before = made[0]
    step = fast(jax.vmap(env.step, (0, 0, None, None)))
    _, after, *_ = step(keys, state.replace(time=jnp.where(ends, 2, 0).astype(jnp.int32)), FORWARD, SHORT)
    jax.effects_barrier()
    assert made[0] - before == episodes.RESET_BLOCK, "one block, not one maze a row"
    np.testing.assert_array_equal((after.maze.walls != state.maze.walls).any((1, 2)), ends)


# Types


def equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(inner, jax.extend.core.ClosedJaxpr):
                    yield from equations(inner.jaxpr)
                elif isinstance(inner, jax.extend.core.Jaxpr):
                    yield from equations(inner)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("size", "kwargs"),
    [
        (15, {}),
        (9, {"samples": 1}),
        (15, {"observation": "vector"}),
        pytest.param(9, {"good_visibility": True}, marks=pytest.mark.heavy),
    ],
    ids=str,
)
def test_nothing_is_computed_in_64_bits(size, kwargs):
    env, key = MemoryMaze(size, **kwargs), jax.random.key(0)
    params = env.default_params
    _, state = jax.eval_shape(env.reset_env, key, params)
    programs = (
        jax.make_jaxpr(env.reset_env)(key, params),
        jax.make_jaxpr(env.step_env)(key, state, jax.ShapeDtypeStruct((), jnp.int32), params),
    )
    kinds = {
        str(var.aval.dtype) for program in programs for equation in equations(program.jaxpr) for var in equation.outvars
    }
    assert kinds <= {"float32", "int32", "uint32", "uint8", "bool", "key<fry>"}, kinds
