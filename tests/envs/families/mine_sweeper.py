"""MineSweeper beside the original."""

from typing import Any

import numpy as np

from tests.envs.families import LEVELS, Family, grids
from tests.envs.families.labyrinths import packed

CLEAR, MINE, VIEWED = range(3)  # what the original's hidden_grid holds


def label(env: Any, action: grids.Action) -> str:
    """Return what a click does."""
    square = env.hidden_grid[tuple(action)]
    if square == MINE:
        return "mine on the last step" if env.timestep == env.max_episode_length - 1 else "mine"
    if square == VIEWED:
        return "again"
    return "last one" if (env.hidden_grid == CLEAR).sum() == 1 else "clear"


def clear(env: Any, step: int, rng: np.random.Generator) -> grids.Action:
    """Click a new square without a mine."""
    return grids.among(env.hidden_grid == CLEAR, rng)


def again(env: Any, step: int, rng: np.random.Generator) -> grids.Action:
    """Click a square that was clicked before."""
    return grids.among(env.hidden_grid == VIEWED if step else env.hidden_grid == CLEAR, rng)


def mine(env: Any, step: int, rng: np.random.Generator) -> grids.Action:
    """Click a mine."""
    return grids.among(env.hidden_grid == MINE, rng)


def mine_at_the_end(env: Any, step: int, rng: np.random.Generator) -> grids.Action:
    """Click a mine on the last step."""
    return (mine if env.timestep == env.max_episode_length - 1 else clear)(env, step, rng)


FAMILY = Family(
    game="MineSweeper",
    hidden=lambda env: {"mines": packed(env.hidden_grid == MINE)},
    policies=(
        grids.at_random,
        clear,
        grids.mostly(clear, mine),
        grids.mostly(clear, again),
        grids.mostly(again, clear),
        mine_at_the_end,
        mine,
    ),
    label=label,
    labels=dict.fromkeys(LEVELS, ("clear", "last one", "again", "mine", "mine on the last step")),
    ends=dict.fromkeys(LEVELS, frozenset({(True, False), (False, True)})),
    to_ours=np.asarray,
    statistics=lambda states: grids.statistics(states["mines"]),
)
