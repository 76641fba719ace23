"""Automatic resets: as gymnax's where it has them, and computed for the rows that ended, however many those are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.environment import Environment

from envs import episodes
from tests.envs.playing import QUICK, make

ROWS = 5 * episodes.RESET_BLOCK - 20  # Not a whole number of blocks.
# Episodes that end together, and ones that end when their actions say so.
GAMES = ("popgym/ConcentrationEasy", "popgym/MineSweeperEasy")
ENDING = {"none": lambda row: row < 0, "one": lambda row: row == 7, "a third": lambda row: row % 3 == 0}
ENDING["all"] = lambda row: row >= 0


def fast(function):
    return jax.jit(function, compiler_options=QUICK)


@functools.cache
def fresh(env_id: str):
    env, params = make(env_id)
    return fast(jax.vmap(lambda key: env.reset_env(key, params)[1]))(jax.random.split(jax.random.key(0), ROWS))


def about_to_end(env_id: str, ending: str):
    """Return ROWS states of which those that `ending` names have one step left."""
    env, _ = make(env_id)
    last = ENDING[ending](np.arange(ROWS))
    return fresh(env_id).replace(time=jnp.where(last, env.max_episode_steps - 1, 0).astype(jnp.int32)), last


def arguments(env_id: str):
    """Return ROWS keys and uniform actions."""
    env, params = make(env_id)
    keys = jax.random.split(jax.random.key(1), ROWS)
    return keys, jax.vmap(env.action_space(params).sample)(keys)


def assert_same(ours, theirs) -> None:
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


@functools.cache
def stepper(env_id: str, plain: bool, mapped: str):
    """Return a compiled step of ROWS environments; `mapped` is how they are laid out."""
    env, _ = make(env_id)
    step = functools.partial(Environment.step, env) if plain else env.step
    if mapped == "one task each":
        return fast(jax.vmap(step))
    rows = jax.vmap(step, (0, 0, 0, None))
    return fast(jax.vmap(rows, (0, 0, 0, None)) if mapped == "nested" else rows)


@pytest.mark.parametrize("ending", ENDING)
@pytest.mark.parametrize("mapped", ["flat", "nested", "one task each"])
@pytest.mark.parametrize("env_id", GAMES)
def test_a_step_of_many_environments_is_that_of_gymnax(env_id, mapped, ending):
    _, params = make(env_id)
    keys, actions = arguments(env_id)
    state, last = about_to_end(env_id, ending)
    inputs = (keys, state, actions)
    if mapped == "nested":
        inputs = jax.tree.map(lambda leaf: leaf.reshape(3, ROWS // 3, *leaf.shape[1:]), inputs)
    if mapped == "one task each":  # Different limits: every other row may go on.
        limits = jnp.where(jnp.arange(ROWS) % 2 == 0, params.max_steps_in_episode, 10**6).astype(jnp.int32)
        params = params.replace(max_steps_in_episode=limits)
    ours, theirs = (stepper(env_id, plain, mapped)(*inputs, params) for plain in (False, True))
    assert_same(ours, theirs)
    if mapped == "flat":
        np.testing.assert_array_equal((ours[3] | ours[4])[last], True)
        np.testing.assert_array_equal(ours[1].time[last], 0)


@pytest.mark.parametrize("rows", [3, ROWS])
@pytest.mark.parametrize("env_id", GAMES)
def test_a_finished_episode_is_followed_by_a_fresh_one(env_id, rows):
    """The last observation is a step of its own; the next step's is the new episode's, whatever the action."""
    env, params = make(env_id)
    key = jax.random.key(2)
    stream = episodes.start(env, params, key, rows)
    over = np.arange(rows) % 3 == 0
    stream = stream._replace(step=stream.step._replace(is_last=jnp.asarray(over)), age=stream.age + 5)
    actions = arguments(env_id)[1][:rows]
    after = fast(lambda *args: episodes.advance(env, params, *args))(stream, actions, key)
    step_keys, reset_keys = (jax.random.split(half, rows) for half in jax.random.split(key))
    obs, state = fast(jax.vmap(lambda key: env.reset_env(key, params)))(reset_keys)
    stepped = fast(jax.vmap(lambda *args: env.step_env(*args, params)))(step_keys, stream.env_state, actions)
    pick = lambda new, old: jnp.where(over.reshape(-1, *[1] * (old.ndim - 1)), new, old)
    assert_same((after.step.obs, after.env_state), jax.tree.map(pick, (obs, state), stepped[:2]))
    np.testing.assert_array_equal(after.step.is_first, over)
    np.testing.assert_array_equal(after.age, np.where(over, 0, 6))
    np.testing.assert_array_equal(after.step.reward, np.where(over, 0, stepped[2]))
    np.testing.assert_array_equal(after.step.is_terminal, stepped[3] & ~over)
