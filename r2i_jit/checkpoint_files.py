"""What one checkpoint is on the disk: its record, the description of its leaves, and how it gets there for good.

<step>/state/            the arrays, as Orbax writes them
<step>/record/metadata   JSON: format, package, step, score, metadata, and of every leaf its shape, dtype and CRC-32;
                         with a CRC-32 of all that
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import logging
import math
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2i_jit.spreading import is_key

FORMAT = 2  # typed PRNG keys are stored as their data; in format 1 as Orbax has them
_FORMATS = (1, FORMAT)  # that are read
STATE, RECORD = "state", "record"
# What JAX calls the types of keys, and the values of JAX_DEFAULT_PRNG_IMPL that make them.
_KEY_TYPES = {"key<fry>": "threefry2x32", "key<rbg>": "rbg", "key<urbg>": "unsafe_rbg"}


class Damaged(Exception):
    """A checkpoint that cannot be read back as it was written; the message says what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class Record:
    """What is known of a step without its arrays.

    Attributes:
      format: of the record itself; where it `is_foreign`, leaves and metadata are empty.
      package: version of r2i-jit that wrote it, "" if that was not noted.
      leaves: path in the state -> [shape, dtype, CRC-32].
    """

    format: int
    package: str
    score: float | None
    leaves: dict[str, list[Any]]
    metadata: dict[str, Any]

    @property
    def is_foreign(self) -> bool:
        """Whether another version of this package wrote it in a way that this one does not read."""
        return self.format not in _FORMATS


def entries(directory: Path) -> tuple[list[int], list[str]]:
    """Return the steps that have a folder with something of ours, and the names of what only looks like a step.

    A folder that cannot be looked into counts as ours.

    Raises:
      OSError: if the directory is there and cannot be listed.
    """
    steps: list[int] = []
    strays: list[str] = []
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        if directory.is_symlink():
            raise
        names = []
    for name in sorted(names):
        if name.isascii() and name.isdigit() and str(int(name)) == name:
            if _is_step(directory / name):
                steps.append(int(name))
            else:
                strays.append(name)
    return steps, strays


def _is_step(path: Path) -> bool:
    if path.is_symlink() or not os.path.isdir(path):
        return False
    try:
        return bool({STATE, RECORD} & set(os.listdir(path)))
    except OSError:
        return True


def make_record(step: int, state: Any, metadata: dict[str, Any], score: float | None) -> dict[str, Any]:
    """Return the JSON document that `read_record` reads."""
    record = {
        "format": FORMAT,
        "package": package_version(),
        "step": step,
        "score": float(score) if score is not None and math.isfinite(score) else None,
        "leaves": {path: describe(leaf) for path, leaf in leaves(state)},
        "metadata": metadata,
    }
    return record | {"crc": _text_crc(record)}


def read_record(folder: Path, step: int) -> Record:
    """Return the record of the step in `folder`.

    Raises:
      Damaged: if it is missing, altered or of another step, or if the arrays are missing.
    """
    path = folder / RECORD / "metadata"
    try:
        if not path.is_file():
            raise Damaged("its record is missing")
        text = path.read_bytes()
        if not (folder / STATE).is_dir():
            raise Damaged("its arrays are missing")
    except OSError as error:
        raise Damaged(f"its record cannot be read: {error.strerror or error}") from error
    try:
        record = json.loads(text.decode())
        if record.pop("crc") != _text_crc(record):
            raise ValueError
        if record["step"] != step:
            raise Damaged(f"its record is of step {record['step']}"[:80])
        return _checked(record)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise Damaged("its record is altered") from None


def _checked(record: dict[str, Any]) -> Record:
    """Return a record whose fields have the right types; raise ValueError or the like if they have not."""
    package, score = record.get("package", ""), record["score"]
    if type(record["format"]) is not int or type(package) is not str:
        raise ValueError
    if score is not None and (type(score) not in (int, float) or not math.isfinite(score)):
        raise ValueError
    if record["format"] not in _FORMATS:
        return Record(record["format"], package, score, {}, {})
    for shape, dtype, crc in record["leaves"].values():
        if type(dtype) is not str or type(crc) is not int or any(type(size) is not int for size in shape):
            raise ValueError
    if not isinstance(record["metadata"], dict):
        raise ValueError
    return Record(record["format"], package, score, record["leaves"], record["metadata"])


def package_version() -> str:
    """Return the version of this package, "" if it is not installed."""
    try:
        return importlib.metadata.version("r2i-jit")
    except importlib.metadata.PackageNotFoundError:
        return ""


def stored(tree: Any, lacking: Collection[str], format: int, at: str = "") -> Any:
    """Return a pytree of what orbax has of it: without arrays of no entries, of which it saves none, and some leaves.

    Args:
      tree: of arrays or shapes.
      lacking: paths of the leaves to leave out. What they are in becomes dictionaries, which orbax reads alike.
      format: of the record.
      at: path of `tree` itself.
    """
    if not _any_below(lacking, at):
        return jax.tree.map(lambda leaf: None if math.prod(leaf.shape) == 0 else _stored(leaf, format), tree)
    children, _ = _children(tree)
    return {
        key.name: stored(child, lacking, format, path)
        for key, child in children
        if (path := at + jax.tree_util.keystr((key,))) not in lacking
    }


def with_defaults(tree: Any, like: Any, defaults: Mapping[str, float], at: str = "") -> Any:
    """Return a pytree as it was before `stored`, with the leaves that were left out.

    Args:
      tree: what `stored` has made of it, with arrays.
      like: the whole tree, of shapes with shardings.
      defaults: path -> value of every entry of a leaf that was left out; arrays of no entries need none.
      at: path of `tree` itself.
    """
    if not _any_below(defaults, at):
        found = iter(jax.tree.leaves(tree))
        leaves = [
            _typed(next(found), leaf) if math.prod(leaf.shape) else _full(leaf, 0) for leaf in jax.tree.leaves(like)
        ]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)
    children, structure = _children(like)
    paths = [at + jax.tree_util.keystr((key,)) for key, _ in children]
    return structure.unflatten(
        _full(child, defaults[path]) if path in defaults else with_defaults(tree[key.name], child, defaults, path)
        for path, (key, child) in zip(paths, children, strict=True)
    )


