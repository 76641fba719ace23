"""The one space that gymnax lacks."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Space


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
        return jax.random.randint(key, self.shape, 0, jnp.array(self.nvec), self.dtype)

    def contains(self, x: jax.Array) -> jax.Array:
        """Return whether every entry of `x` is in its range, bool ()."""
        x = jnp.asarray(x)
        return jnp.all((x >= 0) & (x < jnp.array(self.nvec)))

    def unravel(self, index: jax.Array) -> jax.Array:
        """Return the vector with the given number in C order (last entry fastest), int32 (len(nvec),).

        A number outside [0, size) is taken as the nearest one inside.
        """
        index = jnp.clip(jnp.asarray(index, jnp.int32), 0, self.size - 1)
        strides = [math.prod(self.nvec[i + 1 :]) for i in range(len(self.nvec))]
        return jnp.stack([index // stride % n for stride, n in zip(strides, self.nvec, strict=True)])
