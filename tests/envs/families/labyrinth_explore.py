"""LabyrinthExplore beside the original."""

from typing import Any

import numpy as np

from tests.envs.families import LEVELS, Family, labyrinths


def hidden(env: Any) -> dict[str, np.ndarray]:
    """Return the maze, and what is to be explored."""
    free_blocks = np.array((env.maze.grid == 0).sum())
    return {
        **labyrinths.hidden(env),
        "explored": labyrinths.packed(env.explored == 1),
        "free_blocks": free_blocks,
        "unexplored": free_blocks,
    }


def label(env: Any, action: int) -> str:
    """Return which kind of step an action is."""
    if bump := labyrinths.bump(env, action):
        return bump
    return "visited block" if env.explored[labyrinths.ahead(env, action)] else "new block"


def unexplored(env: Any, block: tuple[int, int]) -> bool:
    """Return whether the agent has not been on a block."""
    return env.explored[block] == 0


def on_last_step(env: Any, step: int, rng: np.random.Generator) -> int:
    """Explore everything but one block, then wait beside it for the last step."""
    free, explored = (env.maze.grid != 1).sum(), env.explored.sum()
    route = labyrinths.route(env, unexplored)
    if free - explored == 1 and len(route) == 1 and step < labyrinths.LAST_STEP:
        return labyrinths.bumping(env, step, rng)
    return (route or [0])[0]


def statistics(states: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what mazes look like, and how far their last block is from the start."""
    layers = labyrinths.distances(states["walls"], states["start"])
    deepest = layers.any(2).sum(0) - 1
    return {**labyrinths.statistics(states), "steps to the farthest block, by fours": deepest // 4}


FAMILY = Family(
    game="LabyrinthExplore",
    hidden=hidden,
    policies=labyrinths.policies(unexplored, on_last_step),
    label=label,
    labels={level: ("new block", "visited block", "wall bump", "border bump") for level in LEVELS},
    ends=labyrinths.ENDS,
    statistics=statistics,
)
