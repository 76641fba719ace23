"""Multiarmed bandit: find the arm that pays most often, and stay with it.

Ref: popgym/envs/multiarmed_bandit.py (1.0.7).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments.environment import EnvParams, EnvState

from envs.observation import Categorical
from envs.popgym.game import Game, no_time_limit
from envs.spaces import nearest

_BAR = 20  # characters for a probability of one


@struct.dataclass
class BanditState(EnvState):
    """The arms and the last payout.

    Attributes:
      time: steps taken, int32 ().
      arms: each arm's probability of a payout, float32 (arms,).
      paid: whether the last arm paid, bool ().
    """

    time: jax.Array
    arms: jax.Array
    paid: jax.Array


class MultiarmedBandit(Game):
    """Each step pulls one of several arms, which pays out with a probability of its own.

    The probabilities are uniform on [0, 1), drawn anew for every episode. With L steps in an episode, a payout is
    +1 / L and none is -1 / L.

    Quirk kept from the original: before the first step the observation is that of no payout
    (multiarmed_bandit.py:69). An arm outside 0..n - 1 is taken as the nearest one (the original raises, or counts from
    the end).

    Observation: payout (0 no, 1 yes), one-hot uint8 (2,). Action: arm 0..n - 1. Ends: truncated, after L steps.
    """

    def __init__(self, num_bandits: int = 10, episode_length: int = 200):
        """Set the number of arms and of steps.

        Raises:
          ValueError: if there is no arm or no step.
        """
        if num_bandits < 1:
            raise ValueError(f"{self.name}: num_bandits={num_bandits} should be at least 1")
        if episode_length < 1:
            raise ValueError(f"{self.name}: episode_length={episode_length} should be at least 1")
        self._num_bandits = num_bandits
        self._episode_length = episode_length

    @property
    def max_episode_steps(self) -> int:
        """Number of steps in every episode."""
        return self._episode_length

    @property
    def reward_scale(self) -> float:
        """Number of paid steps."""
        return float(self._episode_length)

    @property
    def num_actions(self) -> int:
        """Number of arms."""
        return self._num_bandits

    def observation_parts(self, params: EnvParams) -> tuple[Categorical, ...]:
        """Whether there was a payout."""
        return (Categorical(2),)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, BanditState]:
        """Draw the arms."""
        arms = jax.random.uniform(key, (self.num_actions,), jnp.float32)
        state = BanditState(time=jnp.zeros((), jnp.int32), arms=arms, paid=jnp.zeros((), bool))
        return self.observe(key, state, None, params), state

    def observe(self, key: jax.Array, state: BanditState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return whether the last arm paid, one-hot uint8 (2,)."""
        return jax.nn.one_hot(state.paid.astype(jnp.int32), 2, dtype=jnp.uint8)

    def luck(self, key: jax.Array) -> jax.Array:
        """Return the number in [0, 1) that a step with this key pays by, if the arm's is larger, float32 ()."""
        return jax.random.uniform(key, (), jnp.float32)

    def step_env(
        self, key: jax.Array, state: BanditState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, BanditState, jax.Array, jax.Array, dict[str, Any]]:
        """Pull an arm."""
        arm = nearest(action, self.num_actions)
        state = state.replace(time=state.time + 1, paid=self.luck(key) < state.arms[arm])
        reward = jnp.where(state.paid, jnp.float32(1), jnp.float32(-1)) / self.reward_scale
        return self.observe(key, state, action, params), state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state: BanditState, params: EnvParams) -> jax.Array:
        """Return False, bool (): only the time limit ends a game."""
        return no_time_limit(state, params)

    def render(self, state: BanditState, params: EnvParams, hidden: bool = False) -> str:
        """Return whether the last arm paid; with `hidden`, the probability of each arm too, as a bar. Host only."""
        lines = ["payout" if state.paid else "no payout"]
        if hidden:
            lines += [f"{i:3d}  {p:.2f} {'█' * round(_BAR * float(p))}" for i, p in enumerate(np.asarray(state.arms))]
        return "\n".join(lines)
