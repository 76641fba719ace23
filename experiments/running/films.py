"""Films of episodes that are made while a run trains: when, where to, and that they stop nothing.

Which steps are filmed depends on the environment step alone, and an episode on the run's seed and its step: a run that
was killed and resumed has the films of one that was not.
"""

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.running.cli import note
from r2i_jit.metrics_file import STEP, Row, reason

# (state of all members, which member, its row of metrics, GIF file): draws an episode of the member.
Draw = Callable[[Any, int, Row, Path], None]

_NAME = re.compile(r"episode-(\d+)\.gif")


class Films:
    """The films of one run. The first thing that goes wrong with one is said, and then there are no more."""

    def __init__(self, every: int | None, make: Callable[[], Draw], folder: Path) -> None:
        """Make nothing yet.

        Args:
          every: environment steps between films; None for no films.
          make: returns what draws; called when the first film is due.
          folder: where they go, as `episode-<step>.gif`.
        """
        self._every, self._make, self._folder = every, make, folder
        self._draw: Draw | None = None

    def film_if_due(
        self, before: int, state: Any, rows: Sequence[Row], diverged: Collection[int], sinks: Iterable[Any]
    ) -> None:
        """Film an episode of the first sound member if a multiple of `every` was just passed.

        Args:
          before: environment step before the chunk that has ended.
          state: the state after it; it is not changed.
          rows: the chunk's metrics, one per member.
          diverged: members that are not sound.
          sinks: where the film is shown.
        """
        step = rows[0][STEP]
        if self._every is None or step // self._every == before // self._every:
            return
        member = next(i for i in range(len(rows)) if i not in diverged)
        path = self._folder / f"episode-{step}.gif"
        with self._forgiven():
            self._write(state, member, rows[member], path)
            for sink in sinks:
                sink.show(rows[member], path)

    def show_again(self, rows: Iterable[Row], sink: Any) -> None:
        """Show the films of earlier in a sink that is drawn anew, given the rows that it was drawn from."""
        if self._every is None:
            return
        sound: dict[int, Row] = {}
        for row in rows:
            if not row.get("diverged"):
                sound.setdefault(row[STEP], row)
        with self._forgiven():
            found = {int(match[1]): path for path in self._folder.glob("*") if (match := _NAME.fullmatch(path.name))}
            for step in sorted(found.keys() & sound.keys()):
                sink.show(sound[step], found[step])

    def _write(self, state: Any, member: int, row: Row, path: Path) -> None:
        """Draw a film beside its place and move it there whole."""
        self._draw = self._draw or self._make()
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}")
        try:
            self._draw(state, member, row, part)
            os.replace(part, path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._every = None
            note(f"no more episodes of this run are recorded: {reason(error)}")
