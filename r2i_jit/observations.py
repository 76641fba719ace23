"""What the world model takes an observation to be: numbers, one-hot groups, and the loss of a reconstruction.

Owned by tests/unit/test_given_latent.py (groups).
"""

import jax
import jax.numpy as jnp

from envs.observation import Categorical, Image, Part
from r2i_jit.config import ConfigError, ModelConfig
from r2i_jit.nets import distributions as dist


def flatten_observation(parts: tuple[Part, ...], obs: jax.Array) -> jax.Array:
    """Return an observation batch as (..., D) float32, or (..., height, width, channels) in [-0.5, 0.5] for images.

    A Discrete observation (an integer scalar) becomes one-hot.
    """
    if isinstance(parts[0], Image):
        return obs.astype(jnp.float32) / 255.0 - 0.5
    if len(parts) == 1 and isinstance(parts[0], Categorical) and jnp.issubdtype(obs.dtype, jnp.integer):
        scalar = obs.shape[-1:] != (parts[0].size,)
        if scalar:
            return jax.nn.one_hot(obs, parts[0].classes)
    return obs.astype(jnp.float32)


def latent_groups(config: ModelConfig, parts: tuple[Part, ...]) -> tuple[int, int]:
    """Return (S, C), the number of categorical latents and of the classes of each.

    Raises:
      ConfigError: if the latent is to be an observation that is not made of one-hot groups.
    """
    if config.posterior == "learned":
        return config.stoch, config.classes
    groups = [part for part in parts if isinstance(part, Categorical)]
    if len(groups) < len(parts):
        raise ConfigError(
            "model.posterior='observation': this environment's observation is not discrete; use 'learned'"
        )
    return sum(part.count for part in groups), max(part.classes for part in groups)


def to_groups(parts: tuple[Part, ...], obs: jax.Array) -> jax.Array:
    """Return a flat observation of one-hot groups (..., D) as (..., S, C); the smaller groups are padded with zeros."""
    classes = max(part.classes for part in parts if isinstance(part, Categorical))
    groups, offset = [], 0
    for part in parts:
        assert isinstance(part, Categorical)
        group = obs[..., offset : offset + part.size].reshape(*obs.shape[:-1], part.count, part.classes)
        groups.append(jnp.pad(group, [(0, 0)] * (group.ndim - 1) + [(0, classes - part.classes)]))
        offset += part.size
    return jnp.concatenate(groups, -2)


def from_groups(parts: tuple[Part, ...], groups: jax.Array) -> jax.Array:
    """Return the flat observation (..., D) of `to_groups`'s result (..., S, C)."""
    flat, offset = [], 0
    for part in parts:
        assert isinstance(part, Categorical)
        group = groups[..., offset : offset + part.count, : part.classes]
        flat.append(group.reshape(*group.shape[:-2], part.size))
        offset += part.count
    return jnp.concatenate(flat, -1)


def observation_loss(config: ModelConfig, parts: tuple[Part, ...], prediction: jax.Array, obs: jax.Array) -> jax.Array:
    """Return the reconstruction loss of `WorldModel.reconstruct`'s output, summed over the observation, (B, T).

    Images: squared error in [0, 1] space, summed over pixels. Categorical parts: cross-entropy (or, with
    config.observation_loss = "symlog_mse", the paper's squared error). Continuous parts: squared error in symlog space.
    """
    target = flatten_observation(parts, obs)
    prediction = prediction.astype(jnp.float32)
    if isinstance(parts[0], Image):
        return jnp.sum((prediction - target) ** 2, (-3, -2, -1))
    total, offset = jnp.zeros(target.shape[:-1]), 0
    for part in parts:
        p, t = prediction[..., offset : offset + part.size], target[..., offset : offset + part.size]
        offset += part.size
        if isinstance(part, Categorical) and config.observation_loss == "categorical":
            shape = (*p.shape[:-1], part.count, part.classes)
            total += -jnp.sum(t.reshape(shape) * jax.nn.log_softmax(p.reshape(shape)), (-2, -1))
        else:
            total += jnp.sum((p - dist.symlog(t)) ** 2, -1)
    return total
