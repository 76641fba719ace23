"""Signals that ask a run to stop, and its time limit, which is one more."""

import os
import signal
import time
from types import FrameType
from typing import Any, NoReturn

from experiments.running.cli import AGAIN, note

# Ctrl-C; a scheduler's or a shutdown's request; a lost terminal; what Slurm and its like send ahead of a time limit.
ASKING_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# Of these, what a queue means by them: not that the run is unwanted, but that its time here is over.
TIME_IS_OVER = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
# Seconds in which the same signal again is the same request: a scheduler signals every process of a job, and a parent
# among them passes it on.
ECHO = 0.25


_lost: list[int] = []


def interrupt(number: int, _: FrameType | None) -> NoReturn:
    """Answer Ctrl-C as Python does, and keep it in mind: what a callback raises, as of JAX's, goes no further."""
    _lost.append(number)
    raise KeyboardInterrupt


class StopSignal:
    """Turns signals into a flag, so that a run stops at the next safe point; a second one ends it at once.

    A Ctrl-C that came before and was lost (`interrupt`) counts.

    Attributes:
      number: of the signal that came, None before; SIGALRM when the time was over.
      consequence: what follows from one that comes now, for the line that answers it.
    """

    def __init__(self, max_seconds: float | None = None) -> None:
        """Stop after `max_seconds` as well, if they are given."""
        self._max_seconds = max_seconds
        self.number: int | None = None
        self._came = 0.0
        self.consequence = "stopping; nothing has begun yet"

    def __enter__(self) -> "StopSignal":
        self._previous: dict[int, Any] = {}
        for number in ASKING_TO_STOP:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup: the terminal may go
            self._previous[number] = signal.signal(number, self._on)
        while _lost:
            self._on(_lost.pop(), None)
        if self._max_seconds is not None:
            self._previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on)
            signal.setitimer(signal.ITIMER_REAL, max(self._max_seconds, 1e-3))  # 0 would be none
        return self

    def __exit__(self, *_: object) -> None:
        if self._max_seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """What says "run me again", where the time was over; else 128 and the signal's number, as shells have it."""
        assert self.number is not None, "no signal came"
        return AGAIN if self.number in TIME_IS_OVER else 128 + self.number

    def _on(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGALRM:
            if self.number is None:
                self.number = number
                note(f"--max-time: {self.consequence}")
            return
        if self.number == signal.SIGALRM and number in TIME_IS_OVER:
            return  # a queue says once more that the time is over
        if self.number is not None:
            if number != self.number or time.monotonic() - self._came > ECHO:
                os._exit(128 + number)
            return
        self.number, self._came = number, time.monotonic()
        note(f"{signal.Signals(number).name}: {self.consequence}; again to stop at once")


def is_stop(code: int) -> bool:
    """Return whether an exit code says that a command was asked to stop, and did."""
    return code == AGAIN or code > 128