def _stored(leaf: Any, format: int) -> Any:
    """Return an array, or what stands for one, as orbax has it."""
    if format < 2 or not is_key(leaf):
        return leaf
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.eval_shape(jax.random.key_data, leaf).update(sharding=leaf.sharding)
    return np.asarray(jax.random.key_data(leaf))


def _typed(leaf: Any, like: jax.ShapeDtypeStruct) -> Any:
    """Return an array that was stored with the type that it had."""
    if is_key(like) and not is_key(leaf):
        return jax.random.wrap_key_data(leaf, impl=_KEY_TYPES[str(like.dtype)])
    return leaf


def _any_below(paths: Collection[str], at: str) -> bool:
    return any(path.startswith(f"{at}.") for path in paths)


def _children(tree: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """Return [(key, child)] of a tree's root, which has attributes, and its structure."""
    found, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda node: node is not tree)
    return [(path[0], child) for path, child in found], structure


def _full(leaf: jax.ShapeDtypeStruct, value: float) -> jax.Array | np.ndarray:
    if leaf.sharding is not None and not leaf.sharding.is_fully_addressable:
        return np.full(leaf.shape, value, leaf.dtype)
    return jnp.full(leaf.shape, value, leaf.dtype, device=leaf.sharding)


def leaves(tree: Any) -> list[tuple[str, Any]]:
    """Return (path, leaf) of every leaf of a tree."""
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def describe(leaf: jax.Array | np.ndarray) -> list[Any]:
    """Return the shape, dtype and CRC-32 of a leaf's bytes, as JSON values."""
    flat = np.ascontiguousarray(_host(leaf)).reshape(-1)
    return [list(leaf.shape), str(leaf.dtype), zlib.crc32(flat.view(np.uint8).data)]


def is_finite(leaf: jax.Array, without: tuple[int, ...] = ()) -> bool:
    """Return whether a leaf has no NaN or infinity, apart from the rows `without` of its first axis."""
    if not jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact):
        return True
    finite = np.isfinite(_host(leaf))
    return bool(np.all(np.delete(finite, without, axis=0) if without and finite.ndim else finite))


def _host(leaf: jax.Array | np.ndarray) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def mismatch(record: Record, shapes: Any, optional: Collection[str] = ()) -> str | None:
    """Return what tells a saved state from one of these shapes and dtypes, None if nothing does.

    Orbax would cast dtypes silently.

    Args:
      record: of the saved state.
      shapes: pytree of what is wanted.
      optional: paths of leaves that may be missing in it.
    """
    if record.is_foreign:
        return f"was written by another version of this package ({_writer(record)}): it has format {record.format}"
    saved, wanted = record.leaves, dict(leaves(shapes))
    wanted = {path: leaf for path, leaf in wanted.items() if path in saved or path not in optional}
    missing, unknown = sorted(wanted.keys() - saved.keys()), sorted(saved.keys() - wanted.keys())
    if missing or unknown:
        parts = [
            f"{len(names)} {'leaf is' if len(names) == 1 else 'leaves are'} {what}, such as {names[0]}"
            for names, what in ((missing, "missing"), (unknown, "unknown"))
            if names
        ]
        return f"holds another program's state ({_writer(record)}): {' and '.join(parts)}"
    for path, leaf in wanted.items():
        shape, dtype, _ = saved[path]
        needed = str(leaf.dtype)
        if dtype != needed and dtype in _KEY_TYPES and needed in _KEY_TYPES:
            return (
                f"holds {path} as {dtype}, this run needs {needed}: set JAX_DEFAULT_PRNG_IMPL={_KEY_TYPES[dtype]}, "
                "as it was when this was saved"
            )
        if list(shape) != list(leaf.shape) or dtype != needed:
            return f"holds {path} as {dtype}{list(shape)}, this run needs {needed}{list(leaf.shape)}"
    return None


def _writer(record: Record) -> str:
    """Return who wrote a record and who reads it."""
    now = package_version()
    if record.package and record.package == now:
        return f"saved by r2i-jit {now} too, so with another config or from other sources"
    saved = f"r2i-jit {record.package}" if record.package else "an earlier r2i-jit"
    return f"saved by {saved}, this is {now or 'one that is not installed'}"


def _text_crc(record: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def flush(path: Path) -> None:
    """Force a file or the names in a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Flush every file and folder: Orbax does so for array data, not for its small files and the last rename."""
    for parent, _, files in os.walk(folder):
        for name in files:
            flush(Path(parent) / name)
        flush(Path(parent))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what Orbax and its threads print about a failure; the user gets our own one-line error.

    After a failure they stay silent: threads of theirs go on for a while.
    """
    loggers, before = [logging.getLogger(name) for name in ("absl", "asyncio")], sys.unraisablehook
    if getattr(before, "func", None) is not _report_unraisable:
        sys.unraisablehook = functools.partial(_report_unraisable, before)
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    except Exception:
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        raise
    sys.unraisablehook = before
    for logger in loggers:
        logger.disabled = False


def _report_unraisable(report: Callable[[Any], Any], event: Any) -> None:
    """Drop what TensorStore says when one array fails and the others arrive at a loop that Orbax has closed."""
    if not (isinstance(event.exc_value, RuntimeError) and "Event loop is closed" in str(event.exc_value)):
        report(event)
