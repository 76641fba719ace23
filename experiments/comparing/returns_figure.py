"""The picture of a comparison in games of which nobody knows how well they can be played: returns over steps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.comparing.sets import Member, RunSet
from experiments.drawing.curves import COLOURS, interval, save

_POINTS, _COLUMNS, _MOST = 60, 3, 12  # of a curve, of panels side by side, and of panels


def draw(sets: Sequence[RunSet], games: Sequence[str], steps: int | None, out: Path) -> Path:
    """Draw a panel for each game, which all sets have, the first twelve, into the PNG file `out` and return its path.

    Drawn are the mean over seeds and its 95 % interval; a mark at `steps`, which None leaves out.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    games = list(games)[:_MOST]
    columns = min(len(games), _COLUMNS)
    rows = -(-len(games) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.4 * rows), dpi=160, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, game in zip(panels, games, strict=False):
        for i, one in enumerate(sets):
            x, mean, width = curve(one.games[game])
            colour = COLOURS[i % len(COLOURS)]
            axes.plot(x, mean, color=colour, linewidth=2, label=one.name, marker="o" if len(x) == 1 else "")
            axes.fill_between(x, mean - width, mean + width, color=colour, alpha=0.15, linewidth=0)
        if steps is not None:
            axes.axvline(steps, color="0.45", linewidth=1, linestyle=(0, (4, 3)))
        axes.set_title(game, loc="left", fontweight="bold")
        axes.set_xlabel("environment steps a seed")
        axes.set_ylabel("return, last evaluation")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(games) :]:
        axes.set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    return save(figure, out)


def curve(members: Sequence[Member]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (steps, mean over seeds, half of its 95 % interval), from where every seed has been evaluated.

    At each the last evaluation of each seed counts, after its end, too.
    """
    known = [member for member in members if np.isfinite(member.returns).any()]
    begin = max(float(member.steps[np.isfinite(member.returns)][0]) for member in known)
    end = max(float(member.steps[-1]) for member in known)
    places = np.unique(np.linspace(begin, end, _POINTS))
    values = np.array([[_last(member, place) for place in places] for member in known])
    return places, *interval(values)


def _last(member: Member, place: float) -> float:
    kept = (member.steps <= place) & np.isfinite(member.returns)
    return float(member.returns[kept][-1])
