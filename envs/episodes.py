"""How a batch of environments is stepped by an agent that wants every observation, the terminal one included.

gymnax's own auto-reset replaces the terminal observation by the next episode's first one and computes a reset at every
step. Here the terminal observation is a step of its own (is_last), and the step after it is the fresh episode's first
(is_first, reward 0). Resets are computed only on steps where some environment needs one: a scalar branch that stays a
branch under any number of `vmap`s (a plain `lax.cond` would become a select and run the reset always).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.environment import Environment, EnvParams, EnvState

from envs.rows import fold_axes

# Rows are reset this many at a time, or as many as the environment's `reset_block` says: fewer where one reset costs as
# much as many steps. Of a batch of more than this many such blocks, a share of one in this many.
RESET_BLOCK = 64

Split = Callable[[jax.Array, int], jax.Array]


class _Reset(NamedTuple):
    """How rows are reset.

    Attributes:
      function: (key, parameters) -> (observation, state).
      block: rows at a time.
    """

    function: Callable[[jax.Array, Any], Any]
    block: int


class AutoReset(Environment):
    """A gymnax environment whose `step` computes a reset only when an episode ended.

    gymnax's own `step` computes a reset at every step and selects. This one does what that one promises (the state and
    observation returned after an episode's end are a fresh episode's; `info["final_observation"]` has the last one),
    with the same keys, at a cost that grows with the number of episodes that ended, under any number of `vmap`s.
    `reset_block`, where a class defines it, is how many are reset at a time.
    """

    @partial(jax.jit, static_argnames=("self",))
    def step(
        self, key: jax.Array, state: EnvState, action: Any, params: EnvParams | None = None
    ) -> tuple[Any, EnvState, jax.Array, jax.Array, jax.Array, dict[Any, Any]]:
        """Take one step and, if that ended the episode, begin the next one."""
        params = self.default_params if params is None else params
        final, state, reward, terminated, info = self.step_env(jax.random.split(key)[0], state, action, params)
        truncated = self.is_truncated(state, params)
        one = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], tree)
        results = reward, terminated, truncated, info
        ended = one(terminated | truncated)
        reset = _Reset(self._reset_after, reset_block(self))
        rows = _reset_where(reset, params, ended, one(key), one((final, state)), one(results))
        (obs, state), (reward, terminated, truncated, info) = jax.tree.map(lambda leaf: leaf[0], rows)
        info = {**info, "terminated": terminated, "truncated": truncated, "final_observation": final}
        return obs, state, reward, terminated, truncated, info

    def _reset_after(self, key: jax.Array, params: EnvParams) -> tuple[Any, EnvState]:
        """Begin the next episode from the key of the step before: it is split only where an episode ended."""
        return self.reset_env(jax.random.split(key)[1], params)


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


def start(env: Any, params: Any, key: jax.Array, num_envs: int, split: Split = jax.random.split) -> Stream:
    """Reset `num_envs` environments; `split` makes the key of each."""
    obs, env_state = jax.vmap(env.reset_env, (0, None))(split(key, num_envs), params)
    no = jnp.zeros(num_envs, bool)
    step = TimeStep(obs, jnp.zeros(num_envs, jnp.float32), ~no, no, no)
    return Stream(env_state, step, jnp.zeros(num_envs, jnp.int32))


def advance(
    env: Any, params: Any, stream: Stream, action: jax.Array, key: jax.Array, split: Split = jax.random.split
) -> Stream:
    """Step every environment, or start its next episode where its last step was the final one.

    Args:
      env: a gymnax 1.0 environment.
      params: its parameters.
      stream: the current steps.
      action: (E, ...) environment actions; ignored where `stream.step.is_last`.
      key: typed PRNG key.
      split: (key, E) -> the keys of the environments.

    Returns:
      The next steps.
    """
    num_envs = stream.age.shape[0]
    key_step, key_reset = jax.random.split(key)
    step_keys = split(key_step, num_envs)
    obs, env_state, reward, terminated, _ = jax.vmap(env.step_env, (0, 0, 0, None))(
        step_keys, stream.env_state, action, params
    )
    truncated = jax.vmap(env.is_truncated, (0, None))(env_state, params)
    restart = stream.step.is_last
    reset_keys = split(key_reset, num_envs)
    results = reward, terminated, truncated
    reset = _Reset(env.reset_env, reset_block(env))
    (obs, env_state), results = _reset_where(reset, params, restart, reset_keys, (obs, env_state), results)
    reward, terminated, truncated = results
    terminated, truncated = terminated.astype(bool), truncated.astype(bool)
    step = TimeStep(
        obs=obs,
        reward=jnp.where(restart, jnp.float32(0), reward.astype(jnp.float32)),
        is_first=restart,
        is_last=(terminated | truncated) & ~restart,
        is_terminal=terminated & ~restart,
    )
    return Stream(env_state, step, jnp.where(restart, 0, stream.age + 1))


def diverged(env: Any, params: Any, env_state: Any) -> jax.Array | None:
    """Return which environments' last step was not finite, bool (E,); None where `env` does not say (`is_diverged`)."""
    return jax.vmap(env.is_diverged, (0, None))(env_state, params) if hasattr(env, "is_diverged") else None


