"""How agent and environment take turns: collect steps for replay, and play evaluation episodes."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs import episodes
from envs.episodes import Stream
from r2i_jit import shares
from r2i_jit.actions import ActionSpec
from r2i_jit.agent import AgentState
from r2i_jit.algorithms import Learner
from r2i_jit.replay import Transitions
from r2i_jit.world_model import Latent

NEVER = 2**31 - 1  # steps: an episode is shorter


class Player(NamedTuple):
    """Environments in mid-flight with what the agent carries between their steps; leading axis E."""

    stream: Stream
    latent: Latent
    prev_action: jax.Array
    episode_return: jax.Array  # (E,) of the running episode, in the game's own reward


class Ended(NamedTuple):
    """The episodes that ended, each where it did: step by step (K, E)."""

    is_last: jax.Array  # bool; the rest means something where it is true
    episode_return: jax.Array  # float32, in the game's own reward
    episode_length: jax.Array  # int32, steps
    sums: dict[str, jax.Array]  # float32, by the names in the environment's `info` (`envs.tally`)


class EpisodeStats(NamedTuple):
    """Sums over the episodes that ended."""

    episodes: jax.Array  # how many
    total_return: jax.Array
    total_length: jax.Array
    diverged: jax.Array | None  # how many because their physics did; None where the environment does not say


def start(agent: Learner, env: Any, params: Any, state: AgentState, key: jax.Array, num_envs: int) -> Player:
    """Reset the environments and the agent's latent."""
    stream = episodes.start(env, params, key, num_envs, shares.keys)
    nothing = agent.spec.random(jax.random.key(0), num_envs) * 0
    return Player(stream, agent.initial_latent(state, num_envs), nothing, jnp.zeros(num_envs, jnp.float32))


def collect(
    agent: Learner,
    env: Any,
    params: Any,
    state: AgentState,
    player: Player,
    key: jax.Array,
    steps: int,
    *,
    random: bool,
    repeat: float = 0.0,
    tallied: bool = False,
) -> tuple[Player, Transitions, EpisodeStats, Ended | tuple[()]]:
    """Play `steps` steps in every environment.

    Args:
      agent: acts, with sampled actions.
      env: gymnax environment.
      params: its parameters.
      state: the agent's parameters.
      player: where the last call left off.
      key: typed PRNG key.
      steps: K.
      random: draw uniform actions instead and leave the latent alone (for prefill).
      repeat: chance that a random action is the previous one again, within an episode.
      tallied: whether `env` is a `Tally`, and every episode that ends is to be told.

    Returns:
      (player, transitions (K, E, ...), statistics of the episodes that ended, and if `tallied` these themselves).
    """

    def step(player, key):
        key_act, key_env = jax.random.split(key)
        now = player.stream.step
        if random:
            action, latent = stroll(agent.spec, player, key_act, repeat), player.latent
        else:
            action, latent = agent.act(state, player.latent, now.obs, player.prev_action, now.is_first, key_act)
        running = player.episode_return + now.reward
        stored = Transitions(now.obs, action, now.reward, now.is_first, now.is_terminal, player.stream.age)
        diverged = episodes.diverged(env, params, player.stream.env_state)
        ended = EpisodeStats(
            now.is_last,
            jnp.where(now.is_last, running, 0.0),
            now.is_last.astype(jnp.int32) * player.stream.age,
            None if diverged is None else diverged & now.is_last,
        )
        told = Ended(now.is_last, running, player.stream.age, player.stream.env_state.sums) if tallied else ()
        stream = episodes.advance(env, params, player.stream, agent.spec.to_env(action), key_env, shares.keys)
        running = jnp.where(now.is_last, 0.0, running)
        return Player(stream, latent, action, running), (stored, ended, told)

    player, (block, ended, told) = jax.lax.scan(step, player, jax.random.split(key, steps))
    return player, block, jax.tree.map(lambda x: jnp.sum(x).astype(jnp.float32), ended), told


def stroll(spec: ActionSpec, player: Player, key: jax.Array, repeat: float) -> jax.Array:
    """Draw uniform actions (E,) or (E, A), but with chance `repeat` the previous ones, within an episode."""
    now = player.stream.step
    count = now.reward.shape[0]
    uniform = lambda key: shares.drawn(lambda rows: spec.random(key, *rows), (count,))
    if not repeat:
        return uniform(key)
    key_repeat, key_action = jax.random.split(key)
    again = shares.drawn(lambda rows: jax.random.bernoulli(key_repeat, jnp.float32(repeat), rows), (count,))
    again &= ~now.is_first
    action = uniform(key_action)
    return jnp.where(again.reshape(-1, *[1] * (action.ndim - 1)), player.prev_action, action)


def evaluate(
    agent: Learner,
    env: Any,
    params: Any,
    state: AgentState,
    key: jax.Array,
    num_episodes: int,
    *,
    greedy: bool | jax.Array,
    forget: int | jax.Array = NEVER,
    max_steps: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Play fresh episodes side by side until each has ended once, or for `max_steps` steps.

    Args:
      agent: acts.
      env: gymnax environment.
      params: its parameters.
      state: the agent's parameters.
      key: typed PRNG key.
      num_episodes: how many.
      greedy: most likely actions instead of samples, bool (): one program does either.
      forget: the agent forgets every so many steps of an episode, int32 (), at least 1: all that it carries is put back
        to where an episode starts, so that what it does hangs on the steps since then. The environment goes on.
      max_steps: an episode that has not ended after so many is cut there.

    Returns:
      (episode returns (num_episodes,) in the game's own reward, lengths in steps (num_episodes,) int32, whether the
      episode was cut (num_episodes,) bool).
    """
    key_start, key_play = jax.random.split(key)
    player = start(agent, env, params, state, key_start, num_episodes)
    zeros = jnp.zeros(num_episodes, jnp.float32)

    def act(*seen):
        return jax.lax.cond(greedy, *(partial(agent.act, state, greedy=way) for way in (True, False)), *seen)

    def unfinished(carry):
        return ~jnp.all(carry[3]) & (carry[5] <= max_steps)

    def step(carry):
        player, returns, lengths, done, key, index = carry
        key, key_act, key_env = jax.random.split(key, 3)
        now = player.stream.step
        returns = returns + jnp.where(done, 0.0, now.reward)
        lengths = jnp.where(done, lengths, player.stream.age)
        done = done | now.is_last
        restart = player.stream.age % forget == 0  # an episode's first step is of age 0
        action, latent = act(player.latent, now.obs, player.prev_action, restart, key_act)
        stream = episodes.advance(env, params, player.stream, agent.spec.to_env(action), key_env, shares.keys)
        return Player(stream, latent, action, player.episode_return), returns, lengths, done, key, index + 1

    zero = jnp.zeros((), jnp.int32)
    carry = (player, zeros, zeros.astype(jnp.int32), jnp.zeros(num_episodes, bool), key_play, zero)
    _, returns, lengths, done, _, _ = jax.lax.while_loop(unfinished, step, carry)
    return returns, lengths, ~done
