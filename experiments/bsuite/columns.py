"""Episodes as the rows that bsuite logs of them.

Ref: bsuite/utils/wrappers.py:34-147 (0.3.6), and `bsuite_info` of each environment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from experiments.bsuite.tags import experiment_of

# A column's name -> its values, (rows,): int64 what is counted in whole numbers, float64 the rest.
Rows = dict[str, np.ndarray]
Episodes = Mapping[str, np.ndarray]

# The original logs episodes at these multiples of powers of ten (wrappers.py:144), here in tenths.
_TENTHS = (10, 12, 14, 17, 20, 25, 30, 40, 50, 60, 70, 80, 90)


@dataclass(frozen=True)
class EpisodeLog:
    """What one agent did in one setting, an entry an episode, in the order in which the episodes ended.

    Attributes:
      bsuite_id: such as `memory_len/17`.
      seed: of the agent. The scores of an agent are those of all ids with the same seed.
      columns: `return`, the sum of the rewards; `length`, the number of steps, not counting first observations; and the
        sum of each of the environment's tallies (`envs.bsuite.game.Game.tally`). Each of shape (episodes,).
    """

    bsuite_id: str
    seed: int
    columns: Episodes

    def __post_init__(self) -> None:
        """Check it.

        Raises:
          ValueError: for an unknown id, a column that is missing, or columns of other shapes.
        """
        needed = needed_columns(experiment_of(self.bsuite_id))
        if missing := [name for name in needed if name not in self.columns]:
            wanted = ", ".join(needed)
            raise ValueError(f"{self.bsuite_id}: the episodes have no {', '.join(missing)}; should have {wanted}")
        shapes = {name: np.shape(self.columns[name]) for name in needed}
        if len(set(shapes.values())) != 1 or len(shapes["return"]) != 1:
            raise ValueError(f"{self.bsuite_id}: each column should have a number an episode, but shapes are {shapes}")


def logged_episodes(episodes: int) -> np.ndarray:
    """Return those of the first `episodes` episodes, counted from 1, that the original logs, int64 (rows,)."""
    powers = [10**power for power in range(len(str(episodes)))]
    candidates = [tenths * power // 10 for power in powers for tenths in _TENTHS if tenths * power % 10 == 0]
    return np.array([episode for episode in candidates if episode <= episodes], np.int64)


def rows(log: EpisodeLog) -> Rows:
    """Return what the original logs of these episodes: its columns in its order, up to the last row that is due."""
    experiment = experiment_of(log.bsuite_id)
    logged = logged_episodes(len(log.columns["return"]))
    values = {name: np.asarray(log.columns[name], np.float64) for name in needed_columns(experiment)}
    found = {
        "steps": _whole(np.cumsum(values["length"])),
        "episode": np.arange(1, len(values["return"]) + 1, dtype=np.int64),
        "total_return": np.cumsum(values["return"]),
        "episode_len": _whole(values["length"]),
        "episode_return": values["return"],
        **{name: column(values) for name, (_, column) in _own(experiment).items()},
    }
    return {name: column[logged - 1] for name, column in found.items()}


def needed_columns(experiment: str) -> tuple[str, ...]:
    """Return the names that the episodes of an experiment have to have."""
    own = [name for names, _ in _own(experiment).values() for name in names]
    return tuple(dict.fromkeys(["return", "length", *own]))


def _whole(values: np.ndarray) -> np.ndarray:
    return np.round(values).astype(np.int64)


def _total(name: str, whole: bool = False) -> tuple[tuple[str, ...], Callable[[Episodes], np.ndarray]]:
    """Return a column that adds up a tally."""
    total = lambda values: np.cumsum(values[name])
    return (name,), (lambda values: _whole(total(values))) if whole else total


def _best(returns: Callable[[Episodes], np.ndarray]) -> Callable[[Episodes], np.ndarray]:
    """Return the greatest return so far; the original begins with 0 (cartpole.py:96)."""
    return lambda values: np.maximum.accumulate(np.maximum(returns(values), 0.0))


def _swingup(values: Episodes) -> np.ndarray:
    return values["upright"] - 0.1 * values["pushes"]


_REGRET = {"total_regret": _total("regret")}
_SEA = {"total_bad_episodes": _total("bad_episode", whole=True), "denoised_return": _total("denoised_return")}
_POLE = {
    "raw_return": _total("raw_return"),
    "best_episode": (("raw_return",), _best(lambda values: values["raw_return"])),
}
_SWINGUP = {
    "raw_return": (("upright", "pushes"), lambda values: np.cumsum(_swingup(values))),
    "total_upright": _total("upright"),
    "best_episode": (("upright", "pushes"), _best(_swingup)),
}
# Experiment, without _noise and _scale -> column -> the tallies that it needs, and the column from all episodes.
_OWN: dict[str, dict[str, tuple[tuple[str, ...], Callable[[Episodes], np.ndarray]]]] = {
    "bandit": _REGRET,
    "catch": _REGRET,
    "mountain_car": {"raw_return": _total("raw_return")},
    "cartpole": _POLE,
    "cartpole_swingup": _SWINGUP,
    "deep_sea": _SEA,
    "deep_sea_stochastic": _SEA,
    "umbrella_length": _REGRET,
    "umbrella_distract": _REGRET,
    "discounting_chain": {},
    **{name: {"total_perfect": _total("perfect", whole=True), **_REGRET} for name in ("memory_len", "memory_size")},
}


def _own(experiment: str) -> dict[str, tuple[tuple[str, ...], Callable[[Episodes], np.ndarray]]]:
    return _OWN[experiment.removesuffix("_noise").removesuffix("_scale")]
