"""Games of which the velocities are not shown: what an agent needs it has to have remembered."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.gymnax_suite.classic_control import Moving
from envs.wrappers import Wrapper


class Masked(Wrapper):
    """A game of `envs.gymnax_suite.classic_control` without the velocities in its observation.

    All else is the game's: the same keys and actions bring the same states, rewards and ends. The entries that are left
    are in their order.
    """

    env: Moving

    def __init__(self, game: Callable[[], Moving]):
        """Build the game."""
        super().__init__(game())

    @property
    def name(self) -> str:
        """The game's id, and that it is masked."""
        return f"{self.env.name}-Masked"

    def observation_parts(self, params: EnvParams) -> Any:
        """What is left is what its space says."""
        return None

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """The game's space, of the entries that are left."""
        inner = self.env.observation_space(params)
        return spaces.Box(self._left(inner.low), self._left(inner.high), (len(self.env.positions),), inner.dtype)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Begin an episode."""
        obs, state = self.env.reset_env(key, params)
        return self._left(obs), state

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Take one step, without auto-reset."""
        obs, state, reward, terminated, info = self.env.step_env(key, state, action, params)
        return self._left(obs), state, reward, terminated, info

    def observe(self, key: jax.Array, state: EnvState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the observation of `state`."""
        return self._left(self.env.observe(key, state, action, params))

    def render(self, state: EnvState, params: EnvParams, hidden: bool = False) -> str:
        """Return the game's picture; its velocities with `hidden` only. Host only."""
        return self.env.drawn(state, params, velocities=hidden)

    def _left(self, entries: jax.Array) -> jax.Array:
        return jnp.asarray(entries)[..., np.array(self.env.positions)]
