"""Arrays that lie on devices of several processes: read, and put there, by all of these processes together.

The first process reads them, and what is put there is the first one's. Where there is one process nothing here does
anything. See docs/decisions/037-one-agent-over-several-devices.md.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from r2i_jit import spreading

_AT_ONCE = 2**28  # bytes that a process tells the others: they lie on every device meanwhile


def is_first() -> bool:
    """Return whether this process is the first one, or the only one."""
    return jax.process_index() == 0


def whole(tree: Any) -> Any:
    """Return arrays as the first process can read them: those that it has itself as they are, the others on its host.

    Every process calls it with the same tree, and all but the first get None for each leaf.
    """

    def read(leaf: Any) -> Any:
        found = _whole(leaf)
        return found if is_first() else None

    return jax.tree.map(read, tree)


def placed(tree: Any, shapes: Any) -> Any:
    """Return arrays of the first process as the programs want them.

    Args:
      tree: the first process has it whole; what another process gives is not read.
      shapes: the same everywhere: shapes, dtypes and shardings.
    """
    if jax.process_count() == 1:
        return tree
    given = jax.tree.leaves(tree) if is_first() else jax.tree.leaves(shapes)
    pairs = zip(given, jax.tree.leaves(shapes), strict=True)
    return jax.tree.unflatten(jax.tree.structure(shapes), [_placed(leaf, shape) for leaf, shape in pairs])


def _whole(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    if spreading.is_key(leaf):
        return jax.random.wrap_key_data(_whole(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
    return np.asarray(leaf) if leaf.is_fully_replicated else multihost_utils.process_allgather(leaf, tiled=True)


def _placed(leaf: Any, shape: jax.ShapeDtypeStruct) -> jax.Array:
    if spreading.is_key(shape):
        data = jax.eval_shape(jax.random.key_data, shape).update(sharding=shape.sharding)
        given = jax.random.key_data(leaf) if is_first() else None
        return jax.random.wrap_key_data(_placed(given, data), impl=jax.random.key_impl(jnp.empty(0, shape.dtype)))
    size = int(np.prod(shape.shape)) * shape.dtype.itemsize
    own = np.ascontiguousarray(leaf).reshape(-1).view(np.uint8) if is_first() else np.zeros(size, np.uint8)
    told = [multihost_utils.broadcast_one_to_all(own[i : i + _AT_ONCE]) for i in range(0, size, _AT_ONCE)]
    array = np.concatenate([own[:0], *told]).view(shape.dtype).reshape(shape.shape)
    return spreading.put(array, shape.sharding)
