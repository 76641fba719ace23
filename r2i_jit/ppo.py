"""Recurrent PPO: a policy gradient on what was just played, with any recurrence as the memory.

It acts in the same streams of environments as the world model's agent, and stands in its place in the trainer: `init`,
`initial_latent` and `act` are the same; `learn` takes what was played since the last time and not a replay's sample.

Time alignment as in `world_model.py`: at index t arrive together obs_t, reward_t, is_first_t, is_terminal_t; action_t
is chosen after them, and what it brought is reward_{t+1}. An episode's last step is a row of its own, whose action
leads nowhere: it is left out of the losses. Where a time limit cut the episode there, its value stands for the rest.

Ref: Schulman et al., arXiv 1707.06347; generalised advantages, arXiv 1506.02438.
Owned by tests/unit/test_ppo.py and tests/equivalence/test_ppo.py.
"""

from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from r2i_jit import optim, shares
from r2i_jit.actions import ActionSpec
from r2i_jit.agent import AgentState
from r2i_jit.behavior import Actor, Policy
from r2i_jit.config import Config, Hypers
from r2i_jit.nets import distributions as dist
from r2i_jit.nets.mlp import MLP, Linear
from r2i_jit.replay import Transitions
from r2i_jit.sequence.stack import Stack
from r2i_jit.world_model import Encoders

sg = jax.lax.stop_gradient


class Recalled(NamedTuple):
    """What the agent knows after a step: leading axes (B,) or (B, T)."""

    output: jax.Array  # (..., H), of the sequence model: what actor and critic read
    hidden: jax.Array  # (..., L, D), its state


class Core(Encoders):
    """Encoders and the sequence model over observations, previous actions and starts of episodes."""

    def setup(self) -> None:
        """Create encoders, input layer and sequence model."""
        self.make_encoders()
        self.input_net = Linear(self.config.units, self.dtype)
        self.stack = Stack(self.config, self.dtype)

    def initial(self, batch: int) -> Recalled:
        """Return what is known before an episode's first step."""
        return Recalled(jnp.zeros((batch, self.config.units), self.dtype), self.stack.initial(batch))

    def parallel(self, obs: Any, prev_action: jax.Array, is_first: jax.Array, hidden: jax.Array) -> Recalled:
        """Run over a sequence.

        Args:
          obs: arrays (B, T, *shape).
          prev_action: (B, T, A), zeroed here where is_first.
          is_first: (B, T) bool.
          hidden: (B, L, D), before t = 0, replaced where is_first[:, 0].
        """
        return Recalled(*self.stack.parallel(self._input(obs, prev_action, is_first), is_first, hidden))

    def step(self, obs: Any, prev_action: jax.Array, is_first: jax.Array, hidden: jax.Array) -> Recalled:
        """Take one step while acting; arguments as of `parallel`, without T."""
        hidden = jnp.where(is_first[:, None, None], self.stack.initial(is_first.shape[0]), hidden)
        u = self._input(obs, prev_action, is_first)
        return Recalled(*self.stack.step(self.stack.prepare(), u, hidden))

    def _input(self, obs: Any, prev_action: jax.Array, is_first: jax.Array) -> jax.Array:
        prev_action = jnp.where(is_first[..., None], 0.0, prev_action)
        return self.input_net(*self.encoded(obs), prev_action, is_first[..., None].astype(jnp.float32))


class Played(NamedTuple):
    """What is learned from: K steps of E environments, (E, K, ...)."""

    obs: Any
    prev_action: jax.Array  # (E, K, A)
    is_first: jax.Array
    hidden: jax.Array  # (E, L, D), before the first of the steps
    action: jax.Array  # (E, K, A)
    log_prob: jax.Array  # of the action when it was chosen
    advantage: jax.Array
    returns: jax.Array
    counts: jax.Array  # float32, 0 where the action leads nowhere


