"""Rows of the vmapped state: which trial and seed each is, and how rows of several states become one state.

A trial has one row for every seed, beside each other. What belongs to a row (agent, replay, environments, keys) lies
below `.seeds` of the state, with an axis of rows in front; all else is shared, and the same in all states of one step.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2i_jit.spreading import is_key

_ROWS = ".seeds"  # path of what has the axis of rows


def filled(trials: Sequence[int], batch: int) -> list[int]:
    """Return the trial of each place in a batch: those that are left over repeat the first, and count for nothing."""
    return [*trials, *[trials[0]] * (batch - len(trials))]


def rows_of(places: Sequence[int], seeds: int) -> np.ndarray:
    """Return the rows of places in a batch, with `seeds` rows each."""
    return (np.asarray(places, int)[:, None] * seeds + np.arange(seeds)).reshape(-1)


def keys(seed: int, places: int, seeds: int) -> jax.Array:
    """Return the PRNG key of every row: a seed has the same under every trial, so that these have equal draws."""
    return jnp.tile(jax.random.split(jax.random.key(seed), seeds), places)


def hypers(default: Any, values: Sequence[dict[str, float]], seeds: int) -> Any:
    """Return the Hypers of all rows, leaves (rows,): those of the config with the values of each place's trial.

    Args:
      default: the config's.
      values: of each place, by their names in the config.
      seeds: rows of a place.
    """
    columns = {
        field.name: np.repeat(
            np.array([own.get(f"hypers.{field.name}", getattr(default, field.name)) for own in values], np.float32),
            seeds,
        )
        for field in dataclasses.fields(default)
    }
    return dataclasses.replace(default, **columns)


def taken(state: Any, rows: np.ndarray) -> list[np.ndarray]:
    """Return the leaves of a state on the host, of those that have rows only these, in this order."""
    return [
        _host(leaf)[rows] if _has_rows(path) else _host(leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]
    ]


def first(part: list[np.ndarray], seeds: int, like: Any) -> list[np.ndarray]:
    """Return the first `seeds` rows of a part."""
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(like)[0]]
    return [leaf[:seeds] if _has_rows(path) else leaf for path, leaf in zip(paths, part, strict=True)]


def joined(parts: Iterable[list[np.ndarray]], like: Any) -> Any:
    """Return the state whose rows are those of several parts, one part after the other.

    Args:
      parts: what `taken` returns, of states at the same step.
      like: shapes of the state, and where its arrays lie.

    Raises:
      ValueError: if the states were not at the same step.
    """
    shapes, structure = jax.tree_util.tree_flatten_with_path(like)
    leaves = []
    for (path, shape), *found in zip(shapes, *parts, strict=True):
        if not _has_rows(path) and any(not np.array_equal(found[0], other) for other in found[1:]):
            raise ValueError(f"{jax.tree_util.keystr(path)} differs between the states")
        whole = np.concatenate(found) if _has_rows(path) else found[0]
        leaves.append(_placed(whole, shape))
    return jax.tree.unflatten(structure, leaves)


def _has_rows(path: Any) -> bool:
    return jax.tree_util.keystr(path[:1]) == _ROWS


def _host(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def _placed(values: np.ndarray, shape: Any) -> jax.Array:
    """Return an array of its own, as the next chunk takes its memory, where the state's lies."""
    array = jnp.array(values)
    if is_key(shape):
        array = jax.random.wrap_key_data(array)  # of JAX's default kind, as all keys here are made
    assert array.shape == shape.shape and array.dtype == shape.dtype, (array.shape, array.dtype, shape)
    return array if shape.sharding is None else jax.device_put(array, shape.sharding)
