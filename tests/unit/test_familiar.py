"""What of a picture of the maze has been in view before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.familiar import familiar
from envs.memory_maze.environment import MemoryMaze


@pytest.fixture(scope="module")
def start():
    env = MemoryMaze(9, observation="vector")
    return jax.jit(env.reset_env)(jax.random.key(0), env.default_params)[1]


def seen(state, turns):
    """Return the share of walls and objects in view before, for headings after the first one."""
    yaw = state.body.yaw + jnp.array([0.0, *turns], jnp.float32)
    states = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(yaw), *leaf.shape)), state)
    states = states.replace(body=states.body.replace(yaw=yaw))
    column = jax.tree.map(lambda leaf: leaf[:, None], states)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):  # benchmarks are not strict
        walls, shown = jax.jit(lambda states: familiar(states, 9, 1, tuple(range(1, len(yaw)))))(column)
    assert walls.shape == shown.shape == (1, len(turns), 64, 64) and not (shown & ~walls).any()
    return (shown.sum((2, 3)) / walls.sum((2, 3)))[0], np.asarray(shown[0])


@pytest.mark.heavy
def test_who_stands_still_has_seen_it_all_and_who_turns_round_nothing(start):
    shares, _ = seen(start, [0.0, np.pi])
    np.testing.assert_allclose(shares, [1.0, 0.0], atol=0.02)


@pytest.mark.heavy
def test_turning_by_half_a_view_leaves_the_half_that_was_in_view(start):
    shares, shown = seen(start, [np.radians(40), -np.radians(40)])
    for share, picture, known, new in zip(shares, shown, (32, 0), (0, 32), strict=True):
        assert 0.2 < share < 0.8
        assert picture[:, new : new + 28].sum() < 0.1 * picture.sum() < picture[:, known : known + 32].sum()
