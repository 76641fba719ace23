"""MemoryChain: bits are shown, and much later one of them is asked for (memory_len, memory_size).

Ref: bsuite/environments/memory_chain.py (0.3.6).
"""

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.bsuite.game import LARGEST, Game, at_least, share
from envs.observation import Continuous, Part
from envs.spaces import as_index


@struct.dataclass
class MemoryChainParams(EnvParams):
    """Setting.

    Attributes:
      memory_length: last time that is shown, at least 1.
    """

    memory_length: int = 1


@struct.dataclass
class MemoryChainState(EnvState):
    """What there is to remember.

    Attributes:
      time: steps taken, int32 ().
      context: the bits, int32 (num_bits,).
      query: the number of the bit that will be asked for, int32 ().
    """

    time: jax.Array
    context: jax.Array
    query: jax.Array


class MemoryChain(Game):
    """Bits are shown at first, the number of one of them at the end; naming that bit pays +1, anything else -1.

    Quirks kept from the original: a step observes before it counts (memory_chain.py:74-75), so the first observation
    comes twice, an episode has `memory_length` + 1 steps, and the last observation, which nobody acts upon, is the one
    of time 0 left; with a length of 1 the query is shown together with the bits (memory_chain.py:66-71). An action
    that is no bit is a wrong answer (memory_chain.py:83). The experiments' loaders fix the seed to 0, so that every run
    of the original sees the same bits (experiments/memory_len/memory_len.py:31); here they come from the key.

    Observation: share of the time that is left, number of the bit that is asked for (else 0), the bits as -1 and +1
    (else 0), float32 (2 + num_bits,). Action: 0 or 1. Ends: terminated, with the answer.
    """

    def __init__(self, memory_length: int = 1, num_bits: int = 1):
        """Set for how long and how much is to be remembered.

        Raises:
          ValueError: unless both are at least 1.
        """
        at_least(self.name, 1, memory_length=memory_length)
        at_least(self.name, 1, LARGEST, num_bits=num_bits)
        self.memory_length = memory_length
        self.num_bits = num_bits

    @property
    def num_actions(self) -> int:
        """The two values of a bit."""
        return 2

    @property
    def max_episode_steps(self) -> int:
        """One more than the length."""
        return self.memory_length + 1

    @property
    def default_params(self) -> MemoryChainParams:
        """The length of the constructor."""
        return MemoryChainParams(self.max_episode_steps, self.memory_length)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Numbers: bits that are not shown are 0, between -1 and +1."""
        return (Continuous(2 + self.num_bits),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Time, query and bits, float32."""
        low = jnp.array([0.0, 0.0] + [-1.0] * self.num_bits, jnp.float32)
        high = jnp.array([1.0, max(0.0, self.num_bits - 1.0)] + [1.0] * self.num_bits, jnp.float32)
        return spaces.Box(low, high, (2 + self.num_bits,), jnp.float32)

    def begin(self, key: jax.Array, params: EnvParams) -> MemoryChainState:
        """Draw the bits and which of them will be asked for."""
        key_context, key_query = jax.random.split(key)
        context = jax.random.bernoulli(key_context, jnp.float32(0.5), (self.num_bits,)).astype(jnp.int32)
        query = jax.random.randint(key_query, (), 0, self.num_bits, jnp.int32)
        return MemoryChainState(jnp.zeros((), jnp.int32), context, query)

    def transition(
        self, state: MemoryChainState, action: jax.Array, drawn: None, params: MemoryChainParams
    ) -> tuple[MemoryChainState, jax.Array]:
        """Judge the action if it is the last one."""
        asked, right = self._judged(state, action, params)
        reward = jnp.where(asked, jnp.where(right, jnp.float32(1), jnp.float32(-1)), jnp.float32(0))
        return state.replace(time=state.time + 1), reward

    def show(self, state: MemoryChainState, drawn: None, params: MemoryChainParams) -> jax.Array:
        """Return the observation of one step before, float32 (2 + num_bits,)."""
        time, length = jnp.maximum(state.time - 1, 0), jnp.asarray(params.memory_length, jnp.int32)
        left = share(jnp.maximum(length - time, 0), length)
        query = jnp.where(time == length - 1, state.query, 0)
        context = jnp.where(time == 0, 2 * state.context - 1, 0)
        return jnp.concatenate([left[None], query[None].astype(jnp.float32), context.astype(jnp.float32)])

    def is_terminated(self, state: MemoryChainState, params: MemoryChainParams) -> jax.Array:
        """Return whether the answer was given, bool ()."""
        return state.time > jnp.asarray(params.memory_length, jnp.int32)

    def tally(
        self, state: MemoryChainState, action: jax.Array, after: MemoryChainState, params: MemoryChainParams
    ) -> dict[str, jax.Array]:
        """Return `perfect`, 1 for the right answer, and `regret`, 2 for a wrong one."""
        asked, right = self._judged(state, action, params)
        perfect, wrong = (asked & right).astype(jnp.float32), (asked & ~right).astype(jnp.float32)
        return {"perfect": perfect, "regret": 2 * wrong}

    def _judged(
        self, state: MemoryChainState, action: jax.Array, params: MemoryChainParams
    ) -> tuple[jax.Array, jax.Array]:
        """Return whether this action is the answer, and whether it names the bit."""
        asked = state.time == jnp.asarray(params.memory_length, jnp.int32)
        return asked, as_index(action) == state.context[state.query]

    def render(self, state: MemoryChainState, params: MemoryChainParams, hidden: bool = False) -> str:
        """Return what is shown, and with `hidden` the bits and the question. Host only."""
        time, length = max(int(state.time) - 1, 0), int(params.memory_length)
        bits = "".join(str(int(bit)) for bit in state.context)
        lines = [
            f"{length - time} of {length} left",
            f"bits: {bits if time == 0 else '-'}",
            f"asked for: {int(state.query) if time == length - 1 else '-'}",
        ]
        return "\n".join(lines + [f"hidden: bits {bits}, bit {int(state.query)} is asked for"] * hidden)
