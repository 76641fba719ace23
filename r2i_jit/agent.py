"""The agent as pure functions: initialise, act, and one training update of world model, actor and critic."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from r2i_jit import behavior, model_loss, optim, shares
from r2i_jit.actions import ActionSpec
from r2i_jit.behavior import Actor, Critic, Policy, ReturnNorm
from r2i_jit.config import Config, Hypers
from r2i_jit.model_loss import Batch
from r2i_jit.nets import distributions as dist
from r2i_jit.observations import latent_groups
from r2i_jit.world_model import Latent, WorldModel


class AgentState(NamedTuple):
    """Everything that learning changes."""

    model: Any
    actor: Any
    critic: Any
    slow_critic: Any
    model_opt: Any
    actor_opt: Any
    critic_opt: Any
    return_norm: ReturnNorm
    updates: jax.Array  # int32


class Agent:
    """Modules and sizes; holds no arrays."""

    on_policy: ClassVar[bool] = False

    def __init__(self, config: Config, parts: Any, spec: ActionSpec, obs_example: Any):
        """Build the modules.

        Args:
          config: the run's configuration.
          parts: what the observation is made of; see `observations.py`.
          spec: the action space.
          obs_example: one observation (shape and dtype, a tuple of them where it is several arrays).
        """
        self.config, self.spec, self.obs_example = config, spec, obs_example
        dtype = jnp.dtype(config.loop.precision)
        self.model = WorldModel(config.model, parts, dtype)
        new_classes = latent_groups(config.model, parts)[1] if config.model.dynamics_input == "change" else 0
        self.actor = Actor(config.behavior, spec, dtype, new_classes)
        self.critic = Critic(config.behavior, config.model.bins, dtype)

    def init(self, key: jax.Array, hypers: Hypers) -> AgentState:
        """Draw parameters and initialise the optimisers."""
        key_model, key_actor, key_critic, key_sample = jax.random.split(key, 4)
        obs = jax.tree.map(lambda leaf: jnp.zeros((1, 2, *leaf.shape), leaf.dtype), self.obs_example)
        action = jnp.zeros((1, 2, self.spec.size), jnp.float32)
        model = self.model.init(key_model, obs, action, jnp.zeros((1, 2), bool), key_sample)["params"]
        latent = self.model.apply({"params": model}, 1, method=WorldModel.initial)
        feat = behavior.features(latent, self.config.behavior.policy_input)
        actor = self.actor.init(key_actor, feat)["params"]
        critic = self.critic.init(key_critic, feat)["params"]
        model_tx, actor_tx, critic_tx = (optimizer.tx for optimizer in optim.optimizers(hypers))
        return AgentState(
            model,
            actor,
            critic,
            jax.tree.map(jnp.copy, critic),
            model_tx.init(optim.pack(model)),
            actor_tx.init(optim.pack(actor)),
            critic_tx.init(optim.pack(critic)),
            ReturnNorm(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32)),
            jnp.zeros((), jnp.int32),
        )

    def initial_latent(self, state: AgentState, num_envs: int) -> Latent:
        """Return the latent before an episode's first step."""
        return self.model.apply({"params": state.model}, num_envs, method=WorldModel.initial)

    def act(
        self,
        state: AgentState,
        latent: Latent,
        obs: Any,
        prev_action: jax.Array,
        is_first: jax.Array,
        key: jax.Array,
        *,
        greedy: bool = False,
    ) -> tuple[jax.Array, Latent]:
        """Choose actions for a batch of environments.

        Args:
          state: parameters.
          latent: after the previous step, (E, ...).
          obs: arrays (E, *shape).
          prev_action: (E,) or (E, A) stored actions; ignored where is_first.
          is_first: (E,) bool.
          key: typed PRNG key.
          greedy: take the most likely latent and action instead of samples.

        Returns:
          (stored actions, latent after this step).
        """
        key_model, key_act = jax.random.split(key)
        variables = {"params": state.model}
        encoded = self.spec.encode(prev_action)
        latent = self.model.apply(
            variables,
            obs,
            encoded,
            is_first,
            latent,
            None if greedy else key_model,
            method=WorldModel.observe_step,
        )
        raw = self.actor.apply({"params": state.actor}, behavior.features(latent, self.config.behavior.policy_input))
        policy = Policy(self.spec, self.config.behavior.actor_unimix, raw)
        return self.spec.decode(policy.mode() if greedy else policy.sample(key_act)), latent

    def value(self, state: AgentState, latent: Latent) -> jax.Array:
        """Return the discounted return that the critic expects (...), in the scale that is learned from."""
        feat = behavior.features(latent, self.config.behavior.policy_input)
        return dist.two_hot_mean(self.critic.apply({"params": state.critic}, feat))

    def update(
        self, state: AgentState, batch: Batch, hypers: Hypers, key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """Train on one batch: the world model, then actor and critic in imagination from its posterior states."""
        hypers = optim.decayed(hypers, state.updates)
        key_model, key_starts, key_imagine = jax.random.split(key, 3)
        state, latent, model_metrics = self._update_model(state, batch, hypers, key_model)
        start, start_cont = self._starts(latent, batch, key_starts)
        learned, behavior_metrics = self._update_behavior(state, start, start_cont, hypers, key_imagine)
        # Not by learning rates of zero: what a model imagines that knows nothing would fill the optimisers' averages.
        done = state.updates.astype(jnp.float32) - hypers.head_start
        actor, actor_opt = _where(
            done >= hypers.critic_head_start, (learned.actor, learned.actor_opt), (state.actor, state.actor_opt)
        )
        learned = learned._replace(actor=actor, actor_opt=actor_opt)
        state = _where(done >= 0, learned, state)
        return state._replace(updates=state.updates + 1), model_metrics | behavior_metrics

    def _update_model(self, state, batch, hypers, key):
        def loss(params):
            return model_loss.loss(self.model, params, batch, hypers, key)

        (_, (metrics, latent)), grads = jax.value_and_grad(loss, has_aux=True)(state.model)
        grads = shares.mean(grads)
        optimizer = optim.optimizers(hypers)[0]
        params, opt = optim.apply(optimizer, grads, state.model_opt, state.model, hypers, state.updates)
        metrics["model/grad_norm"] = optax.tree.norm(grads)
        return state._replace(model=params, model_opt=opt), latent, metrics

    def _starts(self, latent: Latent, batch: Batch, key: jax.Array) -> tuple[Latent, jax.Array]:
        """Return N start latents (N, ...) and 1 - is_terminal (N,): all B * T posterior states, or a random subset.

        Of several devices, each has its share of all of them.

        Of these, a share of config.behavior.first_starts is of the sequences' first steps.
        """
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), latent)
        cont = 1.0 - batch.is_terminal.reshape(-1).astype(jnp.float32)
        own, wanted = cont.shape[0], self.config.behavior.imagination_starts
        total = own * shares.count()
        if not 0 < wanted < total:
            return flat, cont
        length = batch.is_terminal.shape[1]
        first = round(self.config.behavior.first_starts * wanted)
        key_first, key = jax.random.split(key) if first else (key, key)
        index = _spread(key, wanted - first, total)
        if first:
            index = jnp.concatenate([_spread(key_first, first, total // length) * length, index])
        return shares.taken(lambda index: jax.tree.map(lambda x: x[index], (flat, cont)), index, own)

    def _update_behavior(self, state, start, start_cont, hypers, key):
        _, actor_optimizer, critic_optimizer = optim.optimizers(hypers)
        (metrics, trajectory, returns, norm), actor_grads, critic_parts = self._actor_gradient(
            state, start, start_cont, hypers, key
        )
        actor_grads = shares.mean(actor_grads)
        metrics["actor/grad_norm"] = optax.tree.norm(actor_grads)
        actor, actor_opt = optim.apply(
            actor_optimizer, actor_grads, state.actor_opt, state.actor, hypers, state.updates
        )

        logits, pull_back = critic_parts
        slow = dist.two_hot_mean(self.critic.apply({"params": state.slow_critic}, trajectory.feat))

        def critic_objective(logits):
            return behavior.critic_loss(logits, slow, trajectory, returns, hypers)

        (_, critic_metrics), logits_grad = jax.value_and_grad(critic_objective, has_aux=True)(logits)
        (critic_grads,) = shares.mean(pull_back(logits_grad))
        metrics["critic/grad_norm"] = optax.tree.norm(critic_grads)
        critic, critic_opt = optim.apply(
            critic_optimizer, critic_grads, state.critic_opt, state.critic, hypers, state.updates
        )
        slow_critic = optax.incremental_update(critic, state.slow_critic, hypers.slow_critic_rate)
        first = state.updates == 0
        slow_critic = jax.tree.map(lambda new, old: jnp.where(first, new, old), critic, slow_critic)
        state = state._replace(
            actor=actor,
            actor_opt=actor_opt,
            critic=critic,
            critic_opt=critic_opt,
            slow_critic=slow_critic,
            return_norm=norm,
        )
        return state, metrics | critic_metrics

    def _actor_gradient(self, state, start, start_cont, hypers, key):
        """Imagine, and differentiate the actor's loss.

        It is differentiated by what the actor put out, and that by the actor's parameters for all steps at once. The
        critic is run forward once: its logits and their pull-back serve the returns and the critic's own loss.

        Returns:
          ((metrics, trajectory, returns, updated normaliser), actor gradient, (critic logits, their pull-back)).
        """
        cfg, spec = self.config.behavior, self.spec

        def rollout(nudge=None):
            return behavior.imagine(
                cfg, spec, self.model, self.actor, state.model, state.actor, start, start_cont, key, nudge
            )

        def objective(trajectory, logits):
            last = self.critic.apply({"params": state.critic}, trajectory.last)
            value = dist.two_hot_mean(logits)
            returns = behavior.lambda_returns(
                trajectory.reward,
                trajectory.cont,
                jnp.concatenate([value, dist.two_hot_mean(last)[None]]),
                hypers.discount,
                hypers.return_lambda,
            )
            norm = state.return_norm.update(jax.lax.stop_gradient(returns), hypers.return_decay)
            loss, metrics = behavior.actor_loss(cfg, spec, trajectory, returns, value, norm, hypers)
            return loss, (metrics, returns, norm)

        def run(module):
            return lambda params, feat: module.apply({"params": params}, feat)

        through_dynamics = behavior.uses_backprop(cfg, spec)
        if through_dynamics:
            still = jax.tree.map(lambda raw: jnp.zeros(raw.shape, raw.dtype), jax.eval_shape(rollout).raw)
            trajectory, pull_back_rollout = jax.vjp(rollout, still)
        else:
            trajectory = rollout()
        logits, pull_back_critic = jax.vjp(run(self.critic), state.critic, trajectory.feat)
        (by_trajectory, by_logits), (metrics, returns, norm) = jax.grad(objective, (0, 1), has_aux=True)(
            trajectory, logits
        )
        by_raw = by_trajectory.raw
        if through_dynamics:
            _, by_feat = pull_back_critic(by_logits)
            feat = jax.tree.map(jnp.add, by_trajectory.feat, by_feat)
            (by_raw,) = pull_back_rollout(by_trajectory._replace(feat=feat))
        _, pull_back_actor = jax.vjp(run(self.actor), state.actor, trajectory.feat)
        critic_parts = logits, lambda by_logits: pull_back_critic(by_logits)[:1]
        return (metrics, trajectory, returns, norm), pull_back_actor(by_raw)[0], critic_parts


def _where(condition: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda new, old: jnp.where(condition, new, old), new, old)


def _spread(key: jax.Array, wanted: int, total: int) -> jax.Array:
    """Return one random index in each of `wanted` equal stretches of `total`: an even cover without a shuffle."""
    place = jnp.arange(wanted, dtype=jnp.int32).astype(jnp.float32)
    place += jax.random.uniform(key, (wanted,), jnp.float32)
    return jnp.minimum((place * (total / max(1, wanted))).astype(jnp.int32), total - 1)