class PPOAgent:
    """Modules and sizes; holds no arrays."""

    on_policy: ClassVar[bool] = True

    def __init__(self, config: Config, parts: Any, spec: ActionSpec, obs_example: Any):
        """Build the modules; arguments as of `agent.Agent`."""
        self.config, self.spec, self.obs_example = config, spec, obs_example
        dtype = jnp.dtype(config.loop.precision)
        self.model = Core(config.model, parts, dtype)
        self.actor = Actor(config.behavior, spec, dtype)
        self.critic = MLP(config.behavior.critic_layers, config.behavior.critic_units, 1, 0.0, dtype)

    def init(self, key: jax.Array, hypers: Hypers) -> AgentState:
        """Draw parameters and initialise the optimiser, one for all of them."""
        key_model, key_actor, key_critic = jax.random.split(key, 3)
        obs = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), self.obs_example)
        action = jnp.zeros((1, self.spec.size), jnp.float32)
        first = jnp.ones(1, bool)
        model = self.model.init(key_model, obs, action, first, method=_touch)["params"]
        feat = (jnp.zeros((1, self.config.model.units), self.model.dtype),)
        actor, critic = self.actor.init(key_actor, feat)["params"], self.critic.init(key_critic, *feat)["params"]
        opt = optim.optimizers(hypers)[0].tx.init(optim.pack((model, actor, critic)))
        nothing: Any = ()
        return AgentState(
            model, actor, critic, nothing, opt, nothing, nothing, nothing, updates=jnp.zeros((), jnp.int32)
        )

    def initial_latent(self, state: AgentState, num_envs: int) -> Recalled:
        """Return what is known before an episode's first step."""
        return self.model.apply({"params": state.model}, num_envs, method=Core.initial)

    def act(
        self,
        state: AgentState,
        latent: Recalled,
        obs: Any,
        prev_action: jax.Array,
        is_first: jax.Array,
        key: jax.Array,
        *,
        greedy: bool = False,
    ) -> tuple[jax.Array, Recalled]:
        """Choose actions for a batch of environments; as `agent.Agent.act`."""
        encoded = self.spec.encode(prev_action)
        latent = self.model.apply({"params": state.model}, obs, encoded, is_first, latent.hidden, method=Core.step)
        policy = self._policy(state.actor, latent.output)
        return self.spec.decode(policy.mode() if greedy else policy.sample(key)), latent

    def value(self, state: AgentState, latent: Recalled) -> jax.Array:
        """Return the discounted return that the critic expects (...), in the scale that is learned from."""
        return self._value(state.critic, latent.output)

    def learn(
        self,
        state: AgentState,
        begun: tuple[Recalled, jax.Array],
        block: Transitions,
        after: Any,
        hypers: Hypers,
        key: jax.Array,
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """Train on K steps that the agent has just played, several times over.

        Args:
          state: as it was while it played.
          begun: what was known before the steps (E, ...), and the action before them.
          block: the steps, (K, E, ...).
          after: the `TimeStep` that follows, (E, ...).
          hypers: learning rates, discount and the like.
          key: typed PRNG key; for which environments are seen together.

        Returns:
          (state, metrics).
        """
        hypers = optim.decayed(hypers, state.updates)
        played = self.played(state, begun, block, after, hypers)
        cfg, own_envs = self.config.ppo, block.reward.shape[1]
        envs = own_envs * shares.count()

        def epoch(key):
            order = jax.random.permutation(key, jnp.arange(envs, dtype=jnp.int32))
            return order.reshape(cfg.minibatches, -1)

        order = jax.vmap(epoch)(jax.random.split(key, cfg.epochs)).reshape(cfg.epochs * cfg.minibatches, -1)

        def update(state, chosen):
            minibatch = shares.taken(lambda rows: jax.tree.map(lambda leaf: leaf[rows], played), chosen, own_envs)
            return self._update(state, minibatch, hypers)

        state, metrics = jax.lax.scan(update, state, order)
        return state, {name: value.mean() for name, value in metrics.items()}

    def played(
        self, state: AgentState, begun: tuple[Recalled, jax.Array], block: Transitions, after: Any, hypers: Hypers
    ) -> Played:
        """Return what is learned from: nothing need be kept while playing, as the parameters are still the same."""
        steps = jax.tree.map(
            lambda many, one: jnp.swapaxes(jnp.concatenate([many, one[None]]), 0, 1),
            (block.obs, block.reward, block.is_first, block.is_terminal),
            (after.obs, after.reward, after.is_first, after.is_terminal),
        )
        obs, reward, is_first, is_terminal = steps
        action = self.spec.encode(jnp.swapaxes(block.action, 0, 1))
        prev_action = jnp.concatenate([self.spec.encode(begun[1])[:, None], action], 1)
        hidden = begun[0].hidden
        recalled = self.model.apply({"params": state.model}, obs, prev_action, is_first, hidden, method=Core.parallel)
        value = self._value(state.critic, recalled.output)
        log_prob = self.log_prob(self._policy(state.actor, recalled.output[:, :-1]), action)
        counts = 1.0 - is_first[:, 1:].astype(jnp.float32)
        advantage = advantages(
            reward[:, 1:] * hypers.reward_scale,
            1.0 - is_terminal[:, 1:].astype(jnp.float32),
            counts,
            value,
            hypers.discount,
            hypers.return_lambda,
        )
        obs, prev_action, is_first = jax.tree.map(lambda leaf: leaf[:, :-1], (obs, prev_action, is_first))
        returns = advantage + value[:, :-1]
        return sg(Played(obs, prev_action, is_first, hidden, action, log_prob, advantage, returns, counts))

    def loss(self, params: Any, played: Played, hypers: Hypers) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return PPO's loss of a minibatch (`objective`), and metrics.

        Args:
          params: of (core, actor, critic).
          played: a minibatch.
          hypers: clip_range, value_scale, entropy_scale.
        """
        model, actor, critic = params
        inputs = played.obs, played.prev_action, played.is_first, played.hidden
        output = self.model.apply({"params": model}, *inputs, method=Core.parallel).output
        policy = self._policy(actor, output)
        log_prob = self.log_prob(policy, played.action)
        return objective(log_prob, policy.entropy(), self._value(critic, output), played, hypers)

    def log_prob(self, policy: Policy, action: jax.Array) -> jax.Array:
        """Return the log-probability (...) of stored actions (..., A).

        A normal's sample outside [-1, 1] is stored as the end: its probability is that of all that lies beyond.
        """
        if self.spec.discrete:
            return policy.log_prob(action)
        return dist.censored_log_prob(action, *policy.moments())

    def _update(self, state: AgentState, played: Played, hypers: Hypers) -> tuple[AgentState, dict[str, jax.Array]]:
        params = state.model, state.actor, state.critic
        grads, metrics = jax.grad(self.loss, has_aux=True)(params, played, hypers)
        grads = shares.mean(grads)
        optimizer = optim.optimizers(hypers)[0]
        (model, actor, critic), opt = optim.apply(optimizer, grads, state.model_opt, params, hypers, state.updates)
        metrics["actor/grad_norm"] = optax.tree.norm(grads)
        state = state._replace(model=model, actor=actor, critic=critic, model_opt=opt, updates=state.updates + 1)
        return state, metrics

    def _policy(self, actor: Any, output: jax.Array) -> Policy:
        return Policy(self.spec, self.config.behavior.actor_unimix, self.actor.apply({"params": actor}, (output,)))

    def _value(self, critic: Any, output: jax.Array) -> jax.Array:
        return self.critic.apply({"params": critic}, output)[..., 0]


def objective(
    log_prob: jax.Array, entropy: jax.Array, value: jax.Array, played: Played, hypers: Hypers
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return PPO's loss, over the steps whose action counts: clipped surrogate, squared error of values, entropy.

    Args:
      log_prob: (E, K), of the actions now.
      entropy: (E, K), of the policy now.
      value: (E, K), now.
      played: what is learned from; its advantages are brought to mean 0 and deviation 1 here.
      hypers: clip_range, value_scale, entropy_scale.

    Returns:
      (loss, metrics).
    """
    mean = partial(_mean, counts=played.counts)
    advantage = played.advantage - shares.mean(mean(played.advantage))
    advantage = advantage / (jnp.sqrt(shares.mean(mean(advantage**2))) + 1e-8)
    log_ratio = log_prob - played.log_prob
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - hypers.clip_range, 1.0 + hypers.clip_range)
    actor_loss = -mean(jnp.minimum(ratio * advantage, clipped * advantage))
    critic_loss = 0.5 * mean((value - played.returns) ** 2)
    mean_entropy = mean(entropy)
    total = actor_loss + hypers.value_scale * critic_loss - hypers.entropy_scale * mean_entropy
    metrics = {
        "actor/loss": actor_loss,
        "actor/entropy": mean_entropy,
        "actor/kl": mean(ratio - 1.0 - log_ratio),
        "actor/clipped": mean((ratio != clipped).astype(jnp.float32)),
        "critic/loss": critic_loss,
        "critic/return": mean(played.returns),
    }
    return total, metrics


