"""Checkpoints of a whole run: one tree, one step, one commit. Host only, and it knows nothing but pytrees.

Orbax writes a step to a temporary folder and renames it, which survives a kill at any moment. This wrapper adds what
Orbax leaves open: a checksum per leaf (a flipped bit in an array is otherwise restored without a word), a fall-back to
the step before a damaged one, errors of an asynchronous save that reach the caller, a refusal to cast dtypes, and files
flushed to the disk before anything older is deleted. Nothing is ever unpickled. One process writes at a time
(`experiments.running.rundir.lock` sees to that).

`tests/host/test_checkpoint.py` holds the damage, `tests/host/test_kill.py` the kills.
"""

import contextlib
import dataclasses
import functools
import json
import logging
import math
import os
import re
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

_FORMAT = 1
_STATE, _RECORD = "state", "record"
_LEFTOVER = re.compile(r"\d+\.(deleted|orbax-checkpoint-tmp).*")
_log = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
    """No checkpoint could be read; the message is one line for the user."""


class CheckpointSaveError(CheckpointError):
    """A checkpoint could not be written; earlier ones are as they were."""


class CheckpointNotFinite(CheckpointError):
    """The state has diverged; it was not saved."""


class CheckpointMismatch(CheckpointError):
    """A sound checkpoint of another program: other leaves, shapes or dtypes than the ones asked for."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """What `Checkpoints.restore` returns: the step, the state on the device, and the metadata saved with them."""

    step: int
    state: Any
    metadata: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run directory, `<run_dir>/checkpoints/<step>/`.

    A step counts as saved only when a later `save`, `poll`, `wait` or `close` has seen its commit and flushed it to the
    disk; only then are older steps deleted. Kept are the newest `keep` steps and the best-scored one.

    Args:
      directory: where the steps lie; created unless `read_only`.
      keep: how many of the newest steps stay (at least 2, so that damage to one leaves another).
      finite: paths in the state, such as `.seeds.agent`, below which `save` refuses a NaN or an infinity.
      read_only: never create, move or delete anything (for a reader beside a running writer).
    """

    def __init__(
        self, directory: Path | str, keep: int = 2, finite: tuple[str, ...] = (), read_only: bool = False
    ) -> None:
        if keep < 2:
            raise ValueError(f"keep={keep}: expected at least 2")
        self._directory = Path(directory).absolute()
        self._keep, self._finite, self._read_only = keep, finite, read_only
        self._pending: int | None = None
        if not read_only:
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CheckpointSaveError(f"cannot write to {self._directory}: {error.strerror or error}") from error
            self._clear_leftovers()
        self._manager: ocp.CheckpointManager | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def steps(self) -> list[int]:
        """Return the steps whose record reads and is unaltered, oldest first; stray folders are passed over."""
        return sorted(step for step in self._numbered() if self._record(step) is not None)

    def best_step(self) -> int | None:
        """Return the step saved with the highest score (the newest of equals), or None if none was scored."""
        score, step = max(((self.score(step), step) for step in self.steps()), default=(-math.inf, -1))
        return step if score > -math.inf else None

    def score(self, step: int) -> float:
        """Return the score that `step` was saved with, or minus infinity if none."""
        record = self._record(step)
        return -math.inf if record is None or record["score"] is None else record["score"]

    def save(self, step: int, state: Any, metadata: dict[str, Any], score: float | None = None) -> None:
        """Begin to write `state` and `metadata` as one commit; returns once the arrays are safe from donation.

        Args:
          step: environment steps per seed; the folder's name and the order of checkpoints.
          state: a pytree of arrays (typed PRNG keys included) without Python scalars.
          metadata: JSON values, such as the config, versions, seeds and wall-clock seconds.
          score: what `best_step` ranks by, such as the mean evaluation return; None leaves the step unranked.

        Raises:
          CheckpointSaveError: if this or the previous save fails.
          CheckpointNotFinite: if a leaf below a path in `finite` is not finite.
        """
        self.wait()
        folder = self._directory / str(step)
        if folder.exists():
            if self._record(step) is not None:
                raise CheckpointSaveError(f"{folder} exists already")
            self._set_aside(step, "has no readable record")
        leaves = {path: _describe(leaf) for path, leaf in _leaves(state)}
        self._refuse_not_finite(step, state)
        score = float(score) if score is not None and math.isfinite(score) else None
        record = {"format": _FORMAT, "step": step, "score": score, "leaves": leaves, "metadata": metadata}
        record["crc"] = _text_crc(record)
        self._size = sum(leaf.nbytes for _, leaf in _leaves(state))
        arguments = {_STATE: ocp.args.StandardSave(state), _RECORD: ocp.args.JsonSave(record)}
        with self._save_errors(step):
            if not self._opened().save(step, args=ocp.args.Composite(**arguments), force=True):
                raise OSError("the checkpoint manager declined to write it")
        self._pending = step

    def poll(self) -> None:
        """Raise if the save under way has failed; finish it if it is done. Never blocks on writing."""
        if self._pending is not None and not self._opened().is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Block until the save under way is on the disk, then delete what is no longer kept.

        Raises:
          CheckpointSaveError: if that save failed; every earlier checkpoint is still there.
        """
        if self._pending is None:
            return
        step, self._pending = self._pending, None
        with self._save_errors(step):
            self._opened().wait_until_finished()
            if self._record(step) is None:
                raise OSError("its record does not read back")
            _flush_tree(self._directory / str(step))
            _flush(self._directory)
        self._prune()

    def close(self) -> None:
        """Finish the save under way and let go of the manager.

        Raises:
          CheckpointSaveError: as `wait`.
        """
        try:
            self.wait()
        finally:
            if self._manager is not None:
                self._manager.close()
                self._manager = None

    def restore(self, shapes: Any, step: int | None = None) -> Restored | None:
        """Return the newest sound checkpoint, or the one at `step`, checked leaf by leaf; None if there is none.

        A damaged newest checkpoint is reported in one log line and passed over for the one before it. Once that one has
        been read, the damaged folder is renamed to `<step>.corrupt`; if nothing can be read, all stays as it is.

        Args:
          shapes: a pytree of `jax.ShapeDtypeStruct` of the state, from `Trainer.state_shapes`; leaves without a
            sharding are read onto the first device.
          step: a certain step; no other is tried.

        Raises:
          CheckpointMismatch: if the checkpoint is sound and belongs to another program.
          CheckpointError: if checkpoints exist and none can be read, or the one asked for cannot.
        """
        candidates = sorted(self._numbered(), reverse=True) if step is None else [step]
        damaged: dict[int, str] = {}
        for candidate in candidates:
            try:
                restored = self._restore(candidate, shapes)
            except _Damaged as error:
                damaged[candidate] = str(error)
                continue
            for bad, reason in damaged.items():
                self._set_aside(bad, f"{reason}; using step {candidate}")
            return restored
        if not damaged:
            return None
        reasons = "; ".join(f"step {bad}: {reason}" for bad, reason in damaged.items())
        raise CheckpointError(f"no checkpoint in {self._directory} can be restored ({reasons})")

    def _restore(self, step: int, shapes: Any) -> Restored:
        record = self._record(step)
        if record is None:
            raise _Damaged("its record is missing or altered")
        if record["format"] != _FORMAT:
            raise CheckpointMismatch(f"{self._directory / str(step)} was written by another version of this package")
        _refuse_mismatch(self._directory / str(step), record["leaves"], dict(_leaves(shapes)))
        first = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or first), shapes
        )
        arguments = ocp.args.Composite(**{_STATE: ocp.args.StandardRestore(target)})
        try:
            with _quiet():
                state = self._opened().restore(step, args=arguments)[_STATE]
        except (MemoryError, PermissionError):
            raise
        except Exception as error:
            if "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error):
                raise
            raise _Damaged(f"{type(error).__name__} while reading it") from error
        for path, leaf in _leaves(state):
            if _describe(leaf) != record["leaves"][path]:
                raise _Damaged(f"the checksum of {path} differs")
        return Restored(step, state, record["metadata"])

    def _numbered(self) -> list[int]:
        """Return the steps of all folders that hold something of ours, sound or not."""
        found = []
        for path in self._directory.glob("[0-9]*"):
            ours = not path.is_symlink() and any((path / item).is_dir() for item in (_STATE, _RECORD))
            if ours and path.name.isascii() and path.name.isdigit() and str(int(path.name)) == path.name:
                found.append(int(path.name))
        return found

    def _record(self, step: int) -> dict[str, Any] | None:
        """Return the record of `step`, or None if it is missing, altered or of another step."""
        try:
            with open(self._directory / str(step) / _RECORD / "metadata", encoding="utf-8") as file:
                record = json.load(file)
            sound = record.pop("crc") == _text_crc(record) and record["step"] == step
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return record if sound and (self._directory / str(step) / _STATE).is_dir() else None

    def _opened(self) -> ocp.CheckpointManager:
        """Return the manager, made at first use: a run that is only looked at needs none."""
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(
                create=not self._read_only,
                read_only=self._read_only,
                enable_async_checkpointing=not self._read_only,
                save_root_metadata=False,
                enable_should_save_is_saving_in_progress_check=False,
            )
            handlers = {_STATE: ocp.StandardCheckpointHandler(), _RECORD: ocp.JsonCheckpointHandler()}
            self._manager = ocp.CheckpointManager(self._directory, options=options, item_handlers=handlers)
        return self._manager

    @contextlib.contextmanager
    def _save_errors(self, step: int) -> Iterator[None]:
        """Turn what a failed save raises into one clear error, and clear away its half-written folder."""
        try:
            with _quiet():
                yield
        except Exception as error:
            # The manager's idea of the disk is stale, and its close may raise the same error again.
            manager, self._manager = self._manager, None
            with contextlib.suppress(Exception):
                if manager is not None:
                    manager.close()
            end = time.monotonic() + 1
            while self._clear_leftovers() and time.monotonic() < end:
                time.sleep(0.05)  # Orbax may still be writing other files of it
            free = shutil.disk_usage(self._directory).free if self._directory.exists() else 0
            kept = self.steps()
            last = f"the last good one is step {kept[-1]}" if kept else "there is no earlier one"
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise CheckpointSaveError(
                f"could not save step {step} in {self._directory}: {reason} "
                f"(state {self._size / 1e6:.1f} MB, free {free / 1e6:.1f} MB; {last})"
            ) from error

    def _prune(self) -> None:
        """Delete the steps that are no longer kept; each is renamed first, so that none is left half there."""
        steps, best = self.steps(), self.best_step()
        for step in set(steps[: -self._keep]) - {best}:
            doomed = self._directory / f"{step}.deleted"
            os.rename(self._directory / str(step), doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        self._opened().reload()

    def _clear_leftovers(self) -> bool:
        """Remove half-written and half-deleted steps; return whether there were any."""
        found = [path for path in self._directory.glob("[0-9]*.*") if _LEFTOVER.fullmatch(path.name)]
        for path in found:
            shutil.rmtree(path, ignore_errors=True)
        return bool(found)

    def _set_aside(self, step: int, reason: str) -> None:
        """Rename a damaged step so that it is kept for inspection and never chosen again."""
        if self._read_only:
            _log.warning("checkpoint %d is damaged (%s)", step, reason)
            return
        target, count = self._directory / f"{step}.corrupt", 1
        while target.exists():
            count += 1
            target = self._directory / f"{step}.corrupt{count}"
        os.rename(self._directory / str(step), target)
        _log.warning("checkpoint %d is damaged (%s); kept as %s", step, reason, target.name)
        if self._manager is not None:
            self._manager.reload()

    def _refuse_not_finite(self, step: int, state: Any) -> None:
        """Keep a state that has diverged from replacing a good one."""
        for path, leaf in _leaves(state):
            checked = path.startswith(self._finite) and jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact)
            if checked and not np.all(np.isfinite(_host(leaf))):
                raise CheckpointNotFinite(f"the state at step {step} is not saved: {path} is not finite")


class _Damaged(Exception):
    """A checkpoint that cannot be read back as it was written."""


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _host(leaf: jax.Array) -> np.ndarray:
    is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def _describe(leaf: jax.Array) -> list[Any]:
    """Return the shape, dtype and CRC-32 of a leaf's bytes, as JSON values."""
    flat = np.ascontiguousarray(_host(leaf)).reshape(-1)
    return [list(leaf.shape), str(leaf.dtype), zlib.crc32(flat.view(np.uint8).data)]


