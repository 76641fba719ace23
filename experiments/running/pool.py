"""Several runs at a time on this machine: each a process of its own, on cores or cards of its own.

A run needs nothing of another one. A process that dies takes no other one with it, and is tried again from its last
checkpoint.
"""

import collections
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from experiments.running import cli, machine, signals, startup

PYTHON = (sys.executable,)
LOOK = 0.1  # seconds between two looks at the processes
# What would fail again: a mistake of the user's, a member that is lost, a run that someone else has.
FOR_GOOD = (cli.USAGE, cli.NOT_FINITE, cli.LOCKED)
_BEGUN = "--- begun "  # before the time, in a log
_LAST = 4096  # bytes of a log that are searched for what went wrong
_LARGEST = 2**20  # bytes; a log that is longer is begun anew, and the old one kept beside it


@dataclasses.dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
      name: what it is called in lines for the user.
      words: what Python is called with.
      log: the file that gets what it prints.
    """

    name: str
    words: tuple[str, ...]
    log: Path


class Ended(NamedTuple):
    """How a job ended.

    Attributes:
      number: its place in the sequence of jobs.
      code: its exit code, 128 + number for one that a signal ended.
      stopped: whether this process was asked to stop, and it therefore.
    """

    number: int
    code: int
    stopped: bool


class _Running(NamedTuple):
    number: int
    attempt: int
    share: tuple[int, ...]
    process: subprocess.Popen
    log: TextIO


def shares(at_once: int) -> list[tuple[int, ...]]:
    """Return the devices of each of `at_once` processes: cores that this one may use, or cards; exit 2 if too few."""
    import jax

    if jax.default_backend() == "cpu":
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(machine.cores())
        there, called = list(allowed)[: machine.cores()], "core"
    elif jax.default_backend() == "gpu":
        there, called = list(range(len(jax.devices()))), "card"
    else:
        cli.fail(f"--jobs is for processors and GPUs; here is a {jax.default_backend()}")
    if at_once > len(there):
        cli.fail(f"--jobs {at_once}: there {_are(len(there), called)} for them")
    return [tuple(there[i::at_once]) for i in range(at_once)]


def places() -> int:
    """Return how many processes can have a core or a card of their own."""
    import jax

    return machine.cores() if jax.default_backend() == "cpu" else len(jax.devices())


def _are(count: int, called: str) -> str:
    return f"is one {called}" if count == 1 else f"are {count} {called}s"


def run(
    jobs: Sequence[Job], devices: Sequence[tuple[int, ...]], retries: int, max_seconds: float | None = None
) -> Iterator[Ended]:
    """Run jobs, as many at a time as there are shares of devices, and yield how each ended, as they end.

    A signal that asks this process to stop is passed on, and one of its own after `max_seconds`; what runs then saves
    and ends, and nothing else is begun. One that failed is tried again `retries` times, unless that would change
    nothing. Of what was not begun because of a signal the first one is yielded, as stopped.
    """
    waiting = collections.deque((number, 0) for number in range(len(jobs)))
    free, running, passed_on = list(devices), list[_Running](), False
    with signals.StopSignal(max_seconds) as stop:
        stop.consequence = "the runs save and stop"
        try:
            while running or (waiting and stop.number is None):
                while waiting and free and stop.number is None:
                    running.append(_start(jobs, *waiting.popleft(), free.pop(0), len(devices)))
                if stop.number is not None and not passed_on:
                    number = signal.SIGUSR1 if stop.number == signal.SIGALRM else stop.number
                    for one in running:
                        one.process.send_signal(number)
                    passed_on = True
                for one in [one for one in running if one.process.poll() is not None]:
                    running.remove(one)
                    one.log.close()
                    free.append(one.share)
                    code = one.process.returncode
                    code = 128 - code if code < 0 else code
                    again = code not in (0, *FOR_GOOD) and one.attempt < retries and stop.number is None
                    if again:
                        cli.note(f"{jobs[one.number].name}: {reason(jobs[one.number].log, code)}; trying again")
                        waiting.appendleft((one.number, one.attempt + 1))
                    else:
                        yield Ended(one.number, code, code != 0 and stop.number is not None)
                time.sleep(LOOK)
            if waiting:  # what ran may have come to its end for all that
                yield Ended(waiting[0][0], stop.exit_code, True)
        finally:  # also where nobody asks for the next one
            for one in running:
                if not passed_on:
                    one.process.send_signal(signal.SIGTERM)
            for one in running:
                one.process.wait()
                one.log.close()


def _start(jobs: Sequence[Job], number: int, attempt: int, share: tuple[int, ...], at_once: int) -> _Running:
    """Start a job in a session of its own: Ctrl-C reaches it through this process, and once."""
    job = jobs[number]
    try:
        log = opened(job.log)
    except OSError as error:
        cli.fail(f"cannot write {job.log}: {error.strerror or error}", cli.SAVE_FAILED)
    process = subprocess.Popen(
        [*PYTHON, *job.words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        env=environment(share, at_once, startup.inherited()),
    )  # fmt: skip
    import jax

    if jax.default_backend() == "cpu" and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # it is over already
            os.sched_setaffinity(process.pid, share)
    return _Running(number, attempt, share, process, log)


def opened(log: Path) -> TextIO:
    """Return the file that gets what a job prints, to be written on at its end, below a line that says when it began.

    Raises:
      OSError: if it cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LARGEST:
        log.replace(log.with_suffix(".old.log"))
    file = log.open("a", encoding="utf-8")
    file.write(f"{_BEGUN}{time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    file.flush()
    return file


def environment(share: tuple[int, ...], at_once: int, before: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a process that has a share of the devices, and of the memory on a CPU."""
    import jax

    found = {**before, machine.SHARING: str(at_once)}
    if jax.default_backend() != "cpu":
        for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
            own = [word for word in before.get(name, "").split(",") if word]
            found[name] = ",".join(own[card] if own else str(card) for card in share)
    return found


def reason(log: Path, code: int) -> str:
    """Return how a job failed, in words: its exit code and the last error that its log has since it last began."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LAST))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        lines = []
    began = max((place for place, line in enumerate(lines) if line.startswith(_BEGUN)), default=0)
    said = [line.removeprefix("error: ") for line in lines[began:] if line.startswith("error: ")]
    text = said[-1] if said and code <= 128 else f"what it said is in {log}"
    if code > 128:
        text = f"killed by signal {code - 128}; {text}"
    return f"failed (exit {code}: {text})"
