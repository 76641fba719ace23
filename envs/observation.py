"""What the numbers of an observation mean, so that an agent can choose an encoder and a likelihood for each part.

A gymnax space says shape and dtype only. An environment that knows more defines `observation_parts(params)`; for any
other environment the parts are read off its observation space:

    Discrete(n)                          the number of a class
    MultiDiscrete([n, m, ...])           the numbers of classes
    Box of integers or bools, 0 and 1    yes or no, each entry
    Box of uint8 from 0 to 255, or of floats from 0 to 1, with 16 rows and columns or more: an image, channels last
                                         (uint8 without channels is grey; floats without channels are numbers)
    any other Box                        real numbers, whatever its shape
    Dict, Tuple                          what their members are, nested ones too: several arrays

What only the environment can say: that entries are one-hot groups (`Categorical`), that floats are 0 or 1 (`Binary`),
that an image is smaller, has its channels first, or is grey in floats (`Image`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from envs.spaces import MultiDiscrete

_LEAST_SIDE = 16  # pixels: smaller arrays are as often codes as pictures, and are taken as numbers


@dataclass(frozen=True)
class Categorical:
    """`count` one-hot groups of `classes` entries each, side by side.

    Attributes:
      classes: entries of a group.
      count: number of groups.
      one_hot: whether the observation holds them. False: it holds the numbers of the classes, `count` integers, and the
        groups are what an agent makes of those.
    """

    classes: int
    count: int = 1
    one_hot: bool = field(default=True, repr=False)

    @property
    def size(self) -> int:
        """Number of entries after encoding."""
        return self.classes * self.count

    @property
    def entries(self) -> int:
        """Number of entries in the observation."""
        return self.size if self.one_hot else self.count


@dataclass(frozen=True)
class Continuous:
    """`size` real numbers."""

    size: int

    @property
    def entries(self) -> int:
        """Number of entries in the observation."""
        return self.size


@dataclass(frozen=True)
class Binary:
    """`size` numbers that are 0 or 1, each by itself."""

    size: int

    @property
    def entries(self) -> int:
        """Number of entries in the observation."""
        return self.size


@dataclass(frozen=True)
class Image:
    """One image: integers from 0 to 255, or floats from 0 to 1.

    Attributes:
      shape: of the array: (height, width, channels), or (height, width) where it is grey.
      channels_first: whether it is (channels, height, width).
    """

    shape: tuple[int, ...]
    channels_first: bool = field(default=False, repr=False)

    @property
    def pixels(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        if len(self.shape) == 2:
            return (*self.shape, 1)
        return (*self.shape[1:], self.shape[0]) if self.channels_first else self.shape  # type: ignore[return-value]

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def entries(self) -> int:
        """Number of entries in the observation."""
        return self.size


Part = Categorical | Continuous | Binary | Image
Parts = tuple[Part, ...]  # of one array, in the order in which they lie in it
Path = tuple[Any, ...]  # the keys and indices that lead to an array of an observation


@dataclass(frozen=True)
class Leaf:
    """One array of an observation, as its environment gives it.

    Attributes:
      path: the keys and indices that lead to it, () where the observation is one array.
      shape: without leading axes.
      dtype: its name.
      parts: what it holds.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    parts: Parts

    @property
    def arranged_parts(self) -> Parts:
        """The parts of `arrange`'s result: an image's channels are last, and there are some."""
        image = self.parts[0]
        return (Image(image.pixels),) if isinstance(image, Image) else self.parts

    @property
    def arranged_shape(self) -> tuple[int, ...]:
        """The shape of `arrange`'s result: an image's, (), or (n,)."""
        first = self.parts[0]
        if isinstance(first, Image):
            return first.pixels
        return () if is_class_number(self.parts) else (math.prod(self.shape),)


def is_class_number(parts: Parts) -> bool:
    """Return whether these are the parts of one number of a class: such an array is a scalar, any other a vector."""
    first = parts[0]
    return len(parts) == 1 and isinstance(first, Categorical) and not first.one_hot and first.count == 1