def _refuse_mismatch(folder: Path, saved: dict[str, list[Any]], wanted: dict[str, Any]) -> None:
    """Raise CheckpointMismatch unless the saved leaves are the wanted ones; Orbax would cast dtypes silently."""
    missing, extra = sorted(wanted.keys() - saved.keys()), sorted(saved.keys() - wanted.keys())
    if missing or extra:
        raise CheckpointMismatch(
            f"{folder} holds another program's state: {len(missing)} leaves are missing and {len(extra)} are unknown, "
            f"such as {(missing + extra)[0]}"
        )
    for path, leaf in wanted.items():
        shape, dtype, _ = saved[path]
        if tuple(shape) != tuple(leaf.shape) or dtype != str(leaf.dtype):
            needed = f"{leaf.dtype}{list(leaf.shape)}"
            raise CheckpointMismatch(f"{folder} holds {path} as {dtype}{shape}, this run needs {needed}")


def _text_crc(record: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_tree(folder: Path) -> None:
    """Flush every file and folder: Orbax does so for array data, not for its small files and the last rename."""
    for parent, _, files in os.walk(folder):
        for name in files:
            _flush(Path(parent) / name)
        _flush(Path(parent))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what Orbax and its threads print about a failure; the user gets our own one-line error."""
    loggers, before = [logging.getLogger(name) for name in ("absl", "asyncio")], sys.unraisablehook
    if getattr(before, "func", None) is not _report_unraisable:
        sys.unraisablehook = functools.partial(_report_unraisable, before)
    for logger in loggers:
        logger.disabled = True
    try:
        yield
        sys.unraisablehook = before  # not after a failure: late reads go on for a while
    finally:
        for logger in loggers:
            logger.disabled = False


def _report_unraisable(report: Callable[[Any], Any], event: Any) -> None:
    """Drop what TensorStore says when one array fails and the others arrive at a loop that Orbax has closed."""
    if not (isinstance(event.exc_value, RuntimeError) and "Event loop is closed" in str(event.exc_value)):
        report(event)
