"""UmbrellaChain: the first action matters at the end, everything between is noise (umbrella_length, umbrella_distract).

Ref: bsuite/environments/umbrella_chain.py (0.3.6).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.bsuite.game import LARGEST, Game, at_least, share
from envs.observation import Binary, Continuous, Part
from envs.spaces import nearest


@struct.dataclass
class UmbrellaChainParams(EnvParams):
    """Setting.

    Attributes:
      chain_length: steps of an episode, at least 1.
    """

    chain_length: int = 1


@struct.dataclass
class UmbrellaChainState(EnvState):
    """The umbrella.

    Attributes:
      time: steps taken, int32 ().
      need: whether it will rain, int32 ().
      has: whether there is an umbrella, int32 ().
    """

    time: jax.Array
    need: jax.Array
    has: jax.Array


class Weather(NamedTuple):
    """What is drawn at every step.

    Attributes:
      reward: 1 for a reward of +1 and 0 for one of -1, where the step is not the last one, float32 ().
      distractors: bits that mean nothing, float32 (n_distractor,).
    """

    reward: jax.Array
    distractors: jax.Array


class UmbrellaChain(Game):
    """The first action takes an umbrella or leaves it; the last step pays +1 if it is as the weather needs, else -1.

    Quirks kept from the original: every other step pays +1 or -1 at random (umbrella_chain.py:83); the first
    observation shows an umbrella that is there or not at random, until the first action decides
    (umbrella_chain.py:71-72, :90); with a length of 1 the first action is the last one too.

    Observation: whether it is needed, whether it is there, share of the steps that are left, `n_distractor` random
    bits, float32 (3 + n_distractor,). Action: 0 leave, 1 take; any other is taken as the nearer one. Ends: terminated,
    after `chain_length` steps.
    """

    def __init__(self, chain_length: int = 20, n_distractor: int = 0):
        """Set how long it takes and how much there is to be seen beside.

        Raises:
          ValueError: unless there is a step, and no negative number of bits.
        """
        at_least(self.name, 1, chain_length=chain_length)
        at_least(self.name, 0, LARGEST, n_distractor=n_distractor)
        self.chain_length = chain_length
        self.n_distractor = n_distractor

    @property
    def num_actions(self) -> int:
        """Leave and take."""
        return 2

    @property
    def action_names(self) -> tuple[str, ...]:
        """What is done with the umbrella."""
        return "leave", "take"

    @property
    def max_episode_steps(self) -> int:
        """The length of the chain."""
        return self.chain_length

    @property
    def default_params(self) -> UmbrellaChainParams:
        """The length of the constructor."""
        return UmbrellaChainParams(self.chain_length, self.chain_length)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Two bits, a number, bits."""
        return (Binary(2), Continuous(1), *([Binary(self.n_distractor)] if self.n_distractor else []))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Bits and a share, float32."""
        return spaces.Box(0.0, 1.0, (3 + self.n_distractor,), jnp.float32)

    def begin(self, key: jax.Array, params: EnvParams) -> UmbrellaChainState:
        """Draw the weather, and an umbrella that does not matter."""
        need, has = jax.random.bernoulli(key, jnp.float32(0.5), (2,)).astype(jnp.int32)
        return UmbrellaChainState(jnp.zeros((), jnp.int32), need, has)

    def draw(self, key: jax.Array, params: EnvParams) -> Weather:
        """Draw a reward and the bits."""
        bits = jax.random.bernoulli(key, jnp.float32(0.5), (1 + self.n_distractor,)).astype(jnp.float32)
        return Weather(bits[0], bits[1:])

    def transition(
        self, state: UmbrellaChainState, action: jax.Array, drawn: Weather, params: UmbrellaChainParams
    ) -> tuple[UmbrellaChainState, jax.Array]:
        """Take the umbrella at the first step, be paid for it at the last one."""
        has = jnp.where(state.time == 0, nearest(action, 2), state.has)
        state = state.replace(time=state.time + 1, has=has)
        good = jnp.where(self.is_terminated(state, params), state.has == state.need, drawn.reward > 0.5)
        return state, jnp.where(good, jnp.float32(1), jnp.float32(-1))

    def show(self, state: UmbrellaChainState, drawn: Weather, params: UmbrellaChainParams) -> jax.Array:
        """Return need, umbrella, time and the bits, float32 (3 + n_distractor,)."""
        length = jnp.asarray(params.chain_length, jnp.int32)
        left = share(jnp.maximum(length - state.time, 0), length)
        head = jnp.stack([state.need.astype(jnp.float32), state.has.astype(jnp.float32), left])
        return jnp.concatenate([head, drawn.distractors])

    def is_terminated(self, state: UmbrellaChainState, params: UmbrellaChainParams) -> jax.Array:
        """Return whether the chain is at its end, bool ()."""
        return state.time >= jnp.asarray(params.chain_length, jnp.int32)

    def tally(
        self, state: UmbrellaChainState, action: jax.Array, after: UmbrellaChainState, params: UmbrellaChainParams
    ) -> dict[str, jax.Array]:
        """Return `regret`: 2 where the chain ends without the umbrella that is needed, or with one that is not."""
        wrong = self.is_terminated(after, params) & (after.has != after.need)
        return {"regret": 2 * wrong.astype(jnp.float32)}

    def render(self, state: UmbrellaChainState, params: UmbrellaChainParams, hidden: bool = False) -> str:
        """Return weather, umbrella and time; nothing is hidden but noise. Host only."""
        weather = "it will rain" if int(state.need) else "it will stay dry"
        umbrella = "an umbrella" if int(state.has) else "no umbrella"
        return f"{weather}, {umbrella}, step {int(state.time)} of {int(params.chain_length)}"
