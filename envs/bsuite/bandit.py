"""Bandit: eleven arms with fixed rewards (bandit, bandit_noise, bandit_scale).

Ref: bsuite/environments/bandit.py (0.3.6).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.bsuite.game import Game, at_least
from envs.observation import Continuous, Part
from envs.spaces import nearest

ARMS = 11


@struct.dataclass
class BanditParams(EnvParams):
    """Setting.

    Attributes:
      rewards: of the arms.
    """

    rewards: tuple[float, ...] = (0.0,) * ARMS


@struct.dataclass
class BanditState(EnvState):
    """Nothing but the clock.

    Attributes:
      time: steps taken, int32 ().
    """

    time: jax.Array


class Bandit(Game):
    """One action, one reward: the arms pay 0, 0.1, ..., 1, in an order that `mapping_seed` fixes for all episodes.

    Quirk kept from the original: what there is to see is always 1 (bandit.py:54).

    Observation: 1, float32 (1,). Action: 0..10; any other is taken as the nearest one. Ends: terminated, at once.
    """

    def __init__(self, mapping_seed: int = 0):
        """Set the order of the rewards: that of the original for this seed.

        Raises:
          ValueError: if the seed is negative.
        """
        at_least(self.name, 0, mapping_seed=mapping_seed)
        order = np.random.RandomState(mapping_seed).choice(range(ARMS), size=ARMS, replace=False)
        self.rewards = tuple(float(reward) for reward in np.linspace(0, 1, ARMS)[order])

    @property
    def num_actions(self) -> int:
        """The arms."""
        return ARMS

    @property
    def max_episode_steps(self) -> int:
        """Always 1."""
        return 1

    @property
    def default_params(self) -> BanditParams:
        """The rewards of the constructor."""
        return BanditParams(1, self.rewards)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """A number."""
        return (Continuous(1),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """The number 1, float32."""
        return spaces.Box(1.0, 1.0, (1,), jnp.float32)

    def begin(self, key: jax.Array, params: EnvParams) -> BanditState:
        """Begin."""
        return BanditState(jnp.zeros((), jnp.int32))

    def transition(
        self, state: BanditState, action: jax.Array, drawn: None, params: BanditParams
    ) -> tuple[BanditState, jax.Array]:
        """Pay what the arm pays."""
        return BanditState(state.time + 1), self._paid(action, params)

    def show(self, state: BanditState, drawn: None, params: BanditParams) -> jax.Array:
        """Return 1, float32 (1,)."""
        return jnp.ones((1,), jnp.float32)

    def is_terminated(self, state: BanditState, params: BanditParams) -> jax.Array:
        """Return whether an arm was pulled, bool ()."""
        return state.time >= 1

    def tally(
        self, state: BanditState, action: jax.Array, after: BanditState, params: BanditParams
    ) -> dict[str, jax.Array]:
        """Return `regret`: what the best arm would have paid more."""
        return {"regret": 1 - self._paid(action, params)}

    def _paid(self, action: jax.Array, params: BanditParams) -> jax.Array:
        rewards = jnp.stack([jnp.asarray(reward, jnp.float32) for reward in params.rewards])
        return rewards[nearest(action, ARMS)]

    def render(self, state: BanditState, params: BanditParams, hidden: bool = False) -> str:
        """Return what happened, and with `hidden` the rewards. Host only."""
        line = "hidden: the arms pay " + " ".join(f"{float(reward):.1f}" for reward in params.rewards)
        return "\n".join([f"{ARMS} arms, {'one' if int(state.time) else 'none'} pulled"] + [line] * hidden)
