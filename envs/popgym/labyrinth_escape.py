"""Labyrinth Escape: find the exit of a maze.

Ref: popgym/envs/labyrinth_escape.py (1.0.7).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments.environment import EnvParams

from envs.popgym.labyrinth import EPISODE_LENGTH, GOAL, Labyrinth, LabyrinthState, without_block


@struct.dataclass
class EscapeState(LabyrinthState):
    """The maze and its exit.

    Attributes:
      goal: (row, column) of the exit, int32 (2,).
    """

    goal: jax.Array


class LabyrinthEscape(Labyrinth):
    """The agent is to find the exit, a gap in the wall opposite to its start.

    Every step pays -1 / 1024, and the one onto the exit 1 more.

    Quirks kept from the original: those of `Labyrinth`; an exit that is found on the last step sets both flags
    (labyrinth_escape.py:41-47).

    Observation and actions: see `Labyrinth`. Ends: terminated on the exit.
    """

    @property
    def reward_scale(self) -> float:
        """One: the exit pays about that."""
        return 1.0

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EscapeState]:
        """Put the agent at the start of a new maze."""
        walls, start, goal = self._draw(key)
        time = jnp.zeros((), jnp.int32)
        state = EscapeState(time=time, walls=without_block(walls, goal), start=start, position=start, goal=goal)
        return self.observe(key, state, None, params), state

    def _special_blocks(self, state: EscapeState) -> tuple[tuple[int, jax.Array], ...]:
        return (*super()._special_blocks(state), (GOAL, state.goal))

    def step_env(
        self, key: jax.Array, state: EscapeState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EscapeState, jax.Array, jax.Array, dict[str, Any]]:
        """Move, and pay for the exit."""
        state = state.replace(time=state.time + 1, position=self._move(state, action))
        terminated = self.is_terminated(state, params)
        reward = terminated.astype(jnp.float32) - 1.0 / EPISODE_LENGTH
        return self.observe(key, state, action, params), state, reward, terminated, {}

    def is_terminated(self, state: EscapeState, params: EnvParams) -> jax.Array:
        """Return whether the agent is on the exit, bool ()."""
        return jnp.all(state.position == state.goal)
