"""Say how runs stand: `r2i status runs/popgym-tiny-suite`. Read from the files alone, of runs that go on, too.

Each folder is a run or a search, or has some below it, as `suite`, `compare` and `launch` make them (default: ./runs).
Of a run in shards each shard has a line; of a search its trials are counted.

Printed are every run's state, members, steps, and the mean return of its last evaluation over its members:

- running: a process has it
- done: evaluated at the steps, or after the minutes, that it was to have
- failed: `suite`, `compare` or `launch` gave it up, with that exit code; diverged, if that is because all of its
  members did
- stopped: it can go on (--resume, or the command that made it)
- waiting: it has not begun, or waits in a queue to go on

Exit code 1 if one has failed or diverged, else 0.
"""

import collections
import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.running import cli, process


class Standing(NamedTuple):
    """How a run stands: its folder, and what is said of it."""

    path: Path
    state: str
    members: str = "-"
    steps: str = "-"
    returned: str = "-"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("status"), __doc__)
    parser.add_argument(
        "folders", type=cli.path, nargs="*", default=[Path("runs")], metavar="DIR", help="default: runs"
    )
    args = parser.parse_args(argv)
    from experiments.running.display import table

    found = [standing for folder in cli.once(args.folders) for standing in below(folder)]
    columns = ["run", "state", "members", "steps", "return"]
    print(table(columns, [[str(one.path), *one[1:]] for one in found]))
    counts = collections.Counter(one.state.partition(" ")[0] for one in found)
    print(f"\n{len(found)} run{'s' * (len(found) != 1)}: " + ", ".join(f"{counts[name]} {name}" for name in counts))
    return 1 if {"failed", "diverged"} & counts.keys() else 0


def below(folder: Path) -> list[Standing]:
    """Return how the run in a folder stands, or each below it; exit 2 if there is none."""
    from experiments.running import rundir
    from r2i_jit import shards

    if not folder.is_dir():
        cli.fail(f"{folder} is no folder")
    found = ["."] if rundir.is_run(folder) else ["*", "*/*", "*/*/*", "*/*/*/*"]
    runs = sorted({path.parent for depth in found for path in folder.glob(f"{depth}/run.json")})
    parts = [part for path in runs if path.parent not in runs for part in shards.folders(path)]
    codes = {path: code for one in sorted({*folder.glob("results.json"), *folder.glob("*/results.json")})
             for path, code in _planned(one)}  # fmt: skip
    codes = {path: code for path, code in codes.items() if path not in runs or path in parts}
    launched = [job for one in sorted({*folder.glob("jobs.json"), *folder.glob("*/jobs.json")})
                for job in _launched(one.parent)]  # fmt: skip
    codes |= {path: code for path, code, _ in launched}
    planned = {path: state for path, _, state in launched}
    standings = [_of_run(path, codes.get(path), planned.get(path)) for path in sorted({*parts, *codes})]
    searches = {*folder.glob("search.json"), *folder.glob("*/search.json")}
    standings += [_of_search(path.parent) for path in sorted(searches)]
    if not standings:
        cli.fail(f"there is no run in {folder}")
    return standings


def _launched(folder: Path) -> Iterator[tuple[Path, int | None, str | None]]:
    """Yield the folder of each job of a plan, the exit code of one that failed, and the state of one that has none yet.

    That is waiting, or running where it begins only. The plan is brought up to date.
    """
    from experiments.launching import plan
    from experiments.running.runinfo import RunFileError

    try:
        found = plan.read(folder)
    except RunFileError as error:
        return cli.note(f"{error}; it is passed over")
    standings = plan.standings(found)
    with contextlib.suppress(OSError):  # somebody else's folder
        plan.write(found, standings)
    for number, (attempt, state) in enumerate(standings):
        failure = attempt.exit_code if state in (plan.FAILED, plan.DIVERGED) else None
        yield found.run_dir(number), failure, state if state in (plan.WAITING, plan.RUNNING) else None


