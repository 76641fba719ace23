"""Compiled rollouts of our environments, shared by the tests of this folder so that each compiles once per process."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import envs

POPGYM = tuple(
    f"popgym/{game}{level}"
    for game in ("Autoencode", "Concentration", "RepeatFirst", "RepeatPrevious")
    for level in ("Easy", "Medium", "Hard")
)
RECALL = tuple(env_id for env_id in POPGYM if "Concentration" not in env_id)
EPISODES = 32  # Side by side in every rollout: one shape is one compilation.
BEYOND = 3  # Steps that a rollout goes on after the longest episode.

make = functools.cache(envs.make)


class Played(NamedTuple):
    """Episodes side by side; index t of the sequences is what step t returned."""

    first: Any  # (B, ...) observation of the reset
    observations: Any  # (B, T, ...)
    rewards: Any  # (B, T)
    terminated: Any  # (B, T)
    truncated: Any  # (B, T)
    last: Any  # state after step T, leaves (B, ...)


def replay(env, params, state, actions) -> Played:
    """Step one episode through `actions` (T,), beyond its end if they go on; the game must draw nothing after reset."""

    def step(state, action):
        obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
        return state, (obs, reward, terminated, env.is_truncated(state, params))

    key = jax.random.key(0)
    first = env.observe(key, state, None, params)
    last, sequences = jax.lax.scan(step, state, actions)
    return Played(first, *sequences, last)


@functools.cache
def _compiled(env_id: str):
    env, params = make(env_id)
    reset = jax.jit(jax.vmap(lambda key: env.reset_env(key, params)))
    return reset, jax.jit(jax.vmap(lambda state, actions: replay(env, params, state, actions)))


def start(env_id: str, seed: int) -> Any:
    """Return EPISODES fresh observations and states."""
    return _compiled(env_id)[0](jax.random.split(jax.random.key(seed), EPISODES))


def play(env_id: str, states: Any, actions: np.ndarray) -> Played:
    """Play EPISODES episodes from `states`; `actions` (EPISODES, any T) are made up to the usual length with zeros."""
    env, _ = make(env_id)
    padded = np.zeros((EPISODES, env.max_episode_steps + BEYOND), np.int32)
    padded[:, : actions.shape[1]] = actions
    return jax.device_get(_compiled(env_id)[1](states, padded))


def with_cards(state: Any, cards: np.ndarray) -> Any:
    """Return `state` of a card game with another deck."""
    name = "cards" if hasattr(state, "cards") else "suits"
    return dataclasses.replace(state, **{name: jnp.asarray(cards, jnp.uint8)})
