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
the final evaluation, mean and standard error over seeds, of the most likely actions where `loop.evaluation_greedy` says
so, and under `otherwise` that of the other form of play, samples; `score` is where it lies between random play (0) and
the best known play (1).
"""

import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from experiments.launching import results
from experiments.running import cli, process, signals, startup
from experiments.running.folders import folder, is_over, log, minutes_trained


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("suite"), __doc__)
    parser.add_argument("suite", help="a suite of environments, such as popgym")
    parser.add_argument(
        "--out-dir",
        type=cli.path,
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
    env_ids = results.units(args.suite, out, asked)
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
        "--steps",
        type=cli.whole(1, cli.MOST_STEPS),
        metavar="N",
        help="env steps per seed (default: the preset's, per env)",
    )
    cli.add_minutes_argument(parser)
    cli.add_max_time_argument(parser)
    parser.add_argument("--eval-every", type=cli.whole(1), metavar="STEPS", help="as in train (default: steps / 20)")
    parser.add_argument("--set", dest="assignments", nargs="+", default=[], metavar="KEY=VALUE", help="as in train")
    parser.add_argument(
        "--jobs", type=cli.whole(1, 4096), default=1, metavar="N", help="runs at a time, a process each (default: 1)"
    )
    parser.add_argument(
        "--retries", type=cli.whole(0, 100), default=1, metavar="N",
        help="with --jobs: how often one that failed is tried again (default: 1)",
    )  # fmt: skip


def refuse_others(args: Any, env_ids: Sequence[str], out: Path) -> None:
    """Exit 2 naming what is asked for otherwise than the runs in the folder were started with, or for fewer steps."""
    from experiments.running import asking, rundir

    for env_id in env_ids:
        path = folder(out, env_id)
        if not rundir.is_run(path):
            continue
        saved, info = rundir.load(path)
        asked = asking.typed_config(_of(args, env_id), saved, info)
        if changed := rundir.changes(args, saved, info, asked, partial(minutes_trained, path)):
            cli.fail(f"{path} was started otherwise ({'; '.join(changed)}); choose another --out-dir")


def _of(args: Any, env_id: str) -> Any:
    """Return the options as `train` has them for one environment."""
    from argparse import Namespace

    return Namespace(**{**vars(args), "env": env_id})


def train_all(args: Any, env_ids: Sequence[str], out: Path) -> int:
    """Train what is not finished yet and return the exit code: 0, or that of the signal that stopped it."""
    from experiments.running import rundir

    rundir.make(out)
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
        results.write(args.suite, out, env_ids, failures)
    if stopped:
        return stopped
    print(results.write(args.suite, out, env_ids, failures))
    results.print_report(args.suite, out)
    return 1 if failures else 0


TRAIN = ("-P", "-m", "experiments", "train")  # -P: no folder of the user's shadows a package


class Task(NamedTuple):
    """One run that is to be trained: what it is called, the options, the environment, the folder of runs."""

    name: str
    args: Any
    env_id: str
    out: Path


def train_each(tasks: Sequence[Task], args: Any) -> Iterator[tuple[Task, int, bool]]:
    """Train each, --jobs at a time, and yield (task, exit code, whether a signal stopped it), as they end."""
    began = time.monotonic()
    if args.jobs == 1:
        for task in tasks:
            cli.note(task.name)
            code = train_one(task, None if args.max_time is None else began + args.max_time - time.monotonic())
            yield task, code, signals.is_stop(code)
            if signals.is_stop(code):
                return
        return
    from experiments.running import pool

    devices = pool.shares(args.jobs)
    jobs = [
        pool.Job(task.name, (*TRAIN, *words_of(task)), task.out / "logs" / f"{folder(task.out, task.env_id).name}.log")
        for task in tasks
    ]
    if not jobs:
        return
    where = shlex.quote(os.path.commonpath([task.out for task in tasks]))
    cli.note(f"{len(jobs)} to train, {args.jobs} at a time; `{cli.program('status')} {where}` says how they stand")
    stopped = False
    for number, code, by_signal in pool.run(jobs, devices, args.retries, args.max_time):
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
    words = [*([args.suite] if args.suite else []), "--env", task.env_id, "--run-dir", path]
    words += ["--resume"] if rundir.is_run(path) or args.jobs > 1 else []
    for option in ("size", "agent", "seeds", "seed", "steps", "minutes", "eval_every"):
        value = getattr(args, option)
        words += [] if value is None else [f"--{option.replace('_', '-')}", value]
    words += ["--log-episodes", log] if (log := presets.log_episodes(task.env_id)) else []
    words += ["--set", *args.assignments] if args.assignments else []
    words += ["--import", *args.imports] if getattr(args, "imports", None) else []
    return [str(word) for word in words]


def train_one(task: Task, max_seconds: float | None) -> int:
    """Start or resume a run in this process, for `max_seconds` if they are given, and return its exit code."""
    import jax

    from experiments import train

    try:
        limit = [] if max_seconds is None else ["--max-time", str(max(max_seconds, 1) / 60)]
        return train.main([*words_of(task), *limit], task.args.go_on)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    finally:
        jax.clear_caches()  # Each environment is another program; none is needed again.


def is_done(path: Path, env_id: str, args: Any) -> bool:
    """Return whether a run has been evaluated at the steps, or after the minutes, that it is to have."""
    from experiments.running import recorded, rundir

    if not rundir.is_run(path):
        return False
    document = recorded.evaluated(path)
    if document is None or document["env"] != env_id:
        return False
    _, info = rundir.load(path)
    return is_over(document, log(path), args.steps or info.steps, args.minutes or info.minutes)


if __name__ == "__main__":
    process.run(main)
