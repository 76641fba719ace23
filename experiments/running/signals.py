"""Signals that ask a run to stop."""

import os
import signal

from experiments.running.cli import note


class StopSignal:
    """Turns SIGINT and SIGTERM into a flag, so that a run stops between chunks; a second signal ends it at once."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __enter__(self) -> "StopSignal":
        self._previous = {number: signal.signal(number, self._on) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on(self, number: int, _: object) -> None:
        if self.number is not None:
            os._exit(128 + number)
        self.number = number
        note(f"{signal.Signals(number).name}: saving after the running chunk; again to stop at once")
