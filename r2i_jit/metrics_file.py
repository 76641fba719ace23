"""`metrics.jsonl`, the record of a run: what a sound line of it is, appending, reading, cutting.

No log stands between a user and a checkpoint: what is damaged is kept aside, named and passed over. Only a file that
cannot be written stops a run, with a `LogError`. `r2i_jit.metrics` has the public names.
"""

import contextlib
import errno
import io
import json
import logging
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from r2i_jit import whole_files

Row = dict[str, Any]
STEP, WALL, ENV = "env_steps", "wall_seconds", "env"
_SWEPT = "hypers."
_log = logging.getLogger(__name__)


class LogError(OSError):
    """`metrics.jsonl` could not be written; the message is one line that names the file and the reason."""


def read(path: Path | str, lists: bool = False) -> list[Row]:
    """Return the rows of a `metrics.jsonl`, none if there is no file.

    A last line that a kill has torn is passed over; so are damaged lines, with one warning.

    Args:
      path: the file.
      lists: whether a value may be a list of numbers, too.

    Raises:
      OSError: if there is a file and it cannot be read.
    """
    if not os.path.lexists(path):
        return []
    sound, damaged = _lines(path, lists)
    if damaged:
        _log.warning("%s: %s; passed over", path, _summary(damaged))
    return [line.row for line in sound]


def truncate(path: Path | str, step: int, members: Sequence[Row] = (), lists: bool = False) -> list[Row]:
    """Cut `metrics.jsonl` after environment step `step`, in one atomic replacement, and return the rows that stay.

    Rows are copied byte for byte. What goes are the rows past the step and a last line that a kill has torn. Damaged
    lines are moved to `metrics.jsonl.damaged` beside it. What cannot be read at all, such as a folder in the file's
    place, is given that name as a whole, and a new file is begun. There is one warning of all that.

    Args:
      path: the file.
      step: that of the checkpoint which the run goes on from, or -1.
      members: who should have a row at `step`; the warning says so where one of them has none.
      lists: whether a value may be a list of numbers, too.

    Raises:
      LogError: if the files cannot be written.
    """
    path, said = Path(path), []
    sound: list[_Line] = []
    damaged: list[_Damage] = []
    with _log_errors(path):
        if os.path.lexists(path):
            try:
                sound, damaged = _lines(path, lists)
            except OSError as error:
                target = next(name for name in _beside(path) if not os.path.lexists(name))
                os.rename(path, target)
                said.append(f"cannot be read ({reason(error)}), so it is kept as {target.name} and a new one is begun")
        if damaged:  # first kept there, then gone here: a kill in between loses nothing
            said.append(f"{_summary(damaged)}; kept in {_keep(path, [line.text for line in damaged]).name}")
        kept = [line for line in sound if line.row[STEP] <= step]
        whole_files.replace(path, b"".join(line.text for line in kept))
    if lacking := [member for member in members if (step, *_owner(member)) not in {line.place for line in kept}]:
        last = max((line.row[STEP] for line in kept if line.place[1:] == _owner(lacking[0])), default=None)
        until = "has no rows" if last is None else f"ends at step {last}"
        said.append(f"for {identity(lacking[0])} it {until}, before the checkpoint at step {step}")
    if said:
        _log.warning("%s: %s", path, "; ".join(said))
    return [line.row for line in kept]


class JsonLines:
    """`metrics.jsonl`: append-only, one object per line, each line written whole and at once.

    Raises:
      LogError: from any method, if the file cannot be written.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        with _log_errors(self._path):
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, rows: Sequence[Row]) -> None:
        """Append one line per row."""
        data = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()
        with _log_errors(self._path):
            while data:
                data = data[os.write(self._file, data) :]

    def show(self, row: Row, film: Path) -> None:
        """Nothing to do: a film is a file of its own."""

    def flush(self) -> None:
        """Force the lines to the disk, as before a checkpoint that claims them."""
        with _log_errors(self._path):
            os.fsync(self._file)

    def close(self) -> None:
        """Flush and close the file."""
        try:
            self.flush()
        finally:
            with _log_errors(self._path):
                os.close(self._file)


def identity(row: Mapping[str, Any]) -> str:
    """Return the name of the curve that a row belongs to: `seed0`, or `model_lr=0.001,seed0` in a sweep.

    Where the members have an environment each, its number or name comes first: `22,seed0` of `bsuite/memory_len/22`.
    """
    own = f"{row[ENV].rpartition('/')[2]}," if ENV in row else ""
    swept = [f"{key.removeprefix(_SWEPT)}={_short(row[key])}," for key in row if key.startswith(_SWEPT)]
    return f"{own}{''.join(swept)}seed{row['seed']}"


def _short(value: float) -> str:
    """Return the shortest text that is this number and no other."""
    return text if float(text := f"{value:g}") == value else repr(value)


def _owner(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells a row's member from others."""
    return row["seed"], row.get(ENV), *sorted((key, value) for key, value in row.items() if key.startswith(_SWEPT))


