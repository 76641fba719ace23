"""What is seldom seen or paid counts in the losses: numbers by their variance, rewards by how few steps are paid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.observation import Binary, Categorical, Continuous
from r2i_jit.config import Hypers
from r2i_jit.model_loss import reward_scale
from r2i_jit.nets.distributions import symlog
from r2i_jit.observations import observation_loss
from tests.agents import small_config

B, T = 4, 50
SQUARED = small_config().model
UNEXPLAINED = small_config(model__number_loss="unexplained").model


def loss(parts, prediction, obs, config=UNEXPLAINED):
    return observation_loss(config, parts, prediction, obs)


@pytest.mark.heavy
@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    scales=st.lists(st.floats(0.02, 1e3), min_size=1, max_size=4),
    offset=st.floats(-5, 5),
)
def test_the_mean_of_a_number_explains_nothing_whatever_its_size(seed, scales, offset):
    rng = np.random.default_rng(seed)
    obs = jnp.asarray(rng.normal(size=(B, T, len(scales))) * scales + offset, jnp.float32)
    target = symlog(obs)
    mean = jnp.broadcast_to(target.mean((0, 1)), target.shape)
    np.testing.assert_allclose(loss((Continuous(len(scales)),), mean, obs).mean(), len(scales), rtol=1e-3)
    assert (loss((Continuous(len(scales)),), target, obs) == 0).all()


def test_a_bit_shown_once_an_episode_is_worth_as_much_as_one_shown_always():
    rng = np.random.default_rng(0)
    bits = rng.choice([-1.0, 1.0], (B, T)).astype(np.float32)
    bits[:, 0] = [1, -1, 1, -1]
    once = np.where(np.arange(T) == 0, bits, 0)
    obs = jnp.stack([jnp.asarray(bits), jnp.asarray(once)], -1)
    blank = jnp.zeros_like(obs)
    always, seldom = (loss((Continuous(1),), blank[..., :1], obs[..., i : i + 1]).mean() for i in (0, 1))
    np.testing.assert_allclose([always, seldom], 1.0, rtol=0.05)
    plain = [float(loss((Continuous(1),), blank[..., :1], obs[..., i : i + 1], SQUARED).mean()) for i in (0, 1)]
    assert plain[0] == pytest.approx(T * plain[1])


@pytest.mark.parametrize("jitter", [0.0, 1e-4])
def test_a_number_that_does_not_change_is_not_blown_up(jitter):
    obs = jnp.asarray(3.0 + jitter * np.random.default_rng(0).normal(size=(B, T, 1)), jnp.float32)
    prediction = jnp.zeros_like(obs)
    got, slope = jax.value_and_grad(lambda p: loss((Continuous(1),), p, obs).mean())(prediction)
    np.testing.assert_allclose(got, loss((Continuous(1),), prediction, obs, SQUARED).mean(), rtol=1e-6)
    assert jnp.isfinite(slope).all()


def test_bits_and_classes_keep_their_likelihood():
    parts = (Categorical(3), Binary(2))
    prediction = jax.random.normal(jax.random.key(0), (B, T, 5))
    obs = jnp.concatenate([jax.nn.one_hot(jnp.zeros((B, T), jnp.int32), 3), jnp.ones((B, T, 2))], -1)
    np.testing.assert_array_equal(loss(parts, prediction, obs), loss(parts, prediction, obs, SQUARED))


def paid(*steps):
    return jnp.zeros((B, T), jnp.float32).at[:, jnp.asarray(steps, jnp.int32)].set(-1.0)


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (paid(T - 1), 0.3 * T),
        (paid(3, 4, T - 1), 0.1 * T),
        (paid(*range(T)), 1.0),  # not less than reward_loss_scale
        (paid(), 0.3 * T),  # a batch without a reward: as if there were one in each sequence
        (paid(7).at[1:].set(0.0), 0.3 * T),  # fewer than that are not blown up
    ],
)
def test_a_reward_counts_by_how_few_there_are(reward, expected):
    hypers = Hypers(sparse_reward_scale=0.3)
    np.testing.assert_allclose(reward_scale(reward, hypers), expected, rtol=1e-6)


def test_rewards_count_as_in_the_paper_unless_asked_otherwise():
    assert reward_scale(paid(0), Hypers()) == 1.0
    assert reward_scale(paid(0), Hypers(reward_loss_scale=2.5)) == 2.5
