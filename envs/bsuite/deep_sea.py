"""DeepSea: only the one way down the diagonal leads to the treasure (deep_sea, deep_sea_stochastic).

Ref: bsuite/environments/deep_sea.py (0.3.6).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.bsuite.game import LARGEST, Game, at_least
from envs.observation import Binary, Part
from envs.spaces import nearest

MOVE_COST = 0.01  # of going right all the way


@struct.dataclass
class DeepSeaState(EnvState):
    """Where the diver is.

    Attributes:
      time: steps taken, int32 (); the diver is in this row.
      column: int32 ().
    """

    time: jax.Array
    column: jax.Array


class Current(NamedTuple):
    """What is drawn at a step of the stochastic sea.

    Attributes:
      noise: what is added to the reward in the two corners of the last row, float32 ().
      gust: a move to the right fails where this is not above 1 / size, float32 ().
    """

    noise: jax.Array
    gust: jax.Array


class DeepSea(Game):
    """A diver sinks one row a step and goes left or right; going right at all times finds a treasure of +1.

    Every move to the right costs 0.01 / size, so that the best return is 0.99. Which action is right differs from cell
    to cell: `mapping_seed` fixes it for all episodes. In the stochastic sea a move to the right fails, but costs, with
    a probability of 1 / size, and a standard normal number is added to the last reward in the two corners of the last
    row, whatever the action.

    Quirks kept from the original: the treasure is paid for the attempt to go right in the last column, not for
    arriving (deep_sea.py:121); the last observation is empty (deep_sea.py:105).

    Observation: the grid, 1 where the diver is, float32 (size, size). Action: 0 or 1; any other is taken as the nearer
    one. Ends: terminated, after `size` steps.
    """

    def __init__(self, size: int = 10, deterministic: bool = True, mapping_seed: int = 42):
        """Set the size of the grid, whether nothing is left to chance, and what the actions mean.

        Raises:
          ValueError: unless the size is at least 2 and the seed not negative.
        """
        at_least(self.name, 2, math.isqrt(LARGEST), size=size)
        at_least(self.name, 0, mapping_seed=mapping_seed)
        self.size = size
        self.deterministic = deterministic
        self.rights = np.random.RandomState(mapping_seed).binomial(1, 0.5, [size, size]).astype(np.int32)

    @property
    def num_actions(self) -> int:
        """Left and right, or right and left."""
        return 2

    @property
    def max_episode_steps(self) -> int:
        """The rows."""
        return self.size

    @property
    def default_params(self) -> EnvParams:
        """The length of an episode."""
        return EnvParams(self.size)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Bits: they are all 0 at the end."""
        return (Binary(self.size * self.size),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """A grid of bits, float32."""
        return spaces.Box(0.0, 1.0, (self.size, self.size), jnp.float32)

    def begin(self, key: jax.Array, params: EnvParams) -> DeepSeaState:
        """Begin in the top left corner."""
        return DeepSeaState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def draw(self, key: jax.Array, params: EnvParams) -> Current | None:
        """Draw the noise of a reward and of a move."""
        if self.deterministic:
            return None
        key_noise, key_gust = jax.random.split(key)
        return Current(jax.random.normal(key_noise, (), jnp.float32), jax.random.uniform(key_gust, (), jnp.float32))

    def transition(
        self, state: DeepSeaState, action: jax.Array, drawn: Current | None, params: EnvParams
    ) -> tuple[DeepSeaState, jax.Array]:
        """Go left or right, and down."""
        last = self.size - 1
        row = jnp.minimum(state.time, last)
        right = self._goes_right(state, action)
        # Rounded from the original's float64, each of the three rewards that there are.
        cost, treasure = np.float32(-MOVE_COST / self.size), np.float32(1.0 - MOVE_COST / self.size)
        reward = jnp.where(right, jnp.where(state.column == last, treasure, cost), jnp.float32(0))
        moves = right
        if drawn is not None:
            corner = (row == last) & ((state.column == 0) | (state.column == last))
            reward = reward + jnp.where(corner, drawn.noise, jnp.float32(0))
            moves = right & (drawn.gust > np.float32(1 / self.size))
        aside = jnp.where(right, moves.astype(jnp.int32), -1)
        return DeepSeaState(state.time + 1, jnp.clip(state.column + aside, 0, last)), reward

    def show(self, state: DeepSeaState, drawn: Current | None, params: EnvParams) -> jax.Array:
        """Return the grid, float32 (size, size)."""
        index = jnp.arange(self.size, dtype=jnp.int32)
        return ((index[:, None] == state.time) & (index[None] == state.column)).astype(jnp.float32)

    def is_terminated(self, state: DeepSeaState, params: EnvParams) -> jax.Array:
        """Return whether the diver is below the last row, bool ()."""
        return state.time >= self.size

    def tally(
        self, state: DeepSeaState, action: jax.Array, after: DeepSeaState, params: EnvParams
    ) -> dict[str, jax.Array]:
        """Return `bad_episode` and `denoised_return`.

        An episode is bad if it leaves the diagonal by going left, which it can do once (deep_sea.py:135); the other is
        1 where the treasure is paid, without costs and noise (deep_sea.py:123).
        """
        right = self._goes_right(state, action)
        bad, found = ~right & (state.time == state.column), right & (state.column == self.size - 1)
        return {"bad_episode": bad.astype(jnp.float32), "denoised_return": found.astype(jnp.float32)}

    def _goes_right(self, state: DeepSeaState, action: jax.Array) -> jax.Array:
        row = jnp.minimum(state.time, self.size - 1)
        return nearest(action, 2) == jnp.asarray(self.rights)[row, state.column]

    def render(self, state: DeepSeaState, params: EnvParams, hidden: bool = False) -> str:
        """Return the grid, o is the diver; with `hidden`, which action goes right in every other cell. Host only."""
        grid = [[str(cell) if hidden else "." for cell in row] for row in self.rights]
        if int(state.time) < self.size:
            grid[int(state.time)][int(state.column)] = "o"
        return "\n".join("".join(row) for row in grid)
