"""The one space that gymnax lacks, and what is made of an action that is in no space."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Box, Discrete, Space

_INT32 = np.iinfo(np.int32)


class MultiDiscrete(Space):
    """Vectors of integers, the i-th one in [0, nvec[i])."""

    def __init__(self, nvec: Sequence[int]):
        """Set the number of values of each entry.

        Raises:
          ValueError: unless there is an entry and each has at least one value.
        """
        self.nvec = tuple(int(n) for n in nvec)
        if not self.nvec or min(self.nvec) < 1:
            raise ValueError(f"MultiDiscrete: nvec={self.nvec} should hold one or more positive numbers")
        self.shape = (len(self.nvec),)
        self.dtype = jnp.dtype(jnp.int32)

    @property
    def size(self) -> int:
        """Number of different vectors."""
        return math.prod(self.nvec)

    def __repr__(self) -> str:
        """Return `MultiDiscrete([...])`."""
        return f"MultiDiscrete({list(self.nvec)})"

    def sample(self, key: jax.Array) -> jax.Array:
        """Return a uniformly random vector, int32 (len(nvec),)."""
        return jax.random.randint(key, self.shape, 0, jnp.array(self.nvec, jnp.int32), self.dtype)

    def contains(self, x: jax.Array) -> jax.Array:
        """Return whether every entry of `x` is in its range, bool ()."""
        x = jnp.asarray(x)
        return jnp.all(jnp.stack([(x[..., i] >= 0) & (x[..., i] < n) for i, n in enumerate(self.nvec)]))

    def unravel(self, index: jax.Array) -> jax.Array:
        """Return the vector with the given number in C order (last entry fastest), int32 (len(nvec),).

        A number outside [0, size) is taken as the nearest one inside.
        """
        index = nearest(index, self.size)
        strides = [math.prod(self.nvec[i + 1 :]) for i in range(len(self.nvec))]
        return jnp.stack([index // stride % n for stride, n in zip(strides, self.nvec, strict=True)])


def num_actions(space: Space) -> int:
    """Return how many actions there are in a discrete space, or the number of entries of a `Box`'s vectors.

    Raises:
      ValueError: for any other space.
    """
    if isinstance(space, Discrete):
        return int(space.n)
    if isinstance(space, MultiDiscrete):
        return space.size
    if isinstance(space, Box):
        return math.prod(space.shape)
    raise ValueError(f"action space {space!r} is not supported; give a Discrete, a MultiDiscrete or a Box")


def as_index(action: Any) -> jax.Array:
    """Return a discrete action, or a vector of them, as int32.

    What int32 cannot hold is taken as a number near its end. A float loses its fraction, and NaN is -1: these are in no
    space.
    """
    action = jnp.asarray(action)
    if jnp.issubdtype(action.dtype, jnp.bool_):
        return action.astype(jnp.int32)
    if jnp.issubdtype(action.dtype, jnp.integer):
        bounds = jnp.iinfo(action.dtype)
        return jnp.clip(action, max(bounds.min, _INT32.min), min(bounds.max, _INT32.max)).astype(jnp.int32)
    # The largest float32 that fits: the next one is 2^31.
    number = jnp.clip(action.astype(jnp.float32), float(_INT32.min), float(_INT32.max - 127))
    return jnp.where(jnp.isnan(number), -1.0, number).astype(jnp.int32)


def nearest(action: Any, count: int) -> jax.Array:
    """Return the number in [0, count) that is nearest to a discrete action (see `as_index`), int32."""
    return jnp.clip(as_index(action), 0, count - 1)


def contained(box: Box, action: Any) -> jax.Array:
    """Return the vector of `box` that is nearest to a continuous action; finite, and of the box's dtype.

    An entry that is NaN is taken as 0, or as the middle of the box where 0 is not in it.
    """
    low, high = (jnp.broadcast_to(jnp.asarray(bound, jnp.float32), box.shape) for bound in (box.low, box.high))
    middle = jnp.where((low > 0) | (high < 0), _middle(low, high), jnp.float32(0))
    number = jnp.asarray(action).astype(jnp.float32)
    number = jnp.clip(jnp.where(jnp.isnan(number), middle, number), low, high)
    return jnp.nan_to_num(number).astype(box.dtype)  # An infinity is left where the box has no bound.


def _middle(low: jax.Array, high: jax.Array) -> jax.Array:
    """Return the middle between bounds, or the one of them that is finite."""
    middle = 0.5 * low + 0.5 * high
    return jnp.where(jnp.isfinite(middle), middle, jnp.where(jnp.isfinite(low), low, high))
