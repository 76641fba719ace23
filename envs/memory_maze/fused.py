"""A loop over scalars, for many environments at once, as one kernel on CUDA.

XLA runs every fusion in the body of a loop as a kernel of its own. On a GPU a physics step of a few scalars per
environment is then some seventy launches, fifty times over, of kernels that compute nothing much: milliseconds in which
the device waits. Here a thread takes an environment through the whole loop and keeps its scalars in registers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

C = TypeVar("C")

BLOCK = 32  # Environments a program: a warp, so that 4,096 of them reach all multiprocessors of a large GPU.


def scan(step: Callable[[C, Any], tuple[C, Any]], carry: C, constants: Any, length: int) -> tuple[C, Any]:
    """Return `jax.lax.scan(lambda c, _: step(c, constants), carry, length=length)`, in one kernel on CUDA.

    Args:
      step: (carry, constants) -> (carry, outputs), elementwise. It closes over no arrays.
      carry: tree of scalars, float32 or 32-bit integers, as are constants and outputs.
      constants: likewise.
      length: number of steps, static.

    Returns:
      The last carry, and the outputs with an axis (length,) in front.
    """
    cuda = partial(_fused, step, length)
    return jax.lax.platform_dependent(carry, constants, cuda=cuda, default=partial(_loop, step, length))


def _loop(step: Callable, length: int, carry: C, constants: Any) -> tuple[C, Any]:
    return jax.lax.scan(lambda carry, _: step(carry, constants), carry, length=length)


def _fused(step: Callable, length: int, carry: C, constants: Any, *, interpret: bool = False) -> tuple[C, Any]:
    """Return `_loop(…)` by the kernel: a batch of one, and what `vmap`s around this add to it."""
    leaves, structure = jax.tree.flatten((carry, constants))
    returned = jax.eval_shape(step, carry, constants)
    outputs = jax.tree.leaves(returned[1])
    kernel = partial(_kernel, step, structure, length)
    kept = len(jax.tree.leaves(carry))

    @jax.custom_batching.custom_vmap
    def many(*leaves: jax.Array) -> list[jax.Array]:
        """Map (N,) each to (N,) for the carry and (length, N) for the outputs."""
        count = leaves[0].shape[0]
        padded = -(-count // BLOCK) * BLOCK
        leaves = tuple(jnp.pad(leaf, (0, padded - count)) for leaf in leaves)
        row = pl.BlockSpec((BLOCK,), lambda i: (i,))
        rows = pl.BlockSpec((length, BLOCK), lambda i: (0, i))
        shapes = [jax.ShapeDtypeStruct((padded,), leaf.dtype) for leaf in leaves[:kept]]
        shapes += [jax.ShapeDtypeStruct((length, padded), leaf.dtype) for leaf in outputs]
        # Everything in it has 32 bits; Triton's compiler takes Python's numbers for wider ones where JAX may have such.
        with jax.enable_x64(False):
            results = pl.pallas_call(
                kernel,
                grid=(padded // BLOCK,),
                in_specs=[row] * len(leaves),
                out_specs=[row] * kept + [rows] * len(outputs),
                out_shape=shapes,
                compiler_params=None if interpret else _compiler_params(),
                interpret=interpret,
                name="fused_scan",
            )(*leaves)
        return [result[..., :count] for result in results]

    @many.def_vmap
    def _(size: int, batched: tuple[bool, ...], *leaves: jax.Array) -> tuple[list[jax.Array], list[bool]]:
        count = leaves[0].shape[-1]
        pairs = zip(leaves, batched, strict=True)
        whole = [x if is_batched else jnp.broadcast_to(x, (size, count)) for x, is_batched in pairs]
        results = many(*(x.reshape(size * count) for x in whole))
        results = [jnp.moveaxis(x.reshape(*x.shape[:-1], size, count), -2, 0) for x in results]
        return results, [True] * len(results)

    made = many(*(jnp.reshape(leaf, (1,)) for leaf in leaves))
    return jax.tree.unflatten(jax.tree.structure(returned), [one[..., 0] for one in made])


def _compiler_params() -> Any:
    from jax.experimental.pallas import triton

    return triton.CompilerParams(num_warps=1, num_stages=1)


def _kernel(step: Callable, structure: Any, length: int, *refs: Any) -> None:
    """Take a block of environments through the loop."""
    sources, results = refs[: structure.num_leaves], refs[structure.num_leaves :]
    carry, constants = jax.tree.unflatten(structure, [ref[...] for ref in sources])
    kept = len(jax.tree.leaves(carry))

    def body(number: jax.Array, carry: Any) -> Any:
        carry, made = step(carry, constants)
        for ref, value in zip(results[kept:], jax.tree.leaves(made), strict=True):
            ref[number, :] = value
        return carry

    carry = jax.lax.fori_loop(0, length, body, carry)
    for ref, value in zip(results, jax.tree.leaves(carry), strict=False):
        ref[...] = value
