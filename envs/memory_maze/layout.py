"""Random mazes: rooms, corridors with loops, objects, where the agent starts, and which texture each wall has.

The distribution is that of labmaze's `RandomMaze` with Memory Maze's settings. The random numbers are not the
original's, so that no particular maze is.

Ref: memory_maze/tasks.py:14, maze.py:125, :184, :303, :368 (1.0.3), labmaze/cc/random_maze.cc:51 (1.0.6),
dm_control/locomotion/tasks/random_goal_maze.py:157 (1.0.14).

Cells are those of the outer grid, whose border is wall: `side = size + 2` of them in a row. Grids are indexed [y, x]
with y from south to north. (The original counts rows from the north; so does the generation, which is turned over at
its end.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from envs.memory_maze import bends, corridors, rooms

WALL_TEXTURES = 8
SECTIONS = 3  # The grid is divided into 3 by 3 sections, each with one texture on its walls.


class Settings(NamedTuple):
    """What depends on a maze's size: number of targets, greatest number of rooms, longest side of a room in cells."""

    targets: int
    max_rooms: int
    longest_room: int


SETTINGS = {9: Settings(3, 6, 5), 11: Settings(4, 6, 5), 13: Settings(5, 6, 5), 15: Settings(6, 9, 3)}


class Layout(struct.PyTreeNode):
    """One maze.

    Attributes:
      walls: bool (side, side).
      rooms: the floor of rooms, bool (side, side).
      targets: cells (x, y) of the objects, in random order, each in a room of its own, int32 (targets, 2).
      spawn: cell (x, y) where the agent starts, int32 (2,).
      wall_textures: texture of each section, 0..7, uint8 (9,).
    """

    walls: jax.Array
    rooms: jax.Array
    targets: jax.Array
    spawn: jax.Array
    wall_textures: jax.Array


def sections(size: int) -> np.ndarray:
    """Return the section that each cell lies in, 0..8, uint8 (side, side).

    They are numbered in rows from the north-west corner.
    """
    side = size + 2
    bounds = [i * side // SECTIONS for i in range(1, SECTIONS)]
    third = np.searchsorted(bounds, np.arange(side), "right")
    return (third[::-1, None] * SECTIONS + third).astype(np.uint8)


def generate(key: jax.Array, size: int) -> Layout:
    """Make a random maze.

    Args:
      key: typed PRNG key.
      size: 9, 11, 13 or 15; static.

    Returns:
      The maze.
    """
    settings = SETTINGS[size]
    side, nodes = size + 2, (size + 1) // 2
    key_rooms, key_words = jax.random.split(key)
    placed = rooms.place(key_rooms, nodes, settings.max_rooms, settings.targets, settings.longest_room)
    needed = (4 * nodes**2, 2 * nodes * (nodes - 1), settings.max_rooms + settings.targets + 2, SECTIONS**2)
    # All random words at once: quicker to compile and to run.
    words = jnp.split(jax.random.bits(key_words, (sum(needed),), jnp.uint32), np.cumsum(needed[:-1]))
    open_cells = _open_cells(words[0].reshape(4, nodes, nodes), words[1], placed, side)
    targets, spawn = _occupied_cells(words[2], placed, settings.targets, side)
    textures = (words[3] % WALL_TEXTURES).astype(jnp.uint8)
    return Layout(
        walls=~open_cells[::-1],
        rooms=placed.cover(side, 2)[::-1] > 0,
        targets=targets,
        spawn=spawn,
        wall_textures=textures,
    )


def _open_cells(carve_words: jax.Array, door_words: jax.Array, placed: rooms.Rooms, side: int) -> jax.Array:
    """Return the cells that are not wall, bool (side, side), first row north."""
    room = placed.cover(side // 2, 1)
    passages = corridors.carve(carve_words, room, placed.corner.shape[0])
    doors = corridors.connect(door_words, passages.region)
    remains = corridors.prune(passages.carved, doors, room > 0)
    carved = passages.carved & remains[None] & corridors.neighbours(remains)
    nodes = jax.lax.pad(remains, False, [(1, 1, 1), (1, 1, 1)])
    corridor = nodes | _edge_cells(carved) | (placed.cover(side, 2) > 0)
    door = _edge_cells(doors)
    corridor = bends.straighten(corridor, door)
    # A door beyond which everything was taken away is wall.
    beside = corridors.neighbours(corridor)
    return corridor | (door & ((beside[0] & beside[1]) | (beside[2] & beside[3])))


def _edge_cells(edges: jax.Array) -> jax.Array:
    """Return the cells of edges given by node and direction, bool (4, nodes, nodes) -> (side, side)."""
    down, right = edges[0, :-1], edges[2, :, :-1]
    return jax.lax.pad(down, False, [(2, 2, 1), (1, 1, 1)]) | jax.lax.pad(right, False, [(1, 1, 1), (2, 2, 1)])


def _occupied_cells(words: jax.Array, placed: rooms.Rooms, targets: int, side: int) -> tuple[jax.Array, jax.Array]:
    """Return the cells (x, y) of the targets, int32 (targets, 2), and of the agent, int32 (2,).

    The original reserves one cell in each room for the agent, puts an object on another one, and then takes the first
    of the shuffled objects, and one of the reserved cells. Only in the room where the agent starts does it matter
    which cell was reserved.
    """
    most = placed.exists.shape[0]
    shuffle = jnp.where(placed.exists, words[:most] >> 1, jnp.uint32(2**32 - 1))
    # Each room's place in the order; the index settles ties. Counting is quicker than a sort of so few.
    one, other = shuffle[:, None], shuffle[None]
    earlier = (other < one) | ((other == one) & np.tri(most, k=-1, dtype=bool))
    place = jnp.sum(earlier, 1, dtype=jnp.int32)
    order = jnp.argmax(place[None] == jnp.arange(targets, dtype=jnp.int32)[:, None], 1).astype(jnp.int32)
    home = _below(words[-1], placed.count)
    spawn = _below(words[-2], _area(placed.shape[home]))

    shapes = placed.shape[order]
    at_home = order == home
    objects = _below(words[most : most + targets], _area(shapes) - at_home.astype(jnp.int32))
    objects += (at_home & (objects >= spawn)).astype(jnp.int32)
    south = side - 1  # The row of y = 0.

    def cell(corner, shape, index):
        row, col = jnp.moveaxis(2 * corner + 1, -1, 0)
        width = 2 * shape[..., 1] - 1
        return jnp.stack([col + index % width, south - row - index // width], -1)

    return cell(placed.corner[order], shapes, objects), cell(placed.corner[home], placed.shape[home], spawn)


def _below(words: jax.Array, bound: jax.Array) -> jax.Array:
    """Return random integers in [0, bound), int32, from random words. Even but for one part in 2**32 / bound."""
    return (words % bound.astype(jnp.uint32)).astype(jnp.int32)


def _area(shape: jax.Array) -> jax.Array:
    """Return the number of cells of rooms, from their height and width in nodes."""
    return (2 * shape[..., 0] - 1) * (2 * shape[..., 1] - 1)
