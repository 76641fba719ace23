"""The few distributions the agent needs: one-hot with unimix, two-hot over symlog bins, tanh-mean normal.

Owned by tests/unit/test_distributions.py (against rlax, SciPy-free identities and finite differences).
"""

import jax
import jax.numpy as jnp

from r2i_jit import shares


def symlog(x: jax.Array) -> jax.Array:
    """Return sign(x) log(1 + |x|)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: jax.Array) -> jax.Array:
    """Return the inverse of `symlog`."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def unimix_probs(logits: jax.Array, unimix: float) -> jax.Array:
    """Return the probabilities of a mixture of softmax(logits) and the uniform distribution; see `unimix_log_probs`."""
    return (1.0 - unimix) * jax.nn.softmax(logits.astype(jnp.float32)) + unimix / logits.shape[-1]


def unimix_log_probs(logits: jax.Array, unimix: float) -> jax.Array:
    """Return log-probabilities of a mixture of softmax(logits) and the uniform distribution.

    Args:
      logits: (..., C).
      unimix: weight of the uniform part, in [0, 1).
    """
    if not unimix:
        return jax.nn.log_softmax(logits.astype(jnp.float32))
    return jnp.log(unimix_probs(logits, unimix))


def sample_one_hot(key: jax.Array, probs: jax.Array) -> jax.Array:
    """Draw one-hot samples by inverting the cumulative distribution.

    One uniform number per variable instead of C Gumbels: random bits are the dearest part of imagination on CPU.

    Args:
      key: typed PRNG key.
      probs: (..., C) probabilities, up to a factor.

    Returns:
      (..., C) float32 one-hot, without gradient.
    """
    probs = jax.lax.stop_gradient(probs)
    cumulative = jax.lax.platform_dependent(probs, cuda=_cumulative_bfloat16, default=_cumulative_product)
    uniform = shares.drawn(lambda shape: jax.random.uniform(key, shape, jnp.float32), (*probs.shape[:-1], 1))
    threshold = uniform * cumulative[..., -1:]
    passed = (threshold >= cumulative[..., :-1]).astype(jnp.float32)  # 1 ... 1 0 ... 0
    ones, zeros = jnp.ones_like(threshold), jnp.zeros_like(threshold)
    return jnp.concatenate([ones, passed], -1) - jnp.concatenate([passed, zeros], -1)


def _cumulative_product(probs: jax.Array) -> jax.Array:
    """Return cumulative sums over the last axis as a product with a triangular matrix: fastest on CPU."""
    classes = probs.shape[-1]
    return jnp.dot(probs, jnp.triu(jnp.ones((classes, classes), jnp.float32)), precision=jax.lax.Precision.HIGHEST)


def _cumulative_bfloat16(probs: jax.Array) -> jax.Array:
    """Return cumulative sums over the last axis as one product of bfloat16, each probability split into three of them.

    Three times 8 bits are all that a float32 has, and the sums are float32: no less exact, and on a GPU a product for
    tensor cores, where `_cumulative_product` is one for the plain ones (docs/performance.md). `reduce_precision`
    rounds, where a conversion there and back could be dropped by the compiler.
    """
    classes = probs.shape[-1]
    high = jax.lax.reduce_precision(probs, 8, 7)
    middle = jax.lax.reduce_precision(probs - high, 8, 7)
    parts = jnp.concatenate([high, middle, probs - high - middle], -1).astype(jnp.bfloat16)
    triangles = jnp.tile(jnp.triu(jnp.ones((classes, classes), jnp.bfloat16)), (3, 1))
    return jnp.dot(parts, triangles, preferred_element_type=jnp.float32)


def mode_one_hot(probs: jax.Array) -> jax.Array:
    """Return the most likely one-hot of (..., C) probabilities or their logarithms."""
    return jax.nn.one_hot(jax.lax.argmax(probs, probs.ndim - 1, jnp.int32), probs.shape[-1], dtype=jnp.float32)


