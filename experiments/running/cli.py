"""What the commands share: how one is called, one-line errors, near matches, common options.

Errors and notes go to stderr, results to stdout. Nothing here imports JAX: `--help` and a mistyped option must answer
at once.
"""

import argparse
import difflib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

USAGE, BAD_CHECKPOINT, SAVE_FAILED, NOT_FINITE, LOCKED = 2, 3, 4, 5, 6
AGAIN = 75  # saved and left because the time was over: the same command goes on. EX_TEMPFAIL of sysexits.h
MOST_STEPS = 2 * 10**9  # of a run; it has no other limit than time if it has that and minutes
SIZES = ("auto", "tiny", "small", "paper")
AGENTS = ("r2i", "dreamerv3", "ppo-gru", "ppo-s5")  # those of `presets`, which would import JAX


def program(command: str) -> str:
    """Return how a command is called from where this process was: by just, by the script `r2i`, or by python."""
    caller = os.environ.get("R2I_COMMAND") or ("r2i" if Path(sys.argv[0]).stem == "r2i" else "python -m experiments")
    return f"{caller}{'.' if caller.endswith('experiments') else ' '}{command}"


def fail(message: object, code: int = USAGE) -> NoReturn:
    """End the program with one line on stderr and an exit code."""
    print("error: " + " ".join(str(message).split()), file=sys.stderr, flush=True)
    raise SystemExit(code)


def note(message: str) -> None:
    """Print one line on stderr that is no error."""
    print(message, file=sys.stderr, flush=True)


def once(paths: Sequence[Path]) -> list[Path]:
    """Return paths in their order, each of them once; say which come again."""
    found: dict[Path, Path] = {}
    for path in paths:
        if (place := path.resolve()) in found:
            note(f"{path} is given twice{'' if path == found[place] else f', once as {found[place]}'}: taken once")
        found.setdefault(place, path)
    return list(found.values())


