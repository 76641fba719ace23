"""RepeatFirst: say the suit of the first card, again and again.

Ref: popgym/envs/repeat_first.py (1.0.7).
"""

import jax
import jax.numpy as jnp

from envs.popgym.deck import SuitGame


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

    def asked(self, time: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the first position, int32 (), and True, bool ()."""
        return jnp.zeros_like(time), jnp.ones_like(time, bool)
