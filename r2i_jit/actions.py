"""Translate between the agent's actions and an environment's action space.

The agent's action is one int32 (Discrete) or a float32 vector in [-1, 1] (Box); networks see it as a float vector.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from r2i_jit.config import ConfigError


@dataclass(frozen=True)
class ActionSpec:
    """Size and kind of the action space."""

    size: int  # A: number of actions, or dimension of the action vector
    discrete: bool
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def encode(self, action: jax.Array) -> jax.Array:
        """Return stored actions (..., ) or (..., A) as network inputs (..., A)."""
        return jax.nn.one_hot(action, self.size, dtype=jnp.float32) if self.discrete else action

    def decode(self, vector: jax.Array) -> jax.Array:
        """Return network outputs (..., A), one-hot or in [-1, 1], as stored actions.

        A continuous one that is NaN is 0: it would stay in the replay, and in the state of an environment.
        """
        if self.discrete:
            return jnp.argmax(vector, -1).astype(jnp.int32)
        return _contained(vector)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Return stored actions as the environment takes them; a continuous one that is NaN as the middle."""
        if self.discrete:
            return action
        assert self.low is not None and self.high is not None, "a Box has bounds"
        unit = (_contained(action).reshape(*action.shape[:-1], *self.low.shape) + 1.0) / 2.0
        lead = (1,) * (unit.ndim - self.low.ndim)
        low, high = (bound.astype(np.float32).reshape(*lead, *bound.shape) for bound in (self.low, self.high))
        return unit * (high - low) + low

    def from_env(self, action: jax.Array) -> jax.Array:
        """Return actions (..., *space.shape) as stored ones: the inverse of `to_env`, inside the bounds.

        Where both bounds are the same number, it is 0.
        """
        if self.discrete:
            return action
        assert self.low is not None and self.high is not None, "a Box has bounds"
        lead = (1,) * (action.ndim - self.low.ndim)
        low, high = (bound.astype(np.float32).reshape(*lead, *bound.shape) for bound in (self.low, self.high))
        unit = jnp.where(high > low, (action - low) / np.where(high > low, high - low, np.float32(1)), jnp.float32(0.5))
        return 2.0 * unit.reshape(*action.shape[: action.ndim - self.low.ndim], self.size) - 1.0

    def random(self, key: jax.Array, batch: int) -> jax.Array:
        """Draw uniform actions (batch,) or (batch, A)."""
        if self.discrete:
            return jax.random.randint(key, (batch,), 0, self.size, jnp.int32)
        return jax.random.uniform(key, (batch, self.size), jnp.float32, -1.0, 1.0)


def _contained(vector: jax.Array) -> jax.Array:
    """Return `vector` inside [-1, 1], with 0 for NaN."""
    return jnp.clip(jnp.where(jnp.isnan(vector), 0.0, vector), -1.0, 1.0)


def action_spec(env: Any, params: Any) -> ActionSpec:
    """Describe `env`'s action space.

    Raises:
      ConfigError: for a space that is neither Discrete nor a bounded Box.
    """
    space = env.action_space(params)
    if isinstance(space, spaces.Discrete):
        return ActionSpec(int(space.n), discrete=True)
    if isinstance(space, spaces.Box):
        low = np.broadcast_to(np.asarray(space.low, np.float32), space.shape)
        high = np.broadcast_to(np.asarray(space.high, np.float32), space.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            width = high - low  # Infinite as well where the bounds are the largest floats there are.
        if np.all(np.isfinite(width)):
            return ActionSpec(math.prod(space.shape), False, low, high)
    raise ConfigError(f"env={env.name!r}: action space {space!r} is not supported; give a Discrete or a bounded Box")
