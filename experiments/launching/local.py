"""The engine `local`: a pool of processes on this machine, each on cores or cards of its own."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.launching import engines
from experiments.launching.engines import Ended, Options
from experiments.launching.plan import Plan
from experiments.running import cli, pool

OPTIONS = ()


def add_arguments(_: cli.Parser) -> None:
    """Add the options of this engine: it has none of its own."""


def make(_: Any) -> "Local":
    """Return the engine that the command line asks for."""
    return Local()


@dataclasses.dataclass(frozen=True)
class Local:
    """Runs the jobs in processes of this machine."""

    def check(self) -> None:
        """There is always this machine."""

    def run(self, plan: Plan, numbers: Sequence[int], options: Options) -> Iterator[Ended]:
        """Run jobs, by default one on each core or card; see `engines.Engine`."""
        devices = pool.shares(options.jobs or min(pool.places(), len(numbers)))
        jobs = [
            pool.Job(plan.jobs[number].name, tuple(engines.words(plan, number)), plan.log(number)) for number in numbers
        ]
        for index, code, stopped in pool.run(jobs, devices, options.retries, options.max_seconds):
            said = "stopped" if stopped else pool.reason(jobs[index].log, code) if code else "done"
            yield Ended(numbers[index], code, said, stopped)
