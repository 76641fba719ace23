"""Where a chunk's metrics go on the host: `metrics.jsonl`, TensorBoard event files and, if asked, Weights & Biases.

`metrics.jsonl` is the record; the others are drawn from it. The environment step is its cursor: a resumed run cuts the
file at the checkpoint's step and writes on, so a run that was killed leaves the same lines as one that was not.

The drawn logs never stop a run (`tensorboard`, `wandb`). The record is `r2i_jit.metrics_file`'s, under the names here.
"""

import contextlib
import importlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from r2i_jit.metrics_file import ENV, STEP, WALL, JsonLines, LogError, Row, identity, is_number, read, reason, truncate

__all__ = [
    "Forgiving", "JsonLines", "LogError", "Row", "Sink", "TensorBoard", "Wandb",
    "diverged", "identity", "not_finite", "read", "rows", "tensorboard", "truncate", "wandb",
]  # fmt: skip

# Keys that say who and where a row is; everything else in it is a quantity to draw.
_FIRST = (STEP, "updates", "episode_return", "episode_length", "episodes")  # for whoever reads the file
_NOT_DRAWN = frozenset({STEP, "seed", ENV, WALL})
_DIVERGED = "diverged"
_FILM = "episode"
_log = logging.getLogger(__name__)


class Sink(Protocol):
    """What a run writes its rows to."""

    def write(self, rows: Sequence[Row]) -> None:
        """Append one chunk's rows."""

    def show(self, row: Row, film: Path) -> None:
        """Add an animated GIF of an episode of the member that a row is of, at its step, where pictures are shown."""

    def flush(self) -> None:
        """Hand everything written so far to the disk."""

    def close(self) -> None:
        """Flush and let go."""


def rows(metrics: Mapping[str, Any], members: Sequence[Row], **shared: Any) -> list[Row]:
    """Split a chunk's metrics into one row per seed.

    Args:
      metrics: name -> array of shape (seeds,). Where `episodes` is 0, what is said of episodes (`episode_*`) is None.
        Where `diverged` is true, every quantity is None and the row says so.
      members: what identifies each row, such as `{"seed": 3}`; one per seed.
      shared: further columns; an array of shape (seeds,) is split, anything else is repeated.

    Returns:
      One dict of JSON values per seed; NaN and infinity become None.
    """
    names = metrics.keys() - {_DIVERGED}
    order = [name for name in _FIRST if name in names] + sorted(names - set(_FIRST))
    host = {name: np.asarray(metrics[name]) for name in order}
    split = {name: np.asarray(value) for name, value in shared.items() if np.ndim(value) == 1}
    constant = {name: value for name, value in shared.items() if name not in split}
    lost, result = diverged(metrics), []
    for index, member in enumerate(members):
        row: Row = {STEP: host[STEP][index].item(), **member}
        row.update((name, _plain(value[index])) for name, value in host.items() if name != STEP)
        row.update((name, _plain(value[index])) for name, value in split.items())
        row.update((name, _plain(value)) for name, value in constant.items())
        if row.get("episodes") == 0:
            row.update({name: None for name in row if name.startswith("episode_")})
        if index in lost:
            row.update({name: None for name in row if name not in _NOT_DRAWN and name not in member})
            row[_DIVERGED] = True
        result.append(row)
    return result


