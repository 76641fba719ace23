"""Functions of rows for which a `vmap` means more rows.

A plain `vmap` goes through a function and batches each operation in it. What a function decides from the number of its
rows, or from all of them, is then decided for one row. Here the new axis is folded into the rows instead.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Rows = Callable[..., Any]


def fold_axes(function: Rows) -> Rows:
    """Return `function(*rows)` such that a `vmap` makes more rows of it.

    Args:
      function: of trees with leaves (N, ...), for any N, to another such tree. It closes over no arrays.
    """
    folded = jax.custom_batching.custom_vmap(function)

    @folded.def_vmap
    def fold_axis_into_rows(axis_size, in_batched, *args):
        def fold(batched, leaf):
            leaf = leaf if batched else jnp.broadcast_to(leaf, (axis_size, *leaf.shape))
            return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])  # no -1: some arrays are empty

        out = folded(*jax.tree.map(fold, tuple(in_batched), args))
        out = jax.tree.map(lambda leaf: leaf.reshape(axis_size, leaf.shape[0] // axis_size, *leaf.shape[1:]), out)
        return out, jax.tree.map(lambda _: True, out)

    return folded


def in_blocks(function: Callable[..., Any], block: int) -> Callable[..., Any]:
    """Return `function`, of one row, such that a `vmap` of it on a CPU computes a block of rows after the other.

    A function that fills many arrays passes them through a CPU's caches while a block's fit there, and through its
    memory otherwise. Other devices have all rows at once.

    Args:
      function: of trees of arrays, to another one. It closes over no arrays.
      block: rows in a block; with less than as many again, they are one block.
    """
    every = jax.vmap(function)

    def block_by_block(*rows: Any) -> Any:
        count = jax.tree.leaves(rows)[0].shape[0]
        blocks = max(1, count // block)
        if blocks == 1:
            return every(*rows)
        size = -(-count // blocks)

        def split(leaf: jax.Array) -> jax.Array:
            # Equal blocks, the last one filled up: a remainder would be a second program to compile.
            filled = jnp.pad(leaf, [(0, blocks * size - count)] + [(0, 0)] * (leaf.ndim - 1), "edge")
            return filled.reshape(blocks, size, *leaf.shape[1:])

        made = jax.lax.map(lambda one: every(*one), jax.tree.map(split, rows))
        return jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])[:count], made)

    rows = fold_axes(lambda *rows: jax.lax.platform_dependent(*rows, cpu=block_by_block, default=every))

    def one(*args: Any) -> Any:
        return jax.tree.map(lambda x: x[0], rows(*jax.tree.map(lambda x: jnp.asarray(x)[None], args)))

    return one
