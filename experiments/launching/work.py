"""Run one job of a plan in this process: `python -m experiments.launching.work DIR NUMBER`. What every engine runs.

How it goes is noted in the plan's folder (`plan.Attempt`). The exit code is the run's own.
"""

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.launching import plan
from experiments.running import cli, process, signals
from experiments.running.runinfo import RunFileError

HELD = 180.0  # seconds for which one that is attached waits for a run that another process has
_LOOK = 1.0  # seconds between two looks at it


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job that the command line names and return its exit code."""
    parser = cli.Parser("python -m experiments.launching.work", __doc__)
    parser.add_argument("folder", type=cli.path, metavar="DIR", help="of the plan")
    parser.add_argument("number", type=cli.whole(0), help="of the job, from 0")
    parser.add_argument(
        "--attached", action="store_true",
        help="end at once when standard input does: when who started this is gone; wait for a run that is in use",
    )  # fmt: skip
    cli.add_max_time_argument(parser)
    parser.add_argument(
        "--must-learn", action="store_true",
        help=f"exit 1 rather than {cli.AGAIN} if the time was over before anything was learned: it would be so again",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.attached:
        _attach()
    try:
        found = plan.read(args.folder.absolute())
    except RunFileError as error:
        cli.fail(error)
    if args.number >= len(found.jobs):
        cli.fail(f"{args.folder} has jobs 0 to {len(found.jobs) - 1}")
    if args.attached:
        _wait_for(found.run_dir(args.number))
    with _leaving():
        return run(found, args.number, args.max_time, args.must_learn)


def _attach() -> None:
    """Let this process live no longer than standard input, which nobody reads from here on."""
    held = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        os.read(held, 1)
        os.kill(os.getpid(), signal.SIGKILL)  # another machine may go on with the run already

    threading.Thread(target=watch, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.ASKING_TO_STOP)  # what started this may have blocked them


def _wait_for(path: Path) -> None:
    """Wait for a while until no process has a run: one whose machine is lost may hold it a little longer."""
    from experiments.running import rundir

    until = time.monotonic() + HELD
    while rundir.is_held(path) and time.monotonic() < until:
        time.sleep(_LOOK)


def run(found: plan.Plan, number: int, max_seconds: float | None, must_learn: bool = False) -> int:
    """Run a job, from the folder in which it was launched if that is there, and return its exit code.

    Of several processes that do a job together the first one notes how it goes, and its exit code is what counts.
    """
    if "--distributed" in found.jobs[number].command and int(os.environ.get("SLURM_PROCID", "0")):
        _command(found, number, max_seconds)
        return 0
    attempt = plan.begin(found, number)
    before = found.checkpoint(number)
    code = 1  # of an error that is nobody's word
    try:
        code = _command(found, number, max_seconds)
        if must_learn and code == cli.AGAIN and found.checkpoint(number) <= before:
            cli.note("error: the time was over before anything new was saved; the job needs more (--time)")
            code = 1
    finally:
        plan.end(found, number, attempt, code)
    return code


def _command(found: plan.Plan, number: int, max_seconds: float | None) -> int:
    try:
        if Path(found.start).is_dir():
            os.chdir(found.start)
        command, *words = found.words(number)
        limit = [] if max_seconds is None else ["--max-time", str(max_seconds / 60)]
        return importlib.import_module(f"experiments.{command}").main([*words, *limit])
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1


@contextlib.contextmanager
def _leaving() -> Iterator[None]:
    """Leave with exit code AGAIN if a queue says that the time is over before the run listens, or when it is over."""

    def leave(*_: object) -> None:
        raise SystemExit(cli.AGAIN)

    before = {number: signal.signal(number, leave) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    process.run(lambda: main(sys.argv[1:]))
