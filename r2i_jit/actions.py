"""Translate between the agent's actions and an environment's action space.

The agent's action is a choice, one int32; several choices, int32 (G,); or a float32 vector in [-1, 1]. Networks see all
of them as a float vector. What becomes of a space:

    Discrete(n)          one of n
    MultiDiscrete(nvec)  one of all combinations, numbered in C order, if these are 256 or fewer; else a choice an entry
    Box of integers      as MultiDiscrete, from its lower bounds up
    Box of floats        each entry u in [-1, 1] to its bounds: low + (u + 1) / 2 (high - low). Without bounds it is
                         s(u) = u / (1 - 0.99 |u|), which is nearly u where that is small, and reaches 100; with a
                         lower bound only low + s((u + 1) / 2), with an upper bound only high - s((1 - u) / 2)
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from envs.observation import line
from envs.spaces import MultiDiscrete, nearest
from r2i_jit.config import ConfigError

_JOINT = 256  # combinations up to which one choice is made among all: every joint policy can be learned then
_CHOICES = 4096  # of one entry
_ACTIONS = 65_536  # entries of the vector that networks see
_BOUNDLESS = 1e30  # from here on a bound is none
_SQUASH = 0.99


@dataclass(frozen=True)
class ActionSpec:
    """Size and kind of the action space.

    Attributes:
      size: A, entries of the vector that networks see: of all one-hot groups, or of the action.
      discrete: whether it is made of choices.
      low: of a Box of floats, its shape; infinite where there is no bound.
      high: likewise.
      nvec: choices of each entry of a vector; empty for a Discrete.
      joint: whether the vector is one choice among all combinations.
      offset: of a Box of integers, its lower bounds, (G,).
      shape: of the environment's action, where it is a vector of choices.
      dtype: of that.
    """

    size: int
    discrete: bool
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    nvec: tuple[int, ...] = ()
    joint: bool = True
    offset: np.ndarray | None = None
    shape: tuple[int, ...] = ()
    dtype: str = "int32"

    @property
    def groups(self) -> tuple[int, ...]:
        """The numbers of alternatives of the choices that are made independently; their sum is A."""
        return (self.size,) if self.joint else self.nvec

    @property
    def env_shape(self) -> tuple[int, ...]:
        """The shape of one action as the environment takes it."""
        return self.shape if self.low is None else self.low.shape

    @property
    def env_dtype(self) -> str:
        """The dtype of that."""
        return self.dtype if self.discrete else "float32"

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of the agent's action: (), (G,) or (A,)."""
        return (self.size,) if not self.discrete else () if self.joint else (len(self.nvec),)

    @property
    def stored_dtype(self) -> Any:
        """The dtype of the agent's action."""
        return jnp.int32 if self.discrete else jnp.float32

    def encode(self, action: jax.Array) -> jax.Array:
        """Return stored actions (..., *stored_shape) as network inputs (..., A)."""
        if not self.discrete:
            return action
        if self.joint:
            return jax.nn.one_hot(action, self.size, dtype=jnp.float32)
        each = [jax.nn.one_hot(action[..., i], n, dtype=jnp.float32) for i, n in enumerate(self.nvec)]
        return jnp.concatenate(each, -1)

    def decode(self, vector: jax.Array) -> jax.Array:
        """Return network outputs (..., A), one-hot or in [-1, 1], as stored actions.

        A continuous one that is NaN is 0: it would stay in the replay, and in the state of an environment.
        """
        if not self.discrete:
            return _contained(vector)
        if self.joint:
            return jnp.argmax(vector, -1).astype(jnp.int32)
        each = [jnp.argmax(group, -1) for group in split_groups(vector, self.nvec)]
        return jnp.stack(each, -1).astype(jnp.int32)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Return stored actions as the environment takes them; a continuous one that is NaN as the middle."""
        if self.discrete:
            return self._vector(action) if self.nvec else action
        low, high = self._bounds(len(action.shape) - 1)
        unit = (_contained(action).reshape(action.shape[:-1] + low.shape[action.ndim - 1 :]) + 1.0) / 2.0
        if self._is_bounded:
            return unit * (high - low) + low
        ends = _Ends.of(low, high)
        one_sided = jnp.where(ends.from_low, ends.low + _squashed(unit), ends.high - _squashed(1.0 - unit))
        either = jnp.where(ends.free, _squashed(2.0 * unit - 1.0), one_sided)
        return jnp.where(ends.both, unit * (ends.high - ends.low) + ends.low, either)

    def from_env(self, action: jax.Array) -> jax.Array:
        """Return the environment's actions as stored ones: the inverse of `to_env`, inside the bounds.

        Where both bounds are the same number, it is 0.
        """
        if self.discrete:
            return self._index(action) if self.nvec else action
        assert self.low is not None, "a Box has bounds"
        lead = action.ndim - self.low.ndim
        low, high = self._bounds(lead)
        ends = _Ends.of(low, high)
        width = np.where(ends.both & (high > low), ends.high - ends.low, np.float32(1))
        unit = jnp.where(high > low, (action - ends.low) / width, jnp.float32(0.5))
        if not self._is_bounded:
            above, below = _unsquashed(action - ends.low), _unsquashed(ends.high - action)
            either = jnp.where(
                ends.free, (_unsquashed(action) + 1.0) / 2.0, jnp.where(ends.from_low, above, 1.0 - below)
            )
            unit = jnp.where(ends.both, unit, either)
        return 2.0 * unit.reshape((*action.shape[:lead], self.size)) - 1.0

    def random(self, key: jax.Array, batch: int) -> jax.Array:
        """Draw uniform actions (batch, *stored_shape)."""
        if not self.discrete:
            return jax.random.uniform(key, (batch, self.size), jnp.float32, -1.0, 1.0)
        most = self.size if self.joint else np.broadcast_to(np.array(self.nvec, np.int32), (batch, len(self.nvec)))
        return jax.random.randint(key, (batch, *self.stored_shape), 0, most, jnp.int32)

    @property
    def _is_bounded(self) -> bool:
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())  # type: ignore[arg-type]

    def _bounds(self, lead: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds with leading axes of one."""
        assert self.low is not None and self.high is not None, "a Box has bounds"
        return tuple(b.astype(np.float32).reshape((1,) * lead + b.shape) for b in (self.low, self.high))  # type: ignore[return-value]

    def _vector(self, action: jax.Array) -> jax.Array:
        """Return choices as a vector of the environment, (..., *shape)."""
        if self.joint:
            index = nearest(action, math.prod(self.nvec))
            each = [index // stride % n for stride, n in zip(self._strides(), self.nvec, strict=True)]
            action = jnp.stack(each, -1)
        if self.offset is not None:
            action = action + self.offset.astype(np.int32).reshape(*[1] * (action.ndim - 1), -1)
        lead = action.shape[:-1]
        return action.reshape(lead + self.shape).astype(self.dtype)

    def _index(self, action: jax.Array) -> jax.Array:
        lead = action.shape[: action.ndim - len(self.shape)]
        vector = jnp.asarray(action).reshape((*lead, len(self.nvec))).astype(jnp.int32)
        if self.offset is not None:
            vector = vector - self.offset.astype(np.int32).reshape(*[1] * len(lead), -1)
        if not self.joint:
            return vector
        return sum((vector[..., i] * stride for i, stride in enumerate(self._strides())), jnp.zeros(lead, jnp.int32))

    def _strides(self) -> list[int]:
        return [math.prod(self.nvec[i + 1 :]) for i in range(len(self.nvec))]


class _Ends(NamedTuple):
    """The bounds of every entry, 0 where there is none, and which of them there are."""

    low: np.ndarray
    high: np.ndarray
    from_low: np.ndarray
    both: np.ndarray
    free: np.ndarray

    @classmethod
    def of(cls, low: np.ndarray, high: np.ndarray) -> "_Ends":
        has_low, has_high = np.isfinite(low), np.isfinite(high)
        bounds = np.where(has_low, low, np.float32(0)), np.where(has_high, high, np.float32(0))
        return cls(*bounds, has_low, has_low & has_high, ~has_low & ~has_high)


def split_groups(vector: jax.Array, groups: tuple[int, ...]) -> list[jax.Array]:
    """Return the groups of the vectors (..., A) that networks see, (..., n) each."""
    return jnp.split(vector, np.cumsum(groups)[:-1].tolist(), -1)


def _contained(vector: jax.Array) -> jax.Array:
    """Return `vector` inside [-1, 1], with 0 for NaN."""
    return jnp.clip(jnp.where(jnp.isnan(vector), 0.0, vector), -1.0, 1.0)


def _squashed(x: jax.Array) -> jax.Array:
    return x / (1.0 - _SQUASH * jnp.abs(x))


def _unsquashed(x: Any) -> jax.Array:
    return x / (1.0 + _SQUASH * jnp.abs(x))


def action_spec(env: Any, params: Any) -> ActionSpec:
    """Describe `env`'s action space, by the rules at the top.

    Raises:
      ConfigError: for a space that is none of those, or that has too many choices, naming it and the rule.
    """
    space = env.action_space(params)
    refused = f"env={env.name!r}: action space {line(space)} is not supported; "
    if isinstance(space, spaces.Discrete):
        if not 1 <= space.n <= _ACTIONS:
            raise ConfigError(f"{refused}it should have from 1 to {_ACTIONS} actions")
        return ActionSpec(int(space.n), discrete=True)
    if isinstance(space, MultiDiscrete):
        return _choices(refused, space.nvec, None, space.shape, "int32")
    if not isinstance(space, spaces.Box):
        raise ConfigError(f"{refused}give a Discrete, a MultiDiscrete (of envs.spaces) or a Box")
    shape, dtype = tuple(space.shape), jnp.dtype(space.dtype)
    if not 1 <= math.prod(shape) <= _ACTIONS:
        raise ConfigError(f"{refused}it should have from 1 to {_ACTIONS} entries")
    low, high = (np.broadcast_to(np.asarray(bound, np.float64), shape) for bound in (space.low, space.high))
    if not (low <= high).all():
        raise ConfigError(f"{refused}its lower bounds should be numbers that are not above the upper ones")
    if not jnp.issubdtype(dtype, jnp.floating):
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ConfigError(f"{refused}a Box of integers should have bounds")
        counts = tuple(int(n) for n in (np.floor(high) - np.ceil(low) + 1).ravel())
        return _choices(refused, counts, np.ceil(low).ravel(), shape, dtype.name)
    low = np.where(low <= -_BOUNDLESS, -np.inf, low).astype(np.float32)
    high = np.where(high >= _BOUNDLESS, np.inf, high).astype(np.float32)
    return ActionSpec(math.prod(shape), False, low, high)


def _choices(
    refused: str, counts: tuple[int, ...], offset: np.ndarray | None, shape: tuple[int, ...], dtype: str
) -> ActionSpec:
    """Return the description of a vector of choices."""
    if max(counts) > _CHOICES or sum(counts) > _ACTIONS:
        raise ConfigError(
            f"{refused}an entry should have at most {_CHOICES} values and all together {_ACTIONS}; give a Box of floats"
        )
    joint = math.prod(counts) <= _JOINT
    size = math.prod(counts) if joint else sum(counts)
    return ActionSpec(size, True, nvec=counts, joint=joint, offset=offset, shape=shape, dtype=dtype)
