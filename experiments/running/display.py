"""What a person sees while a run trains: a progress bar on a terminal, plain lines anywhere else."""

import math
import sys
import time
from typing import Any, NamedTuple, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from experiments.running.cli import note


class Rates(NamedTuple):
    """How fast it goes, over all seeds, and the seconds that are left."""

    env_steps: float  # per second of training
    updates: float  # per second of training
    remaining: float  # seconds, evaluations and saves included


class Display(Protocol):
    """One run's output."""

    def update(self, step: int, rates: Rates, returns: list[float], evaluation: float | None) -> None:
        """Show one chunk: its step, the rates, the training return per seed, the evaluation if there was one."""

    def close(self) -> None:
        """Leave the last state on the screen."""


def display(total: int | None, start: int) -> Display:
    """Return a bar if stderr is a terminal, else plain lines; `total` steps end the run, or None, the time alone."""
    return Bar(total, start) if sys.stderr.isatty() else Lines(total)


class Lines:
    """Plain lines: one per evaluation, and otherwise one at most every `interval` seconds."""

    def __init__(self, total: int | None, interval: float = 5.0) -> None:
        self._total, self._interval, self._shown = total, interval, -math.inf

    def update(self, step: int, rates: Rates, returns: list[float], evaluation: float | None) -> None:
        """Print a line if it is time for one."""
        now = time.monotonic()
        if evaluation is None and now - self._shown < self._interval and (self._total is None or step < self._total):
            return
        self._shown = now
        goal = "" if self._total is None else f"/{self._total:,}"
        note(f"step {step:,}{goal}  {_text(rates, returns, evaluation)}  ETA {clock(rates.remaining)}")

    def close(self) -> None:
        """Nothing is left open."""


class Bar:
    """A progress bar, and below it the rates and the latest returns."""

    def __init__(self, total: int | None, start: int) -> None:
        steps: tuple[Any, ...] = (TaskProgressColumn(), MofNCompleteColumn())
        if total is None:
            steps = (TextColumn("step {task.completed:,}"),)
        columns = (BarColumn(None), *steps, TimeElapsedColumn())
        self._progress = Progress(*columns, TextColumn("ETA {task.fields[remaining]}"))
        self._task = self._progress.add_task("train", total=total, completed=start, remaining="–")
        self._returns: list[float] = []
        self._evaluation: float | None = None
        self._live = Live(self._progress, console=Console(stderr=True), refresh_per_second=4)
        self._live.start()

    def update(self, step: int, rates: Rates, returns: list[float], evaluation: float | None) -> None:
        """Move the bar; returns and evaluation stay shown until there are newer ones."""
        self._evaluation = self._evaluation if evaluation is None else evaluation
        self._returns = returns if any(map(math.isfinite, returns)) or not self._returns else self._returns
        self._progress.update(self._task, completed=step, remaining=clock(rates.remaining))
        text = Text(_text(rates, self._returns, self._evaluation), overflow="ellipsis", no_wrap=True)
        self._live.update(Group(self._progress, text))

    def close(self) -> None:
        """Stop redrawing and leave the last state on the screen."""
        self._live.stop()


def _text(rates: Rates, returns: list[float], evaluation: float | None) -> str:
    known = [value for value in returns if math.isfinite(value)]
    text = f"return {sum(known) / len(known):.3f}" if known else "return –"
    if known and 1 < len(returns) <= 6:
        text += f" [{' '.join(f'{value:.2f}' if math.isfinite(value) else '–' for value in returns)}]"
    if evaluation is not None:
        text += f"  eval {evaluation:.3f}"
    return f"{text}  {rates.env_steps:,.0f} env steps/s  {rates.updates:,.1f} updates/s"


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def table(header: list[str], body: list[list[Any]]) -> str:
    """Return a Markdown table with aligned columns."""
    cells = [[str(cell) for cell in row] for row in [header, *body]]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    lines = ["| " + " | ".join(row) + " |" for row in padded]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
