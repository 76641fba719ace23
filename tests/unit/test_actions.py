"""The agent's actions and the environment's: inverse to each other, and never NaN. A few seconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.spaces import MultiDiscrete
from r2i_jit.actions import ActionSpec, action_spec
from r2i_jit.config import ConfigError

LOW, HIGH = np.array([-2.0, 0.0, 3.0], np.float32), np.array([2.0, 10.0, 3.0], np.float32)
BOX = ActionSpec(3, False, LOW, HIGH)
CHOICE = ActionSpec(3, discrete=True)
# Subnormal ones are 0 to XLA.
numbers = st.sampled_from([np.nan, np.inf, -np.inf, 1e38]) | st.floats(width=32, allow_subnormal=False)


class Acting:
    name = "Acting"

    def __init__(self, space):
        self.space = space

    def action_space(self, params):
        return self.space


@given(st.lists(numbers, min_size=3, max_size=3))
@settings(max_examples=100, deadline=None)
def test_a_diverged_agent_hands_out_valid_actions(values):
    vector = np.array([values, values], np.float32)
    stored = np.asarray(BOX.decode(jnp.asarray(vector)))
    assert (np.abs(stored) <= 1.0).all()
    np.testing.assert_array_equal(stored, np.where(np.isnan(vector), 0.0, np.clip(vector, -1.0, 1.0)))
    for action in (stored, vector):  # Whatever was stored, before this rule or by another policy.
        sent = np.asarray(BOX.to_env(jnp.asarray(action)))
        assert sent.dtype == np.float32 and ((sent >= LOW) & (sent <= HIGH)).all()
    chosen = CHOICE.decode(jnp.asarray(vector))
    assert chosen.dtype == jnp.int32 and ((chosen >= 0) & (chosen < 3)).all()


def test_nan_is_the_middle_of_the_box():
    nan = jnp.full((5, 3), jnp.nan)
    np.testing.assert_array_equal(BOX.to_env(nan), np.tile((LOW + HIGH) / 2, (5, 1)))
    np.testing.assert_array_equal(BOX.to_env(BOX.decode(nan)), np.tile((LOW + HIGH) / 2, (5, 1)))


def test_gradients_pass_where_a_number_is_inside():
    slope = jax.grad(lambda x: BOX.decode(x).sum())(jnp.array([0.5, jnp.nan, -3.0]))
    np.testing.assert_array_equal(slope, [1.0, 0.0, 0.0])


@pytest.mark.parametrize("lead", [(), (3,), (3, 3)])
def test_stored_actions_come_back(lead):
    stored = jax.random.uniform(jax.random.key(0), (*lead, 3), jnp.float32, -1.0, 1.0).at[..., 2].set(0.0)
    np.testing.assert_allclose(BOX.from_env(BOX.to_env(stored)), stored, atol=1e-6)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["box", "choice", "joint", "independent", "half-bounded", "integers"])
def test_dtypes_do_not_depend_on_the_settings(kind):
    spec = action_spec(Acting(SPACES[kind]), None)

    def made():
        stored = spec.random(jax.random.key(0), 4)
        encoded = spec.encode(stored)
        return stored, encoded, spec.decode(encoded), spec.to_env(stored), spec.from_env(spec.to_env(stored))

    plain = made()
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        wide = made()
    for one, other in zip(plain, wide, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, atol=1e-6)


HALF = spaces.Box(np.array([-np.inf, -3.0, -np.inf, -1.0]), np.array([np.inf, np.inf, 4.0, 1.0]), (4,), jnp.float32)
SPACES = {
    "choice": spaces.Discrete(5),
    "joint": MultiDiscrete([3, 4, 2]),
    "alone": MultiDiscrete([5]),
    "independent": MultiDiscrete([9, 8, 7]),
    "box": spaces.Box(-1.0, 2.0, (2, 3), jnp.float32),
    "scalar": spaces.Box(-1.0, 2.0, (), jnp.float32),
    "half-bounded": HALF,
    "unbounded": spaces.Box(-np.inf, np.inf, (3,), jnp.float32),
    "integers": spaces.Box(np.array([[-2, 5]]), np.array([[2, 6]]), (1, 2), jnp.int32),
    "bytes": spaces.Box(0, 255, (2,), jnp.uint8),
    "bits": spaces.Box(0, 1, (3,), jnp.bool_),
}


@pytest.mark.parametrize("lead", [(), (4,), (4, 3)])
@pytest.mark.parametrize("kind", SPACES)
def test_every_action_is_in_its_space_and_comes_back(kind, lead):
    space = SPACES[kind]
    spec = action_spec(Acting(space), None)
    count = int(np.prod(lead))
    stored = spec.random(jax.random.key(0), max(count, 1)).reshape(*lead, *spec.stored_shape)
    assert stored.dtype == spec.stored_dtype
    encoded = spec.encode(stored)
    assert encoded.shape == (*lead, spec.size)
    np.testing.assert_array_equal(spec.decode(encoded), stored)
    sent = spec.to_env(stored)
    assert (sent.shape, sent.dtype) == ((*lead, *space.shape), space.dtype)
    numbers = np.asarray(sent, np.float32)
    if isinstance(space, spaces.Box):
        assert ((numbers >= np.float32(space.low)) & (numbers <= np.float32(space.high))).all()
    else:
        assert ((numbers >= 0) & (numbers < np.array(getattr(space, "nvec", (5,))))).all()
    assert np.isfinite(numbers).all()
    np.testing.assert_allclose(spec.from_env(sent), stored, atol=1e-5)


def test_all_actions_of_small_spaces_are_different_ones():
    for kind in ("joint", "integers", "bits"):
        spec = action_spec(Acting(SPACES[kind]), None)
        assert spec.joint and spec.groups == (spec.size,)
        sent = np.asarray(spec.to_env(jnp.arange(spec.size, dtype=jnp.int32))).reshape(spec.size, -1)
        assert len({tuple(row) for row in sent.tolist()}) == spec.size
        vectors = MultiDiscrete(spec.nvec)
        least = 0 if spec.offset is None else spec.offset[None]
        numbered = np.asarray(jax.vmap(vectors.unravel)(jnp.arange(spec.size, dtype=jnp.int32))) + least
        np.testing.assert_array_equal(sent, numbered)  # C order, as `FlattenActions` has it
    spec = action_spec(Acting(SPACES["independent"]), None)
    assert spec.groups == (9, 8, 7) and spec.size == 24 and spec.stored_shape == (3,)


def test_entries_without_bounds_reach_far_and_are_fine_near_their_middle():
    spec = action_spec(Acting(HALF), None)
    ends = np.asarray(spec.to_env(jnp.array([[-1.0] * 4, [0.0] * 4, [1.0] * 4], jnp.float32)))
    np.testing.assert_allclose(ends[0], [-100, -3, -96, -1], rtol=1e-4)
    np.testing.assert_allclose(ends[1], [0, -3 + 0.5 / 0.505, 4 - 0.5 / 0.505, 0], rtol=1e-5)
    np.testing.assert_allclose(ends[2], [100, 97, 4, 1], rtol=1e-4)
    most = float(np.finfo(np.float32).max)
    assert not np.isfinite(action_spec(Acting(spaces.Box(-most, most, (2,), jnp.float32)), None).low).any()
    slope = jax.grad(lambda x: spec.to_env(x).sum())(jnp.zeros(4, jnp.float32))
    assert np.isfinite(slope).all() and (np.asarray(slope) > 0).all()


REFUSED = {
    "upside down": (spaces.Box(2.0, 1.0, (2,), jnp.float32), "lower bounds"),
    "no number": (spaces.Box(np.nan, 1.0, (2,), jnp.float32), "lower bounds"),
    "empty": (spaces.Box(0.0, 1.0, (0,), jnp.float32), "from 1 to"),
    "nothing": (spaces.Discrete(0), "from 1 to"),
    "integers without end": (spaces.Box(-np.inf, np.inf, (2,), jnp.int32), "should have bounds"),
    "many integers": (spaces.Box(0, 10**6, (2,), jnp.int32), "at most 4096 values"),
    "many choices": (MultiDiscrete([4096] * 17), "together 65536"),
    "dict": (spaces.Dict({"a": spaces.Discrete(2)}), "give a Discrete"),
    "tuple": (spaces.Tuple((spaces.Discrete(2),)), "give a Discrete"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_space_that_nothing_can_act_in_is_refused_in_a_line(kind):
    space, rule = REFUSED[kind]
    with pytest.raises(ConfigError) as caught:
        action_spec(Acting(space), None)
    message = str(caught.value)
    assert rule in message and type(space).__name__ in message and "Acting" in message and "\n" not in message
