"""Work along an axis, spread over devices: equal shares, each device by itself, nothing exchanged.

See docs/decisions/012-seeds-over-devices.md.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding


def fitting(devices: Sequence[jax.Device], count: int) -> list[jax.Device]:
    """Return the first of `devices`, as many as divide `count`."""
    return list(devices[: max(n for n in range(1, len(devices) + 1) if count % n == 0)])


def make_mesh(devices: Sequence[jax.Device], count: int, axis: str) -> Mesh | None:
    """Return the devices that `count` rows fit on, or None if it is the one that JAX takes anyway."""
    chosen = fitting(devices, count)
    return None if chosen == jax.devices()[:1] else Mesh(np.array(chosen), (axis,))


def spread(function: Callable, mesh: Mesh | None, given: Any, returned: Any) -> Callable:
    """Return a function that each device runs, alone, on its share, as the specs of arguments and results say."""
    if mesh is None:
        return function
    # Nothing is exchanged, so there is nothing for `check_vma` to find.
    return jax.shard_map(function, mesh=mesh, in_specs=given, out_specs=returned, check_vma=False)


def place(shapes: Any, mesh: Mesh | None, specs: Any) -> Any:
    """Return a tree of shapes with where its arrays lie; `specs` is a tree of its upper part."""
    if mesh is None:
        return shapes

    def sharded(where: NamedSharding, below: Any) -> Any:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), below)

    return jax.tree.map(sharded, jax.tree.map(partial(NamedSharding, mesh), specs), shapes)
