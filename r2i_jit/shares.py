"""One agent's rows over several devices: environments, windows of replay, imagined states, an equal share on each.

Under a `jax.shard_map` over the mesh axis `AXIS` every array with rows in front holds this device's share of them, in
order; parameters are the same everywhere. What is drawn is drawn for all rows, with the keys of one device, and each
device keeps its own: so it learns what one device learns, up to the rounding of sums.

Whether there are several is JAX's own mesh context to say, and no argument of the functions between. Where there is one
device nothing here leaves a trace in the program. See docs/decisions/037-one-agent-over-several-devices.md.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2i_jit.config import Config, ConfigError

AXIS = "batch"


def count() -> int:
    """Return over how many devices the rows of what is being traced are spread."""
    return jax.sharding.get_abstract_mesh().shape.get(AXIS, 1)


def drawn(draw: Callable[[tuple[int, ...]], jax.Array], shape: tuple[int, ...]) -> jax.Array:
    """Return this device's share, of shape `shape`, of what `draw` draws for the rows of all devices."""
    if count() == 1:
        return draw(shape)
    whole = draw((shape[0] * count(), *shape[1:]))
    return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(AXIS) * shape[0], shape[0])


def keys(key: jax.Array, rows: int) -> jax.Array:
    """Return a key for each of this device's rows."""
    return drawn(lambda shape: jax.random.split(key, shape), (rows,))


def mean(tree: Any) -> Any:
    """Return the mean over the devices of every leaf: one exchange, as between processes each takes its time."""
    if count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    found: list[Any] = [None] * len(leaves)
    for dtype in dict.fromkeys(leaf.dtype for leaf in leaves):  # the same order in all processes
        places = [i for i, leaf in enumerate(leaves) if leaf.dtype == dtype]
        together = jax.lax.pmean(jnp.concatenate([leaves[i].reshape(-1) for i in places]), AXIS)
        parts = jnp.split(together, np.cumsum([leaves[i].size for i in places])[:-1])
        for i, part in zip(places, parts, strict=True):
            found[i] = part.reshape(leaves[i].shape)
    return jax.tree.unflatten(structure, found)


def total(tree: Any) -> Any:
    """Return the sum over the devices of every leaf."""
    return tree if count() == 1 else jax.lax.psum(tree, AXIS)


def gathered(array: jax.Array, axis: int) -> jax.Array:
    """Return the rows of all devices, which are along `axis`."""
    return array if count() == 1 else jax.lax.all_gather(array, AXIS, axis=axis, tiled=True)


def looked_up(look: Callable[[jax.Array], Any], rows: jax.Array, size: int) -> Any:
    """Return, on every device, what lies in rows wherever they are.

    Args:
      look: (N,) numbers of this device's own rows -> what is there, leaves (N, ...).
      rows: (N,) int32, numbers among the rows of all devices; the same everywhere.
      size: rows of each device.
    """
    return look(rows) if count() == 1 else _arithmetic(total, _own(look, rows, size))


def taken(look: Callable[[jax.Array], Any], rows: jax.Array, size: int) -> Any:
    """Return this device's share of what lies in rows wherever they are; arguments as of `looked_up`.

    Every device gives what it holds of all N, zeros for the rest, and gets the sums of its N / devices: of each of
    these, one term is not zero.
    """
    if count() == 1:
        return look(rows)
    scatter = lambda leaf: jax.lax.psum_scatter(leaf, AXIS, scatter_dimension=0, tiled=True)
    return _arithmetic(scatter, _own(look, rows, size))


def check(config: Config, devices: int) -> None:
    """Raise ConfigError, naming the key, if an agent's rows cannot be shared equally by so many devices."""
    starts, rows = config.behavior.imagination_starts, {"loop.num_envs": config.loop.num_envs}
    if config.algorithm == "ppo":
        rows["loop.num_envs / ppo.minibatches"] = config.loop.num_envs // config.ppo.minibatches
    else:
        rows["replay.batch_size"] = config.replay.batch_size
        if 0 < starts < config.replay.batch_size * config.replay.sequence_length:
            rows["behavior.imagination_starts"] = starts
    for name, size in rows.items():
        if size % devices:
            raise ConfigError(f"{name}={size} cannot be shared by {devices} devices a seed; give a multiple of that")


def _own(look: Callable[[jax.Array], Any], rows: jax.Array, size: int) -> Any:
    """Return what lies in those of the rows that are this device's, and zeros for the others."""
    first = jax.lax.axis_index(AXIS) * size
    own = (rows >= first) & (rows < first + size)

    def masked(leaf: jax.Array) -> jax.Array:
        return jnp.where(own.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, jnp.zeros_like(leaf))

    return jax.tree.map(masked, look(jnp.clip(rows - first, 0, size - 1)))


def _arithmetic(reduce: Callable[[jax.Array], jax.Array], tree: Any) -> Any:
    """Apply a reduction that flags have none of to every leaf: they go through it as numbers."""

    def of(leaf: jax.Array) -> jax.Array:
        flags = leaf.dtype == jnp.bool_
        return reduce(leaf.astype(jnp.uint8)).astype(bool) if flags else reduce(leaf)

    return jax.tree.map(of, tree)
