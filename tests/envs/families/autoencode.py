"""Autoencode."""

from typing import Any

from tests.envs.families.cards import dealt, recall_family


def _right(env: Any) -> int | None:
    return int(env.deck.suits_idx[env.deck["system"][-1]]) if env.mode.name == "PLAY" else None


FAMILY = recall_family(
    game="Autoencode",
    right=_right,
    hidden=lambda env: {"cards": dealt(env.deck, env.deck.suits_idx)},
    free=True,
)
