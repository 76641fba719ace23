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
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams

from envs.episodes import AutoReset
from envs.spaces import MultiDiscrete

Truncated = Callable[[Any, Any], jax.Array]


class ClassicState(struct.PyTreeNode):
    """The environment's own state, and whether its last step said that it was done."""

    inner: Any
    done: jax.Array


class Classic(AutoReset):
    """The environment inside, as gymnax 1.0 has it; see `classic`."""

    def __init__(self, env: Any, params: Any, truncated: Truncated | None, observation_space: Any, action_space: Any):
        """Wrap `env`; the arguments are those of `classic`, resolved."""
        self.env, self._params, self._truncated = env, params, truncated
        self._spaces = (observation_space, action_space)
        self._reset, self._step = _own(env, "reset"), _own(env, "step")

    def __getattr__(self, name: str) -> Any:
        """Look up on the environment inside what gymnax does not define."""
        if name in ("env", "_params"):  # Not set yet, as while unpickling.
            raise AttributeError(name)
        found = getattr(self.env, name, None) if name in ("render", "max_episode_steps") else getattr(self.env, name)
        if name == "render":
            return self._drawing(found)
        if name == "max_episode_steps" and found is None:
            return _limit(self._params)
        return found

    def _drawing(self, render: Any) -> Callable[..., Any]:
        """Return `render` of the state here; AttributeError where it is no such function as this project calls."""
        if not callable(render) or not _binds(render, None, None, hidden=False):
            raise AttributeError("render")
        return lambda state, params, hidden=False: render(state.inner, params, hidden=hidden)

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
        info = info if isinstance(info, dict) else {"info": info}
        state = ClassicState(inner, jnp.asarray(done, bool))
        return obs, state, reward, self.is_terminated(state, params), info

    def is_terminated(self, state: ClassicState, params: Any) -> jax.Array:
        """Return whether the episode is over for good: done, and not by a time limit."""
        return state.done & ~self.is_truncated(state, params)

    def is_truncated(self, state: ClassicState, params: Any) -> jax.Array:
        """Return whether the episode is cut off."""
        if self._truncated is None:
            return state.done & _at_the_limit(state.inner, params)
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
        the parameters a `max_steps_in_episode` or `max_timesteps`: when it is done and the one has reached the other,
        be it by winning with the last step. Else never: every `done` is an end for good.
      observation_space: of gymnax's kind, where the environment has none that can be read.
      action_space: likewise.

    Returns:
      (a gymnax 1.0 environment, its parameters), as `envs.registry.register` takes them.

    Raises:
      ValueError: if the environment lacks one of the functions, a space cannot be read, or the parameters are no
        pytree of numbers.
    """
    if isinstance(env, type):
        raise ValueError(f"classic takes an environment, not its class: classic({env.__name__}())")
    if params is None:
        params = getattr(env, "default_params", None)
    params = EnvParams(max_steps_in_episode=math.inf) if params is None else params
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, bool, int, float, complex)):
            place = jax.tree_util.keystr(path)
            raise ValueError(
                f"{type(env).__name__}: params{place} is a {type(leaf).__name__}; they should be a pytree of numbers "
                "(flax.struct.dataclass makes one of a class)"
            )
    adapted = Classic(env, params, truncated, observation_space, action_space)
    adapted.observation_space(params), adapted.action_space(params)  # What cannot be read is said now.
    return adapted, params


_CLOCKS, _LIMITS = ("time", "timestep"), ("max_steps_in_episode", "max_timesteps")


def _at_the_limit(state: Any, params: Any) -> jax.Array:
    clock, limit = _first(state, _CLOCKS), _limit(params)
    if clock is None or limit is None:
        return jnp.zeros((), bool)
    return jnp.asarray(clock, jnp.float32) >= jnp.asarray(limit, jnp.float32)  # The limit may not fit the clock's type.


def _limit(params: Any) -> Any:
    """Return the steps after which an episode is cut off, None if the parameters do not say."""
    return _first(params, _LIMITS)


def _first(owner: Any, names: tuple[str, ...]) -> Any:
    return next((found for name in names if (found := getattr(owner, name, None)) is not None), None)


def _own(env: Any, name: str) -> Callable[..., Any]:
    """Return `reset_env` or `step_env` of an environment, or its `reset` or `step` where there is no such."""
    inner = f"{name}_env"
    # gymnax's own raises, in a class that was derived from gymnax's and has its own `reset` and `step`.
    inherited = getattr(type(env), inner, None) is getattr(Environment, inner)
    found = getattr(env, name if inherited else inner, None) or getattr(env, name, None)
    if not callable(found):
        raise ValueError(f"{type(env).__name__} has no {name} and no {name}_env")
    return found


def _call(function: Callable[..., Any], args: tuple[Any, ...], params: Any) -> Any:
    """Call with the parameters, where the function takes them."""
    return function(*args, params) if _binds(function, *args, params) else function(*args)


def _binds(function: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    """Return whether a function can be called with these arguments, as far as its signature says."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


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
    if kind == "Discrete" and hasattr(space, "n") and not getattr(space, "start", 0):
        return spaces.Discrete(int(space.n))
    if kind == "MultiDiscrete":
        counts = getattr(space, "nvec", getattr(space, "num_categories", None))
        if counts is not None and np.ndim(counts) == 1 and not np.any(getattr(space, "start", 0)):
            return MultiDiscrete([int(n) for n in counts])
    if kind == "Box":
        return spaces.Box(space.low, space.high, tuple(space.shape), space.dtype)
    if kind in ("Dict", "Tuple"):
        inner = space.spaces
        if isinstance(inner, dict):
            return spaces.Dict({key: _converted(member, name) for key, member in inner.items()})
        return spaces.Tuple(tuple(_converted(member, name) for member in inner))
    shown = " ".join(repr(space).split())
    raise ValueError(f"{name} {shown} is of no known kind; give classic(..., {name}=...) one of gymnax's spaces")
