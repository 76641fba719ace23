"""Environments of the older kind: `step` returns `obs, state, reward, done, info`.

popjaxrl, Craftax, gymnax before 1.0 and most environments written in JAX speak so. `done` does not tell the end of a
game (nothing follows) from a time limit (something would have followed). An agent that learns from what comes after
needs to know, so how they are told apart is an argument here.

    from envs.adapters import classic
    from envs.registry import register

    register("mine/Game", lambda: classic(Game()))
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams

from envs.episodes import AutoReset
from envs.spaces import MultiDiscrete

Truncated = Callable[[Any, Any], jax.Array]


class ClassicState(struct.PyTreeNode):
    """The environment's own state, and whether its last step said that it was done."""

    inner: Any
    done: jax.Array


class Classic(AutoReset):
    """The environment inside, as gymnax 1.0 has it; see `classic`."""

    def __init__(self, env: Any, params: Any, truncated: Truncated, observation_space: Any, action_space: Any):
        """Wrap `env`; the arguments are those of `classic`, resolved."""
        self.env, self._params, self._truncated = env, params, truncated
        self._spaces = (observation_space, action_space)
        self._reset, self._step = _own(env, "reset"), _own(env, "step")

    def __getattr__(self, name: str) -> Any:
        """Look up on the environment inside what gymnax does not define."""
        if name == "env":  # Not set yet, as while unpickling.
            raise AttributeError(name)
        return getattr(self.env, name)

    @property
    def name(self) -> str:
        """Name of the environment inside."""
        return str(getattr(self.env, "name", type(self.env).__name__))

    @property
    def default_params(self) -> Any:
        """Its parameters."""
        return self._params

    def observation_space(self, params: Any) -> spaces.Space:
        """Its space of observations, of gymnax's kind."""
        return _space(self.env, "observation_space", self._spaces[0], params)

    def action_space(self, params: Any) -> spaces.Space:
        """Its space of actions, of gymnax's kind."""
        return _space(self.env, "action_space", self._spaces[1], params)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[Any, ClassicState]:
        """Start an episode."""
        obs, state = _call(self._reset, (key,), params)
        return obs, ClassicState(state, jnp.zeros((), bool))

    def step_env(
        self, key: jax.Array, state: ClassicState, action: jax.Array, params: Any
    ) -> tuple[Any, ClassicState, jax.Array, jax.Array, dict[Any, Any]]:
        """Take one step, without auto-reset. A step that is truncated is not terminated."""
        returned = _call(self._step, (key, state.inner, action), params)
        if not isinstance(returned, tuple) or len(returned) != 5:
            count = len(returned) if isinstance(returned, tuple) else 1
            raise ValueError(f"{self.name}: step returns {count} values; they should be obs, state, reward, done, info")
        obs, inner, reward, done, info = returned
        state = ClassicState(inner, jnp.asarray(done, bool))
        return obs, state, reward, self.is_terminated(state, params), info

    def is_terminated(self, state: ClassicState, params: Any) -> jax.Array:
        """Return whether the episode is over for good: done, and not by a time limit."""
        return state.done & ~self.is_truncated(state, params)

    def is_truncated(self, state: ClassicState, params: Any) -> jax.Array:
        """Return whether the episode is cut off."""
        return jnp.asarray(self._truncated(state.inner, params), bool)


def classic(
    env: Any,
    params: Any = None,
    *,
    truncated: Truncated | None = None,
    observation_space: spaces.Space | None = None,
    action_space: spaces.Space | None = None,
) -> tuple[Classic, Any]:
    """Adapt an environment whose `step` returns `obs, state, reward, done, info`.

    Args:
      env: has `reset(key, params)` and `step(key, state, action, params)`, both with or without `params`. Where it has
        `reset_env` and `step_env` as well, those are used: a `step` beside them starts the next episode by itself, and
        the last observation of an episode would be lost. An environment that has only such a `step` cannot be adapted.
      params: its parameters, a pytree; by default `env.default_params`, or none.
      truncated: (the environment's state, its parameters) -> whether the episode is cut off by a time limit; such a
        step is then not terminated, whatever `done` says. By default, where the state has a `time` or `timestep` and
        the parameters a `max_steps_in_episode` or `max_timesteps`: when the one has reached the other. Else never:
        every `done` is an end for good.
      observation_space: of gymnax's kind, where the environment has none that can be read.
      action_space: likewise.

    Returns:
      (a gymnax 1.0 environment, its parameters), as `envs.registry.register` takes them.

    Raises:
      ValueError: if the environment lacks one of the functions, or a space cannot be read.
    """
    if params is None:
        params = getattr(env, "default_params", None)
    params = EnvParams(max_steps_in_episode=math.inf) if params is None else params
    adapted = Classic(env, params, truncated or _at_the_limit, observation_space, action_space)
    adapted.observation_space(params), adapted.action_space(params)  # What cannot be read is said now.
    return adapted, params


_CLOCKS, _LIMITS = ("time", "timestep"), ("max_steps_in_episode", "max_timesteps")


def _at_the_limit(state: Any, params: Any) -> jax.Array:
    clocks = [getattr(state, name) for name in _CLOCKS if hasattr(state, name)]
    limits = [getattr(params, name) for name in _LIMITS if hasattr(params, name)]
    if not clocks or not limits:
        return jnp.zeros((), bool)
    return jnp.asarray(clocks[0]) >= jnp.asarray(limits[0]).astype(jnp.asarray(clocks[0]).dtype)


def _own(env: Any, name: str) -> Callable[..., Any]:
    """Return `reset_env` or `step_env` of an environment, or its `reset` or `step` where there is no such."""
    found = getattr(env, f"{name}_env", None) or getattr(env, name, None)
    if not callable(found):
        raise ValueError(f"{type(env).__name__} has no {name} and no {name}_env")
    return found


def _call(function: Callable[..., Any], args: tuple[Any, ...], params: Any) -> Any:
    """Call with the parameters, where the function takes them."""
    try:
        inspect.signature(function).bind(*args, params)
    except TypeError:
        return function(*args)
    return function(*args, params)


def _space(env: Any, name: str, given: Any, params: Any) -> spaces.Space:
    found = given if given is not None else getattr(env, name, None)
    if callable(found) and not hasattr(found, "shape") and not hasattr(found, "spaces"):
        found = _call(found, (), params)
    if found is None:
        raise ValueError(f"{type(env).__name__} has no {name}; give classic(..., {name}=...)")
    return _converted(found, name)


def _converted(space: Any, name: str) -> spaces.Space:
    """Return a space of gymnax's kind: many packages carry a copy of its classes."""
    if isinstance(space, spaces.Space):
        return space
    kind = type(space).__name__
    if kind == "Discrete" and hasattr(space, "n"):
        return spaces.Discrete(int(space.n))
    if kind == "MultiDiscrete":
        counts = getattr(space, "nvec", getattr(space, "num_categories", None))
        if counts is not None:
            return MultiDiscrete([int(n) for n in counts])
    if kind == "Box":
        return spaces.Box(space.low, space.high, tuple(space.shape), space.dtype)
    if kind in ("Dict", "Tuple"):
        inner = space.spaces
        if isinstance(inner, dict):
            return spaces.Dict({key: _converted(member, name) for key, member in inner.items()})
        return spaces.Tuple(tuple(_converted(member, name) for member in inner))
    raise ValueError(f"{name} {space!r} is of no known kind; give classic(..., {name}=...) one of gymnax's spaces")
