"""CountRecall."""

import dataclasses
from typing import Any

import numpy as np

from tests.envs.families.cards import dealt, recall_family, statistics


def _hidden(env: Any) -> dict[str, np.ndarray]:
    decks = {"cards": env.value_deck, "queries": env.query_deck}
    return {name: dealt(deck, env.deck_idx_type) for name, deck in decks.items()} | {"counts": env.counts}


def _statistics(hidden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    cards, queries = hidden["cards"], hidden["queries"]
    return {
        **statistics(cards),
        **{f"{name} of the queries": columns for name, columns in statistics(queries).items()},
        "card and query equal": (cards == queries)[:, [0, cards.shape[1] // 2, -1]].astype(int),
    }


FAMILY = dataclasses.replace(
    recall_family("CountRecall", right=lambda env: int(env.counts[env.query]), hidden=_hidden, free=False),
    statistics=_statistics,
)
