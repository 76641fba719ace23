"""Catch: a ball falls, a paddle moves under it (catch, catch_noise, catch_scale).

Ref: bsuite/environments/catch.py (0.3.6).
"""

import math

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.bsuite.game import LARGEST, Game, at_least
from envs.observation import Binary, Part
from envs.spaces import nearest


@struct.dataclass
class CatchState(EnvState):
    """Where things are.

    Attributes:
      time: steps taken, int32 (); the ball is in this row.
      ball: its column, int32 ().
      paddle: its column, int32 ().
    """

    time: jax.Array
    ball: jax.Array
    paddle: jax.Array


class Catch(Game):
    """A ball falls one row a step; the last step pays +1 if the paddle is under it, else -1.

    Quirks kept from the original: the paddle begins in the middle and moves before the ball lands
    (catch.py:73, :85); in the last row a caught ball and the paddle are one pixel (catch.py:111-112).

    Observation: the board, 1 for ball and paddle, float32 (rows, columns). Action: 0 left, 1 stay, 2 right; any other
    is taken as the nearest one. Ends: terminated, when the ball lands.
    """

    def __init__(self, rows: int = 10, columns: int = 5):
        """Set the size of the board.

        Raises:
          ValueError: unless there are two rows and a column.
        """
        at_least(self.name, 2, math.isqrt(LARGEST), rows=rows)
        at_least(self.name, 1, math.isqrt(LARGEST), columns=columns)
        self.rows = rows
        self.columns = columns

    @property
    def num_actions(self) -> int:
        """Left, stay and right."""
        return 3

    @property
    def action_names(self) -> tuple[str, ...]:
        """Where the paddle goes."""
        return "left", "stay", "right"

    @property
    def max_episode_steps(self) -> int:
        """The rows that the ball falls through."""
        return self.rows - 1

    @property
    def default_params(self) -> EnvParams:
        """The length of an episode."""
        return EnvParams(self.max_episode_steps)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Bits."""
        return (Binary(self.rows * self.columns),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """A board of bits, float32."""
        return spaces.Box(0.0, 1.0, (self.rows, self.columns), jnp.float32)

    def begin(self, key: jax.Array, params: EnvParams) -> CatchState:
        """Draw the ball's column."""
        ball = jax.random.randint(key, (), 0, self.columns, jnp.int32)
        return CatchState(jnp.zeros((), jnp.int32), ball, jnp.full((), self.columns // 2, jnp.int32))

    def transition(
        self, state: CatchState, action: jax.Array, drawn: None, params: EnvParams
    ) -> tuple[CatchState, jax.Array]:
        """Move the paddle, then the ball."""
        paddle = jnp.clip(state.paddle + nearest(action, 3) - 1, 0, self.columns - 1)
        state = state.replace(time=state.time + 1, paddle=paddle)
        caught = jnp.where(state.paddle == state.ball, jnp.float32(1), jnp.float32(-1))
        return state, jnp.where(state.time == self.rows - 1, caught, jnp.float32(0))

    def tally(self, state: CatchState, action: jax.Array, after: CatchState, params: EnvParams) -> dict[str, jax.Array]:
        """Return `regret`: 2 where the ball is missed."""
        missed = (after.time == self.rows - 1) & (after.paddle != after.ball)
        return {"regret": 2 * missed.astype(jnp.float32)}

    def show(self, state: CatchState, drawn: None, params: EnvParams) -> jax.Array:
        """Return the board, float32 (rows, columns)."""
        row, column = jnp.arange(self.rows, dtype=jnp.int32)[:, None], jnp.arange(self.columns, dtype=jnp.int32)[None]
        ball = (row == jnp.minimum(state.time, self.rows - 1)) & (column == state.ball)
        return (ball | ((row == self.rows - 1) & (column == state.paddle))).astype(jnp.float32)

    def is_terminated(self, state: CatchState, params: EnvParams) -> jax.Array:
        """Return whether the ball has landed, bool ()."""
        return state.time >= self.rows - 1

    def render(self, state: CatchState, params: EnvParams, hidden: bool = False) -> str:
        """Return the board: o is the ball, = the paddle. Nothing is hidden. Host only."""
        board = [["."] * self.columns for _ in range(self.rows)]
        board[-1][int(state.paddle)] = "="
        board[min(int(state.time), self.rows - 1)][int(state.ball)] = "o"
        return "\n".join("".join(row) for row in board)
