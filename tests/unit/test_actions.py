"""The agent's actions and the environment's: inverse to each other, and never NaN. A few seconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize("spec", [BOX, CHOICE])
def test_dtypes_do_not_depend_on_the_settings(spec):
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


def test_a_box_without_a_width_that_is_a_number_is_refused():
    most = float(np.finfo(np.float32).max)
    for low, high in ((-np.inf, 1.0), (-most, most), (np.nan, 1.0)):
        with pytest.raises(ConfigError, match="bounded Box"):
            action_spec(Acting(spaces.Box(low, high, (2,), jnp.float32)), None)
    assert action_spec(Acting(spaces.Box(-1.0, 1.0, (2, 3), jnp.float32)), None).size == 6
