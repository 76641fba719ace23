"""How a batch of environments is stepped by an agent that wants every observation, the terminal one included.

gymnax's own auto-reset replaces the terminal observation by the next episode's first one and computes a reset at every
step. Here the terminal observation is a step of its own (is_last), and the step after it is the fresh episode's first
(is_first, reward 0). Resets are computed only on steps where some environment needs one: a scalar branch that stays a
branch under any number of `vmap`s (a plain `lax.cond` would become a select and run the reset always).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class TimeStep(NamedTuple):
    """What arrives together at one index; leading axis E."""

    obs: jax.Array
    reward: jax.Array  # (E,) float32, caused by the previous action; 0 on a first step
    is_first: jax.Array  # (E,) bool
    is_last: jax.Array  # (E,) bool, terminated or truncated
    is_terminal: jax.Array  # (E,) bool, terminated: no bootstrapping


class Stream(NamedTuple):
    """E environments in mid-flight."""

    env_state: Any
    step: TimeStep
    age: jax.Array  # (E,) int32, steps since the episode's first observation


def start(env: Any, params: Any, key: jax.Array, num_envs: int) -> Stream:
    """Reset `num_envs` environments."""
    obs, env_state = jax.vmap(env.reset_env, (0, None))(jax.random.split(key, num_envs), params)
    no = jnp.zeros(num_envs, bool)
    step = TimeStep(obs, jnp.zeros(num_envs, jnp.float32), ~no, no, no)
    return Stream(env_state, step, jnp.zeros(num_envs, jnp.int32))


def advance(env: Any, params: Any, stream: Stream, action: jax.Array, key: jax.Array) -> Stream:
    """Step every environment, or start its next episode where its last step was the final one.

    Args:
      env: a gymnax 1.0 environment.
      params: its parameters.
      stream: the current steps.
      action: (E, ...) environment actions; ignored where `stream.step.is_last`.
      key: typed PRNG key.

    Returns:
      The next steps.
    """
    num_envs = stream.age.shape[0]
    key_step, key_reset = jax.random.split(key)
    step_keys = jax.random.split(key_step, num_envs)
    obs, env_state, reward, terminated, _ = jax.vmap(env.step_env, (0, 0, 0, None))(
        step_keys, stream.env_state, action, params
    )
    truncated = jax.vmap(env.is_truncated, (0, None))(env_state, params)
    restart = stream.step.is_last
    reset_keys = jax.random.split(key_reset, num_envs)
    obs, env_state = _reset_where(env, params, restart, reset_keys, (obs, env_state))
    terminated, truncated = terminated.astype(bool), truncated.astype(bool)
    step = TimeStep(
        obs=obs,
        reward=jnp.where(restart, 0.0, reward.astype(jnp.float32)),
        is_first=restart,
        is_last=(terminated | truncated) & ~restart,
        is_terminal=terminated & ~restart,
    )
    return Stream(env_state, step, jnp.where(restart, 0, stream.age + 1))


def _reset_where(env: Any, params: Any, restart: jax.Array, keys: jax.Array, current: Any) -> Any:
    """Return `current` with fresh resets in the rows where `restart`; computes nothing when there are none.

    Under `vmap` the new axis is folded into the rows, so that the branch's predicate is one scalar for all of them.
    """

    @jax.custom_batching.custom_vmap
    def reset_rows(restart, keys, current):
        def fresh():
            reset = jax.vmap(env.reset_env, (0, None))(keys, params)
            return jax.tree.map(
                lambda new, old: jnp.where(_column(restart, old), new.astype(old.dtype), old), reset, current
            )

        return jax.lax.cond(jnp.any(restart), fresh, lambda: current)

    @reset_rows.def_vmap
    def fold_axis_into_rows(axis_size, in_batched, *args):
        def fold(batched, leaf):
            leaf = leaf if batched else jnp.broadcast_to(leaf, (axis_size, *leaf.shape))
            return leaf.reshape(-1, *leaf.shape[2:])

        out = reset_rows(*jax.tree.map(fold, tuple(in_batched), args))
        out = jax.tree.map(lambda leaf: leaf.reshape(axis_size, -1, *leaf.shape[1:]), out)
        return out, jax.tree.map(lambda _: True, out)

    return reset_rows(restart, keys, current)


def _column(rows: jax.Array, like: jax.Array) -> jax.Array:
    return rows.reshape(rows.shape + (1,) * (like.ndim - 1))
