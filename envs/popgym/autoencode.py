"""Autoencode: watch a deck, then recite it backwards.

Ref: popgym/envs/autoencode.py (1.0.7).
"""

import jax
import jax.numpy as jnp
from gymnax.environments.environment import EnvParams

from envs.observation import Categorical
from envs.popgym.deck import SUITS, DealtState, SuitGame

PLAY = 0
WATCH = 1


class Autoencode(SuitGame):
    """N cards are shown one by one (WATCH), then their suits are to be said from the last to the first (PLAY).

    An episode has N - 1 steps of WATCH, which pay nothing whatever the action, and N of PLAY, each +1 / N for the right
    suit and -1 / N for any other action, ids outside the action space included. A perfect game returns 1.

    Quirks kept from the original: the mode is switched before the observation of the last card is made, so that card
    arrives under the PLAY flag (autoencode.py:82-84); after every answer the observation is the constant
    (PLAY, suit 0), whichever card was asked for (autoencode.py:94), so only the count of steps tells where one is.

    Observation: mode (PLAY 0, WATCH 1) and suit, one-hot uint8 (2 + 4,). Action: suit 0..3. Ends: terminated, when
    every card was recited.
    """

    def __init__(self, num_decks: int = 1):
        """Set the number of decks."""
        super().__init__(num_decks)

    @property
    def max_episode_steps(self) -> int:
        """Number of `step` calls in every episode: the rest of the deck, then all of it backwards."""
        return 2 * self.num_cards - 1

    @property
    def reward_scale(self) -> float:
        """Number of paid answers."""
        return float(self.num_cards)

    def observation_parts(self, params: EnvParams) -> tuple[Categorical, ...]:
        """The mode and the suit."""
        return Categorical(2), Categorical(SUITS)

    def observe(self, key: jax.Array, state: DealtState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return mode and suit, one-hot uint8 (6,)."""
        last = self.num_cards - 1
        mode = jnp.where(state.time < last, WATCH, PLAY)
        suit = jnp.where(state.time <= last, self._at(state.cards, state.time), 0)
        return jnp.concatenate([jax.nn.one_hot(mode, 2, dtype=jnp.uint8), jax.nn.one_hot(suit, SUITS, dtype=jnp.uint8)])

    def asked(self, time: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the last position that was not yet recited, int32 (), and whether the mode is PLAY, bool ()."""
        last = self.num_cards - 1
        return 2 * last - time, time >= last

    def _screen(self, classes: list[int]) -> str:
        mode, suit = classes
        return f"{'watch' if mode == WATCH else 'play'}, card {self.symbols[suit]}"
