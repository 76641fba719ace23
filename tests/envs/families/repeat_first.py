"""RepeatFirst."""

from tests.envs.families.cards import dealt, recall_family

FAMILY = recall_family(
    game="RepeatFirst",
    right=lambda env: int(env.card),
    hidden=lambda env: {"cards": dealt(env.deck, env.deck.suits_idx)},
    free=False,
)
