"""Signals that ask a run to stop."""

import os
import signal
from types import FrameType
from typing import Any

from experiments.running.cli import note

# Ctrl-C; a scheduler's or a shutdown's request; a lost terminal; what Slurm and its like send ahead of a time limit.
ASKING_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class StopSignal:
    """Turns signals into a flag, so that a run stops at the next safe point; a second one ends it at once.

    Attributes:
      number: of the signal that came, None before.
      consequence: what follows from one that comes now, for the line that answers it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.consequence = "stopping; nothing has begun yet"

    def __enter__(self) -> "StopSignal":
        self._previous: dict[int, Any] = {}
        for number in ASKING_TO_STOP:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup: the terminal may go
            self._previous[number] = signal.signal(number, self._on)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it."""
        assert self.number is not None, "no signal came"
        return 128 + self.number

    def _on(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            os._exit(128 + number)
        self.number = number
        note(f"{signal.Signals(number).name}: {self.consequence}; again to stop at once")
