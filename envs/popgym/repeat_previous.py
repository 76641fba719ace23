"""RepeatPrevious: say the suit that was shown k - 1 steps ago.

Ref: popgym/envs/repeat_previous.py (1.0.7).
"""

import jax

from envs.popgym.deck import SuitGame


class RepeatPrevious(SuitGame):
    """Cards are dealt one by one; once k have been seen, each step is paid for naming the suit of k - 1 steps before.

    With N cards an episode has N - 1 steps, of which the last N - k are paid: +1 / (N - k) for the right suit,
    -1 / (N - k) for any other action, ids outside the action space included. A perfect game returns 1.

    Quirks kept from the original: the hand is counted before the next card is dealt (repeat_previous.py:64, :70), so
    the card on screen is the youngest of the k, and k = 1 would mean to echo it; nothing in the observation says
    whether answers count yet.

    Observation: suit, one-hot uint8 (4,). Action: suit 0..3. Ends: terminated, with the last card.
    """

    def __init__(self, num_decks: int = 1, k: int = 4):
        """Set the number of decks and the lag; `k` counts the card on screen.

        Raises:
          ValueError: unless 1 <= k < number of cards.
        """
        super().__init__(num_decks)
        if not 1 <= k < self.num_cards:
            raise ValueError(f"{self.name}: k={k} should be at least 1 and below the number of cards, {self.num_cards}")
        self.k = k

    @property
    def reward_scale(self) -> float:
        """Number of paid answers."""
        return float(self.num_cards - self.k)

    def asked(self, time: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the position k - 1 cards before the one on screen, int32 (), and whether it exists, bool ()."""
        position = time - (self.k - 1)
        return position, position >= 0
