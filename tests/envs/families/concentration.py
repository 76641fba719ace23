"""Concentration. It refuses positions outside the table, so none is played."""

from typing import Any

import numpy as np

from tests.envs.families import LEVELS, Family, Policy
from tests.envs.families.cards import statistics


def _types(env: Any) -> np.ndarray:
    """Return the type of the card at each position: the table is laid out, not dealt."""
    return env.deck_idx_type[env.deck.idx]


def _choices(env: Any) -> dict[str, np.ndarray]:
    """Return the positions that lead to each reward branch."""
    types, in_play = _types(env), env.deck["in_play_idx"]
    up = np.zeros(len(types), bool)
    up[env.deck["face_up_idx"]] = True
    if not in_play:
        return {"up as first": np.flatnonzero(up), "first": np.flatnonzero(~up)}
    first = in_play[0]
    down = ~up & (np.arange(len(types)) != first)
    return {
        "up as second": np.flatnonzero(up),
        "same": np.array([first]),
        "match": np.flatnonzero(down & (types == types[first])),
        "mismatch": np.flatnonzero(down & (types != types[first])),
    }


def _matching(skill: float) -> Policy:
    """Return a player that matches with probability `skill`, and does any of the other things otherwise."""

    def policy(env: Any, step: int, rng: np.random.Generator) -> int:
        choices = _choices(env)
        good = "match" if "match" in choices else "first"
        if rng.random() < skill:
            return int(choices[good][0])
        return int(rng.choice(choices[str(rng.choice([kind for kind in choices if choices[kind].size]))]))

    return policy


def _at_the_last_moment(env: Any, step: int, rng: np.random.Generator) -> int:
    """Waste just as many steps as leave the last match to the last one."""
    wasted = env.episode_length - env.deck.num_cards
    return 0 if step < wasted else _matching(1.0)(env, step, rng)  # 0: the same card twice


FAMILY = Family(
    game="Concentration",
    hidden=lambda env: {"cards": _types(env)},
    policies=(
        _matching(1.0),
        _matching(0.0),
        _matching(0.5),
        _matching(0.9),
        _at_the_last_moment,
        lambda env, step, rng: int(rng.integers(env.action_space.n)),
    ),
    label=lambda env, action: next(kind for kind, positions in _choices(env).items() if action in positions),
    labels=dict.fromkeys(LEVELS, ("first", "up as first", "match", "mismatch", "same", "up as second")),
    ends=dict.fromkeys(LEVELS, frozenset({(True, False), (False, True), (True, True)})),
    statistics=lambda hidden: statistics(hidden["cards"]),
)
