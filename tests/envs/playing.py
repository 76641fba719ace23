"""Compiled rollouts of our environments, shared by the tests of this folder so that each compiles once per process."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import envs

POPGYM = tuple(
    f"popgym/{game}{level}"
    for game in ("Autoencode", "Concentration", "RepeatFirst", "RepeatPrevious")
    for level in ("Easy", "Medium", "Hard")
)
RECALL = tuple(env_id for env_id in POPGYM if "Concentration" not in env_id)


class Played(NamedTuple):
    """Episodes side by side; index t of all but `first` is what step t returned."""

    first: jax.Array  # (B, ...) observation of the reset
    observations: jax.Array  # (B, T, ...)
    rewards: jax.Array  # (B, T)
    terminated: jax.Array  # (B, T)
    truncated: jax.Array  # (B, T)
    states: Any  # leaves (B, T, ...)


make = functools.cache(envs.make)


def replay(env, params, state, actions) -> Played:
    """Step one episode through `actions` (T,), beyond its end if they go on."""

    def step(state, action):
        obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
        return state, (obs, reward, terminated, env.is_truncated(state, params), state)

    key = jax.random.key(0)  # The card games draw nothing after the reset.
    first = env.observe(key, state, None, params)
    return Played(first, *jax.lax.scan(step, state, actions)[1])


@functools.cache
def replayer(env_id: str):
    """Return a compiled function (cards (B, N), actions (B, T)) -> Played, for decks put in place of shuffled ones."""
    env, params = make(env_id)

    def run(cards, actions):
        _, state = env.reset_env(jax.random.key(0), params)
        name = "cards" if hasattr(state, "cards") else "suits"
        return replay(env, params, dataclasses.replace(state, **{name: cards.astype(jnp.uint8)}), actions)

    return jax.jit(jax.vmap(run))


@functools.cache
def random_player(env_id: str, batch: int):
    """Return a compiled function key -> (return, length), each (batch,), of uniformly random play through `env.step`."""
    env, params = make(env_id)

    def step(carry, key):
        obs, state, over, total, length = carry
        key_act, key_step = jax.random.split(key)
        action = env.action_space(params).sample(key_act)
        obs, state, reward, terminated, truncated, _ = env.step(key_step, state, action, params)
        total, length = total + jnp.where(over, 0.0, reward), length + ~over
        return (obs, state, over | terminated | truncated, total, length), None

    def run(key):
        key_reset, key_steps = jax.random.split(key)
        carry = (*env.reset(key_reset, params), jnp.array(False), jnp.array(0.0), jnp.array(0))
        (_, _, over, total, length), _ = jax.lax.scan(step, carry, jax.random.split(key_steps, env.max_episode_steps))
        return total, length, over

    return jax.jit(lambda key: jax.vmap(run)(jax.random.split(key, batch)))
