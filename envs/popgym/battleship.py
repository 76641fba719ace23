"""Battleship: sink hidden ships, told only of each shot whether it hit.

Ref: popgym/envs/battleship.py (1.0.7).
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments.environment import EnvParams, EnvState

from envs.observation import Categorical
from envs.popgym.grid import GridGame, below, drawing, overlap, size, unpacked


@struct.dataclass
class BattleshipState(EnvState):
    """The board.

    Attributes:
      time: steps taken, int32 ().
      ships: the squares with a ship, uint32 (board_size,) as in `envs.popgym.grid`.
      shots: the squares shot at, uint32 (board_size,).
      hit: whether the last shot was a hit, bool ().
    """

    time: jax.Array
    ships: jax.Array
    shots: jax.Array
    hit: jax.Array


class Battleship(GridGame):
    """Ships lie on a board, in its rows and columns, and each step is a shot at one square.

    With B squares of which S have a ship, a shot at a ship's square pays +1 / S the first time, and any other shot
    -1 / (B - S). Shooting once at every square returns 0.

    The ships are placed one after the other, each uniformly among all the places that are still free; they may touch.
    (The original draws an end and a direction until they fit, and every place can be reached from both of its ends.)

    Quirks kept from the original: a shot at a square that was hit before is a miss (battleship.py:55); before the first
    shot the observation is that of a miss (battleship.py:130); a last hit on the last step sets both flags
    (battleship.py:64-65).

    A square outside the board is taken as the nearest one (see `GridGame`).

    Observation: hit (0 no, 1 yes), one-hot uint8 (2,). Action: (row, column). Ends: terminated when every ship was hit
    everywhere, truncated after B steps.
    """

    def __init__(self, board_size: int = 10, ship_sizes: Sequence[int] = (2, 3, 3, 4)):
        """Set the number of rows and columns, and the length of each ship in the order in which they are placed.

        Raises:
          ValueError: if there is no ship or no square without one, if a length is not on the board, or if earlier ships
            might leave no place for a later one (which would keep the original busy for ever).
        """
        super().__init__(board_size)
        self.ship_sizes = tuple(ship_sizes)
        if not self.ship_sizes or not all(1 <= length <= board_size for length in self.ship_sizes):
            raise ValueError(f"{self.name}: ship_sizes={self.ship_sizes} should be numbers from 1 to {board_size}")
        self.ship_squares = sum(self.ship_sizes)
        if self.ship_squares >= board_size**2 or not self._always_room():
            raise ValueError(f"{self.name}: ship_sizes={self.ship_sizes} may not fit on a board of size {board_size}")

    def _always_room(self) -> bool:
        """Return whether there is a place for every ship, wherever the ones before it lie."""
        for i, length in enumerate(self.ship_sizes):
            in_line = self.board_size - length + 1
            # Most places that a ship can take away: those in its own line, and those that cross it.
            taken = sum(
                min(other + length - 1, in_line) + other * min(length, in_line) for other in self.ship_sizes[:i]
            )
            if taken >= 2 * self.board_size * in_line:
                return False
        return True

    @property
    def max_episode_steps(self) -> int:
        """Number of squares."""
        return self.board_size**2

    @property
    def reward_scale(self) -> float:
        """Number of squares with a ship."""
        return float(self.ship_squares)

    def observation_parts(self, params: EnvParams) -> tuple[Categorical, ...]:
        """Whether the last shot was a hit."""
        return (Categorical(2),)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, BattleshipState]:
        """Place the ships."""
        ships = self.empty()
        words = jax.random.bits(key, (len(self.ship_sizes),), jnp.uint32)
        for word, length in zip(words, self.ship_sizes, strict=True):
            ships = ships | self._placed(word, ships, length)
        state = BattleshipState(time=jnp.zeros((), jnp.int32), ships=ships, shots=self.empty(), hit=jnp.zeros((), bool))
        return self.observe(key, state, None, params), state

    def _placed(self, word: jax.Array, ships: jax.Array, length: int) -> jax.Array:
        """Return the squares of one more ship, uint32 (board_size,); the random `word` chooses its place."""
        columns = np.uint32((1 << self.board_size) - 1)
        free = ~ships & columns
        ahead = range(length)
        to_right = functools.reduce(operator.and_, (free >> i for i in ahead))
        downwards = functools.reduce(operator.and_, (_rows_up(free, i) for i in ahead))
        # A ship is known by its first square and its direction.
        places = jnp.concatenate([to_right, downwards])
        counts = jax.lax.population_count(places)
        up_to_here = jnp.cumsum(counts, dtype=jnp.uint32)
        before = up_to_here - counts
        rank = below(word, up_to_here[-1])
        is_row = (before <= rank) & (rank < up_to_here)
        row, rank = (jnp.sum(jnp.where(is_row, x, 0), dtype=jnp.uint32) for x in (places, rank - before))
        first_columns = np.uint32((2 << np.arange(self.board_size, dtype=np.uint64)) - 1)
        column = jnp.sum(jax.lax.population_count(row & first_columns) <= rank, dtype=jnp.uint32)
        first = jnp.where(is_row, jnp.uint32(1) << column, jnp.uint32(0))
        to_right, downwards = first[: self.board_size], first[self.board_size :]
        return functools.reduce(operator.or_, (to_right << i | _rows_down(downwards, i) for i in ahead))

    def observe(self, key: jax.Array, state: BattleshipState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return whether the last shot was a hit, one-hot uint8 (2,)."""
        return jax.nn.one_hot(state.hit.astype(jnp.int32), 2, dtype=jnp.uint8)

    def step_env(
        self, key: jax.Array, state: BattleshipState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, BattleshipState, jax.Array, jax.Array, dict[str, Any]]:
        """Shoot at a square."""
        square = self.chosen(action)
        hit = overlap(square, state.ships & ~state.shots)
        state = state.replace(time=state.time + 1, shots=state.shots | square, hit=hit)
        miss = jnp.float32(-1.0 / (self.board_size**2 - self.ship_squares))
        reward = jnp.where(hit, jnp.float32(1.0 / self.ship_squares), miss)
        return self.observe(key, state, action, params), state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state: BattleshipState, params: EnvParams) -> jax.Array:
        """Return whether every ship was hit everywhere, bool ()."""
        return size(state.ships & state.shots) == self.ship_squares

    def render(self, state: BattleshipState, params: EnvParams, hidden: bool = False) -> str:
        """Return whether the last shot hit; with `hidden`, the board too.

        ■ a ship, X a ship that was hit, o a shot that missed, · anything else. Host only.
        """
        last = "hit" if state.hit else "no hit"
        if not hidden:
            return last
        ships, shots = unpacked(state.ships), unpacked(state.shots)
        return f"{last}\n{drawing(np.array([['·', 'o'], ['■', 'X']])[ships.astype(int), shots.astype(int)])}"


def _rows_up(board: jax.Array, rows: int) -> jax.Array:
    """Return `board` moved up by some rows; none are marked in the rows that come in."""
    return jnp.concatenate([board[rows:], jnp.zeros(rows, jnp.uint32)])


def _rows_down(board: jax.Array, rows: int) -> jax.Array:
    """Return `board` moved down by some rows; none are marked in the rows that come in."""
    return jnp.concatenate([jnp.zeros(rows, jnp.uint32), board[: len(board) - rows]])
