"""Labyrinth Explore: step on every free block of a maze.

Ref: popgym/envs/labyrinth_explore.py (1.0.7).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments.environment import EnvParams

from envs.popgym.labyrinth import EPISODE_LENGTH, Labyrinth, LabyrinthState, bit, with_block


@struct.dataclass
class ExploreState(LabyrinthState):
    """The maze, and how much of it was explored.

    Attributes:
      explored: bit x of word y is set where the agent has been on block (y, x), uint32 (side,).
      free_blocks: number of blocks to explore, the start not counted, int32 ().
      unexplored: number of those that the agent has not been on, int32 ().
    """

    explored: jax.Array
    free_blocks: jax.Array
    unexplored: jax.Array


class LabyrinthExplore(Labyrinth):
    """The agent is to step on every free block of the maze.

    With F free blocks, the start not counted, a step onto a block where the agent has not been pays +1 / F, any other
    step -1 / 1024. F is twice the number of cells less one (49, 97, 161).

    Quirks kept from the original, besides those of `Labyrinth`: the exit stays a wall (labyrinth_explore.py:66-70); the
    start is explored at the reset and pays nothing (maze.py:172); a last block that is found on the last step sets both
    flags (labyrinth_explore.py:44-50).

    Observation and actions: see `Labyrinth`. Ends: terminated when every free block was explored.
    """

    @property
    def reward_scale(self) -> float:
        """Number of free blocks."""
        return float(2 * (self.side // 2) ** 2 - 1)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, ExploreState]:
        """Put the agent at the start of a new maze."""
        walls, start, _ = self._draw(key)
        number_of_walls = jnp.sum(jax.lax.population_count(walls), dtype=jnp.int32)
        free_blocks = self.side**2 - 1 - number_of_walls
        state = ExploreState(
            time=jnp.zeros((), jnp.int32),
            walls=walls,
            start=start,
            position=start,
            explored=with_block(jnp.zeros_like(walls), start),
            free_blocks=free_blocks,
            unexplored=free_blocks,
        )
        return self.observe(key, state, None, params), state

    def step_env(
        self, key: jax.Array, state: ExploreState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, ExploreState, jax.Array, jax.Array, dict[str, Any]]:
        """Move, and pay for a new block."""
        position = self._move(state, action)
        new = ~bit(state.explored[position[0]], position[1])
        state = state.replace(
            time=state.time + 1,
            position=position,
            explored=with_block(state.explored, position),
            unexplored=state.unexplored - new.astype(jnp.int32),
        )
        reward = jnp.where(new, 1.0 / state.free_blocks.astype(jnp.float32), -1.0 / EPISODE_LENGTH)
        return self.observe(key, state, action, params), state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state: ExploreState, params: EnvParams) -> jax.Array:
        """Return whether no block is left to explore, bool ()."""
        return state.unexplored == 0