def reset_block(env: Any) -> int:
    """Return how many environments are reset at a time: what `env` says (`reset_block`), else `RESET_BLOCK`.

    Raises:
      ValueError: if it is below 1.
    """
    block = int(getattr(env, "reset_block", RESET_BLOCK))
    if block < 1:
        raise ValueError(f"{env.name}: reset_block={block} should be at least 1")
    return block


def longest_episode(env: Any, params: Any) -> int | None:
    """Return the steps of the longest episode, as the environment or its parameters say; None if neither does."""
    for owner, name in ((env, "max_episode_steps"), (params, "max_steps_in_episode")):
        steps = getattr(owner, name, None)
        if steps is not None and math.isfinite(steps):
            return int(steps)
    return None


def _reset_where(reset: _Reset, params: Any, restart: jax.Array, keys: jax.Array, current: Any, results: Any) -> Any:
    """Put fresh resets into the rows of `current` where `restart`.

    The rows that restart are gathered and reset in blocks of a fixed size, so that the work grows with their number and
    there is none when there are none. Under `vmap` the new axis is folded into the rows, so that the loop's condition
    is one scalar for all of them.

    Args:
      reset: what makes an observation and a state, and for how many rows at a time.
      params: parameters, shared by all rows.
      restart: (N,) bool.
      keys: (N,) typed PRNG keys.
      current: (observation, state), leaves (N, ...).
      results: whatever else was computed from the state, leaves (N, ...). It comes back as it is, but by way of the
        loop: without that order XLA copies the whole state at every step, to have it for the reset and for the
        readers.

    Returns:
      (current, results).
    """
    # One row of parameters each: they may differ under a `vmap` over tasks.
    params = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (restart.shape[0], *jnp.shape(leaf))), params)
    return fold_axes(partial(_reset_rows, reset))(restart, keys, params, current, results)


def _reset_rows(reset: _Reset, restart: jax.Array, keys: jax.Array, params: Any, current: Any, results: Any) -> Any:
    rows = restart.shape[0]
    block = min(rows, max(reset.block, rows // RESET_BLOCK))

    def fresh(keys, params):
        return jax.tree.map(lambda new, old: new.astype(old.dtype), jax.vmap(reset.function)(keys, params), current)

    def all_rows():
        return jax.tree.map(lambda new, old: jnp.where(_column(restart, old), new, old), fresh(keys, params), current)

    def next_block(carry):
        pending, current, results = carry
        chosen = jnp.nonzero(pending, size=block, fill_value=rows)[0]
        take = lambda tree: jax.tree.map(lambda leaf: leaf.at[chosen].get(mode="clip"), tree)
        put = lambda tree, new: jax.tree.map(lambda old, new: old.at[chosen].set(new, mode="drop"), tree, new)
        current = put(current, fresh(*take((keys, params))))
        # Rewritten with themselves: XLA would take results that the loop leaves alone out of it again.
        return pending.at[chosen].set(False, mode="drop"), current, put(results, take(results))

    if block == rows:
        return jax.lax.cond(jnp.any(restart), all_rows, lambda: current), results
    return jax.lax.while_loop(lambda carry: jnp.any(carry[0]), next_block, (restart, current, results))[1:]


def _column(rows: jax.Array, like: jax.Array) -> jax.Array:
    return rows.reshape(rows.shape + (1,) * (like.ndim - 1))
