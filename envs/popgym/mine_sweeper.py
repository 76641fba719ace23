"""MineSweeper: click every square without a mine, told only how many mines are near the square just clicked.

Ref: popgym/envs/minesweeper.py (1.0.7).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments.environment import EnvParams, EnvState

from envs.observation import Categorical
from envs.popgym.grid import GridGame, below, drawing, overlap, size, unpacked

_LARGEST_COUNT = 9  # of the squares in a 3 x 3 block


@struct.dataclass
class MineSweeperState(EnvState):
    """The board.

    Attributes:
      time: steps taken, int32 ().
      mines: the squares with a mine, uint32 (board_size,) as in `envs.popgym.grid`.
      viewed: the squares without a mine that were clicked, uint32 (board_size,).
      exploded: whether a mine was clicked, bool ().
      count: mines in the 3 x 3 squares around the last click, 0 before the first, int32 ().
    """

    time: jax.Array
    mines: jax.Array
    viewed: jax.Array
    exploded: jax.Array
    count: jax.Array


class MineSweeper(GridGame):
    """Mines lie under some squares of a board, and each step clicks one square.

    With L squares without a mine a step is paid, by the first rule that fits:
      - a mine: -0.5 - 1 / L, and the game is over;
      - a square that was clicked before: -0.5 / (L - 2);
      - another square: +1 / L.

    The mines are uniform over the squares: the first click can be one.

    Quirks kept from the original: the count includes the clicked square itself, so a mine is shown as 1 to 9
    (minesweeper.py:112-118); a 0 uncovers nothing else (minesweeper.py:81); before the first click the observation is
    a count of 0 (minesweeper.py:121); an episode has L steps, so that a single repetition makes winning impossible, and
    a win or a mine on the last of them is terminated, not truncated (minesweeper.py:86).

    A square outside the board is taken as the nearest one (see `GridGame`).

    Observation: count 0..min(mines, 9), one-hot uint8. Action: (row, column). Ends: terminated on a mine or when every
    other square was clicked, else truncated after L steps.
    """

    def __init__(self, board_size: int = 4, num_mines: int = 2):
        """Set the number of rows and columns, and of mines.

        Raises:
          ValueError: unless there is a mine, and three squares have none (the pay for a repetition needs that many).
        """
        super().__init__(board_size)
        if not 1 <= num_mines <= board_size**2 - 3:
            raise ValueError(f"{self.name}: num_mines={num_mines} should be from 1 to {board_size**2 - 3}")
        self.num_mines = num_mines

    @property
    def max_episode_steps(self) -> int:
        """Number of squares without a mine."""
        return self.board_size**2 - self.num_mines

    @property
    def reward_scale(self) -> float:
        """Number of squares without a mine."""
        return float(self.max_episode_steps)

    def observation_parts(self, params: EnvParams) -> tuple[Categorical, ...]:
        """The count."""
        return (Categorical(min(self.num_mines, _LARGEST_COUNT) + 1),)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, MineSweeperState]:
        """Lay the mines."""
        state = MineSweeperState(
            time=jnp.zeros((), jnp.int32),
            mines=self._laid(key),
            viewed=self.empty(),
            exploded=jnp.zeros((), bool),
            count=jnp.zeros((), jnp.int32),
        )
        return self.observe(key, state, None, params), state

    def _laid(self, key: jax.Array) -> jax.Array:
        """Return a uniformly random set of `num_mines` squares, uint32 (board_size,).

        Floyd's method: one random number per mine. Mine i is one of the first n - m + i + 1 squares, or the last one of
        them if that has a mine already.
        """
        mines = self.empty()
        squares = self.board_size**2
        lasts = range(squares - self.num_mines, squares)
        for word, last in zip(jax.random.bits(key, (self.num_mines,), jnp.uint32), lasts, strict=True):
            drawn = self.square(*jnp.divmod(below(word, last + 1), self.board_size))
            mines |= jnp.where(overlap(mines, drawn), self.square(*divmod(last, self.board_size)), drawn)
        return mines

    def observe(
        self, key: jax.Array, state: MineSweeperState, action: jax.Array | None, params: EnvParams
    ) -> jax.Array:
        """Return the count around the last click, one-hot uint8 (min(mines, 9) + 1,)."""
        return jax.nn.one_hot(state.count, self.observation_parts(params)[0].classes, dtype=jnp.uint8)

    def step_env(
        self, key: jax.Array, state: MineSweeperState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, MineSweeperState, jax.Array, jax.Array, dict[str, Any]]:
        """Click a square."""
        square = self.chosen(action)
        is_mine, is_viewed = overlap(square, state.mines), overlap(square, state.viewed)
        state = state.replace(
            time=state.time + 1,
            viewed=state.viewed | (square & ~state.mines),
            exploded=state.exploded | is_mine,
            count=size(state.mines & _around(square)),
        )
        clear = self.max_episode_steps
        repeated, new, mine = (jnp.float32(pay) for pay in (-0.5 / (clear - 2), 1 / clear, -0.5 - 1 / clear))
        reward = jnp.where(is_mine, mine, jnp.where(is_viewed, repeated, new))
        return self.observe(key, state, action, params), state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state: MineSweeperState, params: EnvParams) -> jax.Array:
        """Return whether a mine was clicked, or every other square was, bool ()."""
        return state.exploded | (size(state.viewed) == self.max_episode_steps)

    def is_truncated(self, state: MineSweeperState, params: EnvParams) -> jax.Array:
        """Return whether time is up in a game that would go on, bool ()."""
        return super().is_truncated(state, params) & ~self.is_terminated(state, params)

    def render(self, state: MineSweeperState, params: EnvParams, hidden: bool = False) -> str:
        """Return the count around the last click; with `hidden`, the board too.

        * a mine, · a square that was not clicked, and the count on those that were. Host only.
        """
        text = f"mines near the last click: {int(state.count)}" if int(state.time) else "no click yet"
        if not hidden:
            return text
        mines = unpacked(state.mines)
        near = np.lib.stride_tricks.sliding_window_view(np.pad(mines, 1), (3, 3)).sum((2, 3))
        board = np.where(unpacked(state.viewed), near.astype(str), "·")
        return f"{text}\n{drawing(np.where(mines, '*', board))}"


def _around(square: jax.Array) -> jax.Array:
    """Return the 3 x 3 squares around the one that is marked on a board, as far as they are in its rows."""
    row = square | square << 1 | square >> 1
    none = jnp.zeros(1, jnp.uint32)
    return row | jnp.concatenate([row[1:], none]) | jnp.concatenate([none, row[:-1]])
