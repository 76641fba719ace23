"""Compiled rollouts of our environments, shared by the tests of this folder so that each compiles once per process.

Every rollout also checks the index of each gather and scatter: JAX would silently clamp one that is out of range.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from jax.experimental import checkify

import envs
from envs.spaces import MultiDiscrete
from r2i_jit.compiling import quick
from tests.envs.families import LEVELS, Family, families

FAMILIES = families()
POPGYM = tuple(env_id for game in sorted(FAMILIES) for env_id in FAMILIES[game].ids())
# The same for `parametrize`: of a game's three levels the easiest is for every day.
BY_LEVEL = [pytest.param(env_id, marks=[pytest.mark.heavy] * (not env_id.endswith("Easy"))) for env_id in POPGYM]
EPISODES = 32  # Side by side in every rollout: one shape is one compilation.
BEYOND = 3  # Steps that a rollout goes on after the longest episode.
# Compile without optimising the generated code: these programs run for milliseconds.
QUICK = quick()

make = functools.cache(envs.make)


def family_of(env_id: str) -> tuple[Family, str]:
    """Return the family and the level of a popgym id."""
    name = env_id.removeprefix("popgym/")
    level = next(level for level in LEVELS if name.endswith(level))
    return FAMILIES[name.removesuffix(level)], level


class Played(NamedTuple):
    """Episodes side by side; index t of the sequences is what step t returned."""

    first: Any  # (B, ...) observation of the reset
    observations: Any  # (B, T, ...)
    rewards: Any  # (B, T)
    terminated: Any  # (B, T)
    truncated: Any  # (B, T)
    last: Any  # state after step T, leaves (B, ...)


def step_keys(key: jax.Array, steps: int) -> jax.Array:
    """Return the keys of a rollout's first observation and of its steps, (steps + 1,)."""
    return jax.random.split(key, steps + 1)


def replay(env, params, key, state, actions, due=None, trail=None) -> Played:
    """Step one episode through `actions` (T, ...), beyond its end if they go on.

    Where `due` (T,), the fields of the state named by `trail` (each (T, ...)) are replaced before the step.
    """
    keys = step_keys(key, actions.shape[0])

    def step(state, inputs):
        key, action, due, trail = inputs
        forced = {name: jnp.where(due, value, getattr(state, name)) for name, value in (trail or {}).items()}
        obs, state, reward, terminated, _ = env.step_env(key, state.replace(**forced), action, params)
        return state, (obs, reward, terminated, env.is_truncated(state, params))

    first = env.observe(keys[0], state, None, params)
    last, sequences = jax.lax.scan(step, state, (keys[1:], actions, due, trail))
    return Played(first, *sequences, last)


@functools.cache
def _compiled(env_id: str):
    env, params = make(env_id)

    def checked(function):
        mapped = jax.vmap(checkify.checkify(function, errors=checkify.index_checks))
        return jax.jit(mapped, compiler_options=QUICK)

    return checked(lambda key: env.reset_env(key, params)), checked(functools.partial(replay, env, params))


def keys(seed: int) -> jax.Array:
    """Return the EPISODES keys that `start` and `play` use for a seed."""
    return jax.random.split(jax.random.key(seed), EPISODES)


def start(env_id: str, seed: int) -> Any:
    """Return EPISODES fresh observations and states."""
    error, fresh = _compiled(env_id)[0](keys(seed))
    error.throw()
    return fresh


def play(
    env_id: str,
    states: Any,
    actions: np.ndarray,
    seed: int = 0,
    due: np.ndarray | None = None,
    trail: dict[str, np.ndarray] | None = None,
) -> Played:
    """Play EPISODES episodes from `states`; `actions` (EPISODES, any T, ...) are filled up with zeros.

    Where `due` (EPISODES, T), the fields of the states named by `trail` are replaced before the step.
    """
    env, params = make(env_id)
    space = env.action_space(params)
    steps = rollout_length(env)
    actions = _padded(actions.astype(np.dtype(space.dtype)), steps)
    due = np.zeros((EPISODES, steps), bool) if due is None else _padded(due, steps)
    trail = {name: _padded(values.astype(getattr(states, name).dtype), steps) for name, values in (trail or {}).items()}
    error, played = _compiled(env_id)[1](keys(seed), states, actions, due, trail)
    error.throw()
    return jax.device_get(played)


def _padded(values: np.ndarray, steps: int) -> np.ndarray:
    """Return `values` (B, any T, ...) filled up with zeros to (B, steps, ...)."""
    return np.pad(values, [(0, 0), (0, steps - values.shape[1])] + [(0, 0)] * (values.ndim - 2))


def rollout_length(env: Any) -> int:
    """Return how many steps every rollout of `env` takes."""
    return env.max_episode_steps + BEYOND


def with_hidden(state: Any, hidden: dict[str, np.ndarray]) -> Any:
    """Return `state` with other values in the fields named by `hidden`; their shapes must be those of the state."""
    fields = {}
    for name, value in hidden.items():
        old = getattr(state, name)
        assert np.shape(value) == old.shape, f"{name}: {np.shape(value)} should be {old.shape}"
        fields[name] = jnp.asarray(np.asarray(value), old.dtype)
    return dataclasses.replace(state, **fields)


def random_actions(env_id: str, seed: int, spread: int = 0) -> np.ndarray:
    """Return uniform actions (EPISODES, T, ...) that leave the action space by up to `spread` on both sides."""
    env, params = make(env_id)
    space, rng = env.action_space(params), np.random.default_rng(seed)
    shape = (EPISODES, rollout_length(env), *space.shape)
    if isinstance(space, spaces.Box):
        low, high = np.asarray(space.low, np.float32), np.asarray(space.high, np.float32)
        return rng.uniform(low - spread, high + spread, shape).astype(np.float32)
    sizes = np.array(space.nvec if isinstance(space, MultiDiscrete) else space.n)
    return rng.integers(-spread, sizes + spread, shape).astype(np.int32)


def nearest_valid(env_id: str, actions: np.ndarray) -> np.ndarray:
    """Return `actions` moved into the action space."""
    env, params = make(env_id)
    space = env.action_space(params)
    if isinstance(space, spaces.Box):
        return np.clip(actions, np.asarray(space.low), np.asarray(space.high))
    return np.clip(actions, 0, np.array(space.nvec if isinstance(space, MultiDiscrete) else space.n) - 1)
