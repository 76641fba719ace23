"""Games on a square board, and how a board is kept: one uint32 per row, bit x set where square (row, x) is marked."""

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.environment import EnvParams

from envs.popgym.game import Game
from envs.spaces import MultiDiscrete, nearest

_WORD = 32


class GridGame(Game):
    """A game whose actions are the squares of a board: (row, column), counted from the top left.

    An entry outside the board is taken as the nearest one on it (the original raises, or counts from the end).
    """

    def __init__(self, board_size: int):
        """Set the number of rows and columns.

        Raises:
          ValueError: unless it is from 1 to 32 (a row is one word).
        """
        if not 1 <= board_size <= _WORD:
            raise ValueError(f"{self.name}: board_size={board_size} should be from 1 to {_WORD}")
        self.board_size = board_size

    def action_space(self, params: EnvParams) -> MultiDiscrete:
        """A row and a column."""
        return MultiDiscrete([self.board_size, self.board_size])

    def empty(self) -> jax.Array:
        """Return the board without a mark, uint32 (board_size,)."""
        return jnp.zeros(self.board_size, jnp.uint32)

    def square(self, row: jax.Array | int, column: jax.Array | int) -> jax.Array:
        """Return the board with one square marked, uint32 (board_size,)."""
        row, column = (jnp.asarray(index).astype(jnp.uint32) for index in (row, column))
        rows = jnp.arange(self.board_size, dtype=jnp.uint32)
        return jnp.where(rows == row, jnp.uint32(1) << column, jnp.uint32(0))

    def chosen(self, action: jax.Array) -> jax.Array:
        """Return the board with the square of an action marked, uint32 (board_size,)."""
        row, column = nearest(action, self.board_size)
        return self.square(row, column)


def size(board: jax.Array) -> jax.Array:
    """Return the number of marked squares, int32 ()."""
    return jnp.sum(jax.lax.population_count(board), dtype=jnp.int32)


def overlap(board: jax.Array, other: jax.Array) -> jax.Array:
    """Return whether some square is marked on both boards, bool ()."""
    return jnp.any(board & other != 0)


def below(words: jax.Array, limit: jax.Array | int) -> jax.Array:
    """Return a uniform integer for each random word, as near to uniform as 32 random bits can be.

    Args:
      words: random bits, uint32.
      limit: what the integers are to be smaller than, from 1 to 65,536.

    Returns:
      floor(words * limit / 2^32), uint32.
    """
    limit = jnp.asarray(limit).astype(jnp.uint32)
    high, low = words >> 16, words & 0xFFFF
    return high * limit + (low * limit >> 16) >> 16


def unpacked(board: jax.Array) -> np.ndarray:
    """Return a board as a bool array (board_size, board_size). Host only."""
    rows = np.asarray(board)
    return (rows[:, None] >> np.arange(len(rows), dtype=np.uint32) & 1).astype(bool)


def drawing(symbols: np.ndarray) -> str:
    """Return a square array of symbols as lines of text. Host only."""
    return "\n".join(" ".join(row) for row in symbols)
