"""Train many runs by one command: `r2i launch --shards 4 train popgym --seeds 64`.

What follows `train`, `sweep` or `suite` is what these take. It is expanded: each environment (`suite`), and each
combination of sizes that shape the program (--grid model.units=64,128) is a run of its own, and a run's seeds are
divided into --shards, by default as few as the device's memory allows. Values of hypers.* in --grid share a program.

The plan, `jobs.json` in --out-dir, says for each job its command, state, attempt, exit code and log. --on says where
they run: `local` is a pool of processes on this machine, `slurm` a queue, to which they are handed over, `ray` a Ray
cluster. The same command again goes on with what is left. A job that fails is tried again (--retries) from its last
checkpoint, then named and left; the others are unharmed (exit code 1 at the end). `r2i status DIR` says how all stand.
"""

import argparse
import contextlib
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.launching import engines, expanding, local, plan, ray_engine, slurm
from experiments.running import cli, process, startup

ENGINES: dict[str, Any] = {"local": local, "slurm": slurm, "ray": ray_engine}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("launch"), __doc__)
    parser.add_argument("--on", choices=ENGINES, default="local", help="where the jobs run (default: local)")
    parser.add_argument("--out-dir", type=cli.path, metavar="DIR", help="default: runs/<suite or env>-launch")
    parser.add_argument("--shards", type=cli.whole(1, 4096), metavar="N", help="of each run's seeds")
    parser.add_argument(
        "--jobs", type=cli.whole(1, 4096), metavar="N", help="at a time (default: local one a core or card, slurm any)"
    )  # fmt: skip
    parser.add_argument(
        "--retries", type=cli.whole(0, 100), default=1, metavar="N",
        help="how often one that failed is tried again (default: 1)",
    )  # fmt: skip
    cli.add_max_time_argument(parser)
    for module in ENGINES.values():
        module.add_arguments(parser)
    parser.add_argument("command", choices=expanding.COMMANDS, help="what is expanded")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="its suite and options")
    args = parser.parse_args(argv)
    _refuse_others(parser, args)
    args.asked = asked = expanding.parse(args.command, args.words, f"{parser.prog} {args.command}")
    if asked.distributed and args.on != "slurm":
        cli.fail(f"--distributed: with --on {args.on} a job is one process; --on slurm starts several for one")
    engine = ENGINES[args.on].make(args)
    engine.check()
    startup.prepare(all_cores=True, leave_memory=True)
    from experiments.running import importing, rundir

    importing.prepare(asked.imports)
    out = args.out_dir or rundir.RUNS / f"{_name(asked)}-launch"
    jobs = expanding.jobs(args.command, asked, args.shards)
    found = plan.Plan(out, os.getcwd(), tuple(jobs))
    _check(found)
    rundir.make(out)
    go_on = shlex.join([*cli.program("launch").split(), *(sys.argv[1:] if argv is None else argv)])
    with rundir.lock(out):
        if before := _check(found):  # again, now that no other launch can fill it
            plan.begin_anew(before, found)
        plan.refresh(found)
        return _run(found, engine, engines.Options(args.jobs, args.retries, args.max_time), go_on, asked.suite)


def _refuse_others(parser: cli.Parser, args: Any) -> None:
    """Exit 2 naming an option that is another engine's."""
    own = ENGINES[args.on].OPTIONS
    for name, module in ENGINES.items():
        for option in module.OPTIONS:
            if option not in own and getattr(args, option) not in (None, False, []):
                parser.error(f"--{option} is for --on {name}, and this is --on {args.on}")


def _name(asked: Any) -> str:
    return (asked.suite or asked.env).replace("/", "-").replace(":", "-")


