"""How each family of POPGym games is compared with the original: one module per family, each with a `FAMILY`.

A family says how to read the original's hidden state, how to play it so that every rule fires, and what is drawn at
random. The tests that use this are the same for all families (tests/envs/test_popgym_*.py).
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LEVELS = ("Easy", "Medium", "Hard")

# (the original, unwrapped; step of the episode; numpy generator) -> an action as the original takes it.
Policy = Callable[[Any, int, np.random.Generator], Any]


@dataclass(frozen=True)
class Family:
    """How to compare one family with the original.

    Attributes:
      game: our name, as in popgym/<game>Easy.
      hidden: the original, just reset -> the fields of our state that hold its hidden state, as numpy arrays with the
        shapes and values that our state has. The harness replaces these fields in a fresh state of ours.
      resync: after every so many steps the harness replaces them again; 0 for never. For systems whose float32 and
        float64 trajectories part within an episode, whatever the care.
      steady: those of `policies` (by index) under which float32 and float64 stay together for whole episodes, so that
        these are compared without putting the state in again, too; for families with `resync`.
      steady_atol: how far observations may then differ, by the episode's end.
      policies: players of the original; they may look at its hidden state. They take turns over the episodes. Between
        them they must reach every label: random, optimal and deliberately bad ones.
      label: (the original, an action that is about to be taken) -> which reward branch that is.
      labels: every label of a level ("Easy", ...); a test demands that each was seen.
      ends: every (terminated, truncated) with which an episode of a level can end; each must be seen.
      original_game: the original's name where it differs.
      to_ours: an action of the original as ours takes it: int, or an array of ints or floats.
      invalid: an action is outside the original's action space, which refuses it: the harness gives it to ours only.
      draws: where our `step_env`/`observe` draw from their key: (env, params, keys (n,)) -> (n, ...) array of what they
        draw, computed by the same code path on purpose (so that a change of the draw shows).
      feed: (the original, a row of `draws`): make its next step (or its reset's observation) draw just that.
      observation_atol: how far observations may differ (0 for one-hot ones).
      reward_atol: how far rewards may differ.
      statistics: hidden states of many episodes, {field: (n, ...)} -> {name: (n,) or (n, k) small integers >= 0}, whose
        frequencies are compared with the original's by a chi-square test. Empty where nothing is drawn at reset.
    """

    game: str
    hidden: Callable[[Any], dict[str, np.ndarray]]
    policies: tuple[Policy, ...]
    label: Callable[[Any, Any], str]
    labels: Mapping[str, tuple[str, ...]]
    ends: Mapping[str, frozenset[tuple[bool, bool]]]
    original_game: str = ""
    to_ours: Callable[[Any], Any] = lambda action: action
    draws: Callable[[Any, Any, Any], np.ndarray] | None = None
    feed: Callable[[Any, np.ndarray], None] | None = None
    resync: int = 0
    steady: tuple[int, ...] = ()
    steady_atol: float = 0.0
    observation_atol: float = 0.0
    reward_atol: float = 1e-6
    statistics: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = field(default=lambda hidden: {})

    def ids(self) -> tuple[str, ...]:
        """Our ids, easiest first."""
        return tuple(f"popgym/{self.game}{level}" for level in LEVELS)

    def original_id(self, level: str) -> str:
        """The original's gymnasium id at a level."""
        return f"popgym-{self.original_game or self.game}{level}-v0"


def families() -> dict[str, Family]:
    """Return every family by its game's name."""
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    return {module.FAMILY.game: module.FAMILY for module in modules if hasattr(module, "FAMILY")}
