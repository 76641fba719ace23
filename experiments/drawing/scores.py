"""Learning curves as small JSON files: what lies behind a figure when its runs are gone. docs/scores/README.md.

A file is one figure. It holds a list of curves, one a run (in a sweep one a setting), each with the command, date,
machine and commit that made it, its seeds, returns, evaluations and the final evaluation.
"""

import json
import math
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import curves
from experiments.running import machine, recorded, rundir, runinfo
from experiments.running.cli import fail, names, note
from experiments.running.evaluation import OTHER
from r2i_jit.config import Config, ConfigError, flatten

EVALUATIONS = 200  # at most so many are kept of a run
_TEXTS = ("name", "env", "date")  # every curve has these; `command`, `machine` and `commit` may be null
_TEXTS_OR_NULL = ("command", "machine", "commit")
_NUMBERS = (("env_steps", "returns"), ("eval_steps", "evaluations"))


def save(
    run_dirs: Sequence[Path],
    path: Path,
    *,
    command: str | None = None,
    machine_name: str | None = None,
    commit: str | None = None,
) -> Path:
    """Write what a figure of these runs shows into the JSON file `path` and return it.

    Args:
      run_dirs: run directories. Exits with 2 if one is none.
      path: replaced if it is there.
      command: what trained them; by default told from each run's files.
      machine_name: where; by default what the run's files say, with the name of this machine's processor.
      commit: of which sources; by default the checkout's, if it is older than the run.
    """
    entries = []
    for run_dir in run_dirs:
        config, info = rundir.load(run_dir)
        origin = {
            "name": run_dir.resolve().name,
            "env": config.env,
            "command": command or _command(config, info),
            "date": time.strftime("%Y-%m-%d", time.gmtime(info.created)),
            "machine": machine_name or _machine(info.versions),
            "commit": commit or _commit(info.created),
        }
        final = recorded.evaluated(run_dir)
        if len(ends := recorded.ends(run_dir)) > 1:
            note(f"{run_dir}: its shards ended at {' and '.join(map(str, ends))} steps: no final evaluation is kept")
            final = None
        entries += [{**origin, **_entry(curve, final)} for curve in curves.of_run(run_dir, info)]
    path.parent.mkdir(parents=True, exist_ok=True)
    rundir.replace_text(path, _text(entries))
    return path


def plot(run_dirs: Sequence[Path], files: Sequence[Path], out: Path) -> Path:
    """Draw the curves of runs and of score files into the PNG file `out` and return its path.

    Exits with 2 if a folder is no run directory, or a file does not read, naming the file and the key.
    """
    runs = [(run_dir, *rundir.load(run_dir)) for run_dir in run_dirs]
    try:
        kept: list[dict[str, Any]] = [entry for path in files for entry in _read(path)]
    except runinfo.RunFileError as error:
        fail(error)
    several = len(runs) + len({entry["name"] for entry in kept}) > 1
    called = names(run_dirs) if several else [""] * len(runs)
    drawn = [
        curve for name, (path, _, info) in zip(called, runs, strict=True) for curve in curves.of_run(path, info, name)
    ]
    drawn += [_curve(entry, several) for entry in kept]
    return curves.draw(drawn, [config.env for _, config, _ in runs] + [entry["env"] for entry in kept], out)


def _entry(curve: curves.Curve, final: dict[str, Any] | None) -> dict[str, Any]:
    count = len(curve.eval_steps)
    kept = np.unique(np.linspace(0, max(count - 1, 0), min(count, EVALUATIONS)).round().astype(int))
    entry: dict[str, Any] = {
        "members": list(curve.members),
        "env_steps": _short(curve.steps),
        "returns": [_short(seed) for seed in curve.returns],
        "eval_steps": _short(curve.eval_steps[kept]),
        "evaluations": [_short(seed[kept]) for seed in curve.evaluations],
        "final": None,
    }
    if final is not None:
        other = OTHER if OTHER[0] in final else ()  # it was not always played
        entry["final"] = {
            "env_steps": final["env_steps"],
            "episodes": final.get("episodes"),
            **{
                key: _short([_said(final, member, key) for member in curve.members])
                for key in ("mean", "stderr", *other)
            },
        }
    return entry


def _said(final: dict[str, Any], member: dict[str, Any], key: str) -> float | None:
    """Return a number that an evaluation has for a member; None where it has none, as of one that diverged."""
    rows = final.get("members")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and member.items() <= row.items():
            return row.get(key) if isinstance(row.get(key), int | float) else None
    return None


def _short(values: Any) -> list[float | int | None]:
    """Return numbers with five significant digits, from 100,000 on whole ones, and null where there is none."""
    return [None if value is None or not math.isfinite(value) else _rounded(float(value)) for value in values]


def _rounded(number: float) -> float | int:
    number = float(f"{number:.5g}") if abs(number) < 1e5 else round(number)
    return int(number) if number == int(number) else number


