"""A package's own stepping beside ours, for the tests of brax and DM Control: 1,000 steps with resets, compared."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.adapters.foreign import promoting
from envs.adapters.physics import Physics
from r2i_jit.compiling import quick

STEPS, LIMIT = 1_000, 90  # of which no few episodes are cut off


class Both(NamedTuple):
    """What ours returned at each step, and what the package did."""

    ours: tuple
    theirs: tuple
    start: jax.Array  # the first observations of our episodes


def side_by_side(env: Physics, seed: int) -> Both:
    """Play the same actions from the same keys, by `env` and by what is inside it."""
    params, raw = env.default_params.replace(max_steps_in_episode=LIMIT), env.env

    def ours(carry, inputs):
        key, action = inputs
        state, over = carry
        fresh = env.reset_env(key, params)[1]
        state = jax.tree.map(lambda new, old: jnp.where(over, new, old), fresh, state)
        first = env.observe(None, state, None, params)
        obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
        over = terminated | env.is_truncated(state, params)
        return (state, over), (obs, reward, terminated, over, first)

    def theirs(carry, inputs):
        key, action, over = inputs
        with promoting():
            fresh = raw.reset(key)
            state = jax.tree.map(lambda new, old: jnp.where(over, new, old).astype(old.dtype), fresh, carry)
            total = 0.0
            for _ in range(env.repeat):
                state = raw.step(state, action)
                total += state.reward
            state = jax.tree.map(lambda new, old: jnp.asarray(new).astype(old.dtype), state, carry)
        return state, (state.obs, total, state.done)

    def play(key):
        keys = jax.random.split(key, STEPS)
        actions = jax.random.uniform(key, (STEPS, env.num_actions), minval=-1.0, maxval=1.0)
        carry = env.reset_env(key, params)[1], jnp.ones((), bool)
        _, mine = jax.lax.scan(ours, carry, (keys, actions))
        over = jnp.concatenate([jnp.ones(1, bool), mine[3][:-1]])
        with promoting():
            first = jax.tree.map(jnp.asarray, raw.reset(key))
        _, other = jax.lax.scan(theirs, first, (keys, actions, over))
        return mine, other, over

    mine, other, over = jax.tree.map(np.asarray, jax.jit(play, compiler_options=quick())(jax.random.key(seed)))
    return Both(mine[:4], other, mine[4][over])


def check_the_same(both: Both) -> None:
    """Fail unless observations, rewards and ends are the package's, and every episode began as none before."""
    (obs, reward, terminated, over), (raw_obs, raw_reward, done) = both.ours, both.theirs
    np.testing.assert_array_equal(obs, raw_obs)
    np.testing.assert_array_equal(reward, raw_reward)
    np.testing.assert_array_equal(terminated, done > 0)
    assert over.sum() >= STEPS // LIMIT and len(np.unique(both.start, axis=0)) == len(both.start)
