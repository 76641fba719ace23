"""RepeatPrevious."""

from typing import Any

from tests.envs.families.cards import dealt, recall_family


def _right(env: Any) -> int | None:
    hand = env.deck["player"]
    return int(env.deck.suits_idx[hand[-env.k]]) if len(hand) >= env.k else None


FAMILY = recall_family(
    game="RepeatPrevious",
    right=_right,
    hidden=lambda env: {"cards": dealt(env.deck, env.deck.suits_idx)},
    free=True,
)
