"""A set of runs: what one agent, or one way to configure it, reached in its games.

It is a run, a folder of runs such as `suite` makes, or a file that `plot --save-scores` wrote, or a folder of those.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs import registry
from experiments.comparing.statistics import Scores
from experiments.running import cli, rundir
from experiments.running.references import references
from experiments.running.runinfo import RunFileError, read_object


@dataclasses.dataclass(frozen=True)
class Member:
    """One seed in one game.

    Attributes:
      steps: environment steps of its evaluations, (evaluations,), rising.
      minutes: since the run began, the same; NaN where it is not known.
      returns: of them, NaN where it had diverged.
      trained: environment steps that it has been trained for, as far as is known.
      is_over: whether that is as long as it is to be.
      goal: steps and minutes that end its run, infinite where one of them does not; None where it is not known.
    """

    steps: np.ndarray
    minutes: np.ndarray
    returns: np.ndarray
    trained: float
    is_over: bool = True
    goal: tuple[float, float] | None = None

    def at(self, steps: float | None) -> float:
        """Return the last evaluation's return, or the last one's after at most so many steps; NaN if there is none."""
        kept = self.returns if steps is None else self.returns[self.steps <= steps]
        return float(kept[-1]) if len(kept) else float("nan")

    def end(self, steps: float | None) -> tuple[float, float] | None:
        """Return steps and minutes of the evaluation that `at` takes; None if there is none."""
        kept = np.flatnonzero(np.ones_like(self.steps, bool) if steps is None else self.steps <= steps)
        return (float(self.steps[kept[-1]]), float(self.minutes[kept[-1]])) if len(kept) else None


@dataclasses.dataclass(frozen=True)
class RunSet:
    """A name, and the seeds of each game (`envs.registry`'s canonical id)."""

    name: str
    games: dict[str, list[Member]]

    def returns(self, steps: float | None = None) -> dict[str, np.ndarray]:
        """Return each game's returns, (seeds,), without the seeds that have none; a game without any is left out."""
        found = {game: np.array([one.at(steps) for one in members]) for game, members in self.games.items()}
        found = {game: returns[np.isfinite(returns)] for game, returns in found.items()}
        return {game: returns for game, returns in found.items() if len(returns)}

    def scores(self, steps: float | None = None) -> dict[str, np.ndarray]:
        """Return the same from 0, random play, to 1, the best known play: of games of which both are known."""
        return normalised(self.returns(steps))


def normalised(returns: Scores) -> dict[str, np.ndarray]:
    """Return returns as scores."""
    scores = {}
    for game, values in returns.items():
        known = references(game)
        if {"random", "best"} <= known.keys():
            low, high = known["random"]["mean"], known["best"]["mean"]
            scores[game] = (values - low) / (high - low)
    return scores


def read(path: Path, name: str) -> RunSet:
    """Return the set of runs at a path.

    Raises:
      RunFileError: if there is none, or one of them is a sweep; naming the path.
    """
    games: dict[str, list[Member]] = {}
    if not path.exists():
        raise RunFileError(f"{path} does not exist")
    if path.is_file():
        found = _of_file(path)
    else:
        folders = [path] if rundir.is_run(path) else sorted(p.parent for p in path.glob("*/run.json"))
        files = [] if folders else sorted(path.glob("*.json"))
        if not folders and not files:
            raise RunFileError(f"{path} is neither a run nor a folder of runs or of scores files")
        _refuse_unlike(folders)
        found = [entry for folder in folders for entry in _of_run(folder)]
        found += [entry for file in files for entry in _of_file(file)]
    for game, member in found:
        games.setdefault(_canonical(game), []).append(member)
    return RunSet(name, games)


def _refuse_unlike(folders: Sequence[Path]) -> None:
    """Raise RunFileError if two runs are of one game but of other agents, or of the same seeds."""
    from r2i_jit.config import differences

    firsts: dict[str, list[tuple[Path, Any, Any]]] = {}
    for folder in folders:
        config, info = rundir.load(folder)
        for before, other, known in firsts.setdefault(_canonical(config.env), []):
            what = [f"agent: {known.agent} -> {info.agent}"] if known.agent != info.agent else []
            found = differences(dataclasses.replace(other, env=config.env), config)
            what += [text for text in found if not text.startswith("replay.capacity")]  # it follows a machine's memory
            if what:
                raise RunFileError(
                    f"{before} and {folder} are of the same game and of unlike agents ({what[0]}); a set is one agent: "
                    "name them apart, as sets of their own"
                )
            if known.seed == info.seed:
                raise RunFileError(f"{before} and {folder} have the same seeds ({info.seed}) in the same game")
        firsts[_canonical(config.env)].append((folder, config, info))


def folders(path: Path) -> list[Path]:
    """Return the sets of runs at a path: of what `compare` made one for each agent, else the path itself."""
    if rundir.is_run(path):
        return [path]
    inside = sorted({found.parents[1] for found in path.glob("*/*/run.json")})
    inside = [folder for folder in inside if not rundir.is_run(folder)]  # else these are the shards of a run
    place = {agent: number for number, agent in enumerate(cli.AGENTS)}
    beside = [path] if any(path.glob("*/run.json")) else []
    return [*sorted(inside, key=lambda folder: place.get(folder.name, len(place))), *beside] or [path]


def _canonical(game: str) -> str:
    try:
        return registry.canonical(game)
    except ValueError:  # registered elsewhere
        return game


def _of_run(folder: Path) -> list[tuple[str, Member]]:
    from experiments.running import recorded
    from r2i_jit import shards

    _, info = rundir.load(folder)
    if info.kind != "train":
        raise RunFileError(f"{folder} is a {info.kind}: its agents differ; a set of runs is of `train` or `suite`")
    if missing := recorded.missing(folder):
        cli.note(f"{folder}: {', '.join(missing)} not begun: their agents are in no figure")
    return [one for part in shards.folders(folder) if rundir.is_run(part) for one in _of_part(part)]


def _of_part(folder: Path) -> list[tuple[str, Member]]:
    """Return (game, member) of a run, or of one shard: each is as far as it is."""
    from experiments.running import evaluation
    from experiments.running.folders import is_over
    from r2i_jit import metrics
    from r2i_jit.metrics import identity

    config, info = rundir.load(folder)
    try:
        rows = metrics.read(folder / "metrics.jsonl")
    except OSError as error:
        raise RunFileError(f"cannot read {folder / 'metrics.jsonl'}: {error.strerror or error}") from None
    last = evaluation.read_document(folder / "evaluation.json")
    trained = float(max((row["env_steps"] for row in rows), default=0))
    if last is not None and trained < last["env_steps"]:
        cli.note(f"{folder / 'metrics.jsonl'} ends at step {trained:,.0f}, before the evaluation: it has lost lines")
    over = is_over(last, rows, info.steps, info.minutes)
    goal = float("inf") if info.is_timed else float(info.steps), info.minutes or float("inf")
    found = []
    for member in info.members:
        own = [row for row in rows if identity(row) == identity(member) and "eval_return" in row]
        points = [(row["env_steps"], row.get("wall_seconds"), row["eval_return"]) for row in own]
        final = [row for row in (last or {}).get("members", []) if member.items() <= row.items()]
        if last is not None and final:
            minutes = max((row["wall_seconds"] for row in rows if row.get("wall_seconds") is not None), default=None)
            points = [point for point in points if point[0] < last["env_steps"]]
            points.append((last["env_steps"], minutes, final[0]["mean"]))
        found.append((member.get("env", config.env), _member(points, trained, over, goal)))
    return found


def _of_file(path: Path) -> list[tuple[str, Member]]:
    entries = read_object(path).get("curves")
    if not isinstance(entries, list):
        raise RunFileError(f"{path}: key 'curves' is missing: it is no file of `plot --save-scores`")
    found = []
    commands: dict[str, str] = {}
    for entry in entries:
        try:
            if isinstance(entry.get("command"), str):
                words = re.sub(r" --(seed|seeds|steps|minutes|eval-every) \S+", "", entry["command"])
                if commands.setdefault(entry["env"], words) != words:
                    both = f"{commands[entry['env']]}; {words}"
                    raise RunFileError(
                        f"{path} has curves of unlike agents in {entry['env']} ({both}): a set is one agent"
                    )
            if any(key.startswith("hypers.") for member in entry["members"] for key in member):
                raise RunFileError(f"{path} is of a sweep: its agents differ; a set of runs is of `train` or `suite`")
            for i, member in enumerate(entry["members"]):
                points: list[tuple[Any, Any, Any]] = [
                    (step, None, value)
                    for step, value in zip(entry["eval_steps"], entry["evaluations"][i], strict=True)
                ]
                if entry.get("final"):
                    points = [point for point in points if point[0] < entry["final"]["env_steps"]]
                    points.append((entry["final"]["env_steps"], None, entry["final"]["mean"][i]))
                found.append((member.get("env", entry["env"]), _member(points)))
        except RunFileError:
            raise
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise RunFileError(f"{path}: {type(error).__name__} {json.dumps(str(error))[:60]} in a curve") from None
    return found


def _member(
    points: Sequence[tuple[Any, Any, Any]],
    trained: float = 0.0,
    is_over: bool = True,
    goal: tuple[float, float] | None = None,
) -> Member:
    """Return a member of (steps, seconds, return) of its evaluations; null is not known."""
    numbers = np.array([[np.nan if value is None else float(value) for value in point] for point in points])
    steps, seconds, returns = numbers.reshape(-1, 3).T
    return Member(steps, seconds / 60.0, returns, max(trained, steps.max(initial=0.0)), is_over, goal)
