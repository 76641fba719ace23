"""Decks of cards, and what the card games have in common.

Ref: popgym/core/deck.py. Card i of a deck has rank (i // 4) % 13 (ace = 0), suit i % 4 and colour i % 2. The original
shuffles card indices with numpy and deals from the end of the permutation; here a deck lies in dealing order and holds
only the one property that the game is about.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments.environment import EnvParams, EnvState

from envs.observation import Categorical
from envs.popgym.game import Game, no_time_limit
from envs.spaces import as_index

CARDS = 52
RANKS = 13
SUITS = 4
COLORS = 2


def ranks(num_decks: int) -> np.ndarray:
    """Return the ranks of `num_decks` decks in order, uint8 (52 * num_decks,), 0..12."""
    return (np.arange(CARDS * num_decks) // SUITS % RANKS).astype(np.uint8)


def suits(num_decks: int) -> np.ndarray:
    """Return the suits of `num_decks` decks in order, uint8 (52 * num_decks,), 0..3."""
    return (np.arange(CARDS * num_decks) % SUITS).astype(np.uint8)


def colors(num_decks: int) -> np.ndarray:
    """Return the colours of `num_decks` decks in order, uint8 (52 * num_decks,), 0..1."""
    return (np.arange(CARDS * num_decks) % COLORS).astype(np.uint8)


@dataclass(frozen=True)
class Property:
    """What a game tells cards apart by.

    Attributes:
      of_decks: number of decks -> the property of each card in order, uint8 (52 * num_decks,).
      symbols: one letter for each of its values.
    """

    of_decks: Callable[[int], np.ndarray]
    symbols: str


PROPERTIES = {
    "colors": Property(colors, "BR"),
    "suits": Property(suits, "♠♦♣♥"),
    "ranks": Property(ranks, "A23456789TJQK"),
}


def shuffle(key: jax.Array, cards: np.ndarray) -> jax.Array:
    """Return `cards` in a random order.

    One sort of random words that carry the card in their lowest bits: on CPU 2 to 7 times faster than
    `jax.random.permutation`, which matters because auto-reset may shuffle a deck per step. Two words agree in the
    random bits with a probability below 3.3e-4 per deck of 832 suits (1.3e-6 for 52); only then is the order of those
    two cards not random.

    Args:
      key: typed PRNG key.
      cards: small non-negative integers (n,), known at compile time.

    Returns:
      The shuffled cards, uint8 (n,).
    """
    card_bits = (1 << int(cards.max()).bit_length()) - 1
    words = jax.random.bits(key, cards.shape, jnp.uint32)
    words = words & ~jnp.uint32(card_bits) | cards.astype(np.uint32)
    return (jnp.sort(words) & jnp.uint32(card_bits)).astype(jnp.uint8)


class CardGame(Game):
    """A game with a fixed number of cards that differ in one property."""

    def __init__(self, num_decks: int, cards: str):
        """Set the number of decks and the property: a key of `PROPERTIES`.

        Raises:
          ValueError: if there is no deck.
        """
        if num_decks < 1:
            raise ValueError(f"{self.name}: num_decks={num_decks} should be at least 1")
        self.num_decks = num_decks
        self.num_cards = CARDS * num_decks
        self.symbols = PROPERTIES[cards].symbols
        self.num_types = len(self.symbols)
        self._ordered = PROPERTIES[cards].of_decks(num_decks)

    def observation_parts(self, params: EnvParams) -> tuple[Categorical, ...]:
        """The one-hot groups of the observation, in order."""
        raise NotImplementedError

    def _classes(self, state: EnvState, params: EnvParams) -> list[int]:
        """Return the class of each one-hot group of the observation; for drawings, so that they show no more."""
        groups = self.observe(jax.random.key(0), state, None, params)
        classes, start = [], 0
        for part in self.observation_parts(params):
            values = np.asarray(groups[start : start + part.size]).reshape(part.count, part.classes)
            classes += values.argmax(1).tolist()
            start += part.size
        return classes


@struct.dataclass
class DealtState(EnvState):
    """A deck and how far it was dealt.

    Attributes:
      time: steps taken, int32 ().
      cards: the deck in dealing order, uint8 (cards,).
    """

    time: jax.Array
    cards: jax.Array


class DealtGame(CardGame):
    """A game that shows one card after another.

    It ends by itself, with the deck: such games are terminated and never truncated, whatever
    `params.max_steps_in_episode` says.
    """

    @property
    def max_episode_steps(self) -> int:
        """Number of `step` calls in every episode: one per card after the first."""
        return self.num_cards - 1

    def observation_parts(self, params: EnvParams) -> tuple[Categorical, ...]:
        """The card."""
        return (Categorical(self.num_types),)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, DealtState]:
        """Shuffle the deck and show its first card."""
        state = DealtState(time=jnp.zeros((), jnp.int32), cards=shuffle(key, self._ordered))
        return self.observe(key, state, None, params), state

    def observe(self, key: jax.Array, state: DealtState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the card on screen, one-hot uint8 (types,)."""
        return jax.nn.one_hot(self._at(state.cards, state.time), self.num_types, dtype=jnp.uint8)

    def is_terminated(self, state: DealtState, params: EnvParams) -> jax.Array:
        """Return whether the game is over, bool ()."""
        return state.time >= self.max_episode_steps

    def is_truncated(self, state: DealtState, params: EnvParams) -> jax.Array:
        """Return False: nothing but the deck limits the time."""
        return no_time_limit(state, params)

    def render(self, state: DealtState, params: EnvParams, hidden: bool = False) -> str:
        """Return the card on screen; with `hidden`, what is right and the deck too.

        A bar in the deck follows the card on screen.
        ♠♦♣♥ are suits, A23456789TJQK ranks, B and R the colours black and red. Host only.
        """
        lines = [self._screen(self._classes(state, params))]
        if hidden:
            lines += [] if self.is_terminated(state, params) else [self._right(state)]
            lines += ["deck:", *self._deck_lines(state.cards, int(state.time) + 1)]
        return "\n".join(lines)

    def _screen(self, classes: list[int]) -> str:
        """Return what is seen, given the classes of the observation's groups."""
        return f"card {self.symbols[classes[0]]}"

    def _right(self, state: DealtState) -> str:
        """Return what the right action is."""
        raise NotImplementedError

    def _at(self, cards: jax.Array, position: jax.Array) -> jax.Array:
        """Return one of the cards; a position outside the deck is the nearest one in it."""
        return cards[jnp.clip(position, 0, self.num_cards - 1)]

    def _deck_lines(self, cards: jax.Array, shown: int) -> list[str]:
        """Return a deck in dealing order, 52 cards a line, with a bar after the first `shown`."""
        marked = [self.symbols[card] + "|" * (i + 1 == shown) for i, card in enumerate(np.asarray(cards))]
        return ["".join(marked[i : i + CARDS]) for i in range(0, self.num_cards, CARDS)]

    def _advance(
        self, key: jax.Array, state: DealtState, action: jax.Array, reward: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, DealtState, jax.Array, jax.Array, dict[str, Any]]:
        """Let one step pass and return what `step_env` returns."""
        state = state.replace(time=state.time + 1)
        reward = reward.astype(jnp.float32) / self.reward_scale
        return self.observe(key, state, action, params), state, reward, self.is_terminated(state, params), {}


