"""Rooms of a maze: random rectangles that do not touch, placed one after another.

Ref: labmaze/cc/algorithm.cc:137 (MakeRandomRectangle), :165 (MakeSeparateRectangles).

The maze is handled as a lattice of nodes: the cells with odd row and odd column, between which lie the cells that may
become passages. A room of 3 or 5 cells a side covers 2 or 3 nodes, and two rooms are apart if they share no node.

The original proposes rooms until `max_rooms` lie or 1000 proposals were refused. Drawing each refused proposal is not
needed. Let every possible room arrive after an exponential time with its weight as rate, and let rooms be accepted in
the order of their arrival: which room comes next has then the same distribution, as exponential times have no memory.
How many proposals are refused in between is geometric and independent of which one is accepted.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

_REFUSALS = 1000  # labmaze's retry_count

# Longest side of a room in cells -> how often each shape, in nodes, is proposed. One side of a room keeps the shortest
# length; a coin says which.
_SHAPES = {3: {(2, 2): 1.0}, 5: {(2, 2): 0.5, (2, 3): 0.25, (3, 2): 0.25}}


class Rooms(struct.PyTreeNode):
    """Rectangles of nodes.

    Attributes:
      corner: row and column of each room's first node, int32 (max_rooms, 2).
      shape: its height and width in nodes, int32 (max_rooms, 2).
      count: how many of them exist, the first ones, int32 ().
    """

    corner: jax.Array
    shape: jax.Array
    count: jax.Array

    @property
    def exists(self) -> jax.Array:
        """Which entries are rooms, bool (max_rooms,)."""
        return jnp.arange(self.corner.shape[0], dtype=jnp.int32) < self.count

    def cover(self, side: int, step: int) -> jax.Array:
        """Return which room covers each place of a square grid.

        Args:
          side: length of the grid.
          step: 1 for the lattice of nodes, 2 for the grid of cells, whose odd places are the nodes.

        Returns:
          0 for none, else 1 + the room's number, int32 (side, side).
        """
        first = step * self.corner + step - 1
        last = step * (self.corner + self.shape - 1) + step - 1
        place = jnp.arange(side, dtype=jnp.int32)[None, None]
        within = (place >= first[..., None]) & (place <= last[..., None]) & self.exists[:, None, None]
        number = jnp.arange(1, first.shape[0] + 1, dtype=jnp.int32)[:, None, None]
        covers = within[:, 0, :, None] & within[:, 1, None, :]
        return jnp.sum(jnp.where(covers, number, 0), 0, dtype=jnp.int32)


class _Proposals(NamedTuple):
    corner: np.ndarray  # (P, 2) int32
    shape: np.ndarray  # (P, 2) int32
    weight: np.ndarray  # (P,) float32, sums to 1
    apart: np.ndarray  # (P, P) bool


@functools.cache
def _proposals(nodes: int, longest: int) -> _Proposals:
    """Return every room that can be proposed."""
    rows = [
        (row, col, height, width, often / ((nodes - height + 1) * (nodes - width + 1)))
        for (height, width), often in _SHAPES[longest].items()
        for row in range(nodes - height + 1)
        for col in range(nodes - width + 1)
    ]
    table = np.array(rows)
    corner, shape = table[:, :2].astype(np.int32), table[:, 2:4].astype(np.int32)
    before = np.any((corner + shape)[:, None] <= corner[None], axis=-1)
    return _Proposals(corner, shape, table[:, 4].astype(np.float32), before | before.T)


def place(key: jax.Array, nodes: int, max_rooms: int, min_rooms: int, longest: int) -> Rooms:
    """Place rooms at random.

    Args:
      key: typed PRNG key.
      nodes: side of the lattice.
      max_rooms: stop when so many lie.
      min_rooms: start anew where fewer fit. (The original completes such a maze and then discards it; what comes after
        the rooms has no part in that.)
      longest: longest side of a room in cells, 3 or 5.

    Returns:
      The rooms, in the order in which they were placed.
    """
    table = _proposals(nodes, longest)
    number = len(table.weight)

    def attempt(key: jax.Array) -> Rooms:
        exponential = jax.random.exponential(key, (number + max_rooms,), jnp.float32)
        arrival, luck = exponential[:number] / table.weight, exponential[number:]

        def add(carry, luck):
            possible, refused, going = carry
            chance = jnp.minimum(jnp.sum(jnp.where(possible, table.weight, jnp.float32(0))), 1.0)
            never = chance == 0.0
            refused += jnp.floor(luck / -jnp.log1p(-jnp.where(never, jnp.float32(0.5), chance)))
            going = going & ~never & (refused < _REFUSALS)
            chosen = jnp.argmin(jnp.where(possible, arrival, jnp.float32(jnp.inf))).astype(jnp.int32)
            possible = possible & jnp.asarray(table.apart)[chosen]
            return (possible, refused, going), (chosen, going)

        start = (jnp.ones(table.weight.shape, bool), jnp.zeros((), jnp.float32), jnp.ones((), bool))
        _, (chosen, placed) = jax.lax.scan(add, start, luck)
        count = jnp.sum(placed, dtype=jnp.int32)
        return Rooms(jnp.asarray(table.corner)[chosen], jnp.asarray(table.shape)[chosen], count)

    def again(carry):
        key, _ = carry
        key, key_attempt = jax.random.split(key)
        return key, attempt(key_attempt)

    empty = jnp.zeros((max_rooms, 2), jnp.int32)
    nothing = Rooms(empty, empty, jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(lambda carry: carry[1].count < min_rooms, again, (key, nothing))[1]
