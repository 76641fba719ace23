"""What the families of games on a board share."""

from collections.abc import Callable
from typing import Any

import numpy as np

Action = np.ndarray  # (row, column)


def at_random(env: Any, step: int, rng: np.random.Generator) -> Action:
    """Choose any square."""
    return rng.integers(env.action_space.nvec)


def among(squares: np.ndarray, rng: np.random.Generator) -> Action:
    """Return a random one of the squares marked on a board, or any square if none is."""
    marked = np.argwhere(squares)
    return marked[rng.integers(len(marked))] if len(marked) else rng.integers(squares.shape)


def mostly(policy: Callable, other: Callable, share: float = 0.9) -> Callable:
    """Return a player that plays like `policy` on a share of the steps, and else like `other`."""
    return lambda env, step, rng: (policy if rng.random() < share else other)(env, step, rng)


def statistics(boards: np.ndarray) -> dict[str, np.ndarray]:
    """Return which squares are marked, which neighbours are, and how marks are spread; `boards` are rows (n, size)."""
    boards = np.asarray(boards)
    marks = (boards[:, :, None] >> np.arange(boards.shape[1], dtype=np.uint32) & 1).astype(int)
    beside, below = marks[:, :, 1:] & marks[:, :, :-1], marks[:, 1:] & marks[:, :-1]
    half = boards.shape[1] // 2
    flat = lambda squares: squares.reshape(len(boards), -1)
    return {
        "squares": flat(marks),
        "both of two in a row": flat(beside),
        "both of two in a column": flat(below),
        "neighbours": (beside.sum((1, 2)) + below.sum((1, 2))),
        "upper half and left half": np.stack([marks[:, :half].sum((1, 2)), marks[:, :, :half].sum((1, 2))], 1),
        "in a row and in a column": np.concatenate([marks.sum(2), marks.sum(1)], 1),
    }