def arrange(leaves: tuple[Leaf, ...], obs: Any, lead: int = 0) -> Any:
    """Return the arrays of an observation as an agent takes them: a tuple, or the one array if there is one.

    So a Dict that comes as a dict, an OrderedDict or a dataclass is the same to it. There are three kinds of arrays:
    images (..., height, width, channels), numbers of a class (...), and vectors (..., n).

    Args:
      leaves: of the environment.
      obs: an observation, NumPy or JAX.
      lead: how many leading axes its arrays have.

    Raises:
      ValueError: if an array is missing, or has another shape than the space says.
    """
    found = []
    for leaf in leaves:
        value = member(obs, leaf.path)
        if tuple(value.shape[lead:]) != leaf.shape or value.ndim < lead:
            raise ValueError(f"observation{shown(leaf.path)} has shape {value.shape}; its space says {leaf.shape}")
        first = leaf.parts[0]
        if isinstance(first, Image) and first.channels_first:
            value = value.transpose(*range(lead), lead + 1, lead + 2, lead)
        found.append(value.reshape((*value.shape[:lead], *leaf.arranged_shape)))
    return tuple(found) if len(found) > 1 else found[0]


def observation_parts(env: Any, params: Any) -> Any:
    """Return what an environment's observation holds.

    Args:
      env: a gymnax 1.0 environment. Its `observation_parts(params)`, if it has that, says what the space does not: a
        tuple of parts; for a Dict or Tuple space a dict or tuple of those, in which what is left out or None is read
        off the space.
      params: its parameters.

    Returns:
      For a space of one array a tuple of parts, whose entries add up to its size, in the order in which they lie in it;
      an `Image` stands alone. For a Dict or Tuple of several such a tuple for each.

    Raises:
      ValueError: for a space that is not handled, or if `env.observation_parts` says something else than the space.
    """
    parts = tuple(leaf.parts for leaf in observation_leaves(env, params))
    return parts if len(parts) > 1 else parts[0]


def observation_leaves(env: Any, params: Any) -> tuple[Leaf, ...]:
    """Return the arrays of an environment's observation; arguments and errors as of `observation_parts`."""
    space = env.observation_space(params)
    declared = env.observation_parts(params) if hasattr(env, "observation_parts") else None
    paths = observation_paths(space)
    if not paths:
        raise ValueError(f"{env.name}: observation space {line(space)} is not supported: it holds no array")
    listed = isinstance(declared, tuple) and len(declared) == len(paths) and all(map(_are_parts, declared))
    found = []
    for index, path in enumerate(paths):
        inner = member(space, path)
        said = declared[index] if listed else _declared_at(declared, path)  # type: ignore[index]
        parts = _parts(env.name + shown(path), inner, said)
        found.append(Leaf(path, tuple(inner.shape), jnp.dtype(inner.dtype).name, parts))
    return tuple(found)


def observation_paths(space: spaces.Space) -> tuple[Path, ...]:
    """Return where the arrays of an observation of `space` are: keys of a Dict, indices of a Tuple, () for itself."""
    if isinstance(space, spaces.Dict):
        members = list(space.spaces.items())
    elif isinstance(space, spaces.Tuple):
        members = list(enumerate(space.spaces))
    else:
        return ((),)
    return tuple((key, *path) for key, inner in members for path in observation_paths(inner))


def member(tree: Any, path: Path) -> Any:
    """Return what lies at `path` of a space or of an observation: by key, by index, or as an attribute of that name.

    Raises:
      ValueError: if there is no such thing, naming it.
    """
    for depth, key in enumerate(path):
        inner = tree.spaces if isinstance(tree, spaces.Dict | spaces.Tuple) else tree
        try:
            tree = inner[key] if not isinstance(key, str) or isinstance(inner, Mapping) else getattr(inner, key)
        except (KeyError, IndexError, AttributeError, TypeError):
            raise ValueError(f"there is no {shown(path[: depth + 1])}") from None
    return tree


