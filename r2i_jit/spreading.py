"""Work along an axis, spread over devices: equal shares, each by itself, nothing exchanged between them.

A share may itself be on several devices, which exchange what `shares` says. See
docs/decisions/012-seeds-over-devices.md.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from r2i_jit import shares


def fitting(devices: Sequence[jax.Device], count: int, each: int = 1) -> list[jax.Device]:
    """Return the first of `devices`, `each` for every share, of which there are as many as divide `count`."""
    groups = len(devices) // each
    return list(devices[: each * max(n for n in range(1, groups + 1) if count % n == 0)])


def make_mesh(devices: Sequence[jax.Device], count: int, axis: str, each: int = 1) -> Mesh | None:
    """Return the devices that `count` rows fit on, `each` for a share, or None if it is the one that JAX takes anyway.

    Its axes are `axis` and `shares.AXIS`.
    """
    chosen = fitting(devices, count, each)
    return None if chosen == jax.devices()[:1] else Mesh(np.array(chosen).reshape(-1, each), (axis, shares.AXIS))


def spread(function: Callable, mesh: Mesh | None, given: Any, returned: Any) -> Callable:
    """Return a function that each device runs on its share, as the specs of arguments and results say."""
    if mesh is None:
        return function
    # What is the same on the devices of a share is made so by `shares`; `check_vma` would have every draw say it too.
    return jax.shard_map(function, mesh=mesh, in_specs=given, out_specs=returned, check_vma=False)


def is_key(leaf: Any) -> bool:
    """Return whether an array, or what stands for one, is of typed PRNG keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def put(tree: Any, sharding: NamedSharding) -> Any:
    """Return arrays, which every process has, on the devices of a sharding, of whatever processes these are."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def one(leaf: Any) -> jax.Array:
        keys = is_key(leaf)
        whole = np.asarray(jax.random.key_data(leaf) if keys else leaf)
        array = jax.make_array_from_callback(whole.shape, sharding, whole.__getitem__)
        return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if keys else array

    return jax.tree.map(one, tree)


def each(function: Callable, one_by_one: bool) -> Callable:
    """Return a function of several rows, trees with a leading axis, from one of a row.

    Args:
      function: of one row.
      one_by_one: whether each row is computed by itself: what becomes of it hangs then on no other row, to the bit.
        Else all are computed together.
    """
    if not one_by_one:
        return jax.vmap(function)
    apart = _apart(function)
    return lambda *rows: jax.lax.map(lambda row: apart(*row), rows)


def each_in_place(function: Callable, one_by_one: bool) -> Callable:
    """Return the same of a function (row, shared) -> (row, results), where the new rows take the place of the old ones.

    `shared` is the same for all rows.
    """
    if not one_by_one:
        return jax.vmap(function, (0, None))
    apart = _apart(function)

    def mapped(rows: Any, shared: Any) -> Any:
        def body(rows: Any, place: jax.Array) -> Any:
            row, results = apart(jax.tree.map(lambda leaf: leaf[place], rows), shared)
            return jax.tree.map(lambda leaf, new: leaf.at[place].set(new), rows, row), results

        return jax.lax.scan(body, rows, jnp.arange(jax.tree.leaves(rows)[0].shape[0]))

    return mapped


def _apart(function: Callable) -> Callable:
    """Return a function that the compiler fuses with nothing around it.

    It would round otherwise in what it fuses with the place of a row among many than with that of the only one. So the
    function is a branch of which the compiler cannot tell that it is always taken.
    """
    traced = jax.jit(function, inline=True)  # once, for its shapes and for the branch

    def apart(*arguments: Any) -> Any:
        first = jax.tree.leaves(arguments)[0]
        word = (jax.random.key_data(first) if is_key(first) else first).reshape(-1)[0].astype(jnp.int32)
        shapes = jax.eval_shape(traced, *arguments)
        nothing = lambda *_: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.cond(word == (word ^ 1), nothing, traced, *arguments)

    return apart


def place(shapes: Any, mesh: Mesh | None, specs: Any) -> Any:
    """Return a tree of shapes with where its arrays lie; `specs` is a tree of its upper part."""
    if mesh is None:
        return shapes

    def sharded(where: NamedSharding, below: Any) -> Any:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), below)

    return jax.tree.map(sharded, jax.tree.map(partial(NamedSharding, mesh), specs), shapes)