class SuitGame(DealtGame):
    """A game that asks, at each step, for the suit of one card of the deck (action 0..3). A subclass says which."""

    action_names = ("spades", "diamonds", "clubs", "hearts")

    def __init__(self, num_decks: int):
        """Set the number of decks."""
        super().__init__(num_decks, "suits")

    @property
    def num_actions(self) -> int:
        """Number of suits."""
        return SUITS

    def asked(self, time: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return which card is asked for after `time` steps.

        Returns:
          Position in the deck, int32 (), in range whenever the answer is paid; whether it is paid, bool ().
        """
        raise NotImplementedError

    def step_env(
        self, key: jax.Array, state: DealtState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, DealtState, jax.Array, jax.Array, dict[str, Any]]:
        """Judge the answer to what is on screen, then go on."""
        position, paid = self.asked(state.time)
        reward = jnp.where(paid, judge(action, self._at(state.cards, position)), jnp.float32(0))
        return self._advance(key, state, action, reward, params)

    def _right(self, state: DealtState) -> str:
        position, paid = self.asked(state.time)
        if not paid:
            return "no answer is paid yet"
        return f"right: {self.symbols[int(self._at(state.cards, position))]}, card {int(position) + 1} of the deck"


def judge(action: jax.Array, answer: jax.Array) -> jax.Array:
    """Return float32 +1 if `action` is `answer`, -1 for any other action, ids outside the action space included."""
    # Compared as int32: the deck's uint8 cannot tell 256 from 0.
    return jnp.where(as_index(action) == answer.astype(jnp.int32), jnp.float32(1), jnp.float32(-1))
