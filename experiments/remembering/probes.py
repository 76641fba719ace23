"""Linear probes: how much of a quantity can be read off an agent's numbers by a weighted sum of them.

Ridge regression in closed form. Half of the episodes fit the weights, a quarter chooses the penalty, and on the last
quarter, which neither has seen, the share of the variance that is explained is measured: 1 is all of it, 0 is what the
mean alone explains, and less than 0 is worse than that.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEWEST_EPISODES = 8  # that can be divided
_FEWEST_ROWS = 20  # to fit, to choose and to test
_PENALTIES = np.logspace(-5, 1, 13)  # as shares of the features' mean variance
_REPEATS = 1000  # of the bootstrap
_ENDS = 2.5, 97.5  # percentiles of a 95 % interval


class Score(NamedTuple):
    """A share of explained variance and its 95 % interval, by a bootstrap over test episodes; NaN: nothing varies."""

    value: float
    low: float
    high: float


class Fit(NamedTuple):
    """What a probe makes of its test episodes.

    Attributes:
      episode: int (test rows,), which of them.
      error, spread: float64 (test rows, outputs), squared error of the probe and of the mean.
    """

    episode: np.ndarray
    error: np.ndarray
    spread: np.ndarray

    def score(self) -> Score:
        """Return the share explained over all outputs together."""
        return _score(*(np.bincount(self.episode, values.sum(1)) for values in (self.error, self.spread)))

    def of(self, outputs: slice) -> "Fit":
        """Return the same of some outputs."""
        return self._replace(error=self.error[:, outputs], spread=self.spread[:, outputs])


def fit(features: np.ndarray, targets: np.ndarray, episode: np.ndarray, count: int) -> Fit | None:
    """Fit a probe and return what it makes of its test episodes; None if too few rows are left, or they are not finite.

    Args:
      features: (rows, F).
      targets: (rows, outputs).
      episode: int (rows,), which episode a row is of, from 0 on.
      count: how many episodes there are, with those of which there is no row.

    Raises:
      ValueError: for fewer than `FEWEST_EPISODES` episodes.
    """
    if count < FEWEST_EPISODES:
        raise ValueError(f"{count} episodes are too few for a probe: {FEWEST_EPISODES} or more can be divided")
    fits, chooses = episode < count // 2, (episode >= count // 2) & (episode < 3 * count // 4)
    tests = ~(fits | chooses)
    if min(fits.sum(), chooses.sum(), tests.sum()) < _FEWEST_ROWS:
        return None
    if not np.isfinite(features).all():
        return None
    features, targets = features.astype(np.float64), targets.astype(np.float64)
    centre, deviation = features[fits].mean(0), features[fits].std(0)
    features = (features - centre) / np.where(deviation > 1e-6, deviation, np.inf)  # what never moves says nothing
    mean = targets[fits].mean(0)
    inputs, outputs = features[fits], targets[fits] - mean
    wide = inputs.shape[1] > len(inputs)  # the smaller of the two matrices of products has all there is to know
    values, vectors = np.linalg.eigh(inputs @ inputs.T if wide else inputs.T @ inputs)
    projected = vectors.T @ (outputs if wide else inputs.T @ outputs)
    scale = (inputs**2).sum() / inputs.shape[1]

    def predicted(rows: np.ndarray, penalty: float) -> np.ndarray:
        weights = vectors @ (projected / (values.clip(0) + penalty * scale + 1e-12)[:, None])
        return mean + features[rows] @ (inputs.T @ weights if wide else weights)

    # Each output has the penalty that suits it.
    errors = np.stack([((predicted(chooses, each) - targets[chooses]) ** 2).sum(0) for each in _PENALTIES])
    best = errors.argmin(0)
    made = np.empty((int(tests.sum()), targets.shape[1]))
    for number in np.unique(best):
        made[:, best == number] = predicted(tests, _PENALTIES[number])[:, best == number]
    own = episode[tests] - 3 * count // 4
    return Fit(own, (made - targets[tests]) ** 2, (mean - targets[tests]) ** 2)


NOTHING = Score(*[float("nan")] * 3)


def joined(fits: Sequence[Fit | None]) -> Score:
    """Return the share that several probes explain together."""
    found = [fit for fit in fits if fit is not None]
    if not found:
        return NOTHING
    sums = lambda name: sum(
        np.bincount(fit.episode, getattr(fit, name).sum(1), minlength=1 + max(one.episode.max() for one in found))
        for fit in found
    )
    return _score(np.asarray(sums("error")), np.asarray(sums("spread")))


def _score(error: np.ndarray, spread: np.ndarray) -> Score:
    """Return the score of squares (episodes,)."""
    if not spread.sum() > 1e-9 * max(1, len(spread)):
        return NOTHING
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(error), size=(_REPEATS, len(error)))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = 1 - error[drawn].sum(1) / spread[drawn].sum(1)
    shares = shares[np.isfinite(shares)]
    low, high = np.percentile(shares, _ENDS) if len(shares) else (np.nan, np.nan)
    return Score(float(1 - error.sum() / spread.sum()), float(low), float(high))
