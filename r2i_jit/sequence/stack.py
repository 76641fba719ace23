"""The sequence model: blocks of one recurrence, in a parallel form over a sequence and a stepwise form.

A recurrence (`Recurrence`) is what `model.sequence` chooses. What is around it, gate, residual sum and norm, is the
same for all, so that they can be compared.

Owned by tests/equivalence/test_sequence.py, which every recurrence passes: parallel = stepwise, whole = two pieces, a
reset anywhere, values and gradients.
"""

from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from r2i_jit.config import ModelConfig
from r2i_jit.nets.mlp import Dense, LayerNorm
from r2i_jit.sequence import foreign
from r2i_jit.sequence.gru import GRULayer
from r2i_jit.ssm.layer import S5Layer


class Recurrence(Protocol):
    """A layer with a state of D real numbers, whatever they are to it.

    `parallel` and `step` are the same function. The state is replaced by `initial` before each step that is first.
    """

    initial: jax.Array  # (D,), the state before an episode's first step

    def prepare(self) -> Any:
        """Return what `step` needs of the parameters, computed once for many steps."""

    def parallel(self, u: jax.Array, is_first: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map u (B, T, H), is_first (B, T), carry (B, D) to outputs y (B, T, H) and states x (B, T, D)."""

    def step(self, prepared: Any, u: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map u (N, H) and the state before the step x (N, D) to y (N, H) and the state after it."""

    def evening(self) -> jax.Array:
        """Return factors (D,) that bring the state's numbers to one scale."""


def layer_of(config: ModelConfig, dtype: jnp.dtype) -> Recurrence:
    """Return a layer of the recurrence that `config.sequence` names."""
    if config.sequence == "s3m":
        return S5Layer(config, config.units, dtype)
    if config.sequence == "gru":
        return GRULayer(config, config.units, dtype)
    return foreign.MemaxLayer(config, config.units)


class Block(nn.Module):
    """A recurrence, GELU, gated linear unit, residual sum, then LayerNorm (post-norm).

    Ref: R2I release `ssm/common.py:476-503`.
    """

    config: ModelConfig
    dtype: jnp.dtype

    def setup(self) -> None:
        """Create the recurrence, the gate's two projections as one matrix, and the norm."""
        if self.config.sequence == "s3m":
            self.ssm = layer_of(self.config, self.dtype)  # the name that checkpoints have
        else:
            self.cell = layer_of(self.config, self.dtype)
        if self.config.block == "bare":
            return
        width = self.config.units
        self.gate = Dense(2 * width, dtype=self.dtype, kernel_init=nn.initializers.lecun_normal())
        self.norm = LayerNorm(epsilon=1e-6, dtype=self.dtype)

    @property
    def recurrence(self) -> Recurrence:
        """What carries memory from step to step."""
        return self.ssm if self.config.sequence == "s3m" else self.cell

    def finish(self, u: jax.Array, y: jax.Array) -> jax.Array:
        """Combine the layer's input u and its output y."""
        if self.config.block == "bare":
            return y.astype(self.dtype)
        value, gate = jnp.split(self.gate(nn.gelu(y.astype(self.dtype))), 2, axis=-1)
        return self.norm(u + value * nn.sigmoid(gate))


class Stack(nn.Module):
    """L blocks in sequence. The state of the stack is (..., L, D)."""

    config: ModelConfig
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        """Create the blocks."""
        self.blocks = [Block(self.config, self.dtype) for _ in range(self.config.ssm_layers)]

    def initial(self, batch: int) -> jax.Array:
        """Return the state before an episode's first step, (batch, L, D)."""
        x = jnp.stack([block.recurrence.initial for block in self.blocks])
        return jnp.broadcast_to(x, (batch, *x.shape))

    def evening(self) -> jax.Array:
        """Return factors (L, D) that bring the states to one scale."""
        return jnp.stack([block.recurrence.evening() for block in self.blocks])

    def prepare(self) -> tuple[Any, ...]:
        """Return what `step` needs of each layer's parameters."""
        return tuple(block.recurrence.prepare() for block in self.blocks)

    def parallel(self, u: jax.Array, is_first: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Run over a sequence.

        Args:
          u: (B, T, H).
          is_first: (B, T) bool; the state is replaced by the initial one before step t.
          carry: (B, L, D), the state before t = 0.

        Returns:
          (y (B, T, H), x (B, T, L, D)): outputs, and the states after each step.
        """
        states = []
        for i, block in enumerate(self.blocks):
            y, x = block.recurrence.parallel(u, is_first, carry[:, i])
            u = block.finish(u, y)
            states.append(x)
        return u, jnp.stack(states, axis=-2)

    def step(self, prepared: tuple[Any, ...], u: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Take one step: u (N, H), x (N, L, D) before the step; returns y (N, H) and x after it."""
        states = []
        for i, (block, layer) in enumerate(zip(self.blocks, prepared, strict=True)):
            y, x_i = block.recurrence.step(layer, u, x[:, i])
            u = block.finish(u, y)
            states.append(x_i)
        return u, jnp.stack(states, axis=-2)
