"""Checkpoints of a whole run: one tree, one step, one commit. Host only, and it knows nothing but pytrees.

Orbax writes a step to a temporary folder and renames it, which survives a kill at any moment. This wrapper adds what
Orbax leaves open: a checksum per leaf (a flipped bit in an array is otherwise restored without a word), a fall-back to
the step before a damaged one, errors of an asynchronous save that reach the caller, a refusal to cast dtypes, and files
flushed to the disk before anything older is deleted. Nothing is ever unpickled. One process writes at a time
(`experiments.running.rundir.lock` sees to that); of several that train one agent, the first, which then has it whole.

Here is which steps are saved, kept, restored and fallen back to; `r2i_jit.checkpoint_files` has what a step is on the
disk, `r2i_jit.checkpoint_reading` how its arrays are read.

`tests/host/test_checkpoint.py` holds the damage, `tests/host/test_kill.py` the kills.
"""

import contextlib
import dataclasses
import logging
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

from r2i_jit import checkpoint_files as files
from r2i_jit import checkpoint_reading as reading
from r2i_jit.checkpoint_files import RECORD, STATE, Damaged, Record
from r2i_jit.checkpoint_reading import CheckpointError, CheckpointMismatch

__all__ = [
    "CheckpointError",
    "CheckpointMismatch",
    "CheckpointNotFinite",
    "CheckpointSaveError",
    "Checkpoints",
    "Restored",
]

_LEFTOVER = re.compile(r"\d+\.(deleted|orbax-checkpoint-tmp).*")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class CheckpointSaveError(CheckpointError):
    """A checkpoint could not be written; earlier ones are as they were."""


