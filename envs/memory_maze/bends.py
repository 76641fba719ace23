"""Straightening of corridors: horseshoe bends are pulled tight.

Ref: labmaze/cc/algorithm.cc:283 (RemoveHorseshoeBendAtPos), :502 (RemoveHorseshoeBends), :519.

A bend is a straight piece of corridor that turns to the same side at both ends and has walls everywhere else around it.
Its size is the length of the wall inside it:

    #########         #########
    #       #         #########
    # ##### #   ->    #       #      size 5
    # ##### #         # ##### #

In the original's words, `v` points from the wall inside to the corridor, and `u` along it: a bend is found at the wall
cell from which the others lie along `u`. Cells outside the grid are neither wall nor corridor.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.memory_maze.corridors import DIRECTIONS


class _Bend(NamedTuple):
    """One bend: size, wall cell at which it is found, index of `v` in `DIRECTIONS`; int32 ()."""

    size: jax.Array
    row: jax.Array
    col: jax.Array
    direction: jax.Array


def straighten(corridor: jax.Array, door: jax.Array) -> jax.Array:
    """Pull all horseshoe bends tight, in the original's order.

    Small bends come first; among those of one size the first in row-major order, then in the order of `DIRECTIONS`.
    A pulled bend is pulled on, from the place it was pulled to, while it is a bend of that size. Then the search goes
    on with size 2 after size 1, and starts anew after any other. So it never looks for a second bend of size 1: the
    original leaves a pass over the grid after its first bend, because `||` short-circuits (algorithm.cc:512).

    Args:
      corridor: open cells without doors, bool (side, side).
      door: doors, bool (side, side).

    Returns:
      The open cells without doors, bool (side, side).
    """

    def pull(carry):
        corridor, bend, _ = carry
        corridor = _pulled(corridor, bend)
        return corridor, *_find(corridor, door, bend)

    # With a bend of negative size at the border: to pull it does nothing, and all sizes are looked for after it.
    none = _Bend(*(jnp.full((), value, jnp.int32) for value in (-2, 1, 0, 0)))
    return jax.lax.while_loop(lambda carry: carry[2], pull, (corridor, none, jnp.ones((), bool)))[0]


def _turn(grid: jax.Array) -> jax.Array:
    """Return the grid turned so that `v` is to the next row and `u` to the next column, for each direction of `v`.

    Each of the four turns undoes itself.
    """
    return jnp.stack([grid[:, ::-1], grid[::-1], grid.T, grid[::-1, ::-1].T])


def _find(corridor: jax.Array, door: jax.Array, last: _Bend) -> tuple[_Bend, jax.Array]:
    """Return the bend to pull after `last`, and whether there is one."""
    side = corridor.shape[0]
    bends = _bends(corridor, ~(corridor | door))
    step = jnp.asarray(DIRECTIONS, jnp.int32)[last.direction]
    row, col = last.row - step[0], last.col - step[1]
    far = side - 1
    turned_row, turned_col = jnp.stack([row, far - row, col, far - col]), jnp.stack([far - col, col, row, far - row])
    on = bends[jnp.maximum(last.size - 1, 0), np.arange(4), turned_row] >> turned_col.astype(jnp.uint32) & 1
    goes_on = jnp.any(on != 0)

    sizes = jnp.arange(1, bends.shape[0] + 1, dtype=jnp.int32)
    next_sizes = jnp.any(bends != 0, (1, 2)) & (sizes > (last.size == 1).astype(jnp.int32))
    size = jnp.where(goes_on, last.size, jnp.argmax(next_sizes).astype(jnp.int32) + 1)
    place = jnp.arange(side, dtype=jnp.int32)
    places = bends[size - 1][..., None] >> place.astype(jnp.uint32)[None, None] & 1 != 0
    places = jnp.stack([_turn(places[d])[d] for d in range(4)], -1)
    here = (place == row)[:, None] & (place == col)[None]
    first = jnp.argmax(jnp.ravel(places & (here | ~goes_on)[..., None])).astype(jnp.int32)
    return _Bend(size, first // (4 * side), first // 4 % side, first % 4), goes_on | jnp.any(next_sizes)


def _bends(corridor: jax.Array, wall: jax.Array) -> jax.Array:
    """Return where there are bends, by size (from 1), direction and turned row, as bits by turned column.

    Rows of bits make a shift along `u` one operation for all columns. uint32 (side - 4, 4, side).
    """
    side = corridor.shape[0]
    bits = jnp.uint32(1) << jnp.arange(side, dtype=jnp.uint32)
    words = [
        jnp.sum(jnp.where(_turn(grid), bits[None, None], jnp.uint32(0)), -1, dtype=jnp.uint32)
        for grid in (corridor, wall)
    ]
    # Rows at v = -1, 0, 1, 2.
    corridors, walls = ([jnp.pad(rows, ((0, 0), (1, 2)))[:, v : v + side] for v in range(4)] for rows in words)
    inside = walls[0] & walls[1] & corridors[2] & walls[3]
    corner = corridors[1] & corridors[2] & walls[3]
    begins = corner << 1 & walls[2] << 2
    found = []
    for size in range(1, side - 3):
        begins &= inside >> (size - 1)
        found.append(begins & corner >> size & walls[2] >> (size + 1))
    return jnp.stack(found)


def _pulled(corridor: jax.Array, bend: _Bend) -> jax.Array:
    """Return the open cells after the bend's corridor moved by one cell against `v`."""
    place = jnp.arange(corridor.shape[0], dtype=jnp.int32)
    dr, dc = jnp.asarray(DIRECTIONS, jnp.int32)[bend.direction]
    row, col = (place - bend.row)[:, None], (place - bend.col)[None]
    across, along = row * dr + col * dc, row * dc - col * dr
    new = (across == 0) & (along >= 0) & (along < bend.size)
    old = (across == 1) & (along >= -1) & (along <= bend.size)
    return (corridor | new) & ~old
