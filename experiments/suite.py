"""Train on every environment of a suite into one table: `python -m experiments.suite popgym`.

Every environment is a run of `experiments.train` in its own folder below --out-dir; settings of an experiment that can
be one program (`bsuite/memory_len`) are one run, --seeds of each. The same command again goes on
where it was stopped: what has been evaluated at the steps (or after the minutes) asked for is done, anything else is
resumed, and so is what was trained for less than is asked for now. Other seeds, settings or sizes than those of the
runs in the folder are refused before anything runs. One that fails is named in the table, and the rest go on (exit
code 1 at the end).

With --jobs several are trained at a time, each by a process of its own on cores (or cards) of its own, whose words go
into --out-dir/logs. One that fails or dies is tried again from its last checkpoint (--retries) before it is named.

Of bsuite, the folder `report` has bsuite's own scores, its radar and its log files (docs/bsuite.md).

The table (results.md, results.json) has every run in the folder and is written anew after each. The return is that of
the final greedy evaluation, mean and standard error over seeds; `score` is where it lies between random play (0) and
the best known play (1).
"""

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.running import cli, process, startup
from experiments.running.folders import folder, is_over, log


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("suite"), __doc__)
    parser.add_argument("suite", help="a suite of environments, such as popgym")
    parser.add_argument(
        "--out-dir",
        type=Path,
        metavar="DIR",
        help="default: runs/<suite>-<size>-suite, with the agent where it is not R2I",
    )
    cli.add_agent_argument(parser)
    add_game_arguments(parser)
    args = parser.parse_args(argv)
    args.go_on = shlex.join([*cli.program("suite").split(), *(sys.argv[1:] if argv is None else argv)])
    startup.prepare(all_cores=True, leave_memory=args.jobs > 1)
    from experiments.running import asking, rundir

    asked = asking.environments(args.suite, args.only)
    size = asking.resolved_size(args.size)
    who = "" if args.agent in (None, "r2i") else f"{args.agent}-"
    out = args.out_dir or rundir.RUNS / f"{args.suite}-{who}{size}-suite"
    env_ids = units(args.suite, out, asked)
    for env_id in env_ids:  # Whatever is wrong with the command line is said before anything runs.
        asking.asked_config(args, size, env_id)
    refuse_others(args, env_ids, out)
    return train_all(args, env_ids, out)


def add_game_arguments(parser: cli.Parser) -> None:
    """Add the options that say which games are trained, and how each is."""
    parser.add_argument(
        "--only", nargs="+", default=["*"], metavar="PATTERN", help="ids to train, such as '*Easy' (default: all)"
    )
    parser.add_argument(
        "--size", choices=cli.SIZES, help="preset (default: auto = small with an accelerator, else tiny)"
    )
    parser.add_argument("--seeds", type=cli.whole(1, 4096), metavar="N", help="default: 1")
    parser.add_argument("--seed", type=cli.whole(0, 2**32 - 1), metavar="S", help="default: 0")
    parser.add_argument(
        "--steps", type=cli.whole(1, 2 * 10**9), metavar="N", help="env steps per seed (default: the preset's, per env)"
    )
    cli.add_minutes_argument(parser)
    parser.add_argument("--eval-every", type=cli.whole(1), metavar="STEPS", help="as in train (default: steps / 20)")
    parser.add_argument("--set", dest="assignments", nargs="+", default=[], metavar="KEY=VALUE", help="as in train")
    parser.add_argument(
        "--jobs", type=cli.whole(1, 4096), default=1, metavar="N", help="runs at a time, a process each (default: 1)"
    )
    parser.add_argument(
        "--retries", type=cli.whole(0, 100), default=1, metavar="N",
        help="with --jobs: how often one that failed is tried again (default: 1)",
    )  # fmt: skip


def units(suite: str, out: Path, env_ids: Sequence[str]) -> list[str]:
    """Return what is trained, a run each: the runs in the folder that have one of the ids, and the others together."""
    from envs import registry

    there = [unit for unit in in_folder(suite, out, ()) if not set(env_ids).isdisjoint(registry.settings(unit))]
    had = {env_id for unit in there for env_id in registry.settings(unit)}
    return in_order(suite, there + registry.together([env_id for env_id in env_ids if env_id not in had]))


