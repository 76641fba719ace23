"""Decks of cards, and what the card games have in common.

Ref: popgym/core/deck.py. Card i of a deck has rank (i // 4) % 13 (ace = 0), suit i % 4 and colour i % 2. The original
shuffles card indices with numpy and deals from the end of the permutation; here a deck lies in dealing order and holds
only the one property that the game is about.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams, EnvState

from envs.observation import Categorical, Part

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
    return (jnp.sort(words) & card_bits).astype(jnp.uint8)


class CardGame(Environment):
    """A game with a fixed number of cards, seen as one-hot groups."""

    def __init__(self, num_decks: int):
        """Set the number of decks.

        Raises:
          ValueError: if there is no deck.
        """
        if num_decks < 1:
            raise ValueError(f"{self.name}: num_decks={num_decks} should be at least 1")
        self.num_decks = num_decks
        self.num_cards = CARDS * num_decks

    @property
    def max_episode_steps(self) -> int:
        """Number of `step` calls in the longest episode."""
        raise NotImplementedError

    @property
    def reward_scale(self) -> float:
        """Factor that brings the reward of one answer to plus or minus one."""
        raise NotImplementedError

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """The one-hot groups of the observation, in order."""
        raise NotImplementedError

    @property
    def default_params(self) -> EnvParams:
        """Parameters with the original's episode length."""
        return EnvParams(max_steps_in_episode=self.max_episode_steps)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """The one-hot groups side by side, uint8."""
        return spaces.Box(0, 1, (sum(part.size for part in self.observation_parts(params)),), jnp.uint8)

    def action_space(self, params: EnvParams) -> spaces.Discrete:
        """One of `num_actions` ids."""
        return spaces.Discrete(self.num_actions)


@struct.dataclass
class DealtState(EnvState):
    """A deck and how far it was dealt.

    Attributes:
      time: steps taken, int32 ().
      suits: the deck in dealing order, uint8 (cards,).
    """

    time: jax.Array
    suits: jax.Array


class SuitGame(CardGame):
    """A game that shows one suit after another and is answered with suits (action 0..3).

    It ends by itself, with the deck: such games are terminated and never truncated, whatever
    `params.max_steps_in_episode` says.
    """

    @property
    def max_episode_steps(self) -> int:
        """Number of `step` calls in every episode: one per card after the first."""
        return self.num_cards - 1

    @property
    def num_actions(self) -> int:
        """Number of suits."""
        return SUITS

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """The suit."""
        return (Categorical(SUITS),)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, DealtState]:
        """Shuffle the deck and show its first card."""
        state = DealtState(time=jnp.zeros((), jnp.int32), suits=shuffle(key, suits(self.num_decks)))
        return self.observe(key, state, None, params), state

    def observe(self, key: jax.Array, state: DealtState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the suit on screen, one-hot uint8 (4,)."""
        return jax.nn.one_hot(state.suits[state.time], SUITS, dtype=jnp.uint8)

    def is_terminated(self, state: DealtState, params: EnvParams) -> jax.Array:
        """Return whether the game is over, bool ()."""
        return state.time >= self.max_episode_steps

    def is_truncated(self, state: DealtState, params: EnvParams) -> jax.Array:
        """Return False: nothing but the deck limits the time."""
        return jnp.zeros((), bool)

    def _advance(
        self, key: jax.Array, state: DealtState, action: jax.Array, reward: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, DealtState, jax.Array, jax.Array, dict[str, Any]]:
        """Let one step pass and return what `step_env` returns."""
        state = state.replace(time=state.time + 1)
        return self.observe(key, state, action, params), state, reward, self.is_terminated(state, params), {}


def judge(action: jax.Array, suit: jax.Array) -> jax.Array:
    """Return float32 +1 if `action` names `suit`, -1 for any other action, ids outside the action space included."""
    # Compared as int32: a weakly typed action would be narrowed to the deck's uint8, where 256 is 0.
    return jnp.where(action == suit.astype(jnp.int32), 1.0, -1.0).astype(jnp.float32)
