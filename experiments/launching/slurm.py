"""The engine `slurm`: an array of jobs in a Slurm queue, a job of the plan to each of its tasks.

It hands the jobs over and does not wait. What was submitted is noted in the plan's folder, `slurm/submitted.json`, so
that the same command later asks the queue what it still has, and submits what is left.
"""

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
from argparse import ArgumentTypeError
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.launching import engines
from experiments.launching import plan as plans
from experiments.launching import slurm_script as script
from experiments.launching.engines import Ended, Options
from experiments.launching.plan import Plan
from experiments.running import cli
from experiments.running.runinfo import RunFileError, read_object

NOTED = "submitted.json"
MOST_INDICES = 1001  # of an array, where Slurm does not say: its default
# What makes the array what it is.
_OURS = ("array", "output", "error", "open-mode", "chdir", "no-requeue", "wrap", "parsable", "time", "partition",
         "account", "gpus", "cpus-per-task", "mem")  # fmt: skip
_NOTICE = re.compile(r"B:USR1@([1-9]\d{0,4})")


class Submitted(NamedTuple):
    """An array that was handed over.

    Attributes:
      id: Slurm's, of the array.
      first: the job that its index 0 stands for.
      script: the file's name.
      numbers: of the jobs.
    """

    id: str
    first: int
    script: str
    numbers: list[int]


OPTIONS = ("partition", "account", "time", "mem", "sbatch", "print", *engines.RESOURCES)


def add_arguments(parser: cli.Parser) -> None:
    """Add the options of this engine."""
    engines.add_resource_arguments(parser)
    group = parser.add_argument_group("with --on slurm, for each job")
    group.add_argument("--partition", type=_line, metavar="NAME")
    group.add_argument("--account", type=_line, metavar="NAME")
    group.add_argument(
        "--time", type=limit, metavar="H:MM:SS",
        help="limit, also M or D-HH:MM:SS; before it the run saves, and goes back into the queue",
    )  # fmt: skip
    group.add_argument("--mem", type=_line, metavar="SIZE", help="such as 16G")
    group.add_argument(
        "--sbatch", type=_line, action="append", default=[], metavar="OPTION",
        help="any other one of sbatch, such as --sbatch=--constraint=a100 (may be repeated)",
    )  # fmt: skip
    group.add_argument("--print", action="store_true", help="write and print the script, and submit nothing")


def make(args: Any) -> "Slurm":
    """Return the engine that the command line asks for; exit 2 if its options are wrong together."""
    for name in engines.RESOURCES:
        if (number := getattr(args, name)) is not None and not (number >= 1 and number == int(number)):
            cli.fail(f"--{name} {number:g}: of a Slurm queue a job gets whole ones")
    cpus, gpus = (None if number is None else int(number) for number in (args.cpus, args.gpus))
    if gpus and args.asked.size in (None, "auto"):
        cli.fail("--gpus: say which --size the agents have (after the command); auto looks at this machine, not there")
    named = {"partition": args.partition, "account": args.account, "gpus": gpus, "cpus-per-task": cpus,
             "mem": args.mem}  # fmt: skip
    options = [(option, str(value)) for option, value in named.items() if value]
    others = [_other(text) for text in args.sbatch]
    asked = [int(value.partition("@")[2]) for option, value in others if option == "signal"]
    if asked and args.time is not None and asked[-1] >= args.time:
        cli.fail(f"--sbatch=--signal=B:USR1@{asked[-1]}: that is all of --time, {args.time:g} seconds")
    options += [(option, value) for option, value in others if option != "signal"]
    together = args.asked.distributed is not None
    if together and not {"ntasks", "ntasks-per-node", "nodes"} & {option for option, _ in options}:
        cli.fail("--distributed: say how many tasks a job has, such as --sbatch=--ntasks=2")
    return Slurm(script.Wishes(tuple(options), args.time, asked[-1] if asked else None, together), args.print)


def limit(text: str) -> float:
    """Argument type: a time limit as sbatch reads it, in seconds: M, M:SS, H:MM:SS, D-H, D-HH:MM or D-HH:MM:SS."""
    days, dash, rest = text.partition("-")
    if not dash:
        return cli.duration(text)
    words = rest.split(":")
    if not days.isdecimal() or not all(word.isdecimal() for word in words) or len(words) > 3:
        raise ArgumentTypeError(f"{text!r} is no time such as 90, 4:00:00 or 2-00:00:00")
    hours = sum(int(word) / 60**place for place, word in enumerate(words))
    if not (seconds := round(3600 * (24 * int(days) + hours))):
        raise ArgumentTypeError(f"{text!r} is no time at all")
    return float(seconds)


def _line(text: str) -> str:
    if not text.strip() or any(not letter.isprintable() for letter in text):
        raise ArgumentTypeError(f"{text!r} is no line of text")
    return text.strip()


def _other(text: str) -> tuple[str, str]:
    """Return an option that is passed on, and its value; exit 2 if it is one that the script needs as it is."""
    option, equals, value = (part.strip() for part in text.lstrip("-").partition("="))
    if not re.fullmatch(r"[a-z][\w-]+", option) or (equals and not value):
        cli.fail(f"--sbatch={text}: expected a long option of sbatch, such as --sbatch=--constraint=a100")
    if option in _OURS or (option == "signal" and not _NOTICE.fullmatch(value)):
        cli.fail(f"--sbatch={text}: --{option} is set by launch (see its --help)")
    return option, value


