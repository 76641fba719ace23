"""Scores of several games and seeds as a few numbers with intervals.

Ref: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", arXiv 2108.13264: the
interquartile mean over all runs, the optimality gap, the probability of improvement, and 95 % intervals by a bootstrap
that draws seeds anew within each game.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Scores = Mapping[str, np.ndarray]  # game -> (seeds,); 0 is random play and 1 the best known
REPEATS = 5000  # of the bootstrap
_ENDS = 2.5, 97.5  # percentiles of a 95 % interval


class Estimate(NamedTuple):
    """A number and its 95 % interval; without one (NaN) where no game has a second seed."""

    value: float
    low: float
    high: float


def interquartile_mean(games: list[np.ndarray]) -> np.ndarray:
    """Return the mean of the middle half of all runs, (...), of games' scores (..., seeds)."""
    runs = np.sort(np.concatenate(games, -1), -1)
    cut = runs.shape[-1] // 4
    return runs[..., cut : runs.shape[-1] - cut].mean(-1)


def median(games: list[np.ndarray]) -> np.ndarray:
    """Return the median over games of each game's mean."""
    return np.median(np.stack([game.mean(-1) for game in games]), 0)


def mean(games: list[np.ndarray]) -> np.ndarray:
    """Return the mean over games of each game's mean."""
    return np.mean(np.stack([game.mean(-1) for game in games]), 0)


def optimality_gap(games: list[np.ndarray]) -> np.ndarray:
    """Return how far from 1 the runs are on average, those above counting as 1: 0 is best."""
    return np.maximum(0.0, 1.0 - np.concatenate(games, -1)).mean(-1)


AGGREGATES: dict[str, Callable[[list[np.ndarray]], np.ndarray]] = {
    "interquartile mean": interquartile_mean,
    "median": median,
    "mean": mean,
    "optimality gap": optimality_gap,
}


def aggregates(scores: Scores, repeats: int = REPEATS, seed: int = 0) -> dict[str, Estimate]:
    """Return each aggregate of a set of runs; `seed` is the bootstrap's."""
    games = [scores[game] for game in sorted(scores)]
    drawn = [_resampled(np.random.default_rng([seed, i]), game, repeats) for i, game in enumerate(games)]
    several = any(len(game) > 1 for game in games)
    return {name: _estimate(float(of(games)), of(drawn), several) for name, of in AGGREGATES.items()}


def improvement(ours: Scores, theirs: Scores, repeats: int = REPEATS, seed: int = 0) -> Estimate:
    """Return the chance that a run of ours is better than one of theirs, a tie being half of that.

    It is the mean over the games that both have.

    Raises:
      ValueError: if they have no game in common.
    """
    games = sorted(set(ours) & set(theirs))
    if not games:
        raise ValueError("no game in common")
    value = float(np.mean([_better(ours[game], theirs[game]) for game in games]))
    chances = []
    for i, game in enumerate(games):
        rng = np.random.default_rng([seed, i])
        chances.append(_better(_resampled(rng, ours[game], repeats), _resampled(rng, theirs[game], repeats)))
    several = any(len(scores[game]) > 1 for scores in (ours, theirs) for game in games)
    return _estimate(value, np.mean(chances, 0), several)


def _better(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the share of pairs (..., seeds) x (..., seeds) in which ours is larger."""
    difference = ours[..., :, None] - theirs[..., None, :]
    return (0.5 * (np.sign(difference) + 1.0)).mean((-2, -1))


def _resampled(rng: np.random.Generator, game: np.ndarray, repeats: int) -> np.ndarray:
    """Return seeds drawn with replacement, (repeats, seeds)."""
    return game[rng.integers(0, len(game), (repeats, len(game)))]


def _estimate(value: float, drawn: np.ndarray, several: bool) -> Estimate:
    low, high = np.percentile(drawn, _ENDS) if several else (float("nan"), float("nan"))
    return Estimate(value, float(low), float(high))