def names(folders: Sequence[Path]) -> list[str]:
    """Return what folders are called beside each other: their names, or where two have the same one, their paths."""
    short = [folder.resolve().name for folder in folders]
    return [name if short.count(name) == 1 else str(folder) for name, folder in zip(short, folders, strict=True)]


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, with the nearest valid option."""

    def __init__(self, prog: str, description: str | None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Exit 2 with one line."""
        fail(f"{message} (see {self.prog} --help)")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse, naming the nearest option of an unknown one."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
            near = difflib.get_close_matches(unknown[0].split("=")[0], options, n=1)
            self.error(f"unknown argument {unknown[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))
        return parsed


def whole(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """Return an argument type: a whole number in [low, high]; 2e5 and 200_000 are read too."""

    def parse(text: str) -> int:
        try:
            number = float(text)
            if number != int(number):
                raise ValueError
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return int(number)

    return parse


def path(text: str) -> Path:
    """Argument type: a path that this file system can have."""
    try:
        os.stat(text)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            shown = text if len(text) < 80 else f"{text[:60]}… ({len(text)} letters)"
            raise argparse.ArgumentTypeError(f"{shown}: {error.strerror}") from None
    return Path(text)


def seconds(text: str) -> float:
    """Argument type: a time in seconds, zero or more."""
    if not 0 <= (number := _time(text, "seconds")) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 0 up")
    return number


def minutes(text: str) -> float:
    """Argument type: a time in minutes, more than none."""
    if not 0 < (number := _time(text, "minutes")) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of minutes above 0")
    return number


def duration(text: str) -> float:
    """Argument type: a time as minutes, or as H:MM:SS or MM:SS; returned in seconds."""
    words = text.split(":")
    if len(words) == 1:
        return 60 * minutes(text)
    try:
        parts = [int(word) for word in words]
    except ValueError:
        parts = []
    if not 1 < len(parts) < 4 or min(parts) < 0 or max(parts[1:]) > 59 or not any(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is neither minutes, such as 90, nor MM:SS or H:MM:SS")
    return float(sum(part * 60**place for place, part in enumerate(reversed(parts))))


def _time(text: str, unit: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of {unit}") from None


def add_minutes_argument(parser: Parser) -> None:
    """Add the option that limits the time of training."""
    parser.add_argument(
        "--minutes", type=minutes, metavar="M",
        help="end after so many minutes of training, over all resumes, if that is before --steps; without --steps "
        "nothing else ends it (default: no limit)",
    )  # fmt: skip


def shard(text: str) -> tuple[int, int]:
    """Argument type: a part of a run as I/N, with I from 0 to N - 1."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and int(number) < int(count) <= 4096):
        raise argparse.ArgumentTypeError(f"{text!r} is no part I/N, such as 0/8 to 7/8")
    return int(number), int(count)


class Place(NamedTuple):
    """Which of several processes this is, and where the first one listens; of 0 processes the queue has to say."""

    number: int = 0
    processes: int = 0
    address: str = ""


def place(text: str) -> Place:
    """Argument type: a process as I/N@HOST:PORT, or auto."""
    if text == "auto":
        return Place()
    which, _, address = text.partition("@")
    number, _, count = which.partition("/")
    host, _, port = address.rpartition(":")
    if not (number.isdecimal() and count.isdecimal() and int(number) < int(count) and host and port.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor I/N@HOST:PORT, such as 0/2@node1:7000")
    return Place(int(number), int(count), address)


def add_max_time_argument(parser: Parser) -> None:
    """Add the option that limits the time of this process."""
    parser.add_argument(
        "--max-time", type=duration, metavar="M|[H:]MM:SS",
        help=f"save and leave after so long, compilation included, with exit code {AGAIN}: run me again",
    )  # fmt: skip


def add_import_argument(parser: Parser) -> None:
    """Add the option that names modules to import, such as those that register environments."""
    parser.add_argument(
        "--import", dest="imports", nargs="+", action="extend", default=[], metavar="MODULE",
        help="import these first: they may register environments (a run remembers its own)",
    )  # fmt: skip


def add_agent_argument(parser: Parser) -> None:
    """Add the option that chooses an agent."""
    parser.add_argument("--agent", choices=AGENTS, help="what is trained (default: r2i)")


def parse_run(parser: Parser, argv: Sequence[str] | None) -> Any:
    """Parse the options of `add_run_arguments`; exit 2 if they do not say what is to be trained."""
    args = parser.parse_args(argv)
    if args.suite is None and args.env is None and not (args.resume and args.run_dir):
        parser.error("give a suite, such as popgym, or --env")
    if args.shard and not args.run_dir:
        parser.error("--shard needs --run-dir: the parts of a run find each other there")
    return args


def add_run_arguments(parser: Parser) -> None:
    """Add the options that `train` and `sweep` share."""
    parser.add_argument("suite", nargs="?", help="a suite of environments, such as popgym; not needed with --env")
    parser.add_argument("--env", metavar="ID|MODULE:NAME", help="an environment (default: the suite's first)")
    add_import_argument(parser)
    parser.add_argument("--size", choices=SIZES, help="preset (default: auto = small with an accelerator, else tiny)")
    add_agent_argument(parser)
    parser.add_argument("--seeds", type=whole(1, 4096), metavar="N", help="seeds, trained at once (default: 1)")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), metavar="S", help="the run's root seed (default: 0)")
    parser.add_argument(
        "--devices-per-seed", type=whole(1, 4096), metavar="D",
        help="spread each seed over D devices: environments, replay and batches (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--distributed", type=place, nargs="?", const=Place(), metavar="I/N@HOST:PORT",
        help="this is one process of several that do the run together, with --devices-per-seed over the devices of all "
        "of them: as Slurm, MPI or a pod says, or the one numbered I of N, of which number 0 listens at HOST:PORT",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=whole(1, MOST_STEPS), metavar="N", help="env steps per seed (default: the preset's)"
    )
    add_minutes_argument(parser)
    add_max_time_argument(parser)
    parser.add_argument("--run-dir", type=path, metavar="DIR", help="default: runs/<env>-<size>-<time>")
    parser.add_argument(
        "--shard", type=shard, metavar="I/N",
        help="train this part of the agents, of N: 0/N to N-1/N, each by a process of its own, with the same --run-dir",
    )  # fmt: skip
    parser.add_argument(
        "--init-from", type=path, metavar="AGENT",
        help="start from the parameters of a trained agent: a file of `export`, a run directory, or: example",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with --run-dir, or with the env's newest run")
    parser.add_argument(
        "--set", dest="assignments", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="override config keys, such as model.units=128 hypers.model_lr=3e-4",
    )  # fmt: skip
    parser.add_argument(
        "--eval-every", type=whole(1), metavar="STEPS", help="steps between evaluations (default: steps / 20)"
    )
    parser.add_argument(
        "--checkpoint-every", type=seconds, metavar="SECONDS",
        help="default: 60, longer for a large state (200 s per GB); a run that is stopped saves in any case",
    )  # fmt: skip
    parser.add_argument(
        "--record-every", type=whole(0), metavar="STEPS",
        help="draw an episode each time so many steps have passed: plots/episode-STEP.gif (default: 0, none)",
    )  # fmt: skip
    parser.add_argument(
        "--log-episodes", type=whole(1), metavar="N",
        help="keep return, length and what the game counts of each member's first N episodes: episodes.jsonl",
    )  # fmt: skip
    parser.set_defaults(go_on=None)  # the command that resumes the run, where it is a part of something larger
    parser.add_argument("--wandb", action="store_true", help="also log to Weights & Biases (needs the extra 'wandb')")
