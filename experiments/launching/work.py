"""Run one job of a plan in this process: `python -m experiments.launching.work DIR NUMBER`. What every engine runs.

How it goes is noted in the plan's folder (`plan.Attempt`). The exit code is the run's own.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.launching import plan
from experiments.running import cli, process
from experiments.running.runinfo import RunFileError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job that the command line names and return its exit code."""
    parser = cli.Parser("python -m experiments.launching.work", __doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="of the plan")
    parser.add_argument("number", type=cli.whole(0), help="of the job, from 0")
    cli.add_max_time_argument(parser)
    args = parser.parse_args(argv)
    try:
        found = plan.read(args.folder.absolute())
    except RunFileError as error:
        cli.fail(error)
    if args.number >= len(found.jobs):
        cli.fail(f"{args.folder} has jobs 0 to {len(found.jobs) - 1}")
    return run(found, args.number, args.max_time)


def run(found: plan.Plan, number: int, max_seconds: float | None) -> int:
    """Run a job, from the folder in which it was launched if that is there, and return its exit code."""
    attempt = plan.begin(found, number)
    code = 1  # of an error that is nobody's word
    try:
        if Path(found.start).is_dir():
            os.chdir(found.start)
        command, *words = found.words(number)
        limit = [] if max_seconds is None else ["--max-time", str(max_seconds / 60)]
        code = importlib.import_module(f"experiments.{command}").main([*words, *limit])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        raise
    finally:
        plan.end(found, number, attempt, code)
    return code


if __name__ == "__main__":
    process.run(lambda: main(sys.argv[1:]))