def shown(path: Path) -> str:
    """Return a path as Python would have it, such as `['camera'][0]`."""
    return "".join(f"[{key!r}]" for key in path)


def line(space: spaces.Space) -> str:
    """Return a space as one line: gymnax shows bounds that are arrays on several."""
    return " ".join(repr(space).split())


def _declared_at(declared: Any, path: Path) -> Any:
    """Return what an environment says of the array at `path`, None if nothing."""
    for key in path:
        if isinstance(declared, Mapping):
            declared = declared.get(key)
        elif isinstance(declared, tuple) and isinstance(key, int) and key < len(declared):
            declared = declared[key]
        else:
            return None
    return declared


def _are_parts(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(part, Part) for part in value)


def _parts(name: str, space: spaces.Space, declared: Any) -> Parts:
    """Return the parts of a space of one array."""
    if isinstance(space, spaces.Discrete) and space.n > 0:
        return (Categorical(int(space.n), one_hot=False),)
    if isinstance(space, MultiDiscrete):
        return tuple(Categorical(n, one_hot=False) for n in space.nvec)
    refused = f"{name}: observation space {line(space)} is not supported; "
    if not isinstance(space, spaces.Box):
        raise ValueError(
            refused + "give a Box, a Discrete, a MultiDiscrete (of envs.spaces), or a Dict or Tuple of these"
        )
    shape, dtype = tuple(space.shape), jnp.dtype(space.dtype)
    if not any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        raise ValueError(refused + "its dtype should be a float, an integer or bool")
    if 0 in shape:
        raise ValueError(refused + "no side of its shape should be 0")
    if declared is None:
        return _read_off(refused, space)
    if isinstance(declared, Part):
        declared = (declared,)
    if not fit(tuple(declared), shape, dtype):
        raise ValueError(
            f"{name}: observation_parts are {declared}; they should describe the observation space {line(space)}: one "
            f"Image of its shape, or groups, bits and numbers of {math.prod(shape)} entries together"
        )
    return tuple(declared)


def _read_off(refused: str, space: spaces.Box) -> Parts:
    shape, dtype = tuple(space.shape), jnp.dtype(space.dtype)
    low, high = (np.asarray(bound, np.float64) for bound in (space.low, space.high))
    if not jnp.issubdtype(dtype, jnp.floating) and (low.min() >= 0 and high.max() <= 1 or dtype == jnp.bool_):
        return (Binary(math.prod(shape)),)
    bytes_ = dtype == jnp.uint8 and high.max() == 255
    unit = jnp.issubdtype(dtype, jnp.floating) and low.min() >= 0 and high.max() <= 1 and len(shape) == 3
    if not (bytes_ or unit) or len(shape) not in (2, 3) or min(sorted(shape)[-2:]) < _LEAST_SIDE:
        return (Continuous(math.prod(shape)),)
    if len(shape) == 3 and shape[0] < min(shape[1:]):
        raise ValueError(
            f"{refused}a picture's channels should come last, (height, width, channels); where they come first, "
            f"observation_parts should say so: (Image({shape}, channels_first=True),)"
        )
    return (Image(shape),) if min(shape[:2]) >= _LEAST_SIDE else (Continuous(math.prod(shape)),)


def fit(parts: tuple[Any, ...], shape: tuple[int, ...], dtype: jnp.dtype) -> bool:
    """Return whether declared parts can be those of a Box of this shape and dtype."""
    if not parts or not all(isinstance(part, Part) for part in parts):
        return False
    images = [part for part in parts if isinstance(part, Image)]
    if images:
        first = images[0]
        return len(parts) == 1 and first.shape == shape and len(shape) in (2, 3) and dtype != jnp.bool_
    numbers = any(isinstance(part, Categorical) and not part.one_hot for part in parts)
    if numbers and jnp.issubdtype(dtype, jnp.floating):
        return False
    return sum(part.entries for part in parts) == math.prod(shape)