def diverged(metrics: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the indices of the members that a chunk's metrics mark as diverged."""
    return tuple(int(index) for index in np.flatnonzero(np.asarray(metrics.get(_DIVERGED, ()))))


def not_finite(metrics: Mapping[str, Any], optional: Iterable[str] = ("episode_",)) -> list[tuple[str, int]]:
    """Return (metric, seed index) of every NaN or infinity of a member that is not marked as diverged.

    Metrics whose names begin with one of `optional` may be absent in a chunk and are not looked at.
    """
    prefixes, lost = tuple(optional), diverged(metrics)
    return [
        (name, int(index))
        for name, value in metrics.items()
        if not name.startswith(prefixes)
        for index in np.flatnonzero(~np.isfinite(np.asarray(value, np.float64)))
        if index not in lost
    ]


class Forgiving:
    """A sink that never stops a run: its first error is said in one warning, and then it is silent.

    Args:
      name: what the warning calls it.
      make: opens the sink.
    """

    def __init__(self, name: str, make: Callable[[], Sink]) -> None:
        self._name = name
        self._sink: Sink | None = None
        with self._forgiven():
            self._sink = make()

    def write(self, rows: Sequence[Row]) -> None:
        """Append one chunk's rows, if all has gone well so far."""
        with self._forgiven():
            if self._sink is not None:
                self._sink.write(rows)

    def show(self, row: Row, film: Path) -> None:
        """Add a film, if all has gone well so far."""
        with self._forgiven():
            if self._sink is not None:
                self._sink.show(row, film)

    def flush(self) -> None:
        """Hand everything written so far to the disk, if all has gone well so far."""
        with self._forgiven():
            if self._sink is not None:
                self._sink.flush()

    def close(self) -> None:
        """Flush and let go, if all has gone well so far."""
        with self._forgiven():
            sink, self._sink = self._sink, None
            if sink is not None:
                sink.close()

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            _log.warning("%s gets no more of this run: %s", self._name, reason(error))
            sink, self._sink = self._sink, None
            with contextlib.suppress(Exception):
                if sink is not None:
                    sink.close()


def tensorboard(directory: Path | str, earlier: Sequence[Row] = (), created: float = 0.0) -> Sink:
    """Return a `TensorBoard` that never stops a run."""
    return Forgiving(f"TensorBoard ({directory})", lambda: TensorBoard(directory, earlier, created))


def wandb(run_dir: Path | str, name: str, config: Mapping[str, Any], identifier: str) -> Sink:
    """Return a `Wandb` that never stops a run.

    Raises:
      ImportError: if wandb is not installed.
    """
    importlib.import_module("wandb")  # not among what is forgiven: the user can mend it at once
    return Forgiving("Weights & Biases", lambda: Wandb(run_dir, name, config, identifier))


class TensorBoard:
    """TensorBoard event files, one folder per row identity (`seed0`, ...).

    On opening, the files are drawn anew from the rows already in `metrics.jsonl`: event files cannot be cut, and this
    keeps them equal to the record after a resume.

    They are written in the caller's thread: tensorboardX's own thread dies of a full disk, and its queue then blocks.

    Args:
      directory: rewritten as a whole.
      earlier: the rows to draw first.
      created: time stamp of the run's start (seconds since 1970); `wall_seconds` is added to it, so that TensorBoard's
        relative axis shows training time without the pauses between resumes.
    """

    def __init__(self, directory: Path | str, earlier: Sequence[Row] = (), created: float = 0.0) -> None:
        self._directory, self._created = Path(directory), created
        self._writers: dict[str, Any] = {}
        self._flushed = time.monotonic()
        shutil.rmtree(self._directory, ignore_errors=True)
        try:
            self.write(earlier)
        except BaseException:
            self.close()
            raise

    def write(self, rows: Sequence[Row]) -> None:
        """Add every number of every row as a scalar at its environment step."""
        from tensorboardX.proto.summary_pb2 import Summary

        for row in rows:
            self._add(row, [Summary.Value(tag=key, simple_value=float(value)) for key, value in _drawn(row)])
        if time.monotonic() - self._flushed > 30:  # for whoever is looking on
            self.flush()

    def show(self, row: Row, film: Path) -> None:
        """Add a GIF as an image, which TensorBoard plays."""
        from tensorboardX.proto.summary_pb2 import Summary

        data = film.read_bytes()
        width, height = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))  # of a GIF's header
        image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=data)
        self._add(row, [Summary.Value(tag=_FILM, image=image)])

    def _add(self, row: Row, values: list[Any]) -> None:
        """Write one event at a row's step to the file of its member."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        name = identity(row)
        if name not in self._writers:
            (self._directory / name).mkdir(parents=True, exist_ok=True)
            self._writers[name] = EventsWriter(str(self._directory / name / "events"))
        wall = self._created + row.get(WALL, 0.0)
        self._writers[name].write_event(Event(wall_time=wall, step=row[STEP], summary=Summary(value=values)))

    def flush(self) -> None:
        """Write what is buffered."""
        self._flushed = time.monotonic()
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Flush and close the files."""
        with contextlib.ExitStack() as stack:
            for writer in self._writers.values():
                stack.callback(writer.close)


class Wandb:
    """Weights & Biases, as an optional extra (`pip install 'r2i-jit[wandb]'`).

    A resumed run repeats the numbers of the steps it does again, so rows that were sent before are passed over.

    Args:
      run_dir: where wandb keeps its own files.
      name: shown to people; several runs may share it.
      config: shown beside the curves.
      identifier: which run this is: the same after a resume, and of no other run.

    Raises:
      ImportError: if wandb is not installed.
    """

    def __init__(self, run_dir: Path | str, name: str, config: Mapping[str, Any], identifier: str) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            project="r2i-jit", id=identifier, name=name, dir=str(run_dir), config=dict(config), resume="allow"
        )
        self._run.define_metric("*", step_metric=STEP)
        last = self._run.summary.get(STEP)
        self._sent = last if self._run.id == identifier and is_number(last) else -1
        self._passed = 0

    def write(self, rows: Sequence[Row]) -> None:
        """Send one record per chunk: every row's numbers as `<identity>/<metric>`."""
        if not rows:
            return
        if rows[0][STEP] <= self._sent:
            self._passed += len(rows)
            return
        self._say_passed()
        record: Row = {STEP: rows[0][STEP]}
        for row in rows:
            record.update((f"{identity(row)}/{key}", value) for key, value in _drawn(row))
        self._run.log(record)

    def show(self, row: Row, film: Path) -> None:
        """Send a film unless its step was sent before."""
        if row[STEP] > self._sent:
            self._run.log({STEP: row[STEP], f"{identity(row)}/{_FILM}": self._wandb.Video(str(film))})

    def flush(self) -> None:
        """Nothing to do: wandb sends from its own process."""

    def close(self) -> None:
        """Finish the run's upload."""
        self._say_passed()
        self._run.finish()

    def _say_passed(self) -> None:
        if self._passed:
            _log.warning(
                "Weights & Biases had the rows up to step %d already: %d passed over", self._sent, self._passed
            )
            self._passed = 0


def _plain(value: Any) -> Any:
    """Return a numpy or Python scalar as a JSON value."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _drawn(row: Row) -> list[tuple[str, Any]]:
    """Return the quantities of a row that are there."""
    return [(key, value) for key, value in row.items() if key not in _NOT_DRAWN and isinstance(value, int | float)]
