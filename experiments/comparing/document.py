"""What is written of a comparison of sets of runs: tables, numbers and the picture."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.comparing import figure, returns_figure, settings
from experiments.comparing.statistics import aggregates, improvement
from experiments.running.display import table
from experiments.running.references import references
from experiments.running.rundir import replace_text

# What is said of a set that falls short of its own end, or of the steps after which the sets are compared.
_UNFINISHED = "unfinished", "not trained to its end yet"
_SHORTER = "shorter", "not trained for so many steps"


def write(found: Sequence[Any], out: Path, steps: int | None) -> str:
    """Write report.md, report.json, report.png and a picture an experiment into a folder and return the text."""
    out.mkdir(parents=True, exist_ok=True)
    returns = [one.returns(steps) for one in found]
    scores = [one.scores(steps) for one in found]
    games = sorted(set.intersection(*(set(own) for own in scores)))
    common = [{game: own[game] for game in games} for own in scores]
    all_common = sorted(set.intersection(*(set(own) for own in returns)))
    names = [one.name for one in found]
    parts = [table(["game", *names, "random", "best known"], _rows(found, returns))]
    lengths = _lengths(found, steps)
    parts += ["Trained for:", table(["game", *names], lengths)]
    word, means = _UNFINISHED if steps is None else _SHORTER
    if any(cell.endswith(f", {word}") for row in lengths for cell in row):
        parts.append(f"{word}: {means}; what it has reached counts.")
    document: dict[str, Any] = {"steps": steps, "sets": names, "games": games, "returns": _listed(names, returns)}
    if games:
        estimates = [aggregates(own) for own in common]
        body = [[name, *(_shown(own[name]) for own in estimates)] for name in estimates[0]]
        count = f"{len(games)} game{'s' if len(games) > 1 else ''}"
        parts.append(f"Scores over {count} (0 random play, 1 best known; [95 % interval]):")
        parts.append(table(["", *names], body))
        document["scores"] = _listed(names, common)
        document["aggregates"] = {name: _plain(own) for name, own in zip(names, estimates, strict=True)}
    else:
        parts.append("No scores: there is no game in all sets of which random play and the best are known.")
    if all_common:
        pairs = list(itertools.combinations(range(len(found)), 2))
        chances = {(a, b): improvement(returns[a], returns[b]) for a, b in pairs}
        parts += [
            f"A run of {names[a]} is better than one of {names[b]} in a game with probability {_shown(chance)}."
            for (a, b), chance in chances.items()
        ]
        document["improvement"] = [
            {"of": names[a], "over": names[b], **_plain({"": chance})[""]} for (a, b), chance in chances.items()
        ]
    path = out / "report.png"
    if games:
        parts.append(f"figure: {figure.draw(found, estimates, games, steps, path)}")
    elif all_common:
        parts.append(f"figure: {returns_figure.draw(found, all_common, steps, path)}")
    else:
        path.unlink(missing_ok=True)  # of an earlier report
    parts += settings.write(found, steps, out)
    text = "\n\n".join(parts) + "\n"
    replace_text(out / "report.md", text)
    replace_text(out / "report.json", json.dumps(document, indent=2) + "\n")
    return text


def _rows(found: Sequence[Any], returns: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a row a game: the return of each set, random play's and the best known."""
    rows = []
    for game in sorted(set().union(*(one.games for one in found))):
        known = references(game)
        ends = [f"{known[name]['mean']:.3f}" if name in known else "-" for name in ("random", "best")]
        cells = [_cell(own.get(game), len(one.games.get(game, []))) for one, own in zip(found, returns, strict=True)]
        rows.append([game, *cells, *ends])
    return rows


def _lengths(found: Sequence[Any], steps: int | None) -> list[list[str]]:
    """Return a row a game: for how many steps a seed each set was trained, and how long the longest took."""

    def cell(members: Sequence[Any]) -> str:
        ends = [end for one in members if (end := one.end(steps)) is not None]
        if not ends:
            return "-"
        (shortest, _), (longest, minutes) = min(ends), max(ends)
        span = f"{shortest:,.0f} to " * (shortest < longest)
        word, _ = _UNFINISHED if steps is None else _SHORTER
        short = f", {word}" if any(one.falls_short(steps) for one in members) else ""
        return f"{span}{longest:,.0f} steps" + (f", {minutes:.1f} min" if minutes == minutes else "") + short

    games = sorted(set().union(*(one.games for one in found)))
    return [[game, *(cell(one.games.get(game, [])) for one in found)] for game in games]


def _cell(values: Any, seeds: int) -> str:
    """Return mean and standard error of a game's returns, and how many of its seeds have none."""
    lost = seeds - (0 if values is None else len(values))
    text = "-"
    if values is not None:
        text = f"{values.mean():.3f}"
        text += f" ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}" if len(values) > 1 else ""
        text += f" ({len(values)})"
    return text + f", {lost} without" * (lost > 0)


def _shown(estimate: Any) -> str:
    text = f"{estimate.value:.3f}"
    return text if estimate.low != estimate.low else f"{text} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _plain(estimates: dict[str, Any]) -> dict[str, Any]:
    """Return estimates as JSON has them: what is not known is null."""
    number = lambda value: None if value != value else value
    return {
        name: {key: number(value) for key, value in estimate._asdict().items()} for name, estimate in estimates.items()
    }


def _listed(names: Sequence[str], values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: {game: own[game].tolist() for game in own} for name, own in zip(names, values, strict=True)}
