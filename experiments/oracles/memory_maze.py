"""Memory Maze: a player that knows the maze and walks the shortest way.

It aims at the last cell of the shortest way that it can walk to in a straight line, turns on the spot if that lies far
to the side, and corrects its heading as it walks. What it collects, here and in the original: docs/memory_maze.md.

Places are in cells of the outer grid: its south-west corner is (0, 0), the centre of cell (x, y) is (x + 0.5, y + 0.5).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.oracles import Oracle, no_memory

_RADIUS = 0.13  # A way is clear if a disc so wide passes.
_AHEAD, _ASIDE = 9.5, 75.0  # Degrees: walk straight on up to the first, turn on the spot from the second on.
_FORWARD, _LEFT, _RIGHT, _FORWARD_LEFT, _FORWARD_RIGHT = range(1, 6)
_MOVES = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]], np.int32)  # (x, y)


def _distances(free: jax.Array, goal: jax.Array) -> jax.Array:
    """Return the number of cells on the shortest way to `goal` (x, y), int32 (side, side); a large one off the ways."""
    side = free.shape[0]
    far = side * side
    place = jnp.arange(side)
    start = jnp.where((place[:, None] == goal[1]) & (place == goal[0]), 0, far).astype(jnp.int32)

    def spread(carry):
        away, _ = carry
        padded = jnp.pad(away, 1, constant_values=far)
        nearest = jnp.minimum(
            jnp.minimum(padded[2:, 1:-1], padded[:-2, 1:-1]), jnp.minimum(padded[1:-1, 2:], padded[1:-1, :-2])
        )
        new = jnp.where(free, jnp.minimum(away, nearest + 1), far)
        return new, jnp.any(new != away)

    return jax.lax.while_loop(lambda carry: carry[1], spread, (start, jnp.ones((), bool)))[0]


def _way(away: jax.Array, cell: jax.Array) -> jax.Array:
    """Return the next 2 * side cells (x, y) from `cell` to the goal, straight on where possible, then the goal."""

    def walk(carry, _):
        cell, heading = carry
        beside = cell + _MOVES
        nearer = away[beside[:, 1], beside[:, 0]] == away[cell[1], cell[0]] - 1
        move = jnp.where(nearer[heading], heading, jnp.argmax(nearer)).astype(jnp.int32)
        cell = jnp.where(away[cell[1], cell[0]] > 0, beside[move], cell)
        return (cell, move), cell

    return jax.lax.scan(walk, (cell, jnp.zeros((), jnp.int32)), None, length=2 * away.shape[0])[1]


def _clear(walls: jax.Array, start: jax.Array, ends: jax.Array) -> jax.Array:
    """Return which `ends` (n, 2), cell centres, lie in a straight line from `start` `_RADIUS` off walls, bool (n,)."""
    side, step = walls.shape[0], ends - start
    place = jnp.arange(side + 1, dtype=jnp.float32)
    padded = jnp.pad(walls, 1)
    corner = padded[1:, 1:] | padded[:-1, 1:] | padded[1:, :-1] | padded[:-1, :-1]
    x, y, dx, dy = place - start[0], place[:, None] - start[1], step[:, :1, None], step[:, 1:, None]
    along = jnp.clip((x * dx + y * dy) / jnp.maximum(dx * dx + dy * dy, 1e-6), 0, 1)
    near = jnp.any(corner & ((x - along * dx) ** 2 + (y - along * dy) ** 2 < _RADIUS**2), (1, 2))
    # A line that comes near no corner of a wall meets it, if at all, on one of the lines between cells.
    bits = jnp.uint32(1) << jnp.arange(side, dtype=jnp.uint32)
    for axis, grid in enumerate((walls.T, walls)):
        columns = jnp.sum(jnp.where(grid, bits, 0), 1, dtype=jnp.uint32)
        part = (place[1:-1] - start[axis]) / jnp.where(step[:, axis, None] == 0, 1e-6, step[:, axis, None])
        across = jnp.clip(start[1 - axis] + part * step[:, 1 - axis, None], 0, side - 1).astype(jnp.uint32)
        met = (columns[1:] | columns[:-1]) >> across & 1 != 0
        near |= jnp.any(met & (part > 0) & (part < 1), 1)
    around = jnp.floor(start + _RADIUS * _MOVES).astype(jnp.int32)
    return ~near & ~jnp.any(walls[around[:, 1], around[:, 0]])


def _walk(env: Any, params: Any, memory: tuple, obs: None, state: Any, key: jax.Array) -> tuple[jax.Array, tuple]:
    """Choose the action that leads to the object asked for."""
    extras, walls = env.extras(state), state.maze.walls
    place = extras["agent_pos"] + 1
    away = _distances(~walls, state.maze.targets[state.prompt])
    way = _way(away, jnp.floor(place).astype(jnp.int32)) + jnp.float32(0.5)
    clear = _clear(walls, place, way)
    aim = way[jnp.maximum(jnp.sum(jnp.cumprod(clear.astype(jnp.int32))) - 1, 0)] - place
    ahead = extras["agent_dir"]
    error = jnp.rad2deg(jnp.arctan2(ahead[0] * aim[1] - ahead[1] * aim[0], jnp.sum(ahead * aim)))
    left = error > 0
    turn = jnp.where(left, _LEFT, _RIGHT)
    bend = jnp.where(left, _FORWARD_LEFT, _FORWARD_RIGHT)
    size = jnp.abs(error)
    return jnp.where(size < _AHEAD, _FORWARD, jnp.where(size > _ASIDE, turn, bend)), memory


SUITE = "memory_maze"
_SHORTEST_WAY = Oracle("shortest way", "state", no_memory, _walk, "shortest_way")
ORACLES = {f"{size}x{size}{seen}": (_SHORTEST_WAY,) for seen in ("", "-rays") for size in (9, 11, 13, 15)}
