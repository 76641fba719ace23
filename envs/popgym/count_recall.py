"""CountRecall: say how many cards of one type were dealt so far.

Ref: popgym/envs/count_recall.py (1.0.7).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments.environment import EnvParams

from envs.observation import Categorical
from envs.popgym.deck import PROPERTIES, DealtGame, DealtState, judge, shuffle


@struct.dataclass
class CountRecallState(DealtState):
    """Two decks, dealt side by side, and what was counted.

    Attributes:
      queries: the second deck in dealing order: the types that are asked for, uint8 (cards,).
      counts: how many cards of each type were dealt from the first, the one on screen included, int32 (types,).
    """

    queries: jax.Array
    counts: jax.Array


class CountRecall(DealtGame):
    """A card and a question are dealt at each step: how many cards of the type in question have there been?

    Cards and questions come from a shuffled deck each. With N cards an episode has N - 1 steps, each paid +1 / (N - 1)
    for the right number and -1 / (N - 1) for any other action, ids outside the action space included. A perfect game
    returns 1.

    Quirks kept from the original: the card on screen counts already (count_recall.py:98, :140), so the answer to a
    question about its type is never 0; all N / types cards of a type can be answered, with one action more than there
    are cards of it (count_recall.py:75).

    Observation: type of the card, type in question, one-hot uint8 (2 * types,). Action: number 0..N / types. Ends:
    terminated, with the last card.
    """

    def __init__(self, num_decks: int = 1, count: str = "colors"):
        """Set the number of decks and what is counted: `count` is "colors", "suits" or "ranks".

        Raises:
          ValueError: for any other `count`.
        """
        if count not in PROPERTIES:
            raise ValueError(f"{self.name}: count={count!r} should be one of {', '.join(PROPERTIES)}")
        super().__init__(num_decks, count)

    @property
    def reward_scale(self) -> float:
        """Number of paid answers."""
        return float(self.num_cards - 1)

    @property
    def num_actions(self) -> int:
        """Numbers from none to all cards of a type."""
        return self.num_cards // self.num_types + 1

    def observation_parts(self, params: EnvParams) -> tuple[Categorical, ...]:
        """The card and the question."""
        return (Categorical(self.num_types, count=2),)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, CountRecallState]:
        """Shuffle both decks and show the first card of each."""
        # One sort of both at once.
        cards, queries = jax.vmap(shuffle, (0, None))(jax.random.split(key), self._ordered)
        state = CountRecallState(
            time=jnp.zeros((), jnp.int32),
            cards=cards,
            queries=queries,
            counts=jax.nn.one_hot(cards[0], self.num_types, dtype=jnp.int32),
        )
        return self.observe(key, state, None, params), state

    def observe(
        self, key: jax.Array, state: CountRecallState, action: jax.Array | None, params: EnvParams
    ) -> jax.Array:
        """Return the card on screen and the question, one-hot uint8 (2 * types,)."""
        shown = jnp.stack([self._at(deck, state.time) for deck in (state.cards, state.queries)])
        return jax.nn.one_hot(shown, self.num_types, dtype=jnp.uint8).ravel()

    def step_env(
        self, key: jax.Array, state: CountRecallState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, CountRecallState, jax.Array, jax.Array, dict[str, Any]]:
        """Judge the answer, then deal and count the next card."""
        reward = judge(action, self._answer(state))
        # Nothing is dealt, nor counted, past the end of the deck.
        following = jnp.where(self.is_terminated(state, params), self.num_types, self._at(state.cards, state.time + 1))
        counts = state.counts + jax.nn.one_hot(following, self.num_types, dtype=jnp.int32)
        return self._advance(key, state.replace(counts=counts), action, reward, params)

    def render(self, state: CountRecallState, params: EnvParams, hidden: bool = False) -> str:
        """Return the card on screen and the question; with `hidden`, the counts and both decks too.

        ♠♦♣♥ are suits, A23456789TJQK ranks, B and R the colours black and red. Host only.
        """
        text = super().render(state, params, hidden)
        if not hidden:
            return text
        return "\n".join([text, "questions:", *self._deck_lines(state.queries, int(state.time) + 1)])

    def _answer(self, state: CountRecallState) -> jax.Array:
        return state.counts[self._at(state.queries, state.time)]

    def _screen(self, classes: list[int]) -> str:
        card, query = (self.symbols[index] for index in classes)
        return f"card {card}, how many {query} were there?"

    def _right(self, state: CountRecallState) -> str:
        counts = ", ".join(f"{symbol} {count}" for symbol, count in zip(self.symbols, state.counts, strict=True))
        return f"right: {self._answer(state)} (counts: {counts})"
