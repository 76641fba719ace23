"""HigherLower: say whether the next card is higher or lower than this one.

Ref: popgym/envs/higher_lower.py (1.0.7).
"""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments.environment import EnvParams

from envs.popgym.deck import DealtGame, DealtState
from envs.spaces import as_index

HIGHER = 0
LOWER = 1


class HigherLower(DealtGame):
    """Cards are dealt one by one; every step is paid for saying how the next rank compares with the one on screen.

    With N cards an episode has N - 1 steps, each paid +1 / N for the right guess and -1 / N for the wrong one. The ace
    is the lowest rank. What was dealt tells a little about what is left; no play is always right.

    Quirks kept from the original: two equal ranks pay 0, whatever the guess (higher_lower.py:74), so there are steps
    that nobody is paid for; the scale is the number of cards, one more than there are guesses (higher_lower.py:73).

    A negative action is taken as 0 and one above 1 as 1 (in the original all but 0 mean lower, negative ones too).

    Observation: rank, one-hot uint8 (13,). Action: higher 0, lower 1. Ends: terminated, with the last card.
    """

    action_names = ("higher", "lower")

    def __init__(self, num_decks: int = 1):
        """Set the number of decks."""
        super().__init__(num_decks, "ranks")

    @property
    def reward_scale(self) -> float:
        """Number of cards."""
        return float(self.num_cards)

    @property
    def num_actions(self) -> int:
        """Higher and lower."""
        return 2

    def step_env(
        self, key: jax.Array, state: DealtState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, DealtState, jax.Array, jax.Array, dict[str, Any]]:
        """Deal the next card and judge the guess."""
        guess = jnp.where(as_index(action) <= HIGHER, jnp.int32(1), jnp.int32(-1))
        return self._advance(key, state, action, self._rise(state) * guess, params)

    def _rise(self, state: DealtState) -> jax.Array:
        """Return 1 if the next card is higher, -1 if it is lower, 0 if it is equal or there is none, int32 ()."""
        here, following = (self._at(state.cards, state.time + i).astype(jnp.int32) for i in (0, 1))
        return jnp.sign(following - here)

    def _right(self, state: DealtState) -> str:
        return f"right: {('any, it is a tie', 'higher', 'lower')[int(self._rise(state))]}"
