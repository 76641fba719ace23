"""What `memory` found of the runs of several sets, side by side: a table and a panel for each game."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.drawing.curves import COLOURS, save
from experiments.running import rundir
from experiments.running.cli import note
from experiments.running.display import table
from experiments.running.evaluation import shown
from experiments.running.runinfo import RunFileError, read_object

_COLUMNS, _MOST = 3, 12  # panels side by side, and in all


def write(paths: Sequence[Path], names: Sequence[str], out: Path) -> str:
    """Write memory.png into a folder and return the tables; nothing of both where no run has a memory.json.

    Args:
      paths: sets of runs; those that are files have none.
      names: what they are called.
      out: where the picture goes.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path, name in zip(paths, names, strict=True):
        folders = [path] if rundir.is_run(path) else sorted(p.parent for p in path.glob("*/memory.json"))
        for folder in folders:
            if (document := _read(folder / "memory.json")) is not None:
                found.setdefault(document["env"], {})[name] = document
    if not found:
        return ""
    parts = [_text(game, sets) for game, sets in sorted(found.items())]
    return "\n".join([*parts, f"figure: {_draw(found, list(names), out / 'memory.png')}\n"])


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a memory.json holds; None if there is none, or with a warning if it does not read."""
    if not path.exists():
        return None
    try:
        document = read_object(path)
        assert isinstance(document["env"], str) and document["forget"][-1]["every"] is None
        for rows in (document["forget"], document["by_part"]):
            [shown(row["mean"], row["stderr"]) for row in rows]
    except (RunFileError, KeyError, TypeError, IndexError, AssertionError, ValueError):
        note(f"{path} is damaged and passed over; `memory` makes it anew")
        return None
    return document


def _text(game: str, sets: dict[str, dict[str, Any]]) -> str:
    every = sorted({row["every"] for one in sets.values() for row in one["forget"] if row["every"] is not None})
    body = []
    for name, one in sets.items():
        returns = {row["every"]: shown(row["mean"], row["stderr"]) for row in one["forget"]}
        paid = [shown(row["mean"], row["stderr"]) for row in (one["by_part"] or [])]
        cells = [returns.get(steps, "-") for steps in (None, *every)]
        body.append([name, f"{one['env_steps']:,}", *cells, *((paid[0], paid[-1]) if paid else ("-", "-"))])
    heads = ["never", *(f"every {steps:,}" for steps in every)]
    lines = table([game, "steps", *heads, "paid in the first part", "in the last"], body)
    return f"Return with a memory that is emptied, and what is paid within an episode:\n\n{lines}\n"


def _draw(found: dict[str, dict[str, dict[str, Any]]], names: list[str], out: Path) -> Path:
    from matplotlib.figure import Figure

    games = sorted(found)[:_MOST]
    columns = min(len(games), _COLUMNS)
    rows = -(-len(games) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.4 * rows), dpi=160, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, game in zip(panels, games, strict=False):
        for name, one in found[game].items():
            colour = COLOURS[names.index(name) % len(COLOURS)]
            *forgotten, never = one["forget"]
            means, errors = ([row[key] or 0.0 for row in forgotten] for key in ("mean", "stderr"))
            axes.errorbar(
                [row["every"] for row in forgotten], means, errors, color=colour, marker="o", capsize=2, label=name
            )
            axes.axhline(never["mean"], color=colour, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xscale("log")
        axes.set_title(game, loc="left", fontweight="bold")
        axes.set_xlabel("memory emptied every … steps (dashed: never)")
        axes.set_ylabel("return")
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(games) :]:
        axes.set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    return save(figure, out)
