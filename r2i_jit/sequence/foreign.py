"""Recurrences of the package memax as layers of ours: only those that pass the tests every recurrence passes.

memax computes them with an associative scan and equinox modules of one sequence. Here they are batched, their
parameters are a dictionary as any other layer's, and their state is a vector of real numbers.

Owned by tests/equivalence/test_sequence.py.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from r2i_jit.config import MEMAX, ModelConfig

_MATRIX = 32  # side of the matrix that the gated delta network keeps
_TRACES, _CONTEXTS = 32, 4  # of fast and forgetful memory
_WINDOW = 64  # steps that attention looks back over

Parameters = dict[str, jax.Array]


class MemaxLayer(nn.Module):
    """A recurrence of memax; `config.sequence` says which."""

    config: ModelConfig
    width: int

    def setup(self) -> None:
        """Create the parameters, as memax draws them."""
        self.cell = Cell(self.config.sequence, self.width)
        self.parameters = self.param("parameters", self.cell.init)

    @property
    def initial(self) -> jax.Array:
        """The state before an episode's first step, (D,): the recurrence's own, never learned."""
        with _as_written():
            return self.cell.flat(self.cell.build(self.parameters).initialize_carry(None))

    def prepare(self) -> Parameters:
        """Return the parameters: nothing is computed once."""
        return self.parameters

    def parallel(self, u: jax.Array, is_first: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map u (B, T, H), is_first (B, T), carry (B, D) to outputs y (B, T, H) and states x (B, T, D)."""
        cell, dtype = self.cell.build(self.parameters), u.dtype

        def one(u, first, carry):
            states, y = cell(self.cell.whole(carry), (u, first))
            return y, jax.vmap(self.cell.flat)(states)

        with _as_written():
            y, x = jax.vmap(one)(u.astype(jnp.float32), is_first, carry)
        return y.astype(dtype), x

    def step(self, prepared: Parameters, u: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map u (N, H) and the state before the step x (N, D) to y (N, H) and the state after it."""
        cell, dtype = self.cell.build(prepared), u.dtype
        never = jnp.zeros((), bool)

        def one(u, x):
            state = cell.algebra(self.cell.whole(x), cell.forward_map((u, never)))
            return cell.backward_map(state, (u, never)), self.cell.flat(state)

        with _as_written():
            y, x = jax.vmap(one)(u.astype(jnp.float32), x)
        return y.astype(dtype), x

    def evening(self) -> jax.Array:
        """Return ones (D,): what the numbers of a state mean is the recurrence's own affair."""
        return jnp.ones_like(self.initial)


class Cell:
    """A memax module taken apart: its parameters by name, the rest, and its state as a vector."""

    def __init__(self, name: str, width: int):
        """Build the module once; its numbers are not kept."""
        self._rest, self._names, self._carry = _taken_apart(name, width)
        self._make = functools.partial(_made, name, width)

    def init(self, key: jax.Array) -> Parameters:
        """Draw the parameters."""
        return _by_name(self._make(key))

    def build(self, parameters: Parameters) -> Any:
        """Return the module with these parameters."""
        import equinox

        held = jax.tree.unflatten(
            jax.tree.structure(self._names), [parameters[x] for x in jax.tree.leaves(self._names)]
        )
        return equinox.combine(held, self._rest)

    def flat(self, carry: Any) -> jax.Array:
        """Return a state of one sequence and one step as (D,) float32: without the flag whether it was reset."""
        state, _ = carry
        parts = []
        for leaf in jax.tree.leaves(state):
            parts += [jnp.real(leaf), jnp.imag(leaf)] if jnp.iscomplexobj(leaf) else [leaf]
        return jnp.concatenate([part.astype(jnp.float32).ravel() for part in parts])

    def whole(self, x: jax.Array) -> Any:
        """Return the state of which `flat` made x (D,)."""
        leaves, at = [], 0
        for like in jax.tree.leaves(self._carry):
            size, shape = int(np.prod(like.shape)), like.shape
            taken = x[at : at + size].reshape(shape)
            at += size
            if np.issubdtype(like.dtype, np.complexfloating):
                taken = jax.lax.complex(taken, x[at : at + size].reshape(shape))
                at += size
            leaves.append(taken.astype(like.dtype))
        return jax.tree.unflatten(jax.tree.structure(self._carry), leaves), jnp.zeros((), bool)


@contextlib.contextmanager
def _as_written() -> Iterator[None]:
    """Let JAX promote dtypes and ranks, and make 32-bit numbers, as memax expects, whatever the user has set."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), jax.enable_x64(False):
        yield


def _made(name: str, width: int, key: jax.Array) -> Any:
    """Return a memax module with inputs and outputs of `width` numbers."""
    from memax.equinox.semigroups import attn, ffm, gdn, lru, s6

    with _as_written():
        match name:
            case "lru":
                return lru.LRU(recurrent_size=width, hidden_size=width, key=key)
            case "s6":
                return s6.S6(recurrent_size=width, hidden_size=width, key=key)
            case "ffm":
                return ffm.FFM(hidden_size=width, trace_size=_TRACES, context_size=_CONTEXTS, key=key)
            case "gdn":
                return gdn.GDN(hidden_size=width, recurrent_size=_MATRIX, key=key)
            case "attention":
                return attn.Attention(recurrent_size=width, window_size=_WINDOW, positional_embedding=None, key=key)
    raise ValueError(f"{name!r} is none of {', '.join(MEMAX)}")


def _by_name(module: Any) -> Parameters:
    """Return a module's floats by their place in it."""
    import equinox

    floats = equinox.filter(module, equinox.is_inexact_array)
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(floats)}


@functools.cache
def _taken_apart(name: str, width: int) -> tuple[Any, Any, Any]:
    """Return (what is no parameter, the parameters' places with their names, shapes and dtypes of a state)."""
    import equinox

    with jax.ensure_compile_time_eval(), _as_written():
        module = _made(name, width, jax.random.key(0))
        floats, rest = equinox.partition(module, equinox.is_inexact_array)
        names = jax.tree_util.tree_map_with_path(lambda path, _: jax.tree_util.keystr(path), floats)
        state, _ = module.initialize_carry(None)
        carry = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    return rest, names, carry
