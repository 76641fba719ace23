"""What is written of a comparison of sets of runs: tables, numbers and the picture."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.comparing import figure, lengths, returns_figure, settings
from experiments.comparing.statistics import aggregates, improvement
from experiments.running.display import table
from experiments.running.references import references
from experiments.running.rundir import replace_text


def write(found: Sequence[Any], out: Path, steps: int | None) -> str:
    """Write report.md, report.json, report.png and a picture an experiment into a folder and return the text."""
    out.mkdir(parents=True, exist_ok=True)
    returns = [one.returns(steps) for one in found]
    scores = [one.scores(steps) for one in found]
    names = [one.name for one in found]
    parts = [table(["game", *names, "random", "best known"], _rows(found, returns)), *lengths.write(found, steps)]
    document: dict[str, Any] = {"steps": steps, "sets": names, "returns": _listed(names, returns)}
    kept = [i for i, own in enumerate(returns) if own]
    if 0 < len(kept) < len(found):
        without = ", ".join(one.name for one, own in zip(found, returns, strict=True) if not own)
        parts.append(f"Without any evaluation, and in nothing that follows: {without}.")
    own_games = [set(returns[i]) for i in kept] or [set()]
    everywhere, somewhere = sorted(set.intersection(*own_games)), sorted(set.union(*own_games))
    games = [game for game in everywhere if all(game in scores[i] for i in kept)]
    document["games"] = games
    path = out / "report.png"
    sets = [found[i] for i in kept]
    if games:
        common = [{game: scores[i][game] for game in games} for i in kept]
        estimates = [aggregates(own) for own in common]
        body = [[name, *(_shown(own[name]) for own in estimates)] for name in estimates[0]]
        count = f"{len(games)} game{'s' if len(games) > 1 else ''}"
        count += f" of {len(somewhere)}, which all of them have" if len(everywhere) < len(somewhere) else ""
        own_names = [one.name for one in sets]
        parts.append(f"Scores over {count} (0 random play, 1 best known; [95 % interval]):")
        parts.append(table(["", *own_names], body))
        document["scores"] = _listed(own_names, common)
        document["aggregates"] = {name: _plain(own) for name, own in zip(own_names, estimates, strict=True)}
        drawn = [f"figure: {figure.draw(sets, estimates, games, steps, path)}"]
    else:
        parts.append(f"No scores: {_lack(somewhere, everywhere, steps)}.")
        path.unlink(missing_ok=True)  # of an earlier report
        drawn = [f"figure: {returns_figure.draw(sets, everywhere, steps, path)}"] if everywhere else []
    chances = _chances(returns)
    parts += [
        f"A run of {names[a]} is better than one of {names[b]} in a game with probability {_shown(chance)}."
        for (a, b), chance in chances.items()
    ]
    document["improvement"] = [
        {"of": names[a], "over": names[b], **_plain({"": chance})[""]} for (a, b), chance in chances.items()
    ]
    parts += drawn
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


def _lack(somewhere: Sequence[str], everywhere: Sequence[str], steps: int | None) -> str:
    """Return why there are no scores."""
    if not somewhere:
        return "nothing has been evaluated" + ("" if steps is None else f" within {steps:,} steps")
    if not everywhere:
        return "no game has been evaluated in all sets"
    return "there is no game in all sets of which random play and the best are known"


def _chances(returns: Sequence[dict[str, Any]]) -> dict[tuple[int, int], Any]:
    """Return the probability of improvement of each two sets, over the games that both have."""
    return {
        (a, b): improvement(returns[a], returns[b])
        for a, b in itertools.combinations(range(len(returns)), 2)
        if returns[a].keys() & returns[b].keys()
    }


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
