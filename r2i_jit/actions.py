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
        return jax.nn.one_hot(action, self.size) if self.discrete else action

    def decode(self, vector: jax.Array) -> jax.Array:
        """Return network outputs (..., A), one-hot or in [-1, 1], as stored actions."""
        if self.discrete:
            return jnp.argmax(vector, -1).astype(jnp.int32)
        return jnp.clip(vector, -1.0, 1.0)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Return stored actions as the environment takes them."""
        if self.discrete:
            return action
        assert self.low is not None and self.high is not None, "a Box has bounds"
        unit = (action.reshape(*action.shape[:-1], *self.low.shape) + 1.0) / 2.0
        return self.low + unit * (self.high - self.low)

    def from_env(self, action: jax.Array) -> jax.Array:
        """Return actions (..., *space.shape) as stored ones: the inverse of `to_env`, inside the bounds."""
        if self.discrete:
            return action
        assert self.low is not None and self.high is not None, "a Box has bounds"
        unit = (action - self.low) / (self.high - self.low)
        return 2.0 * unit.reshape(*action.shape[: action.ndim - self.low.ndim], self.size) - 1.0

    def random(self, key: jax.Array, batch: int) -> jax.Array:
        """Draw uniform actions (batch,) or (batch, A)."""
        if self.discrete:
            return jax.random.randint(key, (batch,), 0, self.size)
        return jax.random.uniform(key, (batch, self.size), minval=-1.0, maxval=1.0)


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
        if np.all(np.isfinite(low)) and np.all(np.isfinite(high)):
            return ActionSpec(math.prod(space.shape), False, low, high)
    raise ConfigError(f"env={env.name!r}: action space {space!r} is not supported; give a Discrete or a bounded Box")