def _planned(results: Path) -> Iterator[tuple[Path, int | None]]:
    """Yield the folder of each run in a suite's table, and the exit code of one that failed."""
    from experiments.running.folders import folder

    try:
        entries = json.loads(results.read_text(encoding="utf-8"))
        named = [(str(entry["env"]), entry["failure"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):  # a table can be made anew
        return
    there = [path.parent for path in results.parent.glob("*/run.json")]
    several = {member.get("env"): path for path in there for member in _members(path)}  # settings of one run
    for env_id, code in named:
        yield several.get(env_id, folder(results.parent, env_id)), code


def _members(path: Path) -> list[dict[str, Any]]:
    from experiments.running import rundir
    from experiments.running.runinfo import RunFileError

    try:
        return rundir.read(path)[1].members
    except RunFileError:
        return []


def _of_run(path: Path, failure: int | None, planned: str | None = None) -> Standing:
    """Return how a run stands.

    Args:
      path: its folder.
      failure: the exit code with which it was given up, None if it was not.
      planned: what its files cannot say: that it waits in a queue, or is a process that has not come to them yet.
    """
    from experiments.running import evaluation, rundir
    from experiments.running.folders import is_over, log, minutes_until
    from experiments.running.runinfo import RunFileError

    if not rundir.is_run(path):
        return Standing(path, planned or ("waiting" if failure is None else f"failed (exit {failure})"))
    try:
        _, info = rundir.read(path)
        rows = log(path)
    except (RunFileError, ValueError) as error:
        return Standing(path, f"failed ({' '.join(str(error).split())})")
    last = evaluation.read_document(path / "evaluation.json")
    step, end = rows[-1]["env_steps"] if rows else 0, 0 if last is None else last["env_steps"]
    if step < end:
        cli.note(f"{path / 'metrics.jsonl'} ends at step {step:,}, before the evaluation at {end:,}: it has lost lines")
    step = max(step, end)
    lost = sum(bool(row.get("diverged")) for row in rows[-len(info.members) :])
    evaluated = [row for row in rows if row.get("eval_return") is not None]
    own = [row["eval_return"] for row in evaluated if row["env_steps"] == evaluated[-1]["env_steps"]]
    returned = last["mean"] if last else sum(own) / len(own) if own else None
    minutes = minutes_until(rows, step)
    if rundir.is_held(path):
        state = "running"
    elif is_over(last, rows, info.steps, info.minutes):
        state = "done"
    elif failure is not None:
        state = "diverged" if failure == cli.NOT_FINITE else f"failed (exit {failure})"
    else:
        state = planned or ("stopped" if rows else "waiting")
    members = f"{len(info.members)}" + (f", {lost} diverged" if lost else "")
    saved = rundir.newest_saved(path)
    unsaved = f", saved at {saved:,}" if state == "stopped" and saved < step else ""
    goal = (
        f"{step:,}"
        + ("" if info.is_timed else f" of {info.steps:,}")
        + (f", {minutes:.1f} of {info.minutes:g} min" if info.minutes else "")
        + unsaved
    )
    return Standing(path, state, members, goal, "-" if returned is None else f"{returned:.3f}")


def _of_search(path: Path) -> Standing:
    """Return how a search stands: its trials that are through in place of steps, and the best return."""
    from experiments.running import rundir
    from experiments.running.runinfo import RunFileError, read_object

    try:
        wanted = int(read_object(path / "search.json")["trials"])
        trials = read_object(path / "results.json")["trials"] if (path / "results.json").exists() else []
        states = [trial["state"] for trial in trials]
        best = max((trial["value"] for trial in trials if trial["value"] is not None), default=None)
    except (RunFileError, KeyError, TypeError, ValueError) as error:
        return Standing(path, f"failed ({' '.join(str(error).split())})")
    through = len(states) - states.count("running")
    if rundir.is_held(path):
        state = "running"
    elif through < wanted:
        state = "stopped" if states else "waiting"
    else:
        state = "diverged" if best is None else "done"
    return Standing(path, state, "-", f"{through} of {wanted} trials", "-" if best is None else f"{best:.3f}")


if __name__ == "__main__":
    process.run(main)
