"""The radar of bsuite: an axis a tag, a polygon an agent, the mean score of the tag's experiments from 0 to 1.

Ref: bsuite/experiments/summary_analysis.py:300-420 (0.3.6), with two differences: a score of 0 is drawn as 0 and not as
0.05, and an axis without a score says so, where the original draws a score of 0.
"""

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bsuite.tags import TAGS

RINGS = (0.25, 0.5, 0.75, 1.0)
_LINE = 100  # characters of the note


def draw(agents: Mapping[str, Mapping[str, float]], out: Path, note: str = "") -> Path:
    """Draw agents into a PNG file and return its path.

    Args:
      agents: name -> tag -> score, NaN where there is none (`scores.by_tag`).
      out: the file.
      note: a line below the figure.
    """
    from experiments.drawing.curves import save

    return save(radar(agents, note), out, bbox_inches="tight", pad_inches=0.15)  # Labels reach beyond the layout.


def radar(agents: Mapping[str, Mapping[str, float]], note: str = "") -> Any:
    """Return the figure."""
    from matplotlib.figure import Figure

    from experiments.drawing.curves import COLOURS, STYLES

    figure = Figure(figsize=(7.0, 6.4), dpi=160, layout="constrained")
    axes: Any = figure.add_subplot(projection="polar")
    angles = np.linspace(0, 2 * np.pi, len(TAGS), endpoint=False)
    step = min(3.0, 12 / max(1, len(agents) - 1))
    for index, (name, scores) in enumerate(agents.items()):
        values = [0.0 if math.isnan(score) else score for score in (scores.get(tag, math.nan) for tag in TAGS)]
        closed = [*values, values[0]], [*angles, angles[0]]
        colour = COLOURS[index % len(COLOURS)]
        larger = step * (len(agents) - 1 - index)  # than the last one: of equal scores the later ones lie within
        axes.plot(
            closed[1], closed[0], color=colour, linestyle=STYLES[index // len(COLOURS) % len(STYLES)],
            linewidth=2.2 + 0.3 * larger, marker="o", markersize=4 + larger, label=name, clip_on=False,
        )  # fmt: skip
        axes.fill(closed[1], closed[0], color=colour, alpha=0.15)
    _style(axes, angles, agents)
    if len(agents) > 1:
        figure.legend(loc="outside upper left", frameon=False, fontsize=10, ncols=3)
    if note:
        figure.supxlabel(textwrap.fill(note, _LINE), fontsize=9, color="0.35")
    return figure


def _style(axes: Any, angles: np.ndarray, agents: Mapping[str, Mapping[str, float]]) -> None:
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 1)
    axes.set_yticks(RINGS, [f"{ring:g}" for ring in RINGS], fontsize=9, color="0.35")
    axes.set_rlabel_position(180 / len(angles))
    axes.set_xticks(angles, [_axis(tag, agents) for tag in TAGS], fontsize=11)
    axes.tick_params(axis="x", pad=10)
    for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
        side = math.sin(angle)
        label.set_horizontalalignment("center" if abs(side) < 0.1 else "left" if side > 0 else "right")
    axes.grid(color="0.85", linewidth=0.7)
    axes.spines["polar"].set_color("0.7")


def _axis(tag: str, agents: Mapping[str, Mapping[str, float]]) -> str:
    """Return the name of an axis."""
    name = tag.replace("_", " ")
    missing = [agent for agent, scores in agents.items() if math.isnan(scores.get(tag, math.nan))]
    if not missing:
        return name
    return f"{name}\n(not played{'' if len(missing) == len(agents) else ' by ' + ', '.join(missing)})"
