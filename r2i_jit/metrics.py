"""Where a chunk's metrics go on the host: `metrics.jsonl`, TensorBoard event files and, if asked, Weights & Biases.

`metrics.jsonl` is the record; the others are drawn from it. The environment step is its cursor: a resumed run cuts the
file at the checkpoint's step and writes on, so a run that was killed leaves the same lines as one that was not.
"""

import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Row = dict[str, Any]
_STEP = "env_steps"
# Keys that say who and where a row is; everything else in it is a quantity to draw.
_FIRST = (_STEP, "updates", "episode_return", "episode_length", "episodes")  # for whoever reads the file
_NOT_DRAWN = frozenset({_STEP, "seed", "wall_seconds"})


class Sink(Protocol):
    """What a run writes its rows to."""

    def write(self, rows: Sequence[Row]) -> None:
        """Append one chunk's rows."""

    def flush(self) -> None:
        """Hand everything written so far to the disk."""

    def close(self) -> None:
        """Flush and let go."""


def rows(metrics: Mapping[str, Any], members: Sequence[Row], **shared: Any) -> list[Row]:
    """Split a chunk's metrics into one row per seed.

    Args:
      metrics: name -> array of shape (seeds,).
      members: what identifies each row, such as `{"seed": 3}`; one per seed.
      shared: further columns; an array of shape (seeds,) is split, anything else is repeated.

    Returns:
      One dict of JSON values per seed; NaN and infinity become None.
    """
    order = [name for name in _FIRST if name in metrics] + sorted(metrics.keys() - set(_FIRST))
    host = {name: np.asarray(metrics[name]) for name in order}
    split = {name: np.asarray(value) for name, value in shared.items() if np.ndim(value) == 1}
    constant = {name: value for name, value in shared.items() if name not in split}
    result = []
    for index, member in enumerate(members):
        row: Row = {_STEP: host[_STEP][index].item(), **member}
        row.update((name, _plain(value[index])) for name, value in host.items() if name != _STEP)
        row.update((name, _plain(value[index])) for name, value in split.items())
        row.update((name, _plain(value)) for name, value in constant.items())
        result.append(row)
    return result


def not_finite(metrics: Mapping[str, Any], optional: Iterable[str] = ("episode_",)) -> list[tuple[str, int]]:
    """Return (metric, seed index) of every NaN or infinity, except in metrics that may be absent in a chunk."""
    prefixes = tuple(optional)
    return [
        (name, int(index))
        for name, value in metrics.items()
        if not name.startswith(prefixes)
        for index in np.flatnonzero(~np.isfinite(np.asarray(value, np.float64)))
    ]


def read(path: Path | str) -> list[Row]:
    """Return the rows of a `metrics.jsonl`; a line torn by a kill ends the file."""
    result: list[Row] = []
    if not Path(path).exists():
        return result
    with open(path, encoding="utf-8") as file:
        for line in file:
            row = _parse(line)
            if row is None:
                break
            result.append(row)
    return result


def truncate(path: Path | str, step: int) -> list[Row]:
    """Cut `metrics.jsonl` after environment step `step`, in one atomic replacement, and return the rows that stay.

    Lines are copied byte for byte; a torn last line goes.
    """
    path = Path(path)
    kept: list[str] = []
    result: list[Row] = []
    if path.exists():
        with open(path, encoding="utf-8", newline="") as file:
            for line in file:
                row = _parse(line)
                if row is None or row[_STEP] > step:
                    break
                kept.append(line)
                result.append(row)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        file.writelines(kept)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return result


class JsonLines:
    """`metrics.jsonl`: append-only, one object per line, each line written whole and at once."""

    def __init__(self, path: Path | str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, rows: Sequence[Row]) -> None:
        """Append one line per row."""
        data = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()
        while data:
            data = data[os.write(self._file, data) :]

    def flush(self) -> None:
        """Force the lines to the disk, as before a checkpoint that claims them."""
        os.fsync(self._file)

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        os.close(self._file)


class TensorBoard:
    """TensorBoard event files, one folder per row identity (`seed0`, ...).

    On opening, the files are drawn anew from the rows already in `metrics.jsonl`: event files cannot be cut, and this
    keeps them equal to the record after a resume.

    Args:
      directory: rewritten as a whole.
      earlier: the rows to draw first.
      created: time stamp of the run's start (seconds since 1970); `wall_seconds` is added to it, so that TensorBoard's
        relative axis shows training time without the pauses between resumes.
    """

    def __init__(self, directory: Path | str, earlier: Sequence[Row] = (), created: float = 0.0) -> None:
        from tensorboardX import SummaryWriter

        self._make = SummaryWriter
        self._directory, self._created = Path(directory), created
        self._writers: dict[str, Any] = {}
        shutil.rmtree(self._directory, ignore_errors=True)
        self.write(earlier)

    def write(self, rows: Sequence[Row]) -> None:
        """Add every number of every row as a scalar at its environment step."""
        for row in rows:
            name = identity(row)
            if name not in self._writers:
                self._writers[name] = self._make(str(self._directory / name), flush_secs=30)
            time = self._created + row.get("wall_seconds", 0.0)
            for key, value in row.items():
                if key not in _NOT_DRAWN and isinstance(value, int | float):
                    self._writers[name].add_scalar(key, value, row[_STEP], walltime=time)

    def flush(self) -> None:
        """Write what is buffered."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Flush and stop the writers' threads."""
        for writer in self._writers.values():
            writer.close()


class Wandb:
    """Weights & Biases, as an optional extra (`pip install 'r2i-jit[wandb]'`).

    A resumed run repeats the numbers of the steps it does again, so rows that were sent before are passed over.

    Raises:
      ImportError: if wandb is not installed.
    """

    def __init__(self, run_dir: Path | str, name: str, config: Mapping[str, Any]) -> None:
        import wandb

        identifier = "".join(letter if letter.isalnum() else "-" for letter in name)
        self._run = wandb.init(
            project="r2i-jit", id=identifier, name=name, dir=str(run_dir), config=dict(config), resume="allow"
        )
        self._run.define_metric("*", step_metric=_STEP)
        self._sent = int(self._run.summary.get(_STEP, -1) or -1)

    def write(self, rows: Sequence[Row]) -> None:
        """Send one record per chunk: every row's numbers as `<identity>/<metric>`."""
        if not rows or rows[0][_STEP] <= self._sent:
            return
        record: Row = {_STEP: rows[0][_STEP]}
        for row in rows:
            for key, value in row.items():
                if key not in _NOT_DRAWN and isinstance(value, int | float):
                    record[f"{identity(row)}/{key}"] = value
        self._run.log(record)

    def flush(self) -> None:
        """Nothing to do: wandb sends from its own process."""

    def close(self) -> None:
        """Finish the run's upload."""
        self._run.finish()


def identity(row: Mapping[str, Any]) -> str:
    """Return the name of the curve that a row belongs to: `seed0`, or `model_lr=0.001,seed0` in a sweep."""
    swept = [f"{key.removeprefix('hypers.')}={row[key]:g}," for key in row if key.startswith("hypers.")]
    return f"{''.join(swept)}seed{row['seed']}"


def _plain(value: Any) -> Any:
    """Return a numpy or Python scalar as a JSON value."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parse(line: str) -> Row | None:
    """Return a complete line's object, or None for a torn one."""
    if not line.endswith("\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get(_STEP), int) else None
