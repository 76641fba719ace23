"""What is written of an agent's memory: tables, numbers and the picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing.curves import COLOURS, save
from experiments.remembering.measures import mean
from experiments.remembering.probes import Score
from experiments.running.display import table
from experiments.running.evaluation import shown
from experiments.running.rundir import replace_text

Rows = Sequence[Mapping[str, Any]]


def agents_mean(lists: Sequence[Rows], *same: str) -> list[dict[str, Any]]:
    """Return rows of agents as one list: what is the `same` in all, `mean` and its standard error over agents.

    Of one agent its own standard error is kept, which is over episodes.
    """
    if len(lists) == 1:
        return [dict(row) for row in lists[0]]
    found = []
    for rows in zip(*lists, strict=False):
        found.append({**{name: rows[0][name] for name in same}, **mean([row["mean"] for row in rows])})
    return found


def probes_mean(agents: Sequence[Mapping[str, Mapping[str, Score]]]) -> dict[str, Any]:
    """Return {hidden: {kind: value, low, high}}: of several agents the mean, and no interval."""
    found: dict[str, Any] = {}
    for name, of in agents[0].items():
        for kind in of:
            scores = [one[name][kind] for one in agents]
            value, low, high = (
                scores[0] if len(scores) == 1 else (np.mean([score.value for score in scores]), None, None)
            )
            numbers = {"value": value, "low": low, "high": high}
            found.setdefault(name, {})[kind] = {
                key: float(number) if number is not None and np.isfinite(number) else None
                for key, number in numbers.items()
            }
    return found


def write(document: dict[str, Any], folder: Path) -> str:
    """Write memory.json and plots/memory.png into a run's folder and return the text."""
    replace_text(folder / "memory.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    return f"{text(document)}\nfigure: {draw(document, folder / 'plots' / 'memory.png')}"


def text(document: dict[str, Any]) -> str:
    """Return the tables."""
    over = "agents" if document["agents"] > 1 else "episodes"
    form = "greedy" if document["greedy"] else "sampled"
    head = f"{document['env']}, {document['agents']} agent{'s' * (document['agents'] > 1)}, {form} play"
    parts = [f"{head}; ± is the standard error over {over}."]
    if forget := document["forget"]:
        body = [[_every(row["every"]), shown(row["mean"], row["stderr"])] for row in forget]
        parts.append(table(["memory emptied", f"return, {document['episodes']} episodes an agent"], body))
    if paid := document["by_part"]:
        body = [[f"{row['first']:,} to {row['last']:,}", shown(row["mean"], row["stderr"])] for row in paid]
        parts.append(table(["steps of the episode", "paid there"], body))
    if cells := document["explored"]:
        body = [[f"{row['step']:,}", shown(row["mean"], row["stderr"])] for row in cells]
        parts.append(table(["steps", "cells it has been in"], body))
    if found := document["probes"]:
        kinds = list(next(iter(found.values())))
        body = [[name, *(_share(of.get(kind)) for kind in kinds)] for name, of in found.items()]
        parts.append(
            "Share of what is hidden that a linear probe reads off the agent's numbers, in episodes that it was not "
            "fitted to (1 all, 0 no more than the mean says):"
        )
        parts.append(table(["hidden", *kinds], body))
    return "\n\n".join(parts) + "\n"


def _every(steps: int | None) -> str:
    return "never" if steps is None else f"every {steps:,} step{'s' * (steps > 1)}"


def _share(score: Mapping[str, Any] | None) -> str:
    if score is None or score["value"] is None:
        return "-"
    if score["low"] is None:
        return f"{score['value']:.2f}"
    return f"{score['value']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"


def draw(document: dict[str, Any], out: Path) -> Path:
    """Draw what there is into the PNG file `out` and return its path."""
    from matplotlib.figure import Figure

    panels = [panel for name, panel in _PANELS.items() if document[name]]
    figure = Figure(figsize=(5.2 * len(panels), 3.8), dpi=160, layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axes, document)
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return save(figure, out)


def _forget(axes: Any, document: dict[str, Any]) -> None:
    rows = [row for row in document["forget"] if row["every"] is not None]
    never = next(row for row in document["forget"] if row["every"] is None)
    _line(axes, [row["every"] for row in rows], rows)
    axes.axhline(never["mean"], color="0.45", linewidth=1, linestyle=(0, (4, 3)), label="never emptied")
    axes.set_xscale("log")
    axes.set_xlabel("memory emptied every … steps")
    axes.set_ylabel("return")
    axes.legend(frameon=False, fontsize=8)


def _by_part(axes: Any, document: dict[str, Any]) -> None:
    rows = document["by_part"]
    _line(axes, [row["last"] for row in rows], rows)
    axes.set_xlabel("steps of the episode, up to")
    axes.set_ylabel("paid in this part")


def _explored(axes: Any, document: dict[str, Any]) -> None:
    rows = document["explored"]
    _line(axes, [row["step"] for row in rows], rows)
    axes.set_xlabel("steps of the episode")
    axes.set_ylabel("cells it has been in")


def _probes(axes: Any, document: dict[str, Any]) -> None:
    found = document["probes"]
    kinds = list(next(iter(found.values())))
    height = 0.8 / len(kinds)
    for i, kind in enumerate(kinds):
        places = np.arange(len(found)) + i * height
        values = [(of.get(kind) or {}).get("value") for of in found.values()]
        axes.barh(places, [max(0.0, value or 0.0) for value in values], height, color=COLOURS[i % 7], label=kind)
    axes.set_yticks(np.arange(len(found)) + 0.4 - height / 2, list(found), fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share a linear probe reads off")
    axes.legend(frameon=False, fontsize=8)


def _line(axes: Any, places: Sequence[float], rows: Rows) -> None:
    errors = [row.get("stderr") or 0.0 for row in rows]
    axes.errorbar(places, [row["mean"] for row in rows], errors, color=COLOURS[0], marker="o", linewidth=2, capsize=2)


_PANELS = {"forget": _forget, "by_part": _by_part, "explored": _explored, "probes": _probes}
