"""What is the same for all of gymnax's environments: how one is played as it is, and what is mended in all."""

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams, EnvState

from envs.episodes import AutoReset
from envs.spaces import contained, nearest, num_actions

_UNBOUNDED = float(np.finfo(np.float32).max)  # with what gymnax says that there is no bound
_NARROW = {"float64": jnp.float32, "int64": jnp.int32}


class Game(AutoReset):
    """One of gymnax's environments, played by gymnax itself with the same keys.

    A subclass names the class in `raw_type` and says in its docstring what else it mends. In all of them:

    - Reward is float32, terminated and truncated are bool, and what a state holds has the same strong types after a
      reset and after a step, 32 bits wide; observations have the dtype of their space.
    - An end for good is never a time limit as well.
    - A space without bounds says so, where gymnax has bounds of 3.4e38.
    - An action that is not in the action space is taken as the nearest one inside.
    - It works under strict dtype promotion, and is the same under 64 bits.
    - The reset in `step` is computed only where an episode ended (`AutoReset`).

    Attributes:
      raw: gymnax's environment.
    """

    raw_type: ClassVar[type[Environment]]
    action_names: tuple[str, ...] = ()
    # Brings the size of a typical non-zero reward to about one.
    reward_scale: float = 1.0
    # False where every episode comes to an end of its own, whatever the length that is set.
    times_out: ClassVar[bool] = True

    def __init__(self):
        """Build gymnax's environment."""
        self.raw = _as_gymnax_has_it(self.raw_type)
        self._params = _as_gymnax_has_it(lambda: self._mended(self.raw.default_params))

    def _mended(self, params: Any) -> Any:
        """Return the parameters to play with instead of gymnax's own."""
        return params

    @property
    def name(self) -> str:
        """Gymnax's id."""
        return self.raw.name

    @property
    def default_params(self) -> EnvParams:
        """Gymnax's parameters."""
        return self._params

    @property
    def max_episode_steps(self) -> int:
        """Number of `step` calls in the longest episode with the default parameters."""
        return int(self._params.max_steps_in_episode)

    @property
    def num_actions(self) -> int:
        """Number of actions, or of the entries of a continuous one."""
        return num_actions(self.action_space(self._params))

    def action_space(self, params: EnvParams) -> spaces.Space:
        """Gymnax's space of actions."""
        return _as_gymnax_has_it(self.raw.action_space, params)

    def observation_space(self, params: EnvParams) -> spaces.Space:
        """Gymnax's space of observations; what has no bounds says so."""
        space = _as_gymnax_has_it(self.raw.observation_space, params)
        if not isinstance(space, spaces.Box):
            return space
        low, high = jnp.asarray(space.low, jnp.float32), jnp.asarray(space.high, jnp.float32)
        low, high = jnp.where(low <= -_UNBOUNDED, -jnp.inf, low), jnp.where(high >= _UNBOUNDED, jnp.inf, high)
        return spaces.Box(low, high, tuple(space.shape), jnp.float32)

    def state_space(self, params: EnvParams) -> spaces.Space:
        """Gymnax's space of states, as it is."""
        return _as_gymnax_has_it(self.raw.state_space, params)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Begin an episode."""
        obs, state = _settled(self.raw.reset_env, key, params)
        return self._shown(obs, params), state

    def step_env(
        self, key: jax.Array, state: EnvState, action: Any, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Take one step, without auto-reset."""
        space = self.action_space(params)
        action = nearest(action, space.n) if isinstance(space, spaces.Discrete) else contained(space, action)
        obs, state, reward, terminated, info = _settled(self._raw_step, key, state, action, params)
        return self._shown(obs, params), state, reward.astype(jnp.float32), terminated.astype(bool), info

    def _raw_step(self, key: jax.Array, state: Any, action: jax.Array, params: Any) -> tuple[Any, ...]:
        """Take gymnax's step."""
        return self.raw.step_env(key, state, action, params)

    def observe(self, key: jax.Array, state: EnvState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return an observation of a state."""
        return self._shown(_settled(self.raw.observe, key, state, action, params), params)

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Return whether the episode is over for good, bool ()."""
        return _settled(self.raw.is_terminated, state, params).astype(bool)

    def is_truncated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Return whether the time limit cuts the episode off, bool ()."""
        if not self.times_out:
            return jnp.zeros((), bool)
        return _settled(self.raw.is_truncated, state, params).astype(bool) & ~self.is_terminated(state, params)

    def _shown(self, obs: jax.Array, params: EnvParams) -> jax.Array:
        """Return gymnax's observation in the dtype of its space."""
        return jnp.asarray(obs).astype(self.observation_space(params).dtype)


def bits(shape: tuple[int, ...]) -> spaces.Box:
    """Return the space of boards whose entries are 0 or 1, float32."""
    return spaces.Box(0.0, 1.0, shape, jnp.float32)


def box(low: list[float], high: list[float]) -> spaces.Box:
    """Return a space of float32 vectors."""
    return spaces.Box(jnp.array(low, jnp.float32), jnp.array(high, jnp.float32), (len(low),), jnp.float32)


def within(obs: jax.Array, space: spaces.Box) -> jax.Array:
    """Return an observation that a rounding error had put outside its space."""
    return jnp.clip(obs, space.low, space.high)


def _settled(function: Callable[..., Any], *args: Any) -> Any:
    """Call gymnax's code and return its result with strong types."""
    strong = lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype)
    return _as_gymnax_has_it(lambda *args: jax.tree.map(strong, function(*args)), *args)


def _as_gymnax_has_it(function: Callable[..., Any], *args: Any) -> Any:
    """Call gymnax's code with types promoted as it is written for, in 32 bits, whatever the program around it does."""
    args = jax.tree.map(_narrow, args)
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.enable_x64(False),
        warnings.catch_warnings(),
    ):
        # Of arrays that gymnax made while it was imported, with 64 bits: they are narrowed, as they should be.
        warnings.filterwarnings("ignore", "Explicitly requested dtype")
        return function(*args)


def _narrow(leaf: Any) -> Any:
    """Return an array at most 32 bits wide, as it would be in a program of 32 bits; anything else as it is."""
    wide = isinstance(leaf, jax.Array) and leaf.dtype.name in _NARROW
    return leaf.astype(_NARROW[leaf.dtype.name]) if wide else leaf
