"""Who plays what is recorded: a run's agent, a reference player, or chance."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import envs
from envs.wrappers import arranged
from experiments.oracles import Oracle, oracles
from experiments.running import cli, restoring
from experiments.running.evaluation import SEPARATE, draws, evaluation_key
from r2i_jit.agent import Agent, AgentState
from r2i_jit.recording import Policy, agent_policy, random_policy

AGENT, ORACLE, RANDOM = "agent", "oracle", "random"


class Match(NamedTuple):
    """An environment and its player.

    Attributes:
      title: names both.
      env: gymnax environment.
      params: its parameters.
      policy: who plays.
      key: typed PRNG key of the episodes.
      agent: of the run, or None where no checkpoint was read.
      state: its parameters, likewise.
    """

    title: str
    env: Any
    params: Any
    policy: Policy
    key: jax.Array
    agent: Agent | None = None
    state: AgentState | None = None


def without_run(env_id: str, player: str, seed: int) -> Match:
    """Return a match of chance or of the environment's best reference player; exit 2 where there is none."""
    try:
        env, params = envs.make(env_id)
        env = arranged(env, params)
    except ValueError as error:
        cli.fail(error)
    title, policy = _policy(env_id, env, params, player)
    return Match(title, env, params, policy, evaluation_key(seed, SEPARATE, 0))


def of_run(run_dir: Path, step: int | str, member: int, player: str, seed: int) -> Match:
    """Return a match with a run's agent at hand, whoever plays; exit as `restoring.restore`.

    Args:
      run_dir: a run directory, or one exported agent.
      step: environment steps, "best" or "latest".
      member: which of the run's agents.
      player: one of the three.
      seed: of the episodes; the agent plays those of `experiments.evaluate`.
    """
    env_id = restoring.described(run_dir, member)
    run_dir, member = restoring.part(run_dir, member)
    trainer, info, step, state = restoring.restore(run_dir, step)
    env, params, agent = trainer.env, trainer.settings.params[trainer.settings.number(env_id)], trainer.agent
    agent_state = jax.tree.map(lambda leaf: leaf[member], state.seeds.agent)
    if player == AGENT:
        greedy = trainer.config.loop.evaluation_greedy
        title, policy = env_id, agent_policy(agent, env, params, agent_state, greedy=greedy)
        # As Trainer.evaluate derives it.
        key = jax.random.fold_in(evaluation_key(seed, SEPARATE, step), draws(info)[member])
    else:
        title, policy = _policy(env_id, env, params, player)
        key = evaluation_key(seed, SEPARATE, 0)
    return Match(title, env, params, policy, key, agent, agent_state)


def _policy(env_id: str, env: Any, params: Any, player: str) -> tuple[str, Policy]:
    """Return (title, policy) of a player that is no agent."""
    if player == RANDOM:
        return env_id, random_policy(env, params)
    known = oracles(env_id)
    if not known:
        cli.fail(f"--policy {ORACLE}: no reference player is known for {env_id}")
    return f"{env_id} | {known[0].label}", oracle_policy(env, params, known[0])


def oracle_policy(env: Any, params: Any, oracle: Oracle) -> Policy:
    """Return the policy of a reference player, for episodes that begin when it does."""

    def start(_, num_episodes):
        repeat = lambda leaf: jnp.broadcast_to(leaf, (num_episodes, *jnp.shape(leaf)))
        return jax.tree.map(repeat, oracle.start(env, params))

    def act(_, memory, stream, key):
        seen = (None, stream.env_state) if oracle.sees == "state" else (stream.step.obs, None)
        keys = jax.random.split(key, stream.age.shape[0])
        return jax.vmap(lambda memory, seen, key: oracle.act(env, params, memory, *seen, key))(memory, seen, keys)

    return Policy((), start, act)