@dataclasses.dataclass(frozen=True)
class Slurm:
    """Hands jobs over to a Slurm queue.

    Attributes:
      wishes: what is asked of it for each job.
      print_only: write and print the script, and submit nothing.
    """

    wishes: script.Wishes
    print_only: bool = False

    def check(self) -> None:
        """Exit 2 if there is no Slurm here to submit to."""
        if not self.print_only and shutil.which("sbatch") is None:
            cli.fail("--on slurm: there is no sbatch on PATH; --print writes the script and submits nothing")

    def run(self, plan: Plan, numbers: Sequence[int], options: Options) -> Iterator[Ended]:
        """Submit the jobs that the queue does not have yet; see `engines.Engine`."""
        before = submitted(plan)
        there = in_queue(before) if before and not (self.print_only and shutil.which("squeue") is None) else set()
        if there:
            cli.note(f"the queue has {_jobs(there)} already")
        most, last = most_indices(), None
        for first, own in arrays([number for number in numbers if number not in there], most):
            path = plan.folder / script.FOLDER / f"{len(before) + 1}.sh"
            text = script.text(plan, own, first, self.wishes, options)
            _write(plan, path, text, first, own)
            if self.print_only:
                print(text, end="")
                cli.note(f"{path} is not submitted; `sbatch {shlex.quote(str(path))}` does it")
                before.append(Submitted("", first, path.name, own))
                continue
            last = _submit(plan, path, own, last if options.jobs else None)
            before.append(Submitted(last, first, path.name, own))
            _note(plan, before)
            cli.note(f"submitted {_jobs(own)} as array {last} ({path})")
        return iter(())


def _jobs(numbers: Collection[int]) -> str:
    return "1 job" if len(numbers) == 1 else f"{len(numbers)} jobs"


def arrays(numbers: Sequence[int], most: int) -> list[tuple[int, list[int]]]:
    """Return (the job that index 0 stands for, the jobs) of each array: indices lie below `most`."""
    firsts = dict.fromkeys(number // most * most for number in numbers)
    return [(first, [number for number in numbers if first <= number < first + most]) for first in firsts]


def submitted(plan: Plan) -> list[Submitted]:
    """Return what was handed over of a plan; exit 2 if the note of it does not read."""
    path = plan.folder / script.FOLDER / NOTED
    if not path.exists():
        return []
    try:
        return [Submitted(**one) for one in read_object(path)["arrays"]]
    except (RunFileError, KeyError, TypeError) as error:
        cli.fail(f"{path}: {error}; without it nobody knows what the queue has: remove it if that is nothing")


def in_queue(arrays: Sequence[Submitted]) -> set[int]:
    """Return the jobs that wait or run in the queue; exit 2 if it cannot be asked."""
    text = _call(["squeue", "--me", "--noheader", "--array", "--format=%F %K"], "what the queue has is not known")
    firsts = {one.id: one.first for one in arrays}
    rows = [line.split() for line in text.splitlines()]
    return {firsts[row[0]] + int(row[1]) for row in rows if len(row) == 2 and row[0] in firsts and row[1].isdecimal()}


def most_indices() -> int:
    """Return below which number the indices of an array lie, as Slurm is configured."""
    try:
        text = _output(["scontrol", "show", "config"])
    except (OSError, subprocess.CalledProcessError):
        return MOST_INDICES
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", text, re.MULTILINE)
    return max(1, int(found[1])) if found else MOST_INDICES


def _write(plan: Plan, path: Path, text: str, first: int, numbers: Sequence[int]) -> None:
    """Write a script, and for each task's output a link that leads to the job's log; exit 2 or 4 if that fails."""
    from experiments.running import rundir

    links = path.parent / str(first)
    for folder in (links, plan.folder / "logs", plan.folder / "jobs"):
        rundir.make(folder)
    rundir.replace_text(path, text)
    for number in numbers:
        link = links / f"{number - first}.log"
        log = plan.log(number)
        try:
            if not link.is_symlink():
                link.symlink_to(Path("..", "..", log.relative_to(plan.folder)))
        except OSError as error:
            cli.fail(f"cannot make {link}: {error.strerror or error}", cli.SAVE_FAILED)


def _submit(plan: Plan, path: Path, numbers: Sequence[int], after: str | None) -> str:
    """Submit a script, to begin after another array if one is named, and return the id of its array."""
    waits = [] if after is None else [f"--dependency=afterany:{after}"]
    plans.queue(plan, numbers)  # first: one may begin at once
    try:
        said = _call(["sbatch", "--parsable", *waits, str(path)], f"{path} is not submitted")
    except SystemExit:
        plans.leave_queue(plan, numbers)
        raise
    ids = re.findall(r"^(\d+)(?:;.*)?$", said, re.MULTILINE)  # a site may say more, and Slurm the cluster's name
    if not ids:
        cli.fail(f"sbatch took {path}, but said no id ({' '.join(said.split()) or 'nothing'}); `squeue --me` has it")
    return ids[-1]


def _note(plan: Plan, arrays: Sequence[Submitted]) -> None:
    from experiments.running import rundir

    text = json.dumps({"arrays": [one._asdict() for one in arrays]}, indent=1) + "\n"
    rundir.replace_text(plan.folder / script.FOLDER / NOTED, text)


def _call(words: Sequence[str], otherwise: str) -> str:
    """Return what a command prints; exit 2 with its last words if it fails."""
    try:
        return _output(words)
    except OSError as error:
        cli.fail(f"{words[0]}: {error.strerror or error}; {otherwise}")
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines() or [f"exit code {error.returncode}"]
        cli.fail(f"{words[0]}: {said[-1]}; {otherwise}")


def _output(words: Sequence[str]) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
