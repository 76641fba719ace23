"""The picture of a comparison: aggregates with their intervals, and scores over steps and over minutes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.comparing.sets import Member, RunSet, normalised
from experiments.comparing.statistics import AGGREGATES, Estimate, Scores, aggregates
from experiments.drawing.curves import COLOURS, save

POINTS, REPEATS = 40, 500  # of a curve, and of the bootstrap at each
_IQM = next(iter(AGGREGATES))


def draw(
    sets: Sequence[RunSet], found: Sequence[dict[str, Estimate]], games: Sequence[str], steps: int | None, out: Path
) -> Path:
    """Draw sets of runs in these games, which all have, into the PNG file `out` and return its path.

    `found` are the aggregates after `steps`, at the end if that is None.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    over = ["steps"] + ["minutes"] * all(_is_timed(one, games) for one in sets)
    figure = Figure(figsize=(4.2 * (1 + len(over)), 4.0), dpi=160, layout="constrained")
    first, *others = figure.subplots(1, 1 + len(over))
    for row, name in enumerate(AGGREGATES):
        for i, estimates in enumerate(found):
            _bar(first, row + 0.7 * (i + 0.5) / len(found) - 0.35, estimates[name], COLOURS[i % len(COLOURS)])
    first.set_yticks(range(len(AGGREGATES)), list(AGGREGATES))
    first.invert_yaxis()
    first.set_xlabel("score: 0 random play, 1 best known")
    for axes, axis in zip(others, over, strict=True):
        for i, one in enumerate(sets):
            x, middle, low, high = curve(one, games, axis, steps)
            colour = COLOURS[i % len(COLOURS)]
            axes.plot(x, middle, color=colour, linewidth=2, label=one.name)
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        if axis == "steps":
            axes.set_xlabel("environment steps a seed")
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            if steps is not None:
                axes.axvline(steps, color="0.45", linewidth=1, linestyle=(0, (4, 3)))
        else:
            axes.set_xlabel("minutes since the run began")
        axes.set_ylabel(f"{_IQM} of scores")
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    others[0].legend(frameon=False, fontsize=8)
    when = "" if steps is None else f" after {steps:,} steps"
    first.set_title(f"{len(games)} game{'s' if len(games) > 1 else ''}{when}", loc="left", fontweight="bold")
    return save(figure, out)


def curve(
    one: RunSet, games: Sequence[str], axis: str, steps: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (steps or minutes, interquartile mean and the ends of its interval at them).

    At each the last evaluation of each seed counts, after its end, too; before its first one, it plays as random play.
    A seed that has no return after `steps` (at its end) is left out, as in the table.
    """
    kept = {game: [member for member in one.games[game] if np.isfinite(member.at(steps))] for game in games}
    end = max(float(np.nanmax(getattr(member, axis))) for members in kept.values() for member in members)
    places = np.linspace(0.0, end, POINTS)
    rows = []
    for place in places:
        scores = _scores_at(kept, axis, place)
        estimate = aggregates(scores, REPEATS)[_IQM]
        rows.append([estimate.value if np.isnan(bound) else bound for bound in estimate])
    middle, low, high = np.array(rows).T
    return places, middle, low, high


def _scores_at(kept: dict[str, list[Member]], axis: str, place: float) -> Scores:
    last = {game: np.array([_before(member, axis, place) for member in members]) for game, members in kept.items()}
    return {game: np.where(np.isfinite(values), values, 0.0) for game, values in normalised(last).items()}


def _before(member: Member, axis: str, place: float) -> float:
    kept = member.returns[getattr(member, axis) <= place]
    kept = kept[np.isfinite(kept)]
    return float(kept[-1]) if len(kept) else float("nan")


def _is_timed(one: RunSet, games: Sequence[str]) -> bool:
    return all(np.isfinite(member.minutes).all() for game in games for member in one.games[game])


def _bar(axes: Any, y: float, estimate: Estimate, colour: str) -> None:
    if np.isfinite(estimate.low):
        axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=6, alpha=0.35, solid_capstyle="butt")
    axes.plot([estimate.value], [y], "o", color=colour, markersize=5)
