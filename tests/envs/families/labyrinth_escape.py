"""LabyrinthEscape beside the original."""

from typing import Any

import numpy as np

from tests.envs.families import LEVELS, Family, labyrinths


def hidden(env: Any) -> dict[str, np.ndarray]:
    """Return the maze and its exit."""
    return {**labyrinths.hidden(env), "goal": np.array(env.maze.end)}


def label(env: Any, action: int) -> str:
    """Return which kind of step an action is."""
    if bump := labyrinths.bump(env, action):
        return bump
    return "goal" if labyrinths.ahead(env, action) == env.maze.end else "plain step"


def is_exit(env: Any, block: tuple[int, int]) -> bool:
    """Return whether a block is the exit."""
    return block == env.maze.end


def on_last_step(env: Any, step: int, rng: np.random.Generator) -> int:
    """Wait in the gap at the start until the way to the exit takes all the steps that are left."""
    steps_left = labyrinths.LAST_STEP + 1 - step
    if steps_left > (env.maze.grid != 1).sum():  # No way is that long.
        return labyrinths.bumping(env, step, rng)
    route = labyrinths.route(env, is_exit)
    return route[0] if len(route) == steps_left else labyrinths.bumping(env, step, rng)


def statistics(states: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what mazes look like, where their exits are and how far from the start."""
    layers = labyrinths.distances(states["walls"], states["start"])
    y, x = np.asarray(states["goal"]).T
    at_exit = layers[:, np.arange(len(y)), y] >> x.astype(np.uint32) & 1
    return {
        **labyrinths.statistics(states),
        "exit": labyrinths.sides(states["goal"], layers.shape[2]),
        "steps to the exit, by fours": np.where(at_exit.any(0), at_exit.argmax(0) // 4, 0),
    }


FAMILY = Family(
    game="LabyrinthEscape",
    hidden=hidden,
    policies=labyrinths.policies(is_exit, on_last_step),
    label=label,
    labels={level: ("goal", "plain step", "wall bump", "border bump") for level in LEVELS},
    ends=labyrinths.ENDS,
    statistics=statistics,
)
