"""The figure of a search: parallel coordinates coloured by the return, and the returns over the trials."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.drawing.curves import save

_MARKS = ("o", "s", "D", "^", "v", "P", "X", "*")  # of how many rounds a trial was trained
_LOST = "0.6"  # colour of what has diverged


class Axis(NamedTuple):
    """One hyper-parameter and its range."""

    name: str
    low: float
    high: float
    log: bool


class Trial(NamedTuple):
    """One trial: its values by name, its last return (None if it has none), the rounds it was trained, its state."""

    number: int
    params: dict[str, float]
    value: float | None
    rounds: int
    state: str


def draw(trials: Sequence[Trial], axes: Sequence[Axis], title: str, out: Path) -> Path:
    """Draw a search into the PNG file `out` and return its path.

    Left, a line is a trial: where it crosses an upright, the value of that hyper-parameter, at the last one its return.
    Right, returns in the order of the trials, and the best so far among those that were trained as long as any.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    told = [trial for trial in trials if trial.value is not None]
    low, high = _ends([trial.value for trial in told])
    figure = Figure(figsize=(4.4 + 1.6 * len(axes) + 4.2, 4.2), dpi=160, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.6 + 1.6 * len(axes), 4.2])
    colours, scale = colormaps["viridis"], Normalize(low, high)
    for trial in sorted(trials, key=lambda trial: -np.inf if trial.value is None else trial.value):
        if trial.value is None and trial.state != "diverged":
            continue
        colour = _LOST if trial.value is None else colours(scale(trial.value))
        _line(left, trial, axes, 0.0 if trial.value is None else float(scale(trial.value)), colour)
    _uprights(left, axes, low, high)
    left.set_title(title, loc="left", fontweight="bold")
    _over_trials(right, told, [trial for trial in trials if trial.state == "diverged"], colours, scale)
    figure.colorbar(ScalarMappable(scale, colours), ax=right, label="return")
    return save(figure, out)


def _ends(values: Sequence[Any]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _line(axes_: Any, trial: Trial, axes: Sequence[Axis], end: float, colour: Any) -> None:
    """Draw one trial: whole lines for those that are complete, thin ones for the others."""
    heights = [place(axis, trial.params[axis.name]) for axis in axes] + [end]
    wide = trial.state == "complete"
    style = "--" if trial.state == "diverged" else "-"
    axes_.plot(
        range(len(heights)), heights, color=colour, linestyle=style, linewidth=2.2 if wide else 0.9,
        alpha=1.0 if wide else 0.6,
    )  # fmt: skip


def place(axis: Axis, value: float) -> float:
    """Return where a value lies between the ends of its range: 0 to 1, on a log scale if it is searched on one."""
    low, high, at = (np.log(x) if axis.log else x for x in (axis.low, axis.high, value))
    return float((at - low) / (high - low))


def _uprights(axes_: Any, axes: Sequence[Axis], low: float, high: float) -> None:
    for x, (bottom, top) in enumerate([*((axis.low, axis.high) for axis in axes), (low, high)]):
        axes_.plot([x, x], [0, 1], color="0.3", linewidth=1)
        for y, value, side in ((0.0, bottom, "top"), (1.0, top, "bottom")):
            axes_.annotate(
                f"{value:.3g}", (x, y), (0, -3 if side == "top" else 3), textcoords="offset points",
                ha="center", va=side, fontsize=8,
            )  # fmt: skip
    names = [axis.name.removeprefix("hypers.") + " (log)" * axis.log for axis in axes]
    axes_.set_xticks(range(len(axes) + 1), [*names, "return"], fontsize=9)
    axes_.tick_params(axis="x", length=0, pad=12)
    axes_.set_yticks([])
    axes_.set_ylim(-0.04, 1.08)
    axes_.set_xlim(-0.3, len(axes) + 0.3)
    axes_.spines[:].set_visible(False)


def _over_trials(axes_: Any, told: Sequence[Trial], lost: Sequence[Trial], colours: Any, scale: Any) -> None:
    most = max((trial.rounds for trial in told), default=1)
    for count in range(1, most + 1):
        own = [trial for trial in told if trial.rounds == count]
        if own:
            axes_.scatter(
                [trial.number for trial in own], [trial.value for trial in own],
                c=[colours(scale(trial.value)) for trial in own], marker=_MARKS[(count - 1) % len(_MARKS)],
                s=18 + 14 * count, edgecolors="0.2", linewidths=0.4, zorder=2,
                label=f"{count} round{'s' if count > 1 else ''}",
            )  # fmt: skip
    last = sorted(trial for trial in told if trial.rounds == most)
    if last:
        best = np.maximum.accumulate(np.array([trial.value for trial in last], float))
        axes_.step([trial.number for trial in last], best, where="post", color="0.3", linewidth=1, label="best so far")
    for trial in lost:
        axes_.axvline(trial.number, color=_LOST, linewidth=1, linestyle="--")
    axes_.set_xlabel("trial (dashed: diverged)" if lost else "trial")
    axes_.set_ylabel("return")
    axes_.grid(color="0.9", linewidth=0.6)
    axes_.spines[["top", "right"]].set_visible(False)
    if told:
        axes_.legend(frameon=False, fontsize=8)
