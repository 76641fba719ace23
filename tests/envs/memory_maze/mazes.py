"""Numbers that describe batches of mazes, the original's and ours alike.

Grids are (B, side, side) bool, indexed [y, x]; cells are (x, y).
"""

import numpy as np


def open_neighbours(grid: np.ndarray) -> np.ndarray:
    """Return how many of each cell's four neighbours are set, int (B, side, side)."""
    padded = np.pad(grid, ((0, 0), (1, 1), (1, 1))).astype(np.int8)
    return padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1] + padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2]


def distances(free: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the number of steps from one cell (B, 2) to every cell, -1 where there is no way, int (B, side, side)."""
    reached = np.zeros_like(free)
    reached[np.arange(len(free)), cells[:, 1], cells[:, 0]] = True
    found = np.where(reached, 0, -1)
    new, step = reached, 0
    while new.any():
        step += 1
        new = (open_neighbours(new) > 0) & free & ~reached
        reached = reached | new
        found[new] = step
    return found


def describe(walls, rooms, targets, spawn) -> dict[str, np.ndarray]:
    """Return one value per maze for each statistic.

    Args:
      walls: bool (B, side, side).
      rooms: room floors, bool (B, side, side).
      targets: cells, int (B, targets, 2).
      spawn: cell, int (B, 2).

    Returns:
      name -> float64 (B,). Loops are those that remain if the squares of four open cells are filled in.
    """
    free = ~walls
    rows, number = np.arange(len(free))[:, None], targets.shape[1]
    ways = np.stack([distances(free, targets[:, k])[rows, targets[..., 1], targets[..., 0]] for k in range(number)], 1)
    home = distances(free, spawn)[rows, targets[..., 1], targets[..., 0]]
    total = lambda grid: grid.sum((1, 2), dtype=np.float64)
    return {
        "wall_fraction": walls[:, 1:-1, 1:-1].mean((1, 2)),
        "target_to_target": ways[:, *np.triu_indices(number, 1)].mean(1),
        "spawn_to_target": home.mean(1),
        "loops": 1 - _euler(free),
        "junctions": total(free & ~rooms & (open_neighbours(free) > 2)),
        "rooms": _euler(rooms),
    }


def occupied(cells: np.ndarray, side: int) -> np.ndarray:
    """Count in how many mazes each cell is one of `cells` (B, ..., 2), int32 (side, side)."""
    flat = cells[..., 1] * side + cells[..., 0]
    return np.bincount(flat.ravel(), minlength=side * side).reshape(side, side).astype(np.int32)


def clearance(walls: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return how far places x, y (B, T, 2) are from the nearest wall of their maze (B, ...), at most 2 m, (B, T)."""
    side = walls.shape[-1]
    grid = places / 2 + side / 2
    cell = np.floor(grid).astype(int)
    nearest = np.full(places.shape[:2], 2.0)
    maze = np.arange(len(walls))[:, None]
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            x, y = cell[..., 0] + dx, cell[..., 1] + dy
            corner = np.stack([x, y], -1)
            gap = 2 * np.linalg.norm(grid - np.clip(grid, corner, corner + 1), axis=-1)
            blocked = walls[maze, np.clip(y, 0, side - 1), np.clip(x, 0, side - 1)]
            nearest = np.where(blocked, np.minimum(nearest, gap), nearest)
    return nearest


def _euler(grid: np.ndarray) -> np.ndarray:
    """Return cells minus adjacent pairs plus squares of four, (B,): the number of separate rectangles, for one."""
    down, right = grid[:, 1:] & grid[:, :-1], grid[:, :, 1:] & grid[:, :, :-1]
    square = down[:, :, 1:] & down[:, :, :-1]
    cells, downs, rights, squares = (part.sum((1, 2), dtype=np.float64) for part in (grid, down, right, square))
    return cells - downs - rights + squares
