"""Wrappers around any gymnax 1.0 environment.

They wrap `reset_env` and `step_env`, below the auto-reset of gymnax's `step`, so that what they add is right on the
first observation of every episode. (A wrapper around an auto-resetting `step` sees only the observation after the
reset, and would attach the last action of the old episode to the first observation of the new one.) For the same
reason an environment's own override of `step` is not used.
"""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams, EnvState

from envs.episodes import AutoReset
from envs.observation import (
    Categorical,
    Continuous,
    Image,
    Leaf,
    Part,
    arrange,
    is_class_number,
    member,
    observation_leaves,
    observation_parts,
)
from envs.spaces import MultiDiscrete, as_index, contained, num_actions


class Wrapper(AutoReset):
    """An environment that behaves as the one inside it; the base of the wrappers below.

    Attributes that gymnax does not know (`reward_scale`, `max_episode_steps`, ...) are those of the inner environment.
    """

    def __init__(self, env: Environment):
        """Wrap `env`."""
        self.env = env

    def __getattr__(self, name: str) -> Any:
        """Look up on the inner environment what neither the wrapper nor gymnax defines."""
        if name == "env":  # Not set yet, as while unpickling: without this the lookup would recurse.
            raise AttributeError(name)
        return getattr(self.env, name)

    @property
    def name(self) -> str:
        """Name of the inner environment."""
        return self.env.name

    @property
    def default_params(self) -> EnvParams:
        """Parameters of the inner environment."""
        return self.env.default_params

    @property
    def num_actions(self) -> int:
        """Number of actions, or of the entries of a continuous one."""
        return num_actions(self.action_space(self.default_params))

    def action_space(self, params: EnvParams) -> spaces.Space:
        """Space of actions."""
        return self.env.action_space(params)

    def observation_space(self, params: EnvParams) -> spaces.Space:
        """Space of observations."""
        return self.env.observation_space(params)

    def observation_parts(self, params: EnvParams) -> Any:
        """What the numbers of an observation mean; see `envs.observation.observation_parts`."""
        return observation_parts(self.env, params)

    def state_space(self, params: EnvParams) -> spaces.Space:
        """Space of states."""
        return self.env.state_space(params)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Start an episode."""
        return self.env.reset_env(key, params)

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Take one step, without auto-reset."""
        return self.env.step_env(key, state, action, params)

    def observe(self, key: jax.Array, state: EnvState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the observation of `state`; `action` led to it and is None at an episode's start."""
        return self.env.observe(key, state, action, params)

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Return whether the episode is over for good."""
        return self.env.is_terminated(state, params)

    def is_truncated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Return whether the episode is cut off."""
        return self.env.is_truncated(state, params)


class PreviousActionAndStart(Wrapper):
    """Appends to a flat observation the action that led to it and a flag for the first observation of an episode.

        observation + previous action + (0, 1) at the start or (1, 0) after it

    A discrete action is one-hot (one group per entry of a `MultiDiscrete` one), a continuous one is as it is inside its
    space. At the start the action is the null action: 0, or the lowest one of a Box that does not hold 0. A discrete
    action outside its space is all zeros, a continuous one is the nearest one inside (`envs.spaces.contained`). Where
    the observation is uint8 (or `Discrete`: it is then one-hot, too) and the action discrete, the result is uint8, else
    float32.

    Ref: popgym/wrappers/previous_action.py:110, popgym/wrappers/antialias.py:84, as flattened by gymnasium.
    """

    def __init__(self, env: Environment):
        """Wrap `env`.

        Raises:
          ValueError: if its observations are images or its spaces of a kind not named above.
        """
        super().__init__(env)
        self.observation_space(self.default_params)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """The inner parts, the action and the flag.

        Raises:
          ValueError: as the constructor.
        """
        inner = observation_parts(self.env, params)
        if any(isinstance(part, Image | tuple) for part in inner):
            raise ValueError(f"{self.name}: actions can be appended to one flat observation, not to images")
        if not isinstance(self.env.observation_space(params), spaces.Box):  # Its numbers are encoded here.
            inner = tuple(replace(part, one_hot=True) for part in inner)
        return *inner, *_action_parts(self.action_space(params)), Categorical(2)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """The joint box.

        Raises:
          ValueError: as the constructor.
        """
        self.observation_parts(params)  # Refuses what nothing can be appended to.
        both = (self.env.observation_space(params), self.action_space(params), spaces.Discrete(2))
        low, high = (jnp.concatenate(bounds) for bounds in zip(*map(_flat_bounds, both), strict=True))
        return spaces.Box(low, high, low.shape, self._dtype(params))

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Start an episode."""
        obs, state = self.env.reset_env(key, params)
        return self._append(obs, None, params), state

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Take one step, without auto-reset."""
        obs, state, reward, terminated, info = self.env.step_env(key, state, action, params)
        return self._append(obs, action, params), state, reward, terminated, info

    def observe(self, key: jax.Array, state: EnvState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the observation of `state`; `action` led to it and is None at an episode's start."""
        return self._append(self.env.observe(key, state, action, params), action, params)

    def _dtype(self, params: EnvParams) -> jnp.dtype:
        inner = self.env.observation_space(params)
        narrow = isinstance(inner, spaces.Discrete) or np.dtype(inner.dtype) == np.uint8
        return jnp.dtype(jnp.uint8 if narrow and not isinstance(self.action_space(params), spaces.Box) else jnp.float32)

    def _append(self, obs: jax.Array, action: jax.Array | None, params: EnvParams) -> jax.Array:
        space = self.action_space(params)
        flag = np.array([0, 1] if action is None else [1, 0], np.uint8)
        action = _null_action(space) if action is None else action
        action = contained(space, action) if isinstance(space, spaces.Box) else as_index(action)
        vectors = (_encode(self.env.observation_space(params), obs), _encode(space, action), flag)
        return jnp.concatenate([vector.astype(self._dtype(params)) for vector in vectors])


class ArrangeObservations(Wrapper):
    """Gives the arrays of an observation as `envs.observation.arrange` does: what an agent takes.

    Its space is a `Box` or `Discrete` for one array, else a `Tuple` of those.
    """

    def observation_parts(self, params: EnvParams) -> Any:
        """What the arrays hold."""
        parts = tuple(leaf.arranged_parts for leaf in self._leaves(params))
        return parts if len(parts) > 1 else parts[0]

    def observation_space(self, params: EnvParams) -> spaces.Space:
        """The space of the arrays."""
        inner = self.env.observation_space(params)
        found = [_arranged_space(member(inner, leaf.path), leaf) for leaf in self._leaves(params)]
        return spaces.Tuple(tuple(found)) if len(found) > 1 else found[0]

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[Any, EnvState]:
        """Start an episode."""
        obs, state = self.env.reset_env(key, params)
        return arrange(self._leaves(params), obs), state

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[Any, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Take one step, without auto-reset."""
        obs, state, reward, terminated, info = self.env.step_env(key, state, action, params)
        return arrange(self._leaves(params), obs), state, reward, terminated, info

    def observe(self, key: jax.Array, state: EnvState, action: jax.Array | None, params: EnvParams) -> Any:
        """Return the observation of `state`; `action` led to it and is None at an episode's start."""
        return arrange(self._leaves(params), self.env.observe(key, state, action, params))

    def _leaves(self, params: EnvParams) -> tuple[Leaf, ...]:
        return observation_leaves(self.env, params)


def arranged(env: Environment, params: EnvParams) -> Environment:
    """Return an environment whose observations are arranged: itself, if they are so already.

    Raises:
      ValueError: as `observation_leaves`.
    """
    leaves = observation_leaves(env, params)
    plain = len(leaves) == 1 and not leaves[0].path
    if plain and (leaves[0].shape, leaves[0].parts) == (leaves[0].arranged_shape, leaves[0].arranged_parts):
        return env
    return ArrangeObservations(env)


def _arranged_space(space: spaces.Space, leaf: Leaf) -> spaces.Space:
    if is_class_number(leaf.parts) and not isinstance(space, spaces.Box):
        return spaces.Discrete(leaf.parts[0].size)
    if isinstance(space, MultiDiscrete):
        return space
    bounds = (np.broadcast_to(np.asarray(bound), space.shape) for bound in (space.low, space.high))
    low, high = (arrange((replace(leaf, path=()),), bound) for bound in bounds)
    return spaces.Box(low, high, leaf.arranged_shape, space.dtype)


class FlattenActions(Wrapper):
    """Numbers the actions of a `MultiDiscrete` environment in C order, so that its action space is `Discrete`.

    A number outside the space is taken as the nearest one inside.

    Ref: popgym/wrappers/discrete_action.py:48.
    """

    def __init__(self, env: Environment):
        """Wrap `env`.

        Raises:
          ValueError: if its action space is not a `MultiDiscrete`.
        """
        super().__init__(env)
        self._vectors(self.default_params)

    def action_space(self, params: EnvParams) -> spaces.Discrete:
        """The numbers of the action vectors."""
        return spaces.Discrete(self._vectors(params).size)

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Take one step, without auto-reset."""
        return self.env.step_env(key, state, self._vectors(params).unravel(action), params)

    def observe(self, key: jax.Array, state: EnvState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the observation of `state`; `action` led to it and is None at an episode's start."""
        vector = None if action is None else self._vectors(params).unravel(action)
        return self.env.observe(key, state, vector, params)

    def _vectors(self, params: EnvParams) -> MultiDiscrete:
        space = self.env.action_space(params)
        if not isinstance(space, MultiDiscrete):
            raise ValueError(f"{self.name}: action space {space!r} should be a MultiDiscrete to be flattened")
        return space


def _action_parts(space: spaces.Space) -> tuple[Part, ...]:
    if isinstance(space, spaces.Discrete):
        return (Categorical(space.n),)
    if isinstance(space, MultiDiscrete):
        return tuple(Categorical(n) for n in space.nvec)
    if isinstance(space, spaces.Box):
        return (Continuous(math.prod(space.shape)),)
    raise ValueError(f"action space {space!r} is not supported; give a Discrete, a MultiDiscrete or a Box")


def _encode(space: spaces.Space, value: jax.Array) -> jax.Array:
    """Return `value` as a vector: one-hot where it is discrete."""
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(value, space.n, dtype=jnp.uint8)
    if isinstance(space, MultiDiscrete):
        return jnp.concatenate([jax.nn.one_hot(value[i], n, dtype=jnp.uint8) for i, n in enumerate(space.nvec)])
    return jnp.asarray(value).ravel()


def _flat_bounds(space: spaces.Space) -> tuple[jax.Array, jax.Array]:
    """Return the least and greatest value of every entry of `space`'s vectors, as `_encode` makes them."""
    if isinstance(space, spaces.Box):
        low, high = (jnp.asarray(bound, jnp.float32) for bound in (space.low, space.high))
        return jnp.broadcast_to(low, space.shape).ravel(), jnp.broadcast_to(high, space.shape).ravel()
    size = sum(space.nvec) if isinstance(space, MultiDiscrete) else space.n
    return jnp.zeros(size, jnp.float32), jnp.ones(size, jnp.float32)


def _null_action(space: spaces.Space) -> jax.Array:
    zero = jnp.zeros(space.shape, space.dtype)
    if not isinstance(space, spaces.Box):
        return zero
    low, high = (jnp.broadcast_to(jnp.asarray(bound, space.dtype), space.shape) for bound in (space.low, space.high))
    return jnp.where(jnp.all((zero >= low) & (zero <= high)), zero, low)
