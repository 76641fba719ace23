"""Work that takes long and cannot be interrupted: the screen says how long it takes, and a signal is answered."""

import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from experiments.running.cli import note
from experiments.running.signals import StopSignal

T = TypeVar("T")

_POLL = 0.05  # seconds
_LINE_EVERY = 10.0  # seconds between lines that say it goes on, where there is no terminal
_SHOWN_AFTER = 1.0  # seconds


class Stopped(Exception):
    """A signal came; the work is given up, and nobody waits for its result."""


# Work that was given up and may still run: JAX cannot be interrupted, and does not stand being unloaded while it runs.
_given_up: list[threading.Thread] = []


def anything_given_up() -> bool:
    """Return whether work that nobody waits for may still run."""
    return any(thread.is_alive() for thread in _given_up)


def wait_for(
    work: Callable[[], T],
    doing: str,
    stop: StopSignal | None = None,
    consequence: str = "",
    most: float = math.inf,
) -> T:
    """Do `work` in a thread of its own and return its result or raise what it raises.

    Args:
      work: takes no arguments.
      doing: what is done, such as "compiling".
      stop: if given, a signal ends the wait.
      consequence: what a signal leads to, for the line that answers it.
      most: seconds to wait for it.

    Raises:
      Stopped: if a signal came, before or meanwhile.
      TimeoutError: if it took too long.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = work()
        except BaseException as error:
            outcome["error"] = error

    before = None if stop is None else stop.consequence
    if stop is not None:
        stop.consequence = consequence
    thread = threading.Thread(target=run, daemon=True)
    progress, until = _Progress(doing), time.monotonic() + most
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_POLL)
            if stop is not None and stop.number is not None:
                raise Stopped
            if time.monotonic() > until:
                raise TimeoutError
            progress.show()
    except BaseException:
        _given_up.append(thread)
        raise
    finally:
        progress.clear()
        if stop is not None and before is not None:
            stop.consequence = before
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


class _Progress:
    """One line on a terminal, with the time that passes; in a log a line at the start and one now and then."""

    def __init__(self, doing: str) -> None:
        self._doing, self._begin = doing, time.monotonic()
        self._in_place = sys.stderr.isatty()
        self._next = _SHOWN_AFTER
        self._drawn = False

    def show(self) -> None:
        """Say how long it has taken so far, if it is time."""
        passed = time.monotonic() - self._begin
        if passed < self._next:
            return
        if self._in_place:
            print(f"\r\x1b[K{self._doing}: {passed:.0f} s", end="", file=sys.stderr, flush=True)
            self._next, self._drawn = passed + 0.5, True
        else:
            note(f"{self._doing}: {passed:.0f} s")
            self._next = passed + _LINE_EVERY

    def clear(self) -> None:
        """Leave no trace on a terminal."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
