"""Distributions against their definitions. About 5 seconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i_jit.nets import distributions as dist


def test_samples_follow_the_probabilities():
    logits = jnp.array([[0.0, 1.0, -2.0, 3.0], [5.0, 0.0, 0.0, 0.0]], jnp.float32)
    log_probs = dist.unimix_log_probs(logits, 0.05)
    np.testing.assert_allclose(jnp.exp(log_probs), 0.95 * jax.nn.softmax(logits) + 0.05 / 4, rtol=1e-5)
    draws = jax.jit(jax.vmap(lambda key: dist.sample_one_hot(key, jnp.exp(log_probs))))(
        jax.random.split(jax.random.key(0), 40_000)
    )
    assert set(np.unique(draws)) == {0.0, 1.0} and (np.asarray(draws).sum(-1) == 1).all()
    probs = np.exp(log_probs)
    error = np.sqrt(probs * (1 - probs) / 40_000)
    assert (np.abs(np.asarray(draws).mean(0) - probs) < 5 * error).all()


def test_cumulative_sums_are_as_exact_on_a_gpu():
    probs = dist.unimix_probs(3 * jax.random.normal(jax.random.key(4), (64, 3, 32), jnp.float32), 0.01)
    expected = np.cumsum(np.asarray(probs, np.float64), -1)
    for form in (dist._cumulative_product, dist._cumulative_bfloat16):
        np.testing.assert_allclose(jax.jit(form)(probs), expected, rtol=1e-6)
    traced = jax.jit(dist.sample_one_hot).trace(jax.random.key(0), probs)
    assert "bf16" not in traced.lower(lowering_platforms=("cpu",)).as_text()
    assert "bf16" in traced.lower(lowering_platforms=("cuda",)).as_text()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), scale=st.sampled_from([0.1, 10.0, 1000.0]))
def test_samples_are_one_hot_for_any_logits(seed, scale):
    key_logits, key_sample = jax.random.split(jax.random.key(seed))
    probs = dist.unimix_probs(scale * jax.random.normal(key_logits, (64, 5), jnp.float32), 0.0)
    sample = np.asarray(dist.sample_one_hot(key_sample, probs))
    assert (sample.sum(-1) == 1).all() and (sample.max(-1) == 1).all()


def test_straight_through_passes_the_gradient_of_the_probabilities():
    logits, weight = jnp.array([0.3, -1.0, 2.0], jnp.float32), jnp.array([1.0, 2.0, -1.0], jnp.float32)

    def through(logits):
        probs = dist.unimix_probs(logits, 0.01)
        return jnp.sum(weight * dist.straight_through(dist.sample_one_hot(jax.random.key(0), probs), probs))

    direct = jax.grad(lambda logits: jnp.sum(weight * jnp.exp(dist.unimix_log_probs(logits, 0.01))))(logits)
    np.testing.assert_allclose(jax.grad(through)(logits), direct, rtol=1e-5)


@settings(max_examples=100, deadline=None)
@given(value=st.floats(-1e6, 1e6, allow_nan=False, width=32))
def test_symexp_inverts_symlog(value):
    np.testing.assert_allclose(dist.symexp(dist.symlog(jnp.float32(value))), value, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 0.02, 47.3, -3e5, 1e12])
def test_two_hot_is_exact_at_its_own_target(value):
    """Logits equal to the log of the target's weights give the entropy of the target, and read back its value."""
    bins = np.linspace(-20, 20, 255)
    target = np.clip(np.sign(value) * np.log1p(abs(value)), -20, 20)
    weight = np.maximum(0, 1 - np.abs(target - bins) / (bins[1] - bins[0]))
    assert weight.sum() == pytest.approx(1.0)
    logits = jnp.log(jnp.asarray(weight, jnp.float32) + 1e-12)
    entropy = -np.sum(weight * np.log(weight + 1e-30))
    assert float(dist.two_hot_loss(logits, jnp.float32(value))) == pytest.approx(entropy, abs=1e-4)
    expected = np.sign(target) * np.expm1(abs(target))
    assert float(dist.two_hot_mean(logits)) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_kl_and_entropy():
    p, q = (
        dist.unimix_log_probs(jnp.array([1.0, 2.0, 0.0], jnp.float32), 0.0),
        dist.unimix_log_probs(jnp.array([0.0, 0.5, 0.0], jnp.float32), 0.1),
    )
    P, Q = np.exp(p), np.exp(q)
    assert float(dist.kl(p, q)) == pytest.approx(np.sum(P * np.log(P / Q)), rel=1e-5)
    assert float(dist.kl(p, p)) == 0.0
    assert float(dist.entropy(p)) == pytest.approx(-np.sum(P * np.log(P)), rel=1e-5)


def test_bernoulli_loss_is_the_negative_log_likelihood():
    logit = jnp.array([-3.0, 0.0, 4.0], jnp.float32)
    prob = jax.nn.sigmoid(logit)
    np.testing.assert_allclose(dist.bernoulli_loss(logit, 1.0), -jnp.log(prob), rtol=1e-5)
    np.testing.assert_allclose(dist.bernoulli_loss(logit, 0.0), -jnp.log(1 - prob), rtol=1e-4)


def test_normal_density_integrates_to_one():
    mean, std = dist.tanh_normal(jnp.array([[0.4]], jnp.float32), jnp.array([[-1.0]], jnp.float32))
    assert 0.1 < float(std[0, 0]) < 1.0 and abs(float(mean[0, 0])) < 1.0
    x = jnp.linspace(-10, 10, 20_001, dtype=jnp.float32)[:, None]
    density = jnp.exp(dist.normal_log_prob(x, mean, std))
    assert float(density.sum() * 1e-3) == pytest.approx(1.0, abs=1e-3)
    entropy = -float(jnp.sum(density * dist.normal_log_prob(x, mean, std)) * 1e-3)
    assert float(dist.normal_entropy(std)[0]) == pytest.approx(entropy, abs=1e-3)
