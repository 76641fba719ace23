"""What the numbers of a flat observation mean, so that an agent can choose a likelihood for each part.

A gymnax space says shape and dtype only. An environment that knows more defines `observation_parts(params)`; for any
other environment the parts are read off its observation space.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
from gymnax.environments import spaces


@dataclass(frozen=True)
class Categorical:
    """`count` one-hot groups of `classes` entries each, side by side.

    Attributes:
      classes: entries of a group.
      count: number of groups.
      one_hot: whether the observation holds them. False: it holds the number of the class, an integer (), and the
        groups are what an agent makes of that. Only the observation of a `Discrete` space is such a number.
    """

    classes: int
    count: int = 1
    one_hot: bool = field(default=True, repr=False)

    @property
    def size(self) -> int:
        """Number of entries in the flat observation, after encoding."""
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
      One `Image` for uint8 observations of rank 3; one `Categorical(n, one_hot=False)` for those of a `Discrete(n)`;
      otherwise parts whose sizes add up to the length of the vector that the observation is.

    Raises:
      ValueError: for a space that is neither a `Discrete`, nor a `Box` of vectors of numbers or of uint8 pictures with
        their channels last; or if `env.observation_parts` says something else than the space.
    """
    space, parts = env.observation_space(params), flat_parts(env, params)
    if isinstance(space, spaces.Discrete):
        return parts
    shape, rule = tuple(space.shape), ""
    if not (jnp.issubdtype(space.dtype, jnp.floating) or jnp.issubdtype(space.dtype, jnp.integer)):
        rule = "its dtype should be a float or an integer"
    elif len(shape) == 3 and not is_picture(space):
        rule = "a picture should be uint8, 0 to 255, and anything else a vector (n,)"
    elif len(shape) not in (1, 3) or 0 in shape:
        rule = "its shape should be (n,), or (height, width, channels) for uint8 pictures"
    elif is_picture(space) and shape[0] < min(shape[1:]):
        rule = "a picture's channels should come last: (height, width, channels)"
    if rule:
        raise ValueError(f"{env.name}: observation space {_line(space)} is not supported; {rule}")
    return parts


def flat_parts(env: Any, params: Any) -> tuple[Part, ...]:
    """Return `observation_parts` for one who makes a vector of the observation himself: a `Box` may have any shape.

    Raises:
      ValueError: for a space that is neither a `Box` nor a `Discrete`; or if `env.observation_parts` says something
        else than the space.
    """
    space = env.observation_space(params)
    if isinstance(space, spaces.Discrete) and space.n > 0:
        return (Categorical(int(space.n), one_hot=False),)
    if not isinstance(space, spaces.Box):
        raise ValueError(f"{env.name}: observation space {_line(space)} is not supported; give a Box or a Discrete")
    shape = tuple(space.shape)
    if not hasattr(env, "observation_parts"):
        return (Image(shape),) if is_picture(space) else (Continuous(math.prod(shape)),)
    parts = tuple(env.observation_parts(params))
    images = [part.shape for part in parts if isinstance(part, Image)]
    numbers = any(isinstance(part, Categorical) and not part.one_hot for part in parts)
    size = sum(part.size for part in parts)
    if size != math.prod(shape) or numbers or (images and (images != [shape] or len(parts) > 1)):
        raise ValueError(
            f"{env.name}: observation_parts are {parts} of {size} numbers together; they should describe the "
            f"observation space {_line(space)}: one Image of its shape, or one-hot groups and numbers of its size"
        )
    return parts


def is_picture(space: spaces.Space) -> bool:
    """Return whether observations are pictures: uint8 of rank 3."""
    return isinstance(space, spaces.Box) and len(space.shape) == 3 and jnp.dtype(space.dtype) == jnp.uint8


def _line(space: spaces.Space) -> str:
    """Return a space as one line: gymnax shows bounds that are arrays on several."""
    return " ".join(repr(space).split())
