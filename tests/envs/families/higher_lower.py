"""HigherLower: in the original every action but 0 means lower, so those above 1 are given to both."""

from typing import Any

import numpy as np

from tests.envs.families import LEVELS, Family
from tests.envs.families.cards import ONLY_TERMINATED, dealt, mistaken, statistics


def _rise(env: Any) -> int:
    """Return by how much the next card is higher than the one on screen."""
    deck = env.deck
    return int(deck.ranks_idx[deck.idx[len(deck) - 1]]) - int(deck.ranks_idx[deck["player"][-1]])


def _peek(env: Any) -> int:
    return int(_rise(env) < 0)


def _careless(env: Any, step: int, rng: np.random.Generator) -> int:
    return int(rng.choice((0, 1, 2, 100)))


def _label(env: Any, action: int) -> str:
    if action > 1:
        return "invalid"
    guess = ("higher", "lower")[action]
    rise = _rise(env)
    return f"{guess}, tie" if rise == 0 else f"{guess}, right" if (rise > 0) == (action == 0) else f"{guess}, wrong"


FAMILY = Family(
    game="HigherLower",
    hidden=lambda env: {"cards": dealt(env.deck, env.deck.ranks_idx)},
    policies=(lambda env, step, rng: _peek(env), mistaken(_peek), _careless),
    label=_label,
    labels=dict.fromkeys(
        LEVELS,
        ("invalid", *(f"{guess}, {how}" for guess in ("higher", "lower") for how in ("tie", "right", "wrong"))),
    ),
    ends=ONLY_TERMINATED,
    statistics=lambda hidden: statistics(hidden["cards"]),
)
