"""What the families of card games share: decks of the original, players that know the right answer, statistics."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.envs.families import LEVELS, Family, Policy

INVALID = 0.2  # share of the careless answers that are outside the action space
ONLY_TERMINATED = dict.fromkeys(LEVELS, frozenset({(True, False)}))

# The original -> the answer that is right now, or None where no answer is paid.
Right = Callable[[Any], int | None]


def dealt(deck: Any, types: np.ndarray) -> np.ndarray:
    """Return a deck of the original as our states hold it: it deals from the end."""
    return types[deck.idx[::-1]]


def statistics(cards: np.ndarray) -> dict[str, np.ndarray]:
    """Return the types at some positions of (n, cards) decks, and whether neighbours there are equal."""
    size = cards.shape[1]
    places = np.array([0, 1, size // 2, size - 1])
    left = np.array([0, 1, size // 2, size - 2])
    return {
        "types": cards[:, places].astype(int),
        "equal neighbours": (cards[:, left] == cards[:, left + 1]).astype(int),
        "first and last equal": (cards[:, 0] == cards[:, -1]).astype(int),
    }


def answering(right: Right, skill: float) -> Policy:
    """Return a player that answers right with probability `skill`, and anything at all otherwise."""

    def policy(env: Any, step: int, rng: np.random.Generator) -> int:
        size, answer = int(env.action_space.n), right(env)
        if answer is not None and rng.random() < skill:
            return answer
        if rng.random() < INVALID:
            return int(rng.choice((-1, size, 100)))
        return int(rng.integers(size))

    return policy


def mistaken(right: Right) -> Policy:
    """Return a player that knows the right answer and never gives it."""

    def policy(env: Any, step: int, rng: np.random.Generator) -> int:
        size = int(env.action_space.n)
        return ((right(env) or 0) + int(rng.integers(1, size))) % size

    return policy


def recall_family(game: str, right: Right, hidden: Callable[[Any], dict[str, np.ndarray]], free: bool) -> Family:
    """Return the family of a game whose answers are right or wrong.

    The original takes an action outside its space for a wrong answer.

    Args:
      game: our name.
      right: what is right.
      hidden: as in `Family`.
      free: some steps are not paid.
    """

    def label(env: Any, action: int) -> str:
        answer = right(env)
        if answer is None:
            return "free"
        if not 0 <= action < env.action_space.n:
            return "invalid"
        return "right" if action == answer else "wrong"

    return Family(
        game=game,
        hidden=hidden,
        policies=(answering(right, 1.0), answering(right, 0.0), answering(right, 0.7), mistaken(right)),
        label=label,
        labels=dict.fromkeys(LEVELS, ("right", "wrong", "invalid", *["free"] * free)),
        ends=ONLY_TERMINATED,
        statistics=lambda fields: statistics(fields["cards"]),
    )