def is_member_env(value: Any) -> bool:
    """Return whether a value is the id of a setting, such as `bsuite/memory_len/22`: a part becomes a folder's name."""
    return isinstance(value, str) and re.fullmatch(r"\w+(/\w+)+", value, re.ASCII) is not None


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a number that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def reason(error: Exception) -> str:
    """Return an error as a part of one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, OSError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")


class _Line(NamedTuple):
    """A sound line: its bytes with the newline, its row, and its step and member."""

    text: bytes
    row: Row
    place: tuple[Any, ...]


class _Damage(NamedTuple):
    """A damaged line, counted from 1."""

    number: int
    text: bytes
    fault: str


def _summary(damaged: Sequence[_Damage]) -> str:
    count, first = len(damaged), damaged[0]
    which = (
        f"line {first.number} is damaged"
        if count == 1
        else f"{count} lines are damaged, the first is line {first.number}"
    )
    return f"{which} ({first.fault})"


def _lines(path: Path | str, lists: bool = False) -> tuple[list[_Line], list[_Damage]]:
    """Return the sound and the damaged lines of a `metrics.jsonl`, without a torn last one."""
    if not stat.S_ISREG(mode := os.stat(path).st_mode):  # reading a pipe would wait for ever
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "not a file")
    sound: list[_Line] = []
    damaged: list[_Damage] = []
    places = set()
    with open(path, "rb") as file:
        for number, text in enumerate(file, 1):
            whole = text if text.endswith(b"\n") else text + b"\n"  # of a kill between a row and its newline
            try:
                row = _parse(whole, lists)
                place = row[STEP], *_owner(row)
                if place in places:
                    raise ValueError("it repeats an earlier row")
            except ValueError as error:
                if text is whole:
                    damaged.append(_Damage(number, text, str(error)))
                continue
            places.add(place)
            sound.append(_Line(whole, row, place))
    return sound, damaged


def _parse(text: bytes, lists: bool = False) -> Row:
    """Return a line's row; a ValueError says what is wrong with it.

    Refused is all that no sink writes and a reader might stumble over, such as NaN, which is no JSON, and a key that
    stands there twice.
    """
    try:
        row = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(row, dict):
        raise ValueError("not an object")
    for key in (STEP, "seed"):
        if type(row.get(key)) is not int or not 0 <= row[key] < 2**63:
            raise ValueError(f"`{key}` is not a whole number from 0 up")
    if ENV in row and not is_member_env(row[ENV]):
        raise ValueError(f"`{ENV}` is not an environment's id")
    for key, value in row.items():
        if key == ENV or (lists and isinstance(value, list) and all(map(is_number, value))):
            continue
        swept = key.startswith(_SWEPT)
        # A swept name becomes part of a folder's name.
        if not (key.removeprefix(_SWEPT).isidentifier() if swept else key.isprintable()):
            raise ValueError(f"{key[:40]!a} is no name")
        optional = not swept and key != WALL and (value is None or isinstance(value, bool))
        if not (optional or is_number(value)):
            raise ValueError(f"`{key[:40]}` is not a number")
    return row


def _unique(pairs: list[tuple[str, Any]]) -> Row:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key stands there twice")
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _beside(path: Path) -> Iterator[Path]:
    """Yield the names, best first, under which what is damaged in `path` may be kept."""
    yield path.with_name(path.name + ".damaged")
    count = 2
    while True:
        yield path.with_name(f"{path.name}.damaged{count}")
        count += 1


def _keep(path: Path, lines: Sequence[bytes]) -> Path:
    """Add damaged lines to the file that collects them, those that it lacks, and return its name."""
    for target in _beside(path):
        old = b""
        if os.path.lexists(target):
            if target.is_symlink() or not target.is_file():
                continue
            try:
                old = target.read_bytes()
            except OSError:
                continue
        there, new = Counter(io.BytesIO(old)), []
        for line in lines:
            if there[line]:
                there[line] -= 1
            else:
                new.append(line)
        if new:
            end = b"" if old.endswith(b"\n") or not old else b"\n"
            whole_files.replace(target, old + end + b"".join(new))
        return target
    raise AssertionError("there is always another name")


@contextlib.contextmanager
def _log_errors(path: Path) -> Iterator[None]:
    """Name the file in what goes wrong with it, so that nothing else is blamed."""
    try:
        yield
    except OSError as error:
        raise LogError(f"cannot write {path}: {reason(error)}") from error
