"""Whole episodes, every state of them kept: for drawing, and for looking into what an agent did."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from envs import episodes
from envs.episodes import Stream, TimeStep
from r2i_jit import compiling, rollout
from r2i_jit.agent import AgentState
from r2i_jit.algorithms import Learner


class Policy(NamedTuple):
    """Who plays.

    Attributes:
      weights: pytree of arrays that stay the same.
      start: (weights, E) -> memory before an episode's first step, leading axis E.
      act: (weights, memory, E environments in mid-flight, key) -> (E actions as the environment takes them, memory).
        An agent looks at their current steps only.
    """

    weights: Any
    start: Callable[[Any, int], Any]
    act: Callable[[Any, Any, Stream, jax.Array], tuple[jax.Array, Any]]


class Recording(NamedTuple):
    """What was there at each index: leading axes (T, E), or (T,) for one episode.

    Attributes:
      step: observation, the reward that led to it, and flags.
      env_state: the environment's state.
      action: what was chosen there, as the environment takes it; ignored on an episode's last step.
      kept: of what the player then keeps in memory, what was asked for; else ().
    """

    step: TimeStep
    env_state: Any
    action: jax.Array
    kept: Any = ()


def nothing(memory: Any) -> tuple[()]:
    """Return nothing of a memory."""
    return ()


def agent_policy(agent: Learner, env: Any, params: Any, state: AgentState, *, greedy: bool) -> Policy:
    """Return the policy of a trained agent; `greedy` takes the most likely actions instead of samples."""

    def start(state, num_episodes):
        # Its environments are not used, and so not computed.
        player = rollout.start(agent, env, params, state, jax.random.key(0), num_episodes)
        return player.latent, player.prev_action

    def act(state, memory, stream, key):
        (latent, prev_action), now = memory, stream.step
        action, latent = agent.act(state, latent, now.obs, prev_action, now.is_first, key, greedy=greedy)
        return agent.spec.to_env(action), (latent, action)

    return Policy(state, start, act)


def random_policy(env: Any, params: Any) -> Policy:
    """Return uniformly random play."""
    space = env.action_space(params)

    def act(_, memory, stream, key):
        # gymnax draws a Box's numbers in the default dtype: with x64, other numbers than without.
        with jax.enable_x64(False):
            return jax.vmap(space.sample)(jax.random.split(key, stream.age.shape[0])), memory

    return Policy((), lambda _, num_episodes: (), act)


def record(
    env: Any,
    params: Any,
    policy: Policy,
    key: jax.Array,
    num_episodes: int,
    num_steps: int,
    kept: Callable[[Any], Any] = nothing,
) -> Recording:
    """Play fresh episodes side by side, as `rollout.evaluate` does: an agent plays the same ones for the same key.

    Args:
      env: gymnax environment.
      params: its parameters.
      policy: who plays.
      key: typed PRNG key.
      num_episodes: E.
      num_steps: how many steps to play; T is one more, and an episode that ends before is followed by others.
      kept: the policy's memory, leading axis E -> what of it to record.

    Returns:
      The recording, leading axes (T, E).
    """

    return program(env, params, policy, num_episodes, num_steps, kept)(policy.weights, key)


def program(
    env: Any,
    params: Any,
    policy: Policy,
    num_episodes: int,
    num_steps: int,
    kept: Callable[[Any], Any] = nothing,
) -> Callable[[Any, jax.Array], Recording]:
    """Return what `record` runs, (weights, key) -> Recording, compiled when it is first called; arguments as there.

    Args:
      policy: its weights are not used.
    """

    @partial(jax.jit, compiler_options=compiling.quick())  # run a few times, at most
    def play(weights, key):
        key_start, key_play = jax.random.split(key)
        stream = episodes.start(env, params, key_start, num_episodes)

        def step(carry, _):
            stream, memory, key = carry
            key, key_act, key_env = jax.random.split(key, 3)
            action, memory = policy.act(weights, memory, stream, key_act)
            row = Recording(stream.step, stream.env_state, action, kept(memory))
            stream = episodes.advance(env, params, stream, action, key_env)
            return (stream, memory, key), row

        carry = (stream, policy.start(weights, num_episodes), key_play)
        return jax.lax.scan(step, carry, None, length=num_steps + 1)[1]

    return play


def separate(recording: Recording) -> list[Recording]:
    """Return the first episode of every environment by itself, up to its last step or the recording's end."""
    is_last = np.asarray(recording.step.is_last)
    lengths = np.where(is_last.any(0), is_last.argmax(0) + 1, len(is_last))
    return [jax.tree.map(lambda leaf, e=e, n=n: leaf[:n, e], recording) for e, n in enumerate(lengths)]
