"""What sets of runs reach at each setting of an experiment, such as memory_len's lengths: tables and curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs import bsuite
from experiments.comparing.sets import RunSet
from experiments.drawing.curves import COLOURS, save
from experiments.running.display import table
from experiments.running.references import references

LEAST = 3  # settings, or there is no curve to draw


class Series(NamedTuple):
    """An experiment's returns by what differs between its settings.

    Attributes:
      experiment: its name, such as bsuite/memory_len.
      called: what differs, such as "steps to remember".
      games: an environment of each number, rising.
      returns: of each set of runs, number -> returns (seeds,).
    """

    experiment: str
    called: str
    games: dict[float, str]
    returns: list[dict[float, np.ndarray]]


def series(sets: Sequence[RunSet], steps: int | None) -> list[Series]:
    """Return the experiments of which there are at least three numbers, after `steps`, at the end if that is None."""
    found: dict[str, Series] = {}
    for i, one in enumerate(sets):
        for game, returns in one.returns(steps).items():
            if (setting := bsuite.setting(game)) is not None:
                experiment, called, number = setting
                own = found.setdefault(experiment, Series(experiment, called, {}, [{} for _ in sets]))
                own.games.setdefault(number, game)
                before = own.returns[i].get(number, np.zeros(0))
                own.returns[i][number] = np.concatenate([before, returns])
    return [found[name] for name in sorted(found) if len(found[name].games) >= LEAST]


def write(sets: Sequence[RunSet], steps: int | None, out: Path) -> list[str]:
    """Write `<experiment>.png` for each series into a folder and return the text: tables, and the pictures' paths."""
    parts = []
    for one in series(sets, steps):
        kept = [i for i, own in enumerate(one.returns) if own]
        rows = [[f"{number:g}", *(_cell(one.returns[i].get(number)) for i in kept)] for number in sorted(one.games)]
        parts.append(f"{one.experiment}, returns (mean ± standard error over seeds):")
        parts.append(table([one.called, *(sets[i].name for i in kept)], rows))
        path = out / f"{one.experiment.rpartition('/')[2]}.png"
        parts.append(f"figure: {_draw(one, [run_set.name for run_set in sets], path)}")
    return parts


def _cell(returns: np.ndarray | None) -> str:
    if returns is None:
        return "-"
    return f"{returns.mean():.3f}" + (f" ± {_error(returns):.3f}" if len(returns) > 1 else "")


def _error(returns: np.ndarray) -> float:
    return float(returns.std(ddof=1) / np.sqrt(len(returns))) if len(returns) > 1 else 0.0


def _draw(one: Series, names: Sequence[str], out: Path) -> Path:
    """Draw the mean of each set over the numbers, with its standard error, and what is known of play, into `out`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.8), dpi=160, layout="constrained")
    axes = figure.subplots()
    numbers = sorted(one.games)
    if numbers[0] > 0 and numbers[-1] / numbers[0] > 30:
        axes.set_xscale("log")
    axes.set_xticks(numbers, [f"{number:g}" for number in numbers], fontsize=7)
    axes.minorticks_off()
    for i, (name, own) in enumerate(zip(names, one.returns, strict=True)):
        if own:
            x = np.array(sorted(own))
            mean, error = (np.array([of(own[number]) for number in x]) for of in (np.mean, _error))
            colour = COLOURS[i % len(COLOURS)]
            axes.plot(x, mean, "o-", color=colour, linewidth=2, markersize=4, label=name)
            axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)
    _draw_known(axes, one, numbers)
    axes.set_xlabel(one.called)
    axes.set_ylabel("return, last evaluation")
    axes.set_title(one.experiment, loc="left", fontweight="bold")
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return save(figure, out)


def _draw_known(axes: Any, one: Series, numbers: Sequence[float]) -> None:
    """Draw random play and the best known where they are on record for every number."""
    known = [references(one.games[number]) for number in numbers]
    for name, label, style in (("random", "random play", ":"), ("best", "best known", "--")):
        if all(name in own for own in known):
            means = [own[name]["mean"] for own in known]
            axes.plot(numbers, means, color="0.45", linewidth=1, linestyle=style, label=label)
