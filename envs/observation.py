"""What the numbers of a flat observation mean, so that an agent can choose a likelihood for each part.

A gymnax space says shape and dtype only. An environment that knows more defines `observation_parts(params)`; for any
other environment the parts are read off its observation space.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnax.environments import spaces


@dataclass(frozen=True)
class Categorical:
    """`count` one-hot groups of `classes` entries each, side by side."""

    classes: int
    count: int = 1

    @property
    def size(self) -> int:
        """Number of entries in the flat observation."""
        return self.classes * self.count


@dataclass(frozen=True)
class Continuous:
    """`size` real numbers."""

    size: int


@dataclass(frozen=True)
class Image:
    """One uint8 image, (height, width, channels)."""

    shape: tuple[int, int, int]

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)


Part = Categorical | Continuous | Image


def observation_parts(env: Any, params: Any) -> tuple[Part, ...]:
    """Return the parts of `env`'s observation, in the order in which they lie in the flat vector.

    Args:
      env: a gymnax 1.0 environment.
      params: its parameters.

    Returns:
      One `Image` for uint8 observations of rank 3; otherwise parts whose sizes add up to the observation's size. A
      `Discrete(n)` observation is one `Categorical(n)`: the agent one-hots it.

    Raises:
      ValueError: for a space that is neither Box nor Discrete.
    """
    if hasattr(env, "observation_parts"):
        return tuple(env.observation_parts(params))
    space = env.observation_space(params)
    if isinstance(space, spaces.Discrete):
        return (Categorical(int(space.n)),)
    if not isinstance(space, spaces.Box):
        raise ValueError(
            f"{env.name}: observation space {type(space).__name__} is not supported; give a Box or a Discrete"
        )
    if len(space.shape) == 3 and np.dtype(space.dtype) == np.uint8:
        return (Image(tuple(space.shape)),)
    return (Continuous(math.prod(space.shape)),)
