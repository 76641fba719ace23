"""What the control games share: an episode length of their own, two readings, and noise on the readings."""

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.observation import Continuous, Part
from envs.popgym.game import Game


class ControlGame(Game):
    """A physical system that is seen through two numbers. A subclass adds `limits`, `_seen` and `_everything`."""

    def __init__(self, max_episode_length: int = 200):
        """Set the number of steps after which an episode is truncated.

        Raises:
          ValueError: if there is no step.
        """
        if max_episode_length < 1:
            raise ValueError(f"{self.name}: max_episode_length={max_episode_length} should be at least 1")
        self._max_episode_length = max_episode_length

    @property
    def limits(self) -> np.ndarray:
        """Largest size of each of the two readings, float32 (2,)."""
        raise NotImplementedError

    @property
    def max_episode_steps(self) -> int:
        """Number of steps after which an episode is truncated."""
        return self._max_episode_length

    @property
    def reward_scale(self) -> float:
        """Number of rewards in a whole episode."""
        return float(self._max_episode_length)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """The two readings."""
        return (Continuous(2),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Two numbers within `limits`, float32."""
        return spaces.Box(-self.limits, self.limits, (2,), jnp.float32)

    def render(self, state: EnvState, params: EnvParams, hidden: bool = False) -> str:
        """Return the readings as text; with `hidden`, a drawing of the system and all of its state. Host only."""
        return self._everything(state) if hidden else self._seen(state)

    def _seen(self, state: EnvState) -> str:
        raise NotImplementedError

    def _everything(self, state: EnvState) -> str:
        raise NotImplementedError


class Noisy(ControlGame):
    """Readings with independent Gaussian noise of one size on both, at a reset too, clipped to their `limits`.

    To be named before the game whose readings it disturbs: class NoisyX(Noisy, X).

    Ref: popgym/envs/noisy_position_only_cartpole.py:30-34, noisy_position_only_pendulum.py:24-28.
    """

    def __init__(self, noise_sigma: float = 0.1, max_episode_length: int = 200):
        """Set the noise's standard deviation, in the units of the readings, and the steps of an episode.

        Raises:
          ValueError: if the deviation is not a number of at least 0, or if there is no step.
        """
        super().__init__(max_episode_length)
        if not 0.0 <= noise_sigma < float("inf"):
            raise ValueError(f"{self.name}: noise_sigma={noise_sigma} should be at least 0, and finite")
        self.noise_sigma = noise_sigma

    def noise(self, key: jax.Array) -> jax.Array:
        """Return what `observe` adds to the readings for the same key, float32 (2,)."""
        return self.noise_sigma * jax.random.normal(key, (2,), jnp.float32)

    def observe(self, key: jax.Array, state: EnvState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the disturbed readings, float32 (2,)."""
        readings = super().observe(key, state, action, params) + self.noise(key)
        return jnp.clip(readings, -self.limits, self.limits)

    def _seen(self, state: EnvState) -> str:
        # The state does not hold the noise of the reading, and without it the drawing would tell too much.
        return f"two readings with noise of size {self.noise_sigma:g}, drawn anew for every observation"
