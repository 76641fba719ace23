"""Corridors of a maze: what fills the space between the rooms, the doors, and what is taken away again.

Ref: labmaze/cc/algorithm.cc:203 (RemoveDeadEnds), :394 (FillWithMaze), :440 (RandomConnectRegions).

All of it happens on the lattice of nodes (see `rooms`). A quantity that a node has in each direction is an array
(4, nodes, nodes), with the directions in labmaze's order: next row, row before, next column, column before.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))
_OPPOSITE = (1, 0, 3, 2)
_RANK_BITS = 25  # Of a random rank; seven more hold the number of a node.


class Passages(NamedTuple):
    """Open edges of the lattice.

    Attributes:
      region: number of the region each node lies in, int32 (nodes, nodes). Rooms keep their numbers.
      carved: in which directions a corridor leads on from a node, bool (4, nodes, nodes).
    """

    region: jax.Array
    carved: jax.Array


def neighbours(grid: jax.Array) -> jax.Array:
    """Return the value next to each place in each direction, zero outside the grid, (4, rows, columns)."""
    rows, cols = grid.shape
    padded = jnp.pad(grid, 1)
    return jnp.stack([padded[1 + dr : 1 + dr + rows, 1 + dc : 1 + dc + cols] for dr, dc in DIRECTIONS])


def carve(words: jax.Array, room: jax.Array, max_rooms: int) -> Passages:
    """Fill the nodes outside the rooms with corridors, a tree in every region, by random depth-first search.

    The search goes on from the node visited last of those with a neighbour not yet visited, to a random one of these;
    when there is none, it begins the next region at the first node not visited. So each step visits one node. As
    nothing but the order of a node's own edges decides between them, one random rank for each is enough.

    Args:
      words: random, uint32 (4, nodes, nodes).
      room: 1 + number of the room that each node is in, 0 outside rooms, int32 (nodes, nodes).
      max_rooms: what that number can be at most.

    Returns:
      Regions and corridors.
    """
    nodes = room.shape[0]
    # The rank of the edge that arrives from each direction; the lowest bits make the ranks distinct.
    rank = (words >> (32 - _RANK_BITS)) & ~jnp.uint32(3) | jnp.arange(4, dtype=jnp.uint32)[:, None, None]
    first = nodes * nodes - jnp.arange(nodes * nodes, dtype=jnp.uint32).reshape(nodes, nodes)

    def visit(carry):
        visited, region, arrived, steps, regions = carry
        fresh = region == 0
        # One number says which node comes next: the visit number decides, then the rank; a new region comes last.
        source = neighbours(visited)
        edge_score = jnp.where(fresh[None] & (source > 0), (source << _RANK_BITS) | rank, jnp.uint32(0))
        start_score = jnp.where(fresh, first, jnp.uint32(0))
        best = jnp.maximum(jnp.max(edge_score), jnp.max(start_score))
        taken = edge_score == best
        entered = jnp.any(taken, 0) | (start_score == best)
        steps, regions = steps + 1, regions + (best < 1 << _RANK_BITS).astype(jnp.int32)
        visited = jnp.where(entered, steps, visited)
        return visited, jnp.where(entered, regions, region), arrived | taken, steps, regions

    start = (
        jnp.zeros((nodes, nodes), jnp.uint32),
        room,
        jnp.zeros((4, nodes, nodes), bool),
        jnp.zeros((), jnp.uint32),
        jnp.full((), max_rooms, jnp.int32),
    )
    _, region, arrived, _, _ = jax.lax.while_loop(lambda carry: jnp.any(carry[1] == 0), visit, start)
    return Passages(region, both_ways(arrived))


def both_ways(edges: jax.Array) -> jax.Array:
    """Return the edges, and the same ones seen from their other nodes, bool (4, nodes, nodes)."""
    return edges | jnp.stack([neighbours(edges[back])[d] for d, back in enumerate(_OPPOSITE)])


def connect(words: jax.Array, region: jax.Array) -> jax.Array:
    """Open one door between every two regions that lie side by side, at a random place where they do.

    Args:
      words: random, uint32 (edges,): one for each edge of the lattice.
      region: number of the region of each node, int32 (nodes, nodes).

    Returns:
      In which directions a node has a door, bool (4, nodes, nodes).
    """
    nodes = region.shape[0]
    pairs = ((region[:-1], region[1:]), (region[:, :-1], region[:, 1:]))  # Downward edges, then those to the right.
    a, b = (jnp.concatenate([pair[end].ravel() for pair in pairs]) for end in range(2))
    pair = jnp.minimum(a, b) * (2 * nodes * nodes) + jnp.maximum(a, b)
    rank = words & ~jnp.uint32(127) | jnp.arange(words.shape[0], dtype=jnp.uint32)  # Distinct by the lowest bits.
    outranked = jnp.any((pair[:, None] == pair[None]) & (rank[:, None] < rank[None]), 1)
    door = (a != b) & ~outranked
    down, right = jnp.split(door, 2)
    down = jnp.pad(down.reshape(nodes - 1, nodes), ((0, 1), (0, 0)))
    right = jnp.pad(right.reshape(nodes, nodes - 1), ((0, 0), (0, 1)))
    none = jnp.zeros_like(down)
    return both_ways(jnp.stack([down, none, right, none]))


def prune(carved: jax.Array, doors: jax.Array, is_room: jax.Array) -> jax.Array:
    """Take away dead ends until there are none.

    A node that only one edge leads on from goes, even if that edge is a door: a door beside a wall stays one until the
    end, see `layout`.

    Args:
      carved: in which directions a corridor leads on, bool (4, nodes, nodes).
      doors: in which directions there is a door, bool (4, nodes, nodes).
      is_room: nodes that stay whatever leads to them, bool (nodes, nodes).

    Returns:
      Which nodes remain, bool (nodes, nodes).
    """

    def shrink(carry):
        remains, _ = carry
        leads_on = doors | (carved & neighbours(remains))
        kept = remains & (is_room | (jnp.sum(leads_on, 0, dtype=jnp.int32) > 1))
        return kept, jnp.any(kept != remains)

    start = (jnp.ones_like(is_room), jnp.ones((), bool))
    return jax.lax.while_loop(lambda carry: carry[1], shrink, start)[0]
