"""Actions of every kind: how many there are, and that none of them does harm. About half a minute."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.memory_maze.environment import MemoryMaze
from envs.observation import Categorical
from envs.popgym.battleship import Battleship
from envs.popgym.game import Game
from envs.spaces import MultiDiscrete, as_index, contained, nearest
from envs.wrappers import FlattenActions, PreviousActionAndStart, Wrapper
from tests.envs.chosen import distinct
from tests.envs.playing import POPGYM, QUICK, make

EASY = tuple(env_id for env_id in POPGYM if env_id.endswith("Easy"))
MOST = 2**31 - 1
NUMBERS = (np.nan, np.inf, -np.inf, 1e30, -1e30, -0.0, 0.7)


class Pair(Game):
    """What a user may forget."""


@functools.cache
def built(env_id: str):
    if env_id == "maze":  # Its vector: the picture takes long to compile and does not see the action.
        env = MemoryMaze(9, observation="vector")
        return env, env.default_params
    if env_id == "wrapped":
        env = PreviousActionAndStart(FlattenActions(Battleship(8)))
        return env, env.default_params
    if env_id == "torque":
        env = PreviousActionAndStart(make("popgym/NoisyPositionOnlyPendulumEasy")[0])
        return env, env.default_params
    return make(env_id)


@functools.cache
def stepped(env_id: str, dtype: str):
    """Return a compiled step and a state to take it from; the first step of an episode is the last of all there are."""
    env, params = built(env_id)
    _, state = jax.jit(env.reset_env, compiler_options=QUICK)(jax.random.key(3), params)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def step(action):
        return env.step_env(jax.random.key(4), state, action.astype(dtype), params)[:4]

    return step, state


def edges(space) -> list[int]:
    last = max(space.nvec) if isinstance(space, MultiDiscrete) else space.n
    return [0, -1, last - 1, last, last + 1, 255, 256, MOST, -MOST - 1]


def assert_harmless(env, params, state, results) -> None:
    obs, after, reward, terminated = results
    space = env.observation_space(params)
    assert (obs.shape, obs.dtype, reward.dtype, terminated.dtype) == (space.shape, space.dtype, jnp.float32, bool)
    assert bool(space.contains(obs)) and jax.tree.structure(after) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (old.shape, old.dtype) == (new.shape, new.dtype) and np.isfinite(np.asarray(new)).all()
    assert np.isfinite(reward) and abs(float(reward)) <= 1.0


@pytest.mark.heavy
@pytest.mark.parametrize("env_id", [*EASY, "maze", "wrapped", "torque"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_action_leaves_a_trace_that_is_not_a_number(env_id, data):
    env, params = built(env_id)
    space = env.action_space(params)
    whole = st.sampled_from(edges(space)) | st.integers(-MOST - 1, MOST) if not isinstance(space, spaces.Box) else None
    real = st.sampled_from(NUMBERS) | st.floats(width=32)
    dtype = data.draw(st.sampled_from(["float32"] if whole is None else ["int32", "float32"]))
    entry = real if dtype == "float32" else whole
    value = data.draw(st.lists(entry, min_size=int(np.prod(space.shape)), max_size=int(np.prod(space.shape))))
    step, state = stepped(env_id, dtype)
    results = step(np.array(value, dtype).reshape(space.shape))
    assert_harmless(env, params, state, results)
    if whole is not None and dtype == "float32":  # A float is a whole number.
        same = stepped(env_id, "int32")[0](np.asarray(as_index(np.array(value, dtype).reshape(space.shape))))
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), results, same)


@pytest.mark.parametrize("env_id", ["popgym/PositionOnlyPendulumEasy", "torque"])
def test_a_torque_that_is_not_a_number_is_none(env_id):
    step, _ = stepped(env_id, "float32")
    for bad, good in ((np.nan, 0.0), (np.inf, 2.0), (-np.inf, -2.0)):
        jax.tree.map(
            np.testing.assert_array_equal, step(np.array([bad], np.float32)), step(np.array([good], np.float32))
        )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.nan, -1), (np.inf, MOST - 127), (-np.inf, -MOST - 1), (2.9, 2), (-0.5, 0), (True, 1), (np.uint8(255), 255),
        (np.uint32(2**32 - 1), MOST), (np.int8(-128), -128), (np.float16(3), 3), (MOST, MOST), ([1, 2], [1, 2]),
    ],
)  # fmt: skip
def test_any_number_is_an_index(value, expected):
    index = as_index(value)
    assert index.dtype == jnp.int32
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(nearest(value, 3), np.clip(expected, 0, 2))


def test_int64_is_not_cut_off():
    with jax.enable_x64(True):
        np.testing.assert_array_equal(as_index(np.array([2**32, -(2**40), 5])), [MOST, -MOST - 1, 5])
        assert contained(spaces.Box(-2.0, 2.0, (1,)), np.array([1e300])) == 2.0


# Ends of 16 bits: what is below the normal numbers of 32 is 0 for XLA, and would seem to be outside.
@given(st.floats(-10, 10, width=16), st.floats(0, 10, width=16), st.sampled_from(NUMBERS) | st.floats(width=16))
@settings(max_examples=50, deadline=None)
def test_what_is_contained_is_in_the_box(low, width, number):
    box = spaces.Box(low, low + width, (2,), jnp.float32)
    kept = np.asarray(contained(box, np.array([number, low], np.float32)))
    assert kept.dtype == np.float32 and (kept >= np.float32(low)).all() and (kept <= np.float32(low + width)).all()
    if np.isnan(number):
        np.testing.assert_allclose(kept[0], 0.0 if low <= 0 <= low + width else low + width / 2, rtol=1e-5, atol=1e-5)
    elif low <= number <= low + width:
        assert kept[0] == np.float32(number)


def test_a_box_without_bounds_holds_finite_numbers_only():
    open_ = spaces.Box(np.array([-np.inf, 1.0, -np.inf]), np.array([np.inf, np.inf, -1.0]), (3,), jnp.float32)
    for number in NUMBERS:
        assert np.isfinite(contained(open_, np.full(3, number, np.float32))).all()
    np.testing.assert_array_equal(contained(open_, np.full(3, np.nan, np.float32)), [0.0, 1.0, -1.0])


@pytest.mark.parametrize("env_id", distinct(each=2))
def test_every_environment_says_how_many_actions_there_are(env_id):
    env, params = make(env_id)
    space = env.action_space(params)
    expected = {
        spaces.Discrete: lambda: space.n,
        MultiDiscrete: lambda: FlattenActions(env).num_actions,
        spaces.Box: lambda: int(np.prod(space.shape)),
    }[type(space)]()
    assert env.num_actions == Wrapper(env).num_actions == expected
    assert isinstance(env.num_actions, int)
    if isinstance(env, Game):
        assert PreviousActionAndStart(env).num_actions == expected


def test_a_game_that_says_nothing_of_its_actions_says_so():
    with pytest.raises(NotImplementedError, match="Pair: define num_actions or action_space"):
        _ = Pair().num_actions


def test_an_action_in_the_observation_is_the_one_that_was_taken():
    for env_id, value, shown in (("torque", np.nan, 0.0), ("torque", np.inf, 2.0), ("torque", 1.5, 1.5)):
        assert stepped(env_id, "float32")[0](np.array([value], np.float32))[0][2] == np.float32(shown)
    env, params = built("wrapped")
    parts = env.observation_parts(params)
    assert parts == (Categorical(2), Categorical(64), Categorical(2))
    np.testing.assert_array_equal(stepped("wrapped", "float32")[0](np.float32(np.nan))[0][2:66], 0)
