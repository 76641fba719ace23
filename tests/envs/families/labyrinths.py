"""What the two labyrinth games have in common: how the original is read and played, and what is drawn."""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from envs.popgym.labyrinth import MOVES
from tests.envs.families import LEVELS

LAST_STEP = 1022  # steps taken before the last one
ENDS = {level: frozenset({(True, False), (False, True), (True, True)}) for level in LEVELS}
# (the original, block) -> the agent is to get there.
Target = Callable[[Any, tuple[int, int]], bool]


def packed(blocks: np.ndarray) -> np.ndarray:
    """Return a boolean grid (side, side) as one uint32 per row, (side,)."""
    return (blocks.astype(np.uint32) << np.arange(blocks.shape[1], dtype=np.uint32)).sum(1, dtype=np.uint32)


def hidden(env: Any) -> dict[str, np.ndarray]:
    """Return the maze and where the agent is in it."""
    position = np.array(env.position)
    return {"walls": packed(env.maze.grid == 1), "start": np.array(env.maze.start), "position": position}


def ahead(env: Any, action: int) -> tuple[int, int]:
    """Return the block that an action aims at, which may be outside the maze."""
    return env.position[0] + MOVES[action][0], env.position[1] + MOVES[action][1]


def inside(env: Any, block: tuple[int, int]) -> bool:
    """Return whether a block is in the maze."""
    return min(block) >= 0 and max(block) < len(env.maze.grid)


def bump(env: Any, action: int) -> str:
    """Return the label of an action that moves nothing, "" for another one."""
    target = ahead(env, action)
    if not inside(env, target):
        return "border bump"
    return "wall bump" if env.maze.grid[target] == 1 else ""


def route(env: Any, is_target: Target) -> list[int]:
    """Return a shortest list of actions to a target, [] if there is no way."""
    moves = [(action, int(y), int(x)) for action, (y, x) in enumerate(MOVES)]
    walls = (env.maze.grid == 1).tolist()
    side = len(walls)
    came: dict[tuple[int, int], tuple[tuple[int, int], int]] = {env.position: (env.position, -1)}
    queue = deque([env.position])
    while queue:
        block = queue.popleft()
        if is_target(env, block):
            actions = []
            while block != env.position:
                block, action = came[block]
                actions.append(action)
            return actions[::-1]
        for action, y, x in moves:
            beside = (block[0] + y, block[1] + x)
            within = 0 <= beside[0] < side and 0 <= beside[1] < side
            if within and not walls[beside[0]][beside[1]] and beside not in came:
                came[beside] = (block, action)
                queue.append(beside)
    return []


def at_random(env: Any, step: int, rng: np.random.Generator) -> int:
    """Play at random."""
    return int(rng.integers(4))


def bumping(env: Any, step: int, rng: np.random.Generator) -> int:
    """Move no further than into walls and the border."""
    return next((action for action in rng.permutation(4).tolist() if bump(env, action)), int(rng.integers(4)))


def policies(is_target: Target, on_last_step: Callable[[Any, int, np.random.Generator], int]) -> tuple[Callable, ...]:
    """Return the players of a game where the nearest target is always the right place to go."""

    def to_target(env, step, rng):
        return (route(env, is_target) or [at_random(env, step, rng)])[0]

    def bumping_first(env, step, rng):
        return (bumping if step < 20 else to_target)(env, step, rng)

    def random_first(env, step, rng):
        return (at_random if step < 200 else to_target)(env, step, rng)

    # Those with short episodes twice: the original takes a quarter of a millisecond a step.
    return to_target, at_random, bumping_first, random_first, to_target, bumping_first, on_last_step


def statistics(states: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what mazes and starts look like; `states` holds (n, ...) fields of a labyrinth's state."""
    walls = np.asarray(states["walls"], np.uint32)
    side = walls.shape[1]
    free = (walls[:, :, None] >> np.arange(side, dtype=np.uint32) & 1) == 0
    to_east, to_south = free[:, 1::2, 2:-1:2], free[:, 2:-1:2, 1::2]
    degrees = np.zeros(free[:, 1::2, 1::2].shape, int)
    degrees[:, :, :-1] += to_east
    degrees[:, :, 1:] += to_east
    degrees[:, :-1] += to_south
    degrees[:, 1:] += to_south
    degrees = degrees.reshape(len(walls), -1)
    middle = side // 4
    return {
        "start": sides(states["start"], side),
        "passages to the east": to_east.reshape(len(walls), -1).astype(int),
        "passages to the south": to_south.reshape(len(walls), -1).astype(int),
        "four cells in the corner": four_cells(to_east, to_south, 0),
        "four cells in the middle": four_cells(to_east, to_south, middle - 1),
        "cells by degree": np.stack([(degrees == k).sum(1) for k in range(5)], 1),
        "degree of a corner, a side, the middle": degrees[:, [0, middle, degrees.shape[1] // 2]],
    }


def sides(positions: np.ndarray, side: int) -> np.ndarray:
    """Return the number of each gap in the outer wall, (n,): side of the maze (top, left, bottom, right) and place."""
    y, x = np.asarray(positions).T
    is_row = (y == 0) | (y == side - 1)
    wall = np.where(is_row, 2 * (y > 0), 1 + 2 * (x > 0))
    return wall * (side // 2) + np.where(is_row, x, y) // 2


def four_cells(to_east: np.ndarray, to_south: np.ndarray, first: int) -> np.ndarray:
    """Return which of the four passages between 2 x 2 cells are open, (n,) of 16, from row and column `first` on."""
    open_ = [to_east[:, first, first], to_east[:, first + 1, first], to_south[:, first, first]]
    return sum(2**i * passage.astype(int) for i, passage in enumerate([*open_, to_south[:, first, first + 1]]))


def distances(walls: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return how far blocks are from the start, uint32 row masks (steps + 1, n, side): index d is d steps away."""
    free = ~np.asarray(walls, np.uint32)
    rows = np.arange(free.shape[1])
    start = np.asarray(start)
    frontier = np.where(rows == start[:, :1], np.uint32(1) << start[:, 1:].astype(np.uint32), 0).astype(np.uint32)
    layers = [frontier]
    unreached = free & (1 << int(np.max(walls)).bit_length()) - 1  # The bottom right corner is always a wall.
    while layers[-1].any():
        unreached &= ~layers[-1]
        beside = layers[-1] << 1 | layers[-1] >> 1
        beside[:, 1:] |= layers[-1][:, :-1]
        beside[:, :-1] |= layers[-1][:, 1:]
        layers.append(beside & unreached)
    return np.stack(layers[:-1])