def _check(wanted: plan.Plan) -> plan.Plan | None:
    """Return the plan that lies in the folder, if one does; exit 2 if it is another, or runs were started otherwise.

    A run that does not read is left to its own job, which will say so.
    """
    from experiments.running import asking, rundir
    from experiments.running.runinfo import RunFileError

    before = None
    try:
        if (wanted.folder / plan.NAME).exists():
            before = plan.read(wanted.folder)
            if difference := plan.difference(before, wanted):
                cli.fail(f"{wanted.folder} was launched otherwise ({difference}); choose another --out-dir")
        elif wanted.folder.exists() and any(map(_is_others, wanted.folder.iterdir())):
            cli.fail(f"{wanted.folder} is not empty and has no {plan.NAME}; choose another --out-dir")
    except RunFileError as error:
        cli.fail(error)
    except OSError as error:
        is_file = wanted.folder.exists() and not wanted.folder.is_dir()
        cli.fail(
            f"--out-dir {wanted.folder} {'is a file' if is_file else f'cannot be read: {error.strerror or error}'}"
        )
    for job in wanted.jobs:
        path = wanted.folder / job.folder
        if rundir.is_run(path):
            own = expanding.parse_job(job)
            try:
                saved, info = rundir.read(path)
            except RunFileError:
                continue
            if changed := rundir.changes(own, saved, info, asking.typed_config(own, saved, info)):
                cli.fail(f"{path} was started otherwise ({'; '.join(changed)}); choose another --out-dir")
    return before


def _is_others(entry: Path) -> bool:
    """Return whether a file is none that a launch leaves which is killed before it has a plan."""
    from experiments.running import rundir

    return entry.name not in rundir.LOCKS and not entry.match(f"{plan.NAME}.*.tmp")


def _run(found: plan.Plan, engine: engines.Engine, options: engines.Options, go_on: str, suite: str | None) -> int:
    """Run what is left and return the exit code: 0, 1 if a job failed, or that of the signal that stopped it."""
    left = plan.left(found, plan.refresh(found))
    where = shlex.quote(str(found.folder))
    cli.note(f"{len(left)} of {len(found.jobs)} jobs to run; `{cli.program('status')} {where}` says how they stand")
    began, stopped, handed_over, given_up = time.monotonic(), 0, bool(left), set[int]()
    for number, code, said, by_signal in engine.run(found, left, options) if left else ():
        stopped, handed_over = code if by_signal else stopped, False
        given_up |= {number} if code and not by_signal else set()  # one that was killed cannot have noted it
        minutes = f"{(time.monotonic() - began) / 60:.1f} min"
        cli.note(f"{found.jobs[number].name}: {said} ({minutes} since the start)")
        plan.refresh(found)
    standings = plan.refresh(found)
    if stopped:
        cli.note(f"stopped; go on with: {go_on}")
        return stopped
    states = [state for _, state in standings]
    if handed_over or set(states) <= {plan.WAITING, plan.RUNNING}:
        return 0
    _print_tables(found, standings, suite)
    bad = [
        job.name
        for number, (job, state) in enumerate(zip(found.jobs, states, strict=True))
        if number in given_up or state in (plan.FAILED, plan.DIVERGED)
    ]
    for name in bad:
        cli.note(f"{name}: failed")
    return 1 if bad else 0


def _print_tables(found: plan.Plan, standings: Sequence[tuple[plan.Attempt, str]], suite: str | None) -> None:
    """Print and write the table of each folder of runs: one for every combination of sizes."""
    from experiments.launching import results
    from experiments.running import rundir
    from experiments.running.runinfo import RunFileError

    folders: dict[Path, dict[str, int]] = {}
    for number, (attempt, state) in enumerate(standings):
        path = found.folder / found.jobs[number].folder
        own = folders.setdefault(path.parent, {})
        if state in (plan.FAILED, plan.DIVERGED) and attempt.exit_code:
            own[expanding.parse_job(found.jobs[number]).env] = attempt.exit_code
        elif rundir.is_run(path):
            with contextlib.suppress(RunFileError):
                own.setdefault(rundir.read(path)[0].env, 0)
    for path, own in folders.items():
        failures = {env_id: code for env_id, code in own.items() if code}
        title = f"{path.relative_to(found.folder)}:\n" if path != found.folder else ""
        print(title + results.write(suite or "", path, list(own), failures))


if __name__ == "__main__":
    process.run(main)
