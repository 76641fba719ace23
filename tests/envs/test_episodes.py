"""Automatic resets: as gymnax's where it has them, and computed for the rows that ended, however many those are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams, EnvState
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envs import episodes
from envs.wrappers import Wrapper
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


# How many are reset at a time


@struct.dataclass
class CountedState(EnvState):
    start: jax.Array  # tells one episode from another


class Counted(episodes.AutoReset):
    """A game that ends when its action is 1; `made` counts the episodes that are begun while programs run."""

    def __init__(self, block: int | None):
        self.made = 0
        if block is not None:
            self.reset_block = block

    @property
    def default_params(self):
        return EnvParams(max_steps_in_episode=100)

    def action_space(self, params):
        return spaces.Discrete(2)

    def observation_space(self, params):
        return spaces.Box(0, 2**32 - 1, (), jnp.uint32)

    def reset_env(self, key, params):
        start = jax.random.bits(key)
        # With an argument of each row, so that a batch counts as its rows.
        jax.debug.callback(lambda _: setattr(self, "made", self.made + 1), start)
        return start, CountedState(time=jnp.zeros((), jnp.int32), start=start)

    def step_env(self, key, state, action, params):
        state = state.replace(time=state.time + 1)
        return state.start, state, state.start.astype(jnp.float32), action == 1, {"time": state.time}

    def is_truncated(self, state, params):
        return state.time >= params.max_steps_in_episode

    def observe(self, key, state, action, params):
        return state.start


BLOCKS = (1, 2, 3, 5, 11, 12, 64, None)  # of twelve rows; None: the environment does not say


@functools.cache
def counted(block, how):
    """Return a game, and a compiled step of twelve of it: (keys, state, actions, which last steps were final)."""
    env = Counted(block)
    outer = Wrapper(env) if how == "wrapped" else env
    params = env.default_params

    def advance(keys, state, actions, last):
        stream = episodes.start(env, params, keys[0], 12)._replace(env_state=state)
        stream = stream._replace(step=stream.step._replace(is_last=last))
        return episodes.advance(env, params, stream, actions, keys[0])

    def step(keys, state, actions, last):
        return jax.vmap(outer.step, (0, 0, 0, None))(keys, state, actions, params)

    return env, fast(advance if how == "advance" else step)


@pytest.mark.heavy
@settings(deadline=None, max_examples=40)
@given(
    how=st.sampled_from(("step", "wrapped", "advance")),
    block=st.sampled_from(BLOCKS),
    ended=st.lists(st.booleans(), min_size=12, max_size=12),
    seed=st.integers(0, 2**32 - 1),
)
@example(how="step", block=5, ended=[True] * 12, seed=0)
@example(how="wrapped", block=5, ended=[False] * 12, seed=0)
@example(how="advance", block=5, ended=[True] * 6 + [False] * 6, seed=0)
def test_an_environment_says_how_many_are_reset_at_a_time(how, block, ended, seed):
    """What comes out is the same; what is computed is whole blocks, no more than hold the episodes that ended."""
    keys, over = jax.random.split(jax.random.key(seed), 12), jnp.array(ended)
    state = CountedState(time=jnp.arange(12, dtype=jnp.int32), start=jnp.arange(12, dtype=jnp.uint32))
    results = []
    for size in (block, None):
        env, step = counted(size, how)
        jax.effects_barrier()
        before = env.made
        results.append(jax.device_get(step(keys, state, over.astype(jnp.int32), over)))
        jax.effects_barrier()
        most = 12 if size is None else min(size, 12)
        begun = 12 if how == "advance" else 0  # `start`'s
        assert env.made - before == begun + -(-sum(ended) // most) * most
    assert_same(*results)
    after = results[0].env_state if how == "advance" else results[0][1]
    np.testing.assert_array_equal(after.start != state.start, ended)


def test_a_large_batch_is_reset_in_larger_blocks():
    """So that the loop is not long: one row in `RESET_BLOCK` at a time, where that is more than the block."""
    env, rows = Counted(4), 10 * episodes.RESET_BLOCK
    state = CountedState(time=jnp.zeros(rows, jnp.int32), start=jnp.zeros(rows, jnp.uint32))
    step = fast(jax.vmap(env.step, (0, 0, 0, None)))
    jax.block_until_ready(
        step(jax.random.split(jax.random.key(0), rows), state, jnp.arange(rows) == 7, env.default_params)
    )
    jax.effects_barrier()
    assert env.made == 10


def test_a_block_of_none_is_refused():
    with pytest.raises(ValueError, match="reset_block=0 should be at least 1"):
        Counted(0).step(jax.random.key(0), CountedState(jnp.int32(0), jnp.uint32(0)), jnp.int32(0))
