"""What a search has found: the table of its best trials, results.json, best.json and the figure."""

import dataclasses
import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from experiments.drawing import searches
from experiments.running import cli
from experiments.running.display import table
from experiments.running.rundir import replace_text
from experiments.searching import journal
from experiments.searching.settings import Settings

SHOWN = 10  # trials in the table


@dataclasses.dataclass(frozen=True)
class Entry:
    """One trial as the results have it.

    Attributes:
      state: `complete`, `pruned`, `diverged` or `running`: on its way, or waiting for the next round.
      value: the return at the last round it was scored in; None if there is none, and for one that has diverged.
      steps: environment steps per seed at which that was.
      returns: by the steps of each round.
    """

    trial: int
    state: str
    value: float | None
    steps: int | None
    returns: dict[str, float | None]
    params: dict[str, float]


def entries(trials: Sequence[FrozenTrial]) -> list[Entry]:
    """Return all trials, the best first: who was trained longer, and of those with the higher return."""
    found = []
    for trial in trials:
        own = dict(sorted(trial.intermediate_values.items()))
        finite = {step: value if value > -math.inf else None for step, value in own.items()}
        last = max(own, default=None)
        state = "diverged" if journal.is_diverged(trial) else TrialState(trial.state).name.lower()
        value = None if last is None else finite[last]
        found.append(Entry(trial.number, state, value, last, {str(k): v for k, v in finite.items()}, trial.params))
    return sorted(found, key=_rank)


def _rank(entry: Entry) -> tuple[bool, int, float, int]:
    value = -math.inf if entry.value is None else entry.value
    return entry.state == "diverged", -(entry.steps or 0), -value, entry.trial


def write(path: Path, settings: Settings, ends: Sequence[int], trials: Sequence[FrozenTrial]) -> str:
    """Write results.json, results.md, best.json and search.png into a folder, and return the table and what is below.

    Args:
      path: the search's folder.
      settings: what it is.
      ends: environment steps at which its rounds end.
      trials: of its journal.
    """
    found = entries(trials)
    keys = [param.key for param in settings.params]
    shares = journal.importance(trials, ends[0])
    document = {
        "env": settings.config["env"],
        "rounds": list(ends),
        "params": [param._asdict() for param in settings.params],
        "importance": shares,
        "trials": [dataclasses.asdict(entry) for entry in found],
    }
    text = f"{_table(found, keys)}\n\n{_counts(found)}\n{_importance(shares, ends[0], len(found))}"
    replace_text(path / "results.json", json.dumps(document, indent=2) + "\n")
    replace_text(path / "results.md", text + "\n")
    if found and found[0].value is not None:
        best = found[0]
        words = train_words(settings, best.params)
        kept = {"trial": best.trial, "return": best.value, "steps": best.steps, "params": best.params}
        replace_text(path / "best.json", json.dumps({**kept, "train": words}, indent=2) + "\n")
        text += f"\ntrain the best: {cli.program('train')} {shlex.join(words)}"
    _draw(found, settings, path / "search.png")
    return text


def train_words(settings: Settings, params: dict[str, float]) -> list[str]:
    """Return the words after `train` that train an agent with these values as the search did, with the same seeds."""
    words = [settings.suite] if settings.suite else []
    words += ["--env", settings.config["env"], "--size", settings.size]
    words += ["--agent", settings.agent] if settings.agent != "r2i" else []
    words += ["--import", *settings.imports] if settings.imports else []
    words += ["--seeds", str(settings.seeds), "--seed", str(settings.seed), "--steps", str(settings.steps)]
    return [*words, "--set", *settings.assignments, *(f"{key}={value!r}" for key, value in params.items())]


def _table(found: Sequence[Entry], keys: Sequence[str]) -> str:
    body = [
        [entry.trial, _shown(entry), f"{entry.steps:,}" if entry.steps else "-", entry.state]
        + [f"{entry.params[key]:.4g}" for key in keys]
        for entry in found[:SHOWN]
    ]
    return table(["trial", "return", "steps", "state", *keys], body)


def _shown(entry: Entry) -> str:
    if entry.state == "diverged":
        return "diverged"
    return "-" if entry.value is None else f"{entry.value:.3f}"


def _counts(found: Sequence[Entry]) -> str:
    """Return how many trials there are of each state, in words."""
    counts = {state: sum(entry.state == state for entry in found) for state in _STATES}
    text = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{len(found)} trials: {text}" + (f"; the first {SHOWN} are shown" if len(found) > SHOWN else "")


_STATES = ("complete", "pruned", "diverged", "running")


def _importance(shares: dict[str, float] | None, step: int, count: int) -> str:
    if shares is None:
        return f"importance: not told of {count} trials (it takes {journal.LEAST} with unlike returns)"
    told = ", ".join(f"{key} {share:.2f}" for key, share in shares.items())
    return f"importance for being in the best quarter at {step:,} steps (PED-ANOVA): {told}"


def _draw(found: Sequence[Entry], settings: Settings, out: Path) -> None:
    """Draw the figure, or say why there is none."""
    drawn = [searches.Trial(entry.trial, entry.params, entry.value, len(entry.returns), entry.state) for entry in found]
    axes = [searches.Axis(param.key, param.low, param.high, param.log) for param in settings.params]
    try:
        searches.draw(drawn, axes, settings.config["env"], out)
    except OSError as error:
        cli.note(f"no figure: {error.strerror or error}")