def _text(entries: list[dict[str, Any]]) -> str:
    """Return JSON with a key a line, so that a change of one can be read in a diff."""
    lines = lambda entry: ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in entry.items())
    return '{"curves": [\n' + ",\n".join("{\n" + lines(entry) + "\n}" for entry in entries) + "\n]}\n"


def _command(config: Config, info: runinfo.RunInfo) -> str | None:
    """Return the command that starts such a run, with what differs from the preset of now."""
    from experiments.presets import preset

    try:
        usual = flatten(preset(info.suite or None, info.size, config.env, info.agent).to_dict())
    except ConfigError as error:
        note(f"the run's command cannot be told ({error}); name it with --command")
        return None
    words = ["just", info.kind, info.suite, "--env", config.env, "--size", info.size, "--seeds", str(info.num_seeds)]
    words += ["--agent", info.agent] if info.agent != "r2i" else []
    words += ["--seed", str(info.seed)] if info.seed else []
    words += [] if info.is_timed else ["--steps", str(info.steps)]
    words += ["--eval-every", str(info.eval_every)]
    words += [] if info.minutes is None else ["--minutes", f"{info.minutes:g}"]
    swept = [key for key in info.members[0] if key.startswith("hypers.")]
    grid = {key: dict.fromkeys(json.dumps(member[key]) for member in info.members) for key in swept}
    words += ["--grid", *(f"{key}={','.join(values)}" for key, values in grid.items())] if grid else []
    changed = {
        key: value for key, value in flatten(config.to_dict()).items() if usual[key] != value and key not in swept
    }
    shown = lambda value: value if isinstance(value, str) else json.dumps(value)
    words += ["--set", *(f"{key}={shown(value)}" for key, value in changed.items())] if changed else []
    return shlex.join(words)


def _machine(versions: dict[str, str]) -> str:
    device = versions.get("device", "cpu")
    name = machine.processor() if device == "cpu" else f"{versions.get('devices', '1')} x {device}"
    parts = [f"{versions.get(key, 'unknown number of')} cores" if key == "cores" else f"{key} {versions.get(key, '?')}"
             for key in ("cores", "jax", "python")]  # fmt: skip
    return ", ".join([name, *parts])


def _commit(created: float) -> str | None:
    """Return the checkout's commit; None, with a note, where the sources are none of git's or newer than the run."""
    try:
        done = subprocess.run(
            ["git", "log", "-1", "--format=%ct %h"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        done = None
    words = done.stdout.split() if done is not None and done.returncode == 0 else []
    if not words:
        note("the sources are in no git checkout; name their commit with --commit")
        return None
    if int(words[0]) > created:
        note(f"the checkout ({words[1]}) is newer than the run; name the commit that trained it with --commit")
        return None
    return words[1]


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a file.

    Raises:
      RunFileError: naming the file, and the key that is missing or of another type or length than it should be.
    """
    found = runinfo.read_object(path).get("curves")
    if not isinstance(found, list) or not found or not all(isinstance(entry, dict) for entry in found):
        raise runinfo.RunFileError(f"{path}: key 'curves' is no list of objects")
    for entry in found:
        for key in (*_TEXTS, *_TEXTS_OR_NULL):
            if not (isinstance(entry.get(key), str) or key in _TEXTS_OR_NULL and entry.get(key) is None):
                raise runinfo.RunFileError(f"{path}: key {key!r} is missing or no text")
        if not runinfo.are_members(entry.get("members")):
            raise runinfo.RunFileError(f"{path}: key 'members' is no list such as [{{\"seed\": 0}}]")
        for steps, values in _NUMBERS:
            _check(path, entry, steps, values)
    return found


def _check(path: Path, entry: dict[str, Any], steps: str, values: str) -> None:
    number = lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    axis, rows = entry.get(steps), entry.get(values)
    if not isinstance(axis, list) or not all(map(number, axis)):
        raise runinfo.RunFileError(f"{path}: key {steps!r} is no list of numbers")
    sound = lambda row: isinstance(row, list) and len(row) == len(axis) and all(v is None or number(v) for v in row)
    if not isinstance(rows, list) or len(rows) != len(entry["members"]) or not all(map(sound, rows)):
        raise runinfo.RunFileError(f"{path}: key {values!r} is no list of {len(axis)} numbers or nulls for every seed")


def _curve(entry: dict[str, Any], several: bool) -> curves.Curve:
    members = tuple(entry["members"])
    steps, eval_steps = (np.array(entry[key], float) for key, _ in _NUMBERS)
    returns, evaluations = (_matrix(entry[key], len(members)) for _, key in _NUMBERS)
    return curves.Curve(
        curves.label(entry["name"] if several else "", members), steps, returns, eval_steps, evaluations, members
    )


def _matrix(rows: list[list[float | None]], seeds: int) -> np.ndarray:
    return np.array([[math.nan if value is None else value for value in row] for row in rows], float).reshape(seeds, -1)