class CheckpointNotFinite(CheckpointError):
    """The state has diverged; it was not saved."""


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
      needed: metadata that a caller relies on, such as {"wall_seconds": (int, float)}; a step without them, or with
        ones of other types, counts as damaged.

    Raises:
      CheckpointError: here and from every method that looks at the disk, if the folder cannot be read.
    """

    def __init__(
        self,
        directory: Path | str,
        keep: int = 2,
        finite: tuple[str, ...] = (),
        read_only: bool = False,
        needed: Mapping[str, type | tuple[type, ...]] | None = None,
    ) -> None:
        if keep < 2:
            raise ValueError(f"keep={keep}: expected at least 2")
        self._directory = Path(directory).absolute()
        self._keep, self._finite, self._read_only = keep, finite, read_only
        self._needed = dict(needed or {})
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
        return -math.inf if record is None or record.score is None else record.score

    def save(
        self,
        step: int,
        state: Any,
        metadata: dict[str, Any],
        score: float | None = None,
        without: Sequence[int] = (),
    ) -> None:
        """Begin to write `state` and `metadata` as one commit; returns once the arrays are safe from donation.

        Args:
          step: environment steps per seed; the folder's name and the order of checkpoints.
          state: a pytree of arrays (typed PRNG keys included) without Python scalars.
          metadata: JSON values, such as the config, versions, seeds and wall-clock seconds.
          score: what `best_step` ranks by, such as the mean evaluation return; None leaves the step unranked.
          without: rows of the leading axis below `finite` that may be anything: members that have diverged.

        Raises:
          CheckpointSaveError: if this or the previous save fails.
          CheckpointNotFinite: if a leaf below a path in `finite` is not finite.
        """
        self.wait()
        self._make_room(step)
        for path, leaf in files.leaves(state):  # a state that has diverged must not replace a good one
            if path.startswith(self._finite) and not files.is_finite(leaf, tuple(without)):
                raise CheckpointNotFinite(f"the state at step {step} is not saved: {path} is not finite")
        record = files.make_record(step, state, metadata, score)
        self._size = sum(leaf.nbytes for _, leaf in files.leaves(state))
        arguments = {
            STATE: ocp.args.StandardSave(files.stored(state, (), files.FORMAT)),
            RECORD: ocp.args.JsonSave(record),
        }
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
            files.flush_tree(self._directory / str(step))
            files.flush(self._directory)
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

    def restore(
        self, shapes: Any, step: int | None = None, defaults: Mapping[str, float] | None = None
    ) -> Restored | None:
        """Return the newest sound checkpoint, or the one at `step`, checked leaf by leaf; None if there is none.

        A damaged newest checkpoint is reported in one log line and passed over for the one before it. Once that one has
        been read, the damaged folder is renamed to `<step>.corrupt`; if nothing can be read, all stays as it is.

        Args:
          shapes: a pytree of `jax.ShapeDtypeStruct` of the state, from `Trainer.state_shapes`; leaves without a
            sharding are read onto the first device, those of which other processes have a part onto the host.
          step: a certain step; no other is tried.
          defaults: path of a leaf -> the value of its entries where a checkpoint lacks it, being older than the leaf.

        Raises:
          CheckpointMismatch: if the checkpoint is sound and belongs to another program.
          CheckpointError: if checkpoints exist and none can be read, or the one asked for cannot.
        """
        return self._settled(
            step, *self._newest(step, lambda candidate: self._restore(candidate, shapes, defaults or {}))
        )

    def restore_part(
        self, prefix: str, shapes_of: Callable[[dict[str, Any]], Any], step: int | None = None
    ) -> Restored | None:
        """As `restore`, of one part of the state, such as the agent without a replay of gigabytes; onto the host.

        Args:
          prefix: where the part is: names of attributes from the root, such as `.seeds.agent`.
          shapes_of: metadata of a step -> pytree of the part's shapes and dtypes, without typed PRNG keys.
          step: a certain step; no other is tried.

        Returns:
          As `restore`, with the part's NumPy arrays as the state. Only they are read, and their checksums compared.

        Raises:
          CheckpointMismatch: if the part has other leaves, shapes or dtypes.
          CheckpointError: as `restore`.
        """
        attempt = lambda candidate: self._restore_part(candidate, prefix, shapes_of)
        return self._settled(step, *self._newest(step, attempt))

    def _settled(self, step: int | None, restored: Restored | None, damaged: dict[int, str]) -> Restored | None:
        """Return what was read, having said what was passed over for it, and set that aside."""
        if restored is None:
            return None
        for bad, reason in damaged.items():
            self._set_aside(bad, f"{reason}; using step {restored.step}")
        if step is None and (newer := [name for name in self._strays() if int(name) > restored.step]):
            _log.warning("%s: no checkpoint folder is %s; using step %d", self._directory, newer, restored.step)
        return restored

    def _newest(self, step: int | None, attempt: Callable[[int], _T]) -> tuple[_T | None, dict[int, str]]:
        """Return what `attempt` gives for the newest step it finds undamaged, and what is wrong with the newer ones."""
        candidates = sorted(self._numbered(), reverse=True) if step is None else [step]
        damaged: dict[int, str] = {}
        for candidate in candidates:
            try:
                return attempt(candidate), damaged
            except Damaged as error:
                damaged[candidate] = str(error)
        reasons = [f"step {bad}: {reason}" for bad, reason in damaged.items()]
        reasons += [f"{stray} is no checkpoint folder" for stray in self._strays() if not candidates]
        if reasons:
            raise CheckpointError(f"no checkpoint in {self._directory} can be restored ({'; '.join(reasons)})")
        return None, damaged

    def _restore(self, step: int, shapes: Any, defaults: Mapping[str, float]) -> Restored:
        record, folder = self._read(step), self._directory / str(step)
        reading.refuse_other(folder, record, shapes, defaults)
        lacking = {path: value for path, value in defaults.items() if path not in record.leaves}
        first = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        target = jax.tree.map(lambda leaf: leaf.update(sharding=leaf.sharding or first), shapes)
        wanted = reading.readable(files.stored(target, lacking, record.format))
        arguments = ocp.args.Composite(**{STATE: ocp.args.StandardRestore(wanted)})
        with reading.read_errors(folder):
            state = files.with_defaults(self._opened().restore(step, args=arguments)[STATE], target, lacking)
        reading.check_sums(state, record)
        return Restored(step, state, record.metadata)

    def _restore_part(self, step: int, prefix: str, shapes_of: Callable[[dict[str, Any]], Any]) -> Restored:
        record, folder = self._read(step), self._directory / str(step)
        reading.refuse_other_format(folder, record)
        shapes = shapes_of(record.metadata)
        part = reading.below(record, prefix)
        reading.refuse_other(folder, part, shapes)
        state = reading.read_part(folder, prefix, shapes)
        reading.check_sums(state, part)
        return Restored(step, state, record.metadata)

    def _entries(self) -> tuple[list[int], list[str]]:
        try:
            return files.entries(self._directory)
        except OSError as error:
            raise CheckpointError(f"cannot read {self._directory}: {error.strerror or error}") from error

    def _numbered(self) -> list[int]:
        """Return the steps of all folders that hold something of ours, sound or not."""
        return self._entries()[0]

    def _strays(self) -> list[str]:
        """Return what is named like a step and is none, such as an empty folder, a file or a link."""
        return self._entries()[1]

    def _read(self, step: int) -> Record:
        """Return the record of `step`; raise Damaged if it is not sound."""
        record = files.read_record(self._directory / str(step), step)
        for name, kinds in () if record.is_foreign else self._needed.items():
            value = record.metadata.get(name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise Damaged(f"its metadata have no sound {name}")
        return record

    def _record(self, step: int) -> Record | None:
        try:
            return self._read(step)
        except Damaged:
            return None

    def _opened(self) -> ocp.CheckpointManager:
        """Return the manager, made at first use: a run that is only looked at needs none."""
        if self._manager is None:
            processes = reading.this_one_alone()
            options = ocp.CheckpointManagerOptions(
                create=False,
                read_only=self._read_only,
                enable_async_checkpointing=not self._read_only,
                save_root_metadata=False,
                enable_should_save_is_saving_in_progress_check=False,
                multiprocessing_options=processes,
            )
            handlers = {
                STATE: ocp.StandardCheckpointHandler(multiprocessing_options=processes),
                RECORD: ocp.JsonCheckpointHandler(multiprocessing_options=processes),
            }
            self._manager = ocp.CheckpointManager(self._directory, options=options, item_handlers=handlers)
        return self._manager

    @contextlib.contextmanager
    def _save_errors(self, step: int) -> Iterator[None]:
        """Turn what a failed save raises into one clear error, and clear away its half-written folder."""
        try:
            with files.quiet():
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
            known = f"state {self._size / 1e6:.1f} MB"
            with contextlib.suppress(OSError, CheckpointError):  # else it cannot be looked at
                free, kept = shutil.disk_usage(self._directory).free, self.steps()
                known += f", free {free / 1e6:.1f} MB; "
                known += f"the last good one is step {kept[-1]}" if kept else "there is no earlier one"
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise CheckpointSaveError(f"could not save step {step} in {self._directory}: {reason} ({known})") from error

    def _prune(self) -> None:
        """Delete the steps that are no longer kept; each is renamed first, so that none is left half there."""
        steps, best = self.steps(), self.best_step()
        for step in set(steps[: -self._keep]) - {best}:
            doomed = self._directory / f"{step}.deleted"
            try:
                os.rename(self._directory / str(step), doomed)
            except OSError as error:
                reason = error.strerror or error
                raise CheckpointSaveError(f"cannot delete {self._directory / str(step)}: {reason}") from error
            shutil.rmtree(doomed, ignore_errors=True)
        with files.quiet():  # of what is no checkpoint
            self._opened().reload()

    def _clear_leftovers(self) -> bool:
        """Remove half-written and half-deleted steps; return whether there were any."""
        found = [path for path in self._directory.glob("[0-9]*.*") if _LEFTOVER.fullmatch(path.name)]
        for path in found:
            shutil.rmtree(path, ignore_errors=True)
        return bool(found)

    def _make_room(self, step: int) -> None:
        """See that no folder is in the way of a new step; what holds a sound one is left alone."""
        folder = self._directory / str(step)
        if not os.path.lexists(folder):
            return
        if self._record(step) is not None:
            raise CheckpointSaveError(f"{folder} exists already")
        self._set_aside(step, "has no readable record")
        if os.path.lexists(folder):
            raise CheckpointSaveError(f"{folder} is in the way and cannot be renamed")

    def _set_aside(self, step: int, reason: str) -> None:
        """Rename a damaged step so that it is kept for inspection and never chosen again."""
        if self._read_only:
            _log.warning("checkpoint %d is damaged (%s)", step, reason)
            return
        target, count = self._directory / f"{step}.corrupt", 1
        while os.path.lexists(target):
            count += 1
            target = self._directory / f"{step}.corrupt{count}"
        try:
            os.rename(self._directory / str(step), target)
        except OSError as error:
            fault = error.strerror or error
            _log.warning("checkpoint %d is damaged (%s) and cannot be renamed: %s", step, reason, fault)
            return
        _log.warning("checkpoint %d is damaged (%s); kept as %s", step, reason, target.name)
        if self._manager is not None:
            with files.quiet():
                self._manager.reload()
