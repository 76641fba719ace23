"""DiscountingChain: the first action chooses when the reward comes, and one choice pays more (discounting_chain).

Ref: bsuite/environments/discounting_chain.py (0.3.6).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.bsuite.game import Game, at_least, share
from envs.observation import Continuous, Part
from envs.spaces import nearest

DELAYS = (1, 3, 10, 30, 100)
BONUS = 1.1


@struct.dataclass
class DiscountingChainParams(EnvParams):
    """Setting.

    Attributes:
      bonus_arm: the choice that pays more.
      delays: of the choices, in steps; the last one is the longest, and the episode's length.
    """

    bonus_arm: int = 0
    delays: tuple[int, ...] = DELAYS


@struct.dataclass
class DiscountingChainState(EnvState):
    """How far it is.

    Attributes:
      time: steps taken, int32 ().
      arm: the choice, -1 before it is made, int32 ().
    """

    time: jax.Array
    arm: jax.Array


class DiscountingChain(Game):
    """The first action is a choice between five delays: 1, 3, 10, 30 or 100 steps until a reward of 1 (or others).

    One of them, the same in all episodes, pays 1.1. Nothing is drawn.

    Quirks kept from the original: later actions do nothing, but the episode goes on for the longest delay whatever was
    chosen, and ends with discount 0 (discounting_chain.py:76-88); only experience tells which choice pays more;
    `mapping_seed` counts modulo 5 (discounting_chain.py:53).

    Observation: the choice (-1 before it), share of the steps that have passed, float32 (2,). Action: 0..4; any other
    is taken as the nearest one. Ends: terminated, after 100 steps, or the longest delay.
    """

    def __init__(self, mapping_seed: int = 0, delays: Sequence[int] = DELAYS):
        """Set which choice pays more, `mapping_seed` modulo their number, and after how many steps they pay.

        Raises:
          ValueError: if the seed is negative, or the delays do not grow.
        """
        at_least(self.name, 0, mapping_seed=mapping_seed)
        at_least(self.name, 1, **{f"delays[{number}]": delay for number, delay in enumerate(delays)})
        if not delays or list(delays) != sorted(set(delays)):
            raise ValueError(f"{self.name}: delays={tuple(delays)} should be numbers, each larger than the one before")
        self.delays = tuple(delays)
        self.bonus_arm = mapping_seed % len(self.delays)

    @property
    def num_actions(self) -> int:
        """The delays."""
        return len(self.delays)

    @property
    def max_episode_steps(self) -> int:
        """The longest delay."""
        return self.delays[-1]

    @property
    def default_params(self) -> DiscountingChainParams:
        """The choices of the constructor."""
        return DiscountingChainParams(self.max_episode_steps, self.bonus_arm, self.delays)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Two numbers."""
        return (Continuous(2),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Choice and time, float32."""
        low, high = jnp.array([-1.0, 0.0], jnp.float32), jnp.array([len(self.delays) - 1.0, 1.0], jnp.float32)
        return spaces.Box(low, high, (2,), jnp.float32)

    def begin(self, key: jax.Array, params: EnvParams) -> DiscountingChainState:
        """Begin without a choice."""
        return DiscountingChainState(jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32))

    def transition(
        self, state: DiscountingChainState, action: jax.Array, drawn: None, params: DiscountingChainParams
    ) -> tuple[DiscountingChainState, jax.Array]:
        """Choose if nothing is chosen yet; pay if it is time."""
        arm = jnp.where(state.time == 0, nearest(action, len(self.delays)), state.arm)
        time = state.time + 1
        pay = jnp.where(arm == jnp.asarray(params.bonus_arm, jnp.int32), jnp.float32(BONUS), jnp.float32(1))
        due = time == jnp.asarray(params.delays, jnp.int32)[jnp.maximum(arm, 0)]
        return DiscountingChainState(time, arm), jnp.where(due, pay, jnp.float32(0))

    def show(self, state: DiscountingChainState, drawn: None, params: DiscountingChainParams) -> jax.Array:
        """Return choice and time, float32 (2,)."""
        steps = jnp.asarray(params.delays[-1], jnp.int32)
        return jnp.stack([state.arm.astype(jnp.float32), share(jnp.minimum(state.time, steps), steps)])

    def is_terminated(self, state: DiscountingChainState, params: DiscountingChainParams) -> jax.Array:
        """Return whether the longest delay is over, bool ()."""
        return state.time >= jnp.asarray(params.delays[-1], jnp.int32)

    def render(self, state: DiscountingChainState, params: DiscountingChainParams, hidden: bool = False) -> str:
        """Return choice and time, and with `hidden` which choice pays more. Host only."""
        arm, delays = int(state.arm), [int(delay) for delay in params.delays]
        chosen = "nothing chosen" if arm < 0 else f"chosen: reward after {delays[arm]} steps"
        line = f"hidden: the reward after {delays[int(params.bonus_arm)]} steps is {BONUS}"
        return "\n".join([f"{chosen}, step {int(state.time)} of {delays[-1]}"] + [line] * hidden)
