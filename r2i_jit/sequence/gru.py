"""The gated recurrent unit as DreamerV3 has it: LayerNorm over all three gates, and a bias towards keeping the state.

Its parallel form is a loop over time: each gate reads the state before it. Only what reads the input is done at once.

Owned by tests/equivalence/test_sequence.py.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from r2i_jit.config import ModelConfig
from r2i_jit.nets.mlp import kernel_init, product

_KEEP = -1.0  # bias of the update gate
_EPSILON = 1e-3  # of the norm, as in the other layers


class Gates(NamedTuple):
    """A layer's parameters in the dtypes that a step uses them in."""

    reads: jax.Array  # (H, 3H): what the gates read of the input
    recurs: jax.Array  # (H, 3H): what they read of the state
    scale: jax.Array  # (3H,), of the norm
    bias: jax.Array  # (3H,)


class GRULayer(nn.Module):
    """h_t = (1 - update) h_{t-1} + update tanh(reset candidate), the three being parts of LayerNorm(W u_t + V h_{t-1}).

    Ref: DreamerV3, arXiv 2301.04104; danijar/dreamerv3 `rssm.py`, with one block.
    """

    config: ModelConfig
    width: int
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        """Create the matrix, the norm and the initial state."""
        size = self.width
        self.kernel = self.param("kernel", kernel_init, (2 * size, 3 * size), jnp.float32)  # of input and state
        self.scale = self.param("scale", nn.initializers.ones, (3 * size,), jnp.float32)
        self.bias = self.param("bias", nn.initializers.zeros, (3 * size,), jnp.float32)
        if self.config.initial_state == "learned":
            self.initial = self.param("initial", nn.initializers.zeros, (size,), jnp.float32)
        else:
            self.initial = jnp.zeros((size,), jnp.float32)

    def prepare(self) -> Gates:
        """Cast the matrices once."""
        reads, recurs = jnp.split(self.kernel.astype(self.dtype), 2)
        return Gates(reads, recurs, self.scale, self.bias)

    def parallel(self, u: jax.Array, is_first: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map u (B, T, H), is_first (B, T), carry (B, H) to the states (B, T, H), which are the outputs as well."""
        gates = self.prepare()
        read = product(u.astype(self.dtype), gates.reads)
        initial = self.initial[None]

        def advance(state, inputs):
            read_t, first_t = inputs
            state = _next(gates, read_t, jnp.where(first_t[:, None], initial, state))
            return state, state

        by_time = (jnp.swapaxes(read, 0, 1), jnp.swapaxes(is_first, 0, 1))
        states = jnp.swapaxes(jax.lax.scan(advance, carry, by_time)[1], 0, 1)
        return states, states

    def step(self, prepared: Gates, u: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map u (N, H) and the state before the step x (N, H) to the state after it, twice."""
        state = _next(prepared, product(u.astype(self.dtype), prepared.reads), x)
        return state, state

    def evening(self) -> jax.Array:
        """Return ones (H,): all states are of one scale."""
        return jnp.ones_like(self.bias[: self.width])


def _next(gates: Gates, read: jax.Array, state: jax.Array) -> jax.Array:
    """Return the state (N, H), float32, after a step whose input the gates read as `read` (N, 3H)."""
    z = (read + jnp.dot(state.astype(read.dtype), gates.recurs)).astype(jnp.float32)
    mean = z.mean(-1, keepdims=True)
    normed = (z - mean) * jax.lax.rsqrt(jnp.var(z, -1, keepdims=True) + _EPSILON) * gates.scale[None] + gates.bias[None]
    reset, candidate, update = jnp.split(normed, 3, -1)
    candidate = jnp.tanh(nn.sigmoid(reset) * candidate)
    update = nn.sigmoid(update + _KEEP)
    return update * candidate + (1.0 - update) * state
