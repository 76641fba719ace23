"""Reading the arrays of one checkpoint, all of them or those of one part, each checked against its record."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from r2i_jit import checkpoint_files as files
from r2i_jit.checkpoint_files import STATE, Damaged, Record


class CheckpointError(RuntimeError):
    """No checkpoint could be read; the message is one line for the user."""


class CheckpointMismatch(CheckpointError):
    """A sound checkpoint of another program: other leaves, shapes or dtypes than the ones asked for.

    Attributes:
      step: the checkpoint's.
      metadata: what was saved beside its state; empty if another version of this package saved it.
    """

    def __init__(self, message: str, step: int, metadata: dict[str, Any]):
        super().__init__(message)
        self.step, self.metadata = step, metadata


def refuse_other(folder: Path, record: Record, shapes: Any, optional: Collection[str] = ()) -> None:
    """Compare the record of the step in `folder` with the shapes and dtypes asked for, `optional` of which may lack.

    Raises:
      CheckpointMismatch: if they differ, or another version of this package wrote it.
    """
    if (difference := files.mismatch(record, shapes, optional)) is not None:
        raise CheckpointMismatch(f"{folder} {difference}", int(folder.name), record.metadata)


def refuse_other_format(folder: Path, record: Record) -> None:
    """Raise CheckpointMismatch if another version of this package wrote the record."""
    if record.is_foreign:
        refuse_other(folder, record, None)


def below(record: Record, prefix: str) -> Record:
    """Return the record of the part of the state at a path, whose leaves' paths are from there."""
    # What only begins like the part's last name is another part.
    inside = {path: leaf for path, leaf in record.leaves.items() if path.startswith(prefix)}
    leaves = {
        path.removeprefix(prefix): leaf for path, leaf in inside.items() if path[len(prefix) :][:1] in ("", ".", "[")
    }
    return dataclasses.replace(record, leaves=leaves)


def this_one_alone() -> ocp.options.MultiprocessingOptions:
    """Return what keeps Orbax from waiting for the other processes, where there are several."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"r2i-{own}"
    )


def readable(shapes: Any) -> Any:
    """Return what Orbax is to read shapes into: where they lie, or onto the host if other processes have a part."""
    return jax.tree.map(
        lambda leaf: leaf if leaf.sharding.is_fully_addressable else np.empty(leaf.shape, leaf.dtype), shapes
    )


@contextlib.contextmanager
def read_errors(folder: Path) -> Iterator[None]:
    """Turn what Orbax raises while it reads the step in `folder` into one of two errors.

    Raises:
      CheckpointError: for a lack of memory or of permission: what is no fault of the checkpoint must not cost it its
        place.
      Damaged: for all else.
    """
    try:
        with files.quiet():
            yield
    except Exception as error:
        text = str(error)
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text:
            raise CheckpointError(f"{folder} cannot be read: there is not enough memory") from error
        if isinstance(error, PermissionError) or "PERMISSION_DENIED" in text:
            raise CheckpointError(f"{folder} cannot be read: permission denied") from error
        raise Damaged(f"{type(error).__name__} while reading it") from error


def read_part(folder: Path, prefix: str, shapes: Any) -> Any:
    """Return the arrays at one path of the state of the step in `folder`, on the host; nothing else is read.

    Args:
      folder: of one step.
      prefix: names of attributes from the root, such as `.seeds.agent`.
      shapes: pytree of shapes and dtypes there, without typed PRNG keys.

    Raises:
      Damaged: if the arrays do not read.
      CheckpointError: for a lack of memory or of permission.
    """
    names = prefix.split(".")[1:]
    template, arguments = shapes, jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    for name in reversed(names):
        template, arguments = {name: template}, {name: arguments}
    wanted = ocp.args.PyTreeRestore(item=template, restore_args=arguments, partial_restore=True)
    alone = this_one_alone()
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    with read_errors(folder), ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
        found = checkpointer.restore(folder / STATE, args=wanted)
    for name in names:
        found = found[name]
    return found


def check_sums(state: Any, record: Record) -> None:
    """Compare the leaves of a state with its record, those that are in it.

    Raises:
      Damaged: naming the first leaf whose shape, dtype or checksum differs.
    """
    for path, leaf in files.leaves(state):
        if path in record.leaves and files.describe(leaf) != record.leaves[path]:
            raise Damaged(f"the checksum of {path} differs")
