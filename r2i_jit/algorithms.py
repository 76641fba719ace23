"""What is trained, by `config.algorithm`, and what every kind of it has to offer."""

from typing import Any, ClassVar, Protocol

import jax

from r2i_jit.actions import ActionSpec
from r2i_jit.agent import Agent, AgentState
from r2i_jit.config import Config, Hypers
from r2i_jit.ppo import PPOAgent


class Learner(Protocol):
    """An agent as the trainer, rollouts and trained policies see it: modules and sizes, no arrays.

    Beside these names it learns, after every turn: by `update(state, batch, hypers, key)` from a replay's sample, or
    where it is `on_policy` by `learn(state, begun, block, after, hypers, key)` from what it has just played. Its state
    is an `AgentState`; what it knows between two steps (`latent`) is any pytree of arrays with environments in front.
    """

    on_policy: ClassVar[bool]
    config: Config
    spec: ActionSpec
    obs_example: Any

    def init(self, key: jax.Array, hypers: Hypers) -> AgentState:
        """Draw parameters and initialise the optimisers."""

    def initial_latent(self, state: AgentState, num_envs: int) -> Any:
        """Return what is known before an episode's first step."""

    def act(
        self,
        state: AgentState,
        latent: Any,
        obs: Any,
        prev_action: jax.Array,
        is_first: jax.Array,
        key: jax.Array,
        *,
        greedy: bool = False,
    ) -> tuple[jax.Array, Any]:
        """Choose actions for a batch of environments; see `agent.Agent.act`."""

    def value(self, state: AgentState, latent: Any) -> jax.Array:
        """Return the discounted return that the critic expects (...), in the scale that is learned from."""


def make_agent(config: Config, parts: Any, spec: ActionSpec, obs_example: Any) -> Any:
    """Return the agent that a configuration describes; arguments as of `agent.Agent`."""
    made: Learner = (PPOAgent if config.algorithm == "ppo" else Agent)(config, parts, spec, obs_example)
    return made