def straight_through(sample: jax.Array, probs: jax.Array) -> jax.Array:
    """Return `sample`, with the gradient of the probabilities."""
    return sample + (probs - jax.lax.stop_gradient(probs))


def entropy(log_probs: jax.Array) -> jax.Array:
    """Return the entropy in nats of (..., C) log-probabilities."""
    return -jnp.sum(jnp.exp(log_probs) * log_probs, -1)


def kl(p: jax.Array, q: jax.Array) -> jax.Array:
    """Return KL(p, q) in nats of (..., C) log-probabilities."""
    return jnp.sum(jnp.exp(p) * (p - q), -1)


def two_hot_bins(bins: int) -> jax.Array:
    """Return the bin centres in symlog space, linear in [-20, 20]."""
    return jnp.linspace(-20.0, 20.0, bins, dtype=jnp.float32)


def two_hot_mean(logits: jax.Array) -> jax.Array:
    """Return symexp of the expected bin: the read-out of R2I (not the expectation of symexp)."""
    probs = jax.nn.softmax(logits.astype(jnp.float32))
    return symexp(jnp.dot(probs, two_hot_bins(logits.shape[-1]), precision=jax.lax.Precision.HIGHEST))


def two_hot_loss(logits: jax.Array, target: jax.Array) -> jax.Array:
    """Return the cross-entropy between (..., bins) logits and the two-hot encoding of symlog(target).

    The target's mass lies on the two neighbouring bins, so it is gathered with two one-hot comparisons' worth of work
    in one triangular kernel: weight_i = max(0, 1 - |position - i|).
    """
    bins = logits.shape[-1]
    position = (jnp.clip(symlog(target), -20.0, 20.0) + 20.0) * ((bins - 1) / 40.0)
    at = jax.lax.broadcast_to_rank(jnp.arange(bins, dtype=jnp.int32).astype(jnp.float32), logits.ndim)
    weight = jnp.maximum(0.0, 1.0 - jnp.abs(position[..., None] - at))
    return -jnp.sum(jax.lax.stop_gradient(weight) * jax.nn.log_softmax(logits.astype(jnp.float32)), -1)


def bernoulli_loss(logit: jax.Array, target: jax.Array) -> jax.Array:
    """Return the negative log-likelihood of a 0/1 target."""
    logit = logit.astype(jnp.float32)
    return jax.nn.softplus(logit) - target * logit


def tanh_normal(raw_mean: jax.Array, raw_std: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return (mean, standard deviation) = (tanh(raw_mean), 0.9 sigmoid(raw_std + 2) + 0.1).

    Ref: R2I release `nets.py:600-607`.
    """
    std = 0.9 * jax.nn.sigmoid(raw_std.astype(jnp.float32) + 2.0) + 0.1
    return jnp.tanh(raw_mean.astype(jnp.float32)), std


def normal_entropy(std: jax.Array) -> jax.Array:
    """Return the entropy in nats of a diagonal normal with (..., A) standard deviations."""
    return jnp.sum(0.5 * jnp.log(jnp.float32(2.0 * jnp.pi * jnp.e)) + jnp.log(std), -1)


def censored_log_prob(x: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Return the log-likelihood of (..., A) numbers of a diagonal normal that were cut to [-1, 1].

    Inside it is the density's; at an end it is that of all the probability beyond.
    """
    inside = -0.5 * ((x - mean) / std) ** 2 - jnp.log(std) - 0.5 * jnp.log(jnp.float32(2.0 * jnp.pi))
    beyond = jax.scipy.stats.norm.logcdf((jnp.sign(x) * mean - 1.0) / std)
    return jnp.sum(jnp.where(jnp.abs(x) >= 1.0, beyond, inside), -1)


def normal_log_prob(x: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Return the log-density at (..., A) of a diagonal normal."""
    return jnp.sum(-0.5 * ((x - mean) / std) ** 2 - jnp.log(std) - 0.5 * jnp.log(jnp.float32(2.0 * jnp.pi)), -1)
