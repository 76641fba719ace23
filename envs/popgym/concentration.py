"""Concentration: turn over pairs of equal cards, remembering where they lie.

Ref: popgym/envs/concentration.py (1.0.7).
"""

import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments.environment import EnvParams, EnvState

from envs.observation import Categorical
from envs.popgym.deck import RANKS, CardGame, shuffle
from envs.spaces import nearest

_MATCHES = ("colors", "ranks")  # there are 13 of each suit, which leaves one over
_NONE = -1


@struct.dataclass
class ConcentrationState(EnvState):
    """The table.

    Attributes:
      time: steps taken, int32 ().
      cards: the type of the card at each position, uint8 (cards,).
      face_up: which positions were matched, bool (cards,).
      turned: positions turned over in the turn on screen, oldest first, -1 for none, int32 (2,).
    """

    time: jax.Array
    cards: jax.Array
    face_up: jax.Array
    turned: jax.Array


class Concentration(CardGame):
    """N cards lie face down; each step turns one over, and two of a kind in one turn stay up.

    With L steps in an episode a step is paid, by the first rule that fits:
      - the card is up already: -1 / L as first of a turn, -2 / L as second; the turn is over;
      - first card of a turn: 0;
      - the second card matches the first: +2 / N, and both stay up;
      - it does not, or is the same card: -2 / L; both are turned back.

    Quirks kept from the original: turning over a card that is up counts as a whole turn (concentration.py:94-96), so as
    second card it also hides the first one; the table is shown before a failed pair is turned back
    (concentration.py:83), so both cards are seen once; L = ceil(2 N - N / (2 N - 1)) (concentration.py:37) is 2 N for
    every number of decks; a last match on the last step sets both flags (concentration.py:74, :105).

    A position outside the table is taken as the nearest one on it (the original raises, or counts from the end).

    Observation: per position the card's type, or one more class for face down, one-hot uint8 (N * (types + 1),).
    Action: position 0..N-1. Ends: terminated when all cards are up, truncated after L steps.
    """

    def __init__(self, num_decks: int = 1, match: str = "ranks"):
        """Set the number of decks and what makes a pair: `match` is "colors" or "ranks".

        Raises:
          ValueError: for any other `match`.
        """
        if match not in _MATCHES:
            raise ValueError(f"{self.name}: match={match!r} should be one of {', '.join(_MATCHES)}")
        super().__init__(num_decks, match)

    @property
    def max_episode_steps(self) -> int:
        """Number of steps after which the original stops the game."""
        cards = self.num_cards
        return math.ceil(2 * cards - cards / (2 * cards - 1))

    @property
    def reward_scale(self) -> float:
        """Number of pairs."""
        return float(self.num_cards // 2)

    @property
    def num_actions(self) -> int:
        """Number of positions."""
        return self.num_cards

    def observation_parts(self, params: EnvParams) -> tuple[Categorical, ...]:
        """A card type or face down, per position."""
        return (Categorical(self.num_types + 1, count=self.num_cards),)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, ConcentrationState]:
        """Lay out a shuffled deck face down."""
        state = ConcentrationState(
            time=jnp.zeros((), jnp.int32),
            cards=shuffle(key, self._ordered),
            face_up=jnp.zeros(self.num_cards, bool),
            turned=jnp.full(2, _NONE, jnp.int32),
        )
        return self.observe(key, state, None, params), state

    def observe(
        self, key: jax.Array, state: ConcentrationState, action: jax.Array | None, params: EnvParams
    ) -> jax.Array:
        """Return the table as it lies, one-hot uint8 (N * (types + 1),)."""
        positions = jnp.arange(self.num_cards, dtype=jnp.int32)
        visible = state.face_up | (positions == state.turned[0]) | (positions == state.turned[1])
        seen = jnp.where(visible, state.cards, jnp.uint8(self.num_types))
        return jax.nn.one_hot(seen, self.num_types + 1, dtype=jnp.uint8).ravel()

    def step_env(
        self, key: jax.Array, state: ConcentrationState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, ConcentrationState, jax.Array, jax.Array, dict[str, Any]]:
        """Turn over one card and settle the turn if that ends it."""
        card = nearest(action, self.num_cards)
        # Two turned cards are those of the turn before; they were left on screen for one observation.
        first = jnp.where(state.turned[1] == _NONE, state.turned[0], _NONE)
        is_second = first != _NONE
        up_already = state.face_up[card]
        match = is_second & ~up_already & (card != first) & (state.cards[card] == state.cards[first])
        failure = jnp.where(is_second, jnp.float32(-2), -up_already.astype(jnp.float32)) / self.max_episode_steps

        positions = jnp.arange(self.num_cards, dtype=jnp.int32)
        pair = (positions == card) | (positions == first)
        # A first card that is up already leaves nothing in play: the next card is a first one again.
        opened = jnp.where(up_already, _NONE, card)
        state = state.replace(
            time=state.time + 1,
            face_up=state.face_up | (match & pair),
            turned=jnp.where(is_second, jnp.stack([first, card]), jnp.stack([opened, _NONE])),
        )
        reward = jnp.where(match, 1.0 / self.reward_scale, failure)
        return self.observe(key, state, action, params), state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state: ConcentrationState, params: EnvParams) -> jax.Array:
        """Return whether all cards are up, bool ()."""
        return jnp.all(state.face_up)

    def render(self, state: ConcentrationState, params: EnvParams, hidden: bool = False) -> str:
        """Return the table in rows of 13, each with its first position; with `hidden`, what lies there too.

        A dot is a card face down, A23456789TJQK are ranks, B and R the colours black and red. Host only.
        """
        table = self._table(self._classes(state, params))
        return "\n".join([*table, "all cards:", *self._table(state.cards)] if hidden else table)

    def _table(self, classes: Iterable[int]) -> list[str]:
        symbols = [(self.symbols + "·")[card] for card in classes]
        return [f"{i:3d}  {' '.join(symbols[i : i + RANKS])}" for i in range(0, self.num_cards, RANKS)]
