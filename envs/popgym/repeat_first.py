"""RepeatFirst: say the suit of the first card, again and again.

Ref: popgym/envs/repeat_first.py (1.0.7).
"""

from typing import Any

import jax
from gymnax.environments.environment import EnvParams

from envs.popgym.deck import DealtState, SuitGame, judge


class RepeatFirst(SuitGame):
    """Cards are dealt one by one; every step is paid for naming the suit of the first.

    With N cards an episode has N - 1 steps, each paid +1 / (N - 1) for the right suit and -1 / (N - 1) for any other
    action, ids outside the action space included. A perfect game returns 1.

    Quirks kept from the original: the very first action, taken while the first card is on screen, is already paid
    (repeat_first.py:50); no flag marks the first card, although the docstring there speaks of one (repeat_first.py:20).

    Observation: suit, one-hot uint8 (4,). Action: suit 0..3. Ends: terminated, with the last card.
    """

    def __init__(self, num_decks: int = 1):
        """Set the number of decks."""
        super().__init__(num_decks)

    @property
    def reward_scale(self) -> float:
        """Number of paid answers."""
        return float(self.num_cards - 1)

    def step_env(
        self, key: jax.Array, state: DealtState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, DealtState, jax.Array, jax.Array, dict[str, Any]]:
        """Judge the answer, then deal the next card."""
        return self._advance(key, state, action, judge(action, state.suits[0]) / self.reward_scale, params)