def refuse_others(args: Any, env_ids: Sequence[str], out: Path) -> None:
    """Exit 2 naming what is asked for otherwise than the runs in the folder were started with, or for fewer steps."""
    from experiments.running import asking, rundir

    for env_id in env_ids:
        path = folder(out, env_id)
        if not rundir.is_run(path):
            continue
        saved, info = rundir.load(path)
        asked = asking.typed_config(_of(args, env_id), saved, info)
        if changed := rundir.changes(args, saved, info, asked):
            cli.fail(f"{path} was started otherwise ({'; '.join(changed)}); choose another --out-dir")


def _of(args: Any, env_id: str) -> Any:
    """Return the options as `train` has them for one environment."""
    from argparse import Namespace

    return Namespace(**{**vars(args), "env": env_id})


def train_all(args: Any, env_ids: Sequence[str], out: Path) -> int:
    """Train what is not finished yet and return the exit code: 0, or that of the signal that stopped it."""
    make(out)
    failures: dict[str, int] = {}
    tasks = [
        Task(f"[{number}/{len(env_ids)}] {env_id}", args, env_id, out)
        for number, env_id in enumerate(env_ids, 1)
        if not is_done(folder(out, env_id), env_id, args)
    ]
    stopped = 0
    for task, code, by_signal in train_each(tasks, args):
        stopped = code if by_signal else stopped
        if code and not by_signal:
            failures[task.env_id] = code
        write(args.suite, out, env_ids, failures)
    if stopped:
        return stopped
    print(write(args.suite, out, env_ids, failures))
    print_report(args.suite, out)
    return 1 if failures else 0


def make(out: Path) -> None:
    """Make the folder of the runs; exit 2 if that fails."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cli.fail(f"cannot write to --out-dir {out}: {error.strerror or error}")


class Task(NamedTuple):
    """One run that is to be trained: what it is called, the options, the environment, the folder of runs."""

    name: str
    args: Any
    env_id: str
    out: Path


def train_each(tasks: Sequence[Task], args: Any) -> Iterator[tuple[Task, int, bool]]:
    """Train each, --jobs at a time, and yield (task, exit code, whether a signal stopped it), as they end."""
    if args.jobs == 1:
        for task in tasks:
            cli.note(task.name)
            code = train_one(task)
            yield task, code, code > 128
            if code > 128:
                return
        return
    from experiments.running import pool

    devices = pool.shares(args.jobs)
    jobs = [
        pool.Job(task.name, tuple(words_of(task)), task.out / "logs" / f"{folder(task.out, task.env_id).name}.log")
        for task in tasks
    ]
    if not jobs:
        return
    where = shlex.quote(os.path.commonpath([task.out for task in tasks]))
    cli.note(f"{len(jobs)} to train, {args.jobs} at a time; `{cli.program('status')} {where}` says how they stand")
    began = time.monotonic()
    stopped = False
    for number, code, by_signal in pool.run(jobs, devices, args.retries):
        stopped = stopped or by_signal
        minutes = f"{(time.monotonic() - began) / 60:.1f} min"
        said = "stopped" if by_signal else pool.reason(jobs[number].log, code) if code else "done"
        cli.note(f"{tasks[number].name}: {said} ({minutes} since the start)")
        yield tasks[number], code, by_signal
    if stopped:
        cli.note(f"stopped; go on with: {args.go_on}")


def words_of(task: Task) -> list[str]:
    """Return the command line of `train` for a task: start or resume the run in its folder."""
    from experiments import presets
    from experiments.running import rundir

    args, path = task.args, folder(task.out, task.env_id)
    words = [args.suite, "--env", task.env_id, "--run-dir", path]
    words += ["--resume"] if rundir.is_run(path) or args.jobs > 1 else []
    for option in ("size", "agent", "seeds", "seed", "steps", "minutes", "eval_every"):
        value = getattr(args, option)
        words += [] if value is None else [f"--{option.replace('_', '-')}", value]
    words += ["--log-episodes", log] if (log := presets.log_episodes(task.env_id)) else []
    words += ["--set", *args.assignments] if args.assignments else []
    return [str(word) for word in words]


def train_one(task: Task) -> int:
    """Start or resume a run in this process and return its exit code."""
    import jax

    from experiments import train

    try:
        return train.main(words_of(task), task.args.go_on)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    finally:
        jax.clear_caches()  # Each environment is another program; none is needed again.


def print_report(suite: str, out: Path) -> None:
    """Print a suite's own scores, where it has some and there are episodes, and write them into the folder `report`."""
    if suite != "bsuite":
        return
    from experiments.bsuite import report, runs

    try:
        logs = runs.logs(out)
        if logs:
            print(f"\nbsuite's own scores (over all episodes since the first), in {out / 'report'}:\n")
            print(report.report(logs, out / "report", out.name), end="")
    except (OSError, ValueError) as error:
        cli.fail(f"no report: {error}")


