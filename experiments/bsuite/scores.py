"""What bsuite says of log rows: a score from 0 to 1 of each experiment, and whether it was played to its end.

Ref: bsuite/experiments/*/analysis.py and summary_analysis.py, bsuite/utils/plotting.py:57-77 (0.3.6). `deep_sea.score`
and `deep_sea_stochastic.score` of the original raise with pandas 2 and later, which have no `Series.append`
(deep_sea/analysis.py:63); here is what they say with it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from experiments.bsuite.columns import Rows
from experiments.bsuite.tags import EXPERIMENTS, TAGS, experiment_of, number_of

Column = Callable[[Rows], np.ndarray]
SIZES = range(10, 51, 2)  # of deep_sea and deep_sea_stochastic


@dataclass(frozen=True)
class Run:
    """The rows of one setting.

    Attributes:
      bsuite_id: such as `memory_len/17`.
      rows: at least one.
    """

    bsuite_id: str
    rows: Rows


@dataclass(frozen=True)
class Summary:
    """What is known of one experiment.

    Attributes:
      score: from 0 to 1; NaN where there are not enough episodes for one.
      finished: whether every setting that was played was played to its end. That all were played is `settings`.
      settings: that were played.
      episodes: the fewest that are logged of any of them.
    """

    score: float
    finished: bool
    settings: int
    episodes: int


def summaries(logged: Mapping[str, Rows]) -> dict[str, Summary]:
    """Return what is known of each experiment of which there are rows.

    Args:
      logged: id -> its rows; ids without a row are passed over.
    """
    runs: dict[str, list[Run]] = {}
    for bsuite_id in sorted(logged, key=lambda found: (experiment_of(found), number_of(found))):
        if len(logged[bsuite_id]["episode"]):
            runs.setdefault(experiment_of(bsuite_id), []).append(Run(bsuite_id, logged[bsuite_id]))
    return {name: _summary(name, runs[name]) for name in EXPERIMENTS if name in runs}


def _summary(experiment: str, runs: Sequence[Run]) -> Summary:
    fewest = min(_last(run) for run in runs)
    return Summary(
        score(experiment, runs), fewest >= EXPERIMENTS[experiment].episodes, settings=len(runs), episodes=fewest
    )


def score(experiment: str, runs: Sequence[Run]) -> float:
    """Return the score of an experiment: of what there is, as in the original.

    Raises:
      ValueError: where a run lacks a column.
    """
    try:
        return float(_SCORES[experiment](runs))
    except KeyError as error:
        raise ValueError(f"{experiment}: the log has no column {error}") from None


def by_tag(scores: Mapping[str, float]) -> dict[str, float]:
    """Return the mean score of the experiments with each tag, NaN where there is none (summary_analysis.py:149-162)."""
    return {
        tag: _mean(value for name, value in scores.items() if tag in EXPERIMENTS[name].tags and not math.isnan(value))
        for tag in TAGS
    }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else math.nan


def _last(run: Run) -> int:
    return int(run.rows["episode"].max())


def _per_episode(runs: Sequence[Run], total: Column, limit: int) -> float:
    """Return the mean over runs of a total at the last row of any of them, up to `limit`, by the number of episodes.

    Runs that have not come so far do not count, as in the original (plotting.py:62-63).
    """
    last = min(max(map(_last, runs)), limit)
    values = [total(run.rows)[run.rows["episode"] == last] for run in runs]
    return _mean(np.concatenate(values)) / last


def _without_regret(regret: float, baseline: float) -> float:
    return float(np.clip((baseline - regret) / baseline, 0.0, 1.0))


def _regret_score(runs: Sequence[Run], total: Column, baseline: float, limit: int) -> float:
    return _without_regret(_per_episode(runs, total, limit), baseline)


def _total_regret(rows: Rows) -> np.ndarray:
    return rows["total_regret"]


def _car_regret(rows: Rows) -> np.ndarray:
    """Return what is missing to the best: 100 steps an episode (mountain_car/analysis.py:41)."""
    return -100 * rows["episode"] - rows["raw_return"]


def _pole_score(runs: Sequence[Run], baseline: float, good: float, total: str) -> float:
    """Return half a regret score, and half the share of runs with a good episode (cartpole/analysis.py:32-42)."""
    regret = _regret_score(runs, lambda rows: baseline * rows["episode"] - rows[total], baseline, 1_000)
    best = [run.rows["best_episode"][run.rows["episode"] <= 1_000].max() for run in runs]
    return 0.5 * (regret + float(np.mean(np.array(best) > good)))


def _swingup_score(runs: Sequence[Run]) -> float:
    """Return the mean over heights; each id has its own (cartpole_swingup/analysis.py:40-54)."""
    return _mean(_pole_score([run], 700, 100, "total_return") for run in runs)


def _share_below(runs: Sequence[Run], total: Column, threshold: float) -> float:
    """Return the share of settings whose mean regret is below a threshold (umbrella_length/analysis.py:32-40)."""
    return _mean(_per_episode([run], total, 10_000) < threshold for run in runs)


def _mistakes(rows: Rows) -> np.ndarray:
    """Return imperfect episodes by the half of all that a random agent has (memory_len/analysis.py:31-51)."""
    return (rows["episode"] - rows["total_perfect"]) / 0.5


def _chain_score(runs: Sequence[Run]) -> float:
    """Return 1 for the best return, 0 for what any other delay pays (discounting_chain/analysis.py:33-38)."""
    returned = _per_episode(runs, lambda rows: rows["total_return"], 1_000)
    return float(np.clip(1.0 - 10.0 * (1.1 - returned), 0.0, 1.0))


def _sea_score(runs: Sequence[Run], threshold: float, least: int) -> float:
    """Return the share of sizes that were solved faster than by chance (deep_sea/analysis.py:37-91).

    Solved is the first row, of at least `least` episodes, with a share of bad ones below the threshold; chance would
    take 2 ** size episodes, and 100 are forgiven. A run without such a row does not count.
    """
    solved = []
    for run in runs:
        episode, bad = run.rows["episode"], run.rows["total_bad_episodes"]
        counts = (episode >= least) & (episode <= 10_000)
        if counts.any():
            good = episode[counts & (bad / episode < threshold)]
            solved.append(good.size > 0 and int(good.min()) < 2 ** SIZES[number_of(run.bsuite_id)] + 100)
    return _mean(solved)


def _over_groups(runs: Sequence[Run], single: Callable[[Sequence[Run]], float]) -> float:
    """Return the middle of mean and mean minus deviation over the five noises or factors (plotting.py:68-77).

    Four ids have the same one.
    """
    groups: dict[int, list[Run]] = {}
    for run in runs:
        groups.setdefault(number_of(run.bsuite_id) // 4, []).append(run)
    scores = [single(group) for group in groups.values()]
    mean, deviation = np.mean(scores), np.std(scores)
    return float(0.5 * (np.clip(mean, 0.0, 1.0) + np.clip(mean - deviation, 0.0, 1.0)))


_SCORES: dict[str, Callable[[Sequence[Run]], float]] = {
    "bandit": partial(_regret_score, total=_total_regret, baseline=0.5, limit=10_000),
    "catch": partial(_regret_score, total=_total_regret, baseline=1.6, limit=10_000),
    "mountain_car": partial(_regret_score, total=_car_regret, baseline=1000, limit=1_000),
    "cartpole": partial(_pole_score, baseline=1000, good=500, total="raw_return"),
    "deep_sea": partial(_sea_score, threshold=0.9, least=1),
    "deep_sea_stochastic": partial(_sea_score, threshold=0.8, least=100),
    "cartpole_swingup": _swingup_score,
    "umbrella_length": partial(_share_below, total=_total_regret, threshold=0.5),
    "umbrella_distract": partial(_share_below, total=_total_regret, threshold=0.5),
    "discounting_chain": _chain_score,
    "memory_len": partial(_share_below, total=_mistakes, threshold=0.75),
    "memory_size": partial(_share_below, total=_mistakes, threshold=0.75),
}
for _name in ("bandit", "catch", "mountain_car", "cartpole"):
    for _kind in ("noise", "scale"):
        _SCORES[f"{_name}_{_kind}"] = partial(_over_groups, single=_SCORES[_name])
