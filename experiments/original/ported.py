"""The original's states as ours."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.episodes import Stream, TimeStep
from envs.memory_maze import layout, motion, task, textures
from envs.memory_maze.environment import MemoryMazeState

_OPEN = (" ", "P", "G")
_CORRIDOR_FLOOR = "."
_HINGES = np.array([1, 1, 1, -1, 1])  # The original's steering hinge points down.


def maze_of(answer: dict[str, Any]) -> layout.Layout:
    """Return the maze of the answer to a reset, as NumPy arrays; `spawn` is the cell where the agent is."""
    grid, floors = (np.array([list(row) for row in answer[name]])[::-1] for name in ("entities", "floors"))
    cells = lambda places: np.round(np.array(places) / task.CELL + (len(grid) - 1) / 2).astype(np.int32)
    return layout.Layout(
        walls=~np.isin(grid, _OPEN),
        rooms=floors != _CORRIDOR_FLOOR,
        targets=cells(answer["targets"]),
        spawn=cells(answer["coordinates"][:2]),
        wall_textures=np.array([textures.NAMES.index(name) for name in answer["wall_textures"]], np.uint8),
    )


def colors_of(answer: dict[str, Any]) -> np.ndarray:
    """Return each target's index into `task.COLORS` from the answer to a reset, int32 (targets,)."""
    away = np.abs(np.array(answer["colors"])[:, None] - task.COLORS).sum(-1)
    return away.argmin(1).astype(np.int32)


def body_of(answer: dict[str, Any]) -> motion.Body:
    """Return where the agent is and how it moves, as NumPy arrays."""
    place = np.array(answer["coordinates"]) * _HINGES
    return motion.Body(
        position=place[:3].astype(np.float32),
        yaw=np.float32(place[3]),
        roll=np.float32(place[4]),
        velocity=(np.array(answer["velocities"]) * _HINGES).astype(np.float32),
    )


def begun(answer: dict[str, Any]) -> MemoryMazeState:
    """Return our state of an original from its answer to a reset, as NumPy arrays."""
    return MemoryMazeState(
        time=np.int32(0),
        maze=maze_of(answer),
        body=body_of(answer),
        prompt=np.int32(answer["prompt"]),
        colors=colors_of(answer),
    )


def moved(state: MemoryMazeState, answer: dict[str, Any]) -> MemoryMazeState:
    """Return the state after a step, from the one before it and the answer to the step."""
    return state.replace(time=state.time + np.int32(1), body=body_of(answer), prompt=np.int32(answer["prompt"]))


def stream_of(states: list[MemoryMazeState], answers: list[dict[str, Any]]) -> Stream:
    """Return originals in mid-flight, all equally far, as a policy sees ours.

    Args:
      states: what they are in.
      answers: their latest ones. Without pictures, the observations are empty.
    """
    age = jnp.array([state.time for state in states])
    images = [np.zeros(0, np.uint8) if answer["image"] is None else answer["image"] for answer in answers]
    now = TimeStep(
        obs=jnp.asarray(np.stack(images)),
        reward=jnp.array([answer["reward"] for answer in answers], jnp.float32),
        is_first=age == 0,
        is_last=jnp.array([answer["last"] for answer in answers]),
        is_terminal=jnp.zeros(len(answers), bool),
    )
    return Stream(stacked(states), now, age)


def stacked(trees: list[Any]) -> Any:
    """Return one tree of the leaves of several, with a new leading axis."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *trees)
