"""Battleship beside the original."""

from typing import Any

import numpy as np

from tests.envs.families import LEVELS, Family, grids
from tests.envs.families.labyrinths import packed


def label(env: Any, action: grids.Action) -> str:
    """Return what a shot does."""
    row, column = action
    kind = "hit" if env.board[row, column] else "miss"
    if env.guesses[row, column]:
        return f"{kind} again"
    return "last hit" if kind == "hit" and env.hits == env.needed_hits - 1 else kind


def hit(env: Any, step: int, rng: np.random.Generator) -> grids.Action:
    """Shoot at a ship where it was not hit yet."""
    return grids.among((env.board == 1) & (env.guesses == 0), rng)


def miss(env: Any, step: int, rng: np.random.Generator) -> grids.Action:
    """Shoot at the water."""
    return grids.among(env.board == 0, rng)


def again(env: Any, step: int, rng: np.random.Generator) -> grids.Action:
    """Shoot at a ship where it was hit."""
    return grids.among((env.board == 1) & (env.guesses == 1), rng)


def hit_at_the_end(env: Any, step: int, rng: np.random.Generator) -> grids.Action:
    """Leave no more steps than there are squares to hit."""
    return (hit if env.max_episode_length - step <= env.needed_hits - env.hits else miss)(env, step, rng)


FAMILY = Family(
    game="Battleship",
    hidden=lambda env: {"ships": packed(env.board)},
    policies=(grids.at_random, hit, hit_at_the_end, grids.mostly(hit, again, 0.5), grids.mostly(again, miss)),
    label=label,
    labels=dict.fromkeys(LEVELS, ("hit", "last hit", "miss", "hit again", "miss again")),
    ends=dict.fromkeys(LEVELS, frozenset({(True, False), (False, True), (True, True)})),
    to_ours=np.asarray,
    statistics=lambda states: grids.statistics(states["ships"]),
)