def advantages(
    reward: jax.Array,
    cont: jax.Array,
    counts: jax.Array,
    value: jax.Array,
    discount: jax.Array | float,
    trace: jax.Array | float,
) -> jax.Array:
    """Return generalised advantages (E, K) of the actions at the steps 0..K-1.

    A_t = d_t + discount trace m_{t+1} A_{t+1} with d_t = r_{t+1} + discount c_{t+1} v_{t+1} - v_t, and 0 where the
    action leads nowhere.

    Args:
      reward: (E, K), r_1..r_K.
      cont: (E, K), c_1..c_K: 0 where the episode terminated.
      counts: (E, K), m_0..m_{K-1}: 0 at an episode's last step.
      value: (E, K + 1), v_0..v_K.
      discount: scalar.
      trace: scalar, lambda.
    """
    error = counts * (reward + discount * cont * value[:, 1:] - value[:, :-1])

    def step(following, at):
        error, counts = at
        advantage = error + discount * trace * counts * following
        return advantage, advantage

    by_time = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (error, counts))
    found = jax.lax.scan(step, jnp.zeros_like(error[:, 0]), by_time, reverse=True)[1]
    return jnp.swapaxes(found, 0, 1)


def _touch(core: Core, obs: Any, prev_action: jax.Array, is_first: jax.Array) -> Recalled:
    return core.step(obs, prev_action, is_first, core.initial(1).hidden)


def _mean(x: jax.Array, counts: jax.Array) -> jax.Array:
    """Return the mean over what counts; of several devices, each its part, whose mean is that of all."""
    return jnp.sum(counts * x) / jnp.maximum(shares.mean(jnp.sum(counts)), 1.0 / shares.count())
