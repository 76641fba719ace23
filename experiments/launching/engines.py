"""What runs the jobs of a plan, behind one small interface.

Each engine is a module beside this one with `add_arguments(parser)`, its options, `OPTIONS`, their names in what is
parsed, and `make(args) -> Engine`.
"""

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from experiments.launching.plan import Plan
from experiments.running import cli


class Ended(NamedTuple):
    """How a job ended.

    Attributes:
      number: its place in the plan.
      code: its exit code.
      said: the same in words, for the user.
      stopped: whether the launch itself was asked to stop, and it therefore.
    """

    number: int
    code: int
    said: str
    stopped: bool


@dataclasses.dataclass(frozen=True)
class Options:
    """How jobs are run, whatever they are.

    Attributes:
      jobs: at a time; None for as many as the engine has places for.
      retries: how often one that failed is tried again.
      max_seconds: after which everything saves and stops; None for no limit.
    """

    jobs: int | None
    retries: int
    max_seconds: float | None


class Engine(Protocol):
    """Runs `experiments.launching.work` for each job, somewhere."""

    def check(self) -> None:
        """Exit 2 with one line if it cannot run here; nothing has been written then."""

    def run(self, plan: Plan, numbers: Sequence[int], options: Options) -> Iterator[Ended]:
        """Run jobs of a plan and yield how each ended, as they end; nothing, if it hands them over and does not wait.

        Exits with 2 if they cannot be run as the options say.
        """


def words(plan: Plan, number: int) -> list[str]:
    """Return what Python is called with to run a job in a process of its own."""
    return ["-P", "-m", "experiments.launching.work", str(Path(plan.folder).absolute()), str(number)]


RESOURCES = ("cpus", "gpus")


def add_resource_arguments(parser: cli.Parser) -> None:
    """Add the options that say what each job is given, once, whichever engines have them."""
    if any("--cpus" in action.option_strings for action in parser._actions):
        return
    group = parser.add_argument_group("what each job is given, where a cluster shares it out")
    group.add_argument("--cpus", type=amount, metavar="N", help="cores (default: 1)")
    group.add_argument("--gpus", type=amount, metavar="N", help="cards (default: 1 where the cluster has some)")


def amount(text: str) -> float:
    """Argument type: how much of something, zero or more."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 up")
    return number
