"""MultiarmedBandit beside the original."""

from typing import Any

import jax
import numpy as np

from tests.envs.families import LEVELS, Family

BINS = 20


class FedGenerator:
    """A numpy generator whose next single number is known beforehand; arrays are drawn as usual."""

    def __init__(self, source: np.random.Generator, number: np.float32):
        self.source, self.number = source, number

    def random(self, *args: Any, **kwargs: Any) -> Any:
        return self.source.random(*args, **kwargs) if args or kwargs else float(self.number)


def feed(env: Any, number: np.ndarray) -> None:
    """Make the original's next step pay by `number`."""
    env.np_random = FedGenerator(getattr(env.np_random, "source", env.np_random), number)


def draws(env: Any, params: Any, keys: jax.Array) -> np.ndarray:
    """Return the numbers that our steps pay by."""
    return np.asarray(jax.jit(jax.vmap(env.luck))(keys))


def label(env: Any, action: int) -> str:
    """Return whether an arm is going to pay."""
    return "payout" if env.np_random.number < env.bandits[action] else "no payout"


def statistics(states: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return in which bin each arm is, and in which quarters neighbours are."""
    arms = np.asarray(states["arms"])
    quarters = (4 * arms).astype(int)
    return {"arms": (BINS * arms).astype(int), "neighbours": 4 * quarters[:, 1:] + quarters[:, :-1]}


FAMILY = Family(
    game="MultiarmedBandit",
    hidden=lambda env: {"arms": env.bandits},
    policies=(
        lambda env, step, rng: int(rng.integers(env.num_bandits)),
        lambda env, step, rng: int(env.bandits.argmax()),
        lambda env, step, rng: int(env.bandits.argmin()),
    ),
    label=label,
    labels=dict.fromkeys(LEVELS, ("payout", "no payout")),
    ends=dict.fromkeys(LEVELS, frozenset({(False, True)})),
    draws=draws,
    feed=feed,
    statistics=statistics,
)