def is_done(path: Path, env_id: str, args: Any) -> bool:
    """Return whether a run has been evaluated at the steps, or after the minutes, that it is to have."""
    from experiments.running import evaluation, rundir

    if not rundir.is_run(path):
        return False
    document = evaluation.read_document(path / "evaluation.json")
    if document is None or document["env"] != env_id:
        return False
    _, info = rundir.load(path)
    return is_over(document, log(path), args.steps or info.steps, args.minutes or info.minutes)


def write(suite: str, out: Path, env_ids: Sequence[str], failures: dict[str, int]) -> str:
    """Write results.json and results.md from the evaluations of all runs in the folder and return the table."""
    from experiments.running.display import table
    from experiments.running.rundir import replace_text

    runs = in_folder(suite, out, env_ids)
    entries = [found for env_id in runs for found in of_run(out, env_id, failures.get(env_id))]
    replace_text(out / "results.json", json.dumps(entries, indent=2) + "\n")
    columns = ["environment", "return", "score", "steps", "random", "best known"]
    text = table(columns, [[show(value) for value in row(found)] for found in entries])
    replace_text(out / "results.md", text + "\n")
    return text


def in_folder(suite: str, out: Path, env_ids: Sequence[str]) -> list[str]:
    """Return the environments that were asked for and those that there are runs of, in the registry's order."""
    from experiments.running import rundir

    there = [rundir.load(path.parent)[0].env for path in sorted(out.glob("*/run.json"))]
    there = [env_id for env_id in there if env_id.startswith(f"{suite}/") and rundir.is_run(folder(out, env_id))]
    return in_order(suite, list(dict.fromkeys([*env_ids, *there])))


def in_order(suite: str, env_ids: Sequence[str]) -> list[str]:
    """Return environments, or what stands for several settings, in the registry's order."""
    import envs
    from envs import registry

    known = [env_id for env_id in envs.registered() if env_id.startswith(f"{suite}/")]
    place = {env_id: number for number, env_id in enumerate(known)}
    return sorted(env_ids, key=lambda env_id: place.get(registry.settings(env_id)[0], len(place)))


def of_run(out: Path, env_id: str, failure: int | None) -> list[dict[str, Any]]:
    """Return what is known of each environment of one run: one, or its settings."""
    from envs import registry
    from experiments.running.evaluation import mean_over_seeds, read_document

    document = read_document(folder(out, env_id) / "evaluation.json")
    if document is None or document["env"] != env_id:
        return [entry(setting, failure, {}) for setting in registry.settings(env_id)]
    if len(ids := registry.settings(env_id)) == 1:
        return [entry(env_id, failure, {name: document[name] for name in ("mean", "stderr", "env_steps")})]
    steps = {"env_steps": document["env_steps"]}
    own = {setting: [row for row in document["members"] if row["env"] == setting] for setting in ids}
    return [entry(setting, failure, mean_over_seeds(rows) | steps) for setting, rows in own.items()]


def entry(env_id: str, failure: int | None, measured: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of one environment, given what was measured: mean, stderr and env_steps, or nothing."""
    from experiments.running.references import references

    known = references(env_id)
    result: dict[str, Any] = {"env": env_id, "failure": failure, **measured}
    result |= {name: known[name]["mean"] for name in ("random", "best") if name in known}
    if {"random", "best"} <= known.keys() and result.get("mean") is not None:
        result["score"] = (result["mean"] - result["random"]) / (result["best"] - result["random"])
    return result


def row(found: dict[str, Any]) -> list[Any]:
    """Return the table's cells of one environment."""
    returned: Any = None
    if found.get("mean") is not None:
        error = found["stderr"]
        returned = f"{found['mean']:.3f}" + (f" ± {error:.3f}" if error is not None else "")
    elif found["failure"] is not None:
        returned = f"failed (exit {found['failure']})"
    cells = [found.get(name) for name in ("score", "env_steps", "random", "best")]
    return [found["env"], returned, *cells]


def show(value: Any) -> str:
    """Return a cell as text; "-" where there is nothing yet."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


if __name__ == "__main__":
    process.run(main)
