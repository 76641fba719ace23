"""Players of the card games: perfect memory, card counting, and those that see the deck."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.popgym.deck import SUITS, DealtState
from envs.popgym.higher_lower import HIGHER, LOWER
from experiments.oracles import Oracle, no_memory

_NONE = -1


def _no_cards(env: Any, params: Any) -> DealtState:
    """Return the deck as it is known before the first card."""
    return DealtState(time=jnp.zeros((), jnp.int32), cards=jnp.zeros(env.num_cards, jnp.uint8))


def _recite(env: Any, params: Any, memory: DealtState, obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Write down every suit and look up the one that is asked for."""
    suit = jnp.argmax(obs[-SUITS:]).astype(jnp.uint8)
    # What is shown after the last card is none of the deck.
    cards = memory.cards.at[memory.time].set(suit, mode="drop")
    position, _ = env.asked(memory.time)
    answer = cards[jnp.clip(position, 0, env.num_cards - 1)].astype(jnp.int32)
    return answer, DealtState(time=memory.time + 1, cards=cards)


def _no_counts(env: Any, params: Any) -> jax.Array:
    """Return how many cards of each type were seen before the first, int32 (types,)."""
    return jnp.zeros(env.num_types, jnp.int32)


def _count(env: Any, params: Any, counts: jax.Array, obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Count the card on screen and answer with the count that is asked for."""
    card, query = obs.reshape(2, env.num_types)
    counts = counts + card
    return jnp.sum(counts * query), counts


def _likelier(env: Any, params: Any, counts: jax.Array, obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Guess what most of the unseen cards are; no guess changes what can be known later, so nothing is better."""
    counts = counts + obs
    left = env.num_cards // env.num_types - counts
    above = jnp.arange(env.num_types) - jnp.argmax(obs)
    return jnp.where(jnp.sum(left * jnp.sign(above)) >= 0, HIGHER, LOWER), counts


def _away_from_the_end(env: Any, params: Any, memory: tuple[()], obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Guess higher for the lower half of the ranks."""
    return jnp.where(jnp.argmax(obs) <= env.num_types // 2, HIGHER, LOWER), memory


def _peek(env: Any, params: Any, memory: tuple[()], obs: jax.Array, state: DealtState, key: jax.Array) -> Any:
    """Look at the next card."""
    shown, following = state.cards[jnp.minimum(state.time + jnp.arange(2), env.num_cards - 1)]
    return jnp.where(following >= shown, HIGHER, LOWER), memory


class _Table(NamedTuple):
    """What a player of Concentration has seen, who never turns a card that is up.

    Attributes:
      time: steps taken, int32 ().
      types: the type of the card at each position, or the class for face down if it was never seen, int32 (cards,).
      up: which positions were matched, bool (cards,).
      turned: the positions turned last, oldest first, int32 (2,).
    """

    time: jax.Array
    types: jax.Array
    up: jax.Array
    turned: jax.Array


def _face_down(env: Any, params: Any) -> _Table:
    return _Table(
        time=jnp.zeros((), jnp.int32),
        types=jnp.full(env.num_cards, env.num_types, jnp.int32),
        up=jnp.zeros(env.num_cards, bool),
        turned=jnp.zeros(2, jnp.int32),
    )


def _pair_what_is_known(env: Any, params: Any, table: _Table, obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Turn over pairs that are known; else an unseen card, and then its partner if that is known or another unseen."""
    positions, face_down = jnp.arange(env.num_cards), env.num_types
    shown = jnp.argmax(obs.reshape(env.num_cards, env.num_types + 1), axis=1)
    types = jnp.where(shown == face_down, table.types, shown)
    is_second = table.time % 2 == 1
    earlier, latest = table.turned
    matched = ~is_second & (table.time > 0) & (types[earlier] == types[latest])
    up = table.up | matched & ((positions == earlier) | (positions == latest))

    known = ~up & (types != face_down)
    number = jnp.sum(jax.nn.one_hot(types, env.num_types, dtype=jnp.int32) * known[:, None], axis=0)
    in_pairs = number[jnp.minimum(types, env.num_types - 1)] >= 2
    partner = (types == types[latest]) & (positions != latest)
    wanted = known & jnp.where(is_second, partner, in_pairs)
    choice = jnp.argmax(2 * wanted + (types == face_down)).astype(jnp.int32)
    return choice, _Table(table.time + 1, types, up, jnp.stack([latest, choice]))


def _pair(env: Any, params: Any, memory: tuple[()], obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Turn over pairs of equal cards."""
    first = jnp.where(state.turned[1] == _NONE, state.turned[0], _NONE)
    partner = (first == _NONE) | (state.cards == state.cards[jnp.maximum(first, 0)])
    down = ~state.face_up & (jnp.arange(env.num_cards) != first)
    return jnp.argmax(down & partner).astype(jnp.int32), memory


_RECITE = Oracle("perfect memory", "history", _no_cards, _recite, "perfect_memory", exact=True)

ORACLES = {
    "RepeatFirst": (_RECITE,),
    "RepeatPrevious": (_RECITE,),
    "Autoencode": (_RECITE,),
    "CountRecall": (Oracle("perfect memory", "history", _no_counts, _count, "perfect_memory", exact=True),),
    "HigherLower": (
        Oracle("optimal card counting", "history", _no_counts, _likelier, "perfect_memory_card_counting_optimal"),
        Oracle("best without memory", "history", no_memory, _away_from_the_end, "memoryless_optimal"),
        Oracle("sees the next card", "state", no_memory, _peek, "sees_next_card"),
    ),
    "Concentration": (
        Oracle("greedy with perfect memory", "history", _face_down, _pair_what_is_known, "perfect_memory_greedy"),
        Oracle("sees all cards", "state", no_memory, _pair, "full_state", exact=True),
    ),
}
