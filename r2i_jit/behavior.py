"""Actor and critic, trained on trajectories that the world model imagines.

At imagined step k: feat_k describes the state, action_k is chosen there, reward_{k+1} and continue_{k+1} belong to the
state that the action leads to. What is large (features of every imagined state) is written once and never copied.

Owned by tests/unit/test_behavior.py (lambda-returns against rlax, gradients against finite differences).
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from r2i_jit import shares
from r2i_jit.actions import ActionSpec, split_groups
from r2i_jit.config import BehaviorConfig
from r2i_jit.nets import distributions as dist
from r2i_jit.nets.mlp import MLP, GatedMLP, cast_kernels
from r2i_jit.world_model import Latent, WorldModel

sg = jax.lax.stop_gradient


Features = tuple[jax.Array, ...]  # of (..., D_i): never concatenated, as that would be a copy of all of them


def features(latent: Latent, policy_input: str) -> Features:
    """Return what actor and critic read: (z, x) "hidden", (z, h) "output" or (z, h, x) "full".

    Where the dynamics read what is new in z, so do they, last: h is from before z, so what is new is in neither.
    """
    x = latent.hidden.reshape(*latent.hidden.shape[:-2], -1)
    parts = {
        "hidden": (latent.stoch, x),
        "output": (latent.stoch, latent.deter),
        "full": (latent.stoch, latent.deter, x),
    }
    return parts[policy_input] if latent.change is None else (*parts[policy_input], latent.change)


class Actor(nn.Module):
    """Policy network: unimix categorical, one for each independent choice, or normal with tanh mean.

    With config.actor_gates, and where it reads what is new in z, the classes that are new are gates as well: what to do
    with what is remembered depends on what was just seen, and a policy gradient takes long to find such a product.
    """

    config: BehaviorConfig
    spec: ActionSpec
    dtype: jnp.dtype = jnp.float32
    new_classes: int = 0  # C, where the last input is what is new in z, (..., S * C)

    @nn.compact
    def __call__(self, feat: Features) -> jax.Array:
        """Map features to raw outputs: (..., A) logits, or (..., 2A) mean and deviation."""
        out = self.spec.size * (1 if self.spec.discrete else 2)
        cfg = self.config
        if cfg.actor_gates:
            new = feat[-1].reshape(*feat[-1].shape[:-1], -1, self.new_classes).max(-2) if self.new_classes else None
            gated = GatedMLP(cfg.actor_layers, cfg.actor_units, out, cfg.actor_gates, cfg.actor_init, self.dtype)
            return gated(*feat, given=new)
        return MLP(cfg.actor_layers, cfg.actor_units, out, cfg.actor_init, self.dtype)(*feat)


class Critic(nn.Module):
    """Value network: two-hot logits, zero-initialised."""

    config: BehaviorConfig
    bins: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, feat: Features) -> jax.Array:
        """Map features to logits (..., bins)."""
        return MLP(self.config.critic_layers, self.config.critic_units, self.bins, 0.0, self.dtype)(*feat)


class Policy(NamedTuple):
    """Distribution over actions made of an actor's raw output."""

    spec: ActionSpec
    unimix: float
    raw: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw action vectors (..., A): one-hot groups without gradient, or reparameterised normal."""
        if self.spec.discrete:
            groups = [dist.unimix_probs(group, self.unimix) for group in self._groups(self.raw)]
            keys = [key] if len(groups) == 1 else jax.random.split(key, len(groups))
            return _joined([dist.sample_one_hot(key, probs) for key, probs in zip(keys, groups, strict=True)])
        mean, std = self.moments()
        return mean + std * shares.drawn(lambda shape: jax.random.normal(key, shape, mean.dtype), mean.shape)

    def mode(self) -> jax.Array:
        """Return the most likely action vectors (..., A)."""
        if self.spec.discrete:
            return _joined([dist.mode_one_hot(group) for group in self._groups(self.raw)])
        return self.moments()[0]

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Return the log-probability (...) of action vectors."""
        if self.spec.discrete:
            pairs = zip(self._groups(action), self._log_probs(), strict=True)
            return functools.reduce(jnp.add, [jnp.sum(chosen * group, -1) for chosen, group in pairs])
        return dist.normal_log_prob(action, *self.moments())

    def entropy(self) -> jax.Array:
        """Return the entropy in nats (...)."""
        if self.spec.discrete:
            return functools.reduce(jnp.add, [dist.entropy(group) for group in self._log_probs()])
        return dist.normal_entropy(self.moments()[1])

    def _groups(self, vector: jax.Array) -> list[jax.Array]:
        return [vector] if len(self.spec.groups) == 1 else split_groups(vector, self.spec.groups)

    def _log_probs(self) -> list[jax.Array]:
        return [dist.unimix_log_probs(group, self.unimix) for group in self._groups(self.raw)]

    def moments(self) -> tuple[jax.Array, jax.Array]:
        """Return mean and standard deviation (..., A) of continuous actions."""
        return dist.tanh_normal(*jnp.split(self.raw, 2, -1))


def _joined(groups: list[jax.Array]) -> jax.Array:
    return groups[0] if len(groups) == 1 else jnp.concatenate(groups, -1)


class Trajectory(NamedTuple):
    """I imagined steps from N states: (I, N, ...), step k leads from state k to state k + 1."""

    feat: Features  # of the states 0..I-1, in which actions are taken
    raw: jax.Array  # (I, N, ...), what the actor put out there
    action: jax.Array  # (I, N, A), taken in them
    reward: jax.Array  # (I, N), of arriving in the states 1..I, in the scale the agent learns from
    cont: jax.Array  # (I, N), of the states 1..I
    start_cont: jax.Array  # (N,), 1 - is_terminal of state 0
    last: Features  # of state I, (N, D_i)


class ReturnNorm(NamedTuple):
    """Running 5th and 95th percentiles of the returns.

    Ref: R2I release `jaxutils.py:315-349`: starts at zero, without bias correction.
    """

    low: jax.Array
    high: jax.Array

    def update(self, returns: jax.Array, decay: jax.Array) -> "ReturnNorm":
        """Move the percentiles towards those of `returns` (I, N)."""
        low, high = jnp.percentile(shares.gathered(returns, 1), jnp.array([5.0, 95.0], jnp.float32))
        return ReturnNorm(decay * self.low + (1 - decay) * low, decay * self.high + (1 - decay) * high)

    def scale(self) -> jax.Array:
        """Return what advantages are divided by: the range, at least 1."""
        return jnp.maximum(1.0, self.high - self.low)


def lambda_returns(
    reward: jax.Array, cont: jax.Array, value: jax.Array, discount: jax.Array, return_lambda: jax.Array
) -> jax.Array:
    """Return R_k = r_{k+1} + discount c_{k+1} [(1 - lambda) v_{k+1} + lambda R_{k+1}], with R_I = v_I.

    Args:
      reward: (I, N), r_1..r_I.
      cont: (I, N), c_1..c_I.
      value: (I + 1, N), v_0..v_I.
      discount: scalar.
      return_lambda: scalar.

    Returns:
      (I, N), R_0..R_{I-1}.

    Ref: R2I release `agent.py:362-374`.
    """
    gamma = discount * cont
    inputs = reward + gamma * (1.0 - return_lambda) * value[1:]

    def step(following, at):
        inputs_k, gamma_k = at
        return_k = inputs_k + gamma_k * return_lambda * following
        return return_k, return_k

    return jax.lax.scan(step, value[-1], (inputs, gamma), reverse=True)[1]


def imagine(
    config: BehaviorConfig,
    spec: ActionSpec,
    model: WorldModel,
    actor: Actor,
    model_params,
    actor_params,
    start: Latent,
    start_cont: jax.Array,
    key: jax.Array,
    nudge: jax.Array | None = None,
) -> Trajectory:
    """Roll the policy out in the world model.

    Args:
      config: horizon I, policy input, continue mode.
      spec: the action space.
      model: the world model; its parameters receive no gradient.
      actor: the policy.
      model_params: parameters of `model`.
      actor_params: parameters of `actor`; receive gradient through reparameterised actions (continuous) only.
      start: N posterior latents.
      start_cont: (N,), 1 - is_terminal of the start states.
      key: typed PRNG key.
      nudge: (I, N, ...), added to what the actor puts out: a gradient by it, at zeros, is one by `Trajectory.raw`, and
        the actor's parameters need none inside the loop.
    """
    variables = {"params": model.for_steps(sg(model_params))}
    prepared = model.apply(variables, method=WorldModel.prepare)
    differentiable = uses_backprop(config, spec)
    if nudge is not None or not differentiable:  # else the gradients would be added up in what kernels are cast to
        actor_params = cast_kernels(actor_params, actor.dtype)
    keeps_deter = config.policy_input != "hidden"

    def heads(latent):
        reward_logits, continue_logit = model.apply(variables, latent, method=WorldModel.heads)
        return dist.two_hot_mean(reward_logits), jax.nn.sigmoid(continue_logit)

    def step(latent, at):
        key, nudge = at
        key_act, key_model = jax.random.split(key)
        feat = features(latent, config.policy_input)
        raw = actor.apply({"params": actor_params}, sg(feat))
        if nudge is not None:
            raw += nudge
        action = Policy(spec, config.actor_unimix, raw).sample(key_act)
        latent = model.apply(
            variables,
            prepared,
            latent,
            action,
            key_model,
            differentiable=differentiable,
            method=WorldModel.imagine_step,
        )
        # Run here and not on the whole trajectory afterwards, the heads need nothing to be kept for them.
        return latent, (feat, raw, action, None if keeps_deter else heads(latent))

    if differentiable:  # computed again on the way back: to write and read what it needs takes longer
        step = jax.checkpoint(step)
    inputs = (jax.random.split(key, config.horizon), nudge)
    last, (feat, raw, action, kept) = jax.lax.scan(step, start, inputs, unroll=min(config.unroll, config.horizon))
    if keeps_deter:  # then once for all steps: on a GPU a step costs its number of kernels
        change = None if start.change is None else feat[-1]
        visited = heads(start._replace(stoch=feat[0], deter=feat[1], change=change))
        kept = jax.tree.map(lambda x, x_last: jnp.concatenate([x[1:], x_last[None]]), visited, heads(last))
    reward, cont = kept
    if config.continue_mode == "mode":
        cont = (cont > 0.5).astype(jnp.float32)
    return Trajectory(feat, raw, action, reward, cont, start_cont, features(last, config.policy_input))


def weights(trajectory: Trajectory, discount: jax.Array) -> jax.Array:
    """Return how much each of the states 0..I-1 counts, (I, N): the discounted chance that imagination got there."""
    cont = jnp.concatenate([trajectory.start_cont[None], trajectory.cont[:-1]])
    return sg(jnp.cumprod(discount * cont, 0) / discount)


def actor_loss(
    config: BehaviorConfig,
    spec: ActionSpec,
    trajectory: Trajectory,
    returns: jax.Array,
    baseline: jax.Array,
    norm: ReturnNorm,
    hypers,
):
    """Return the policy's loss: REINFORCE for discrete actions, backpropagated returns for continuous ones.

    Args:
      config: chooses the gradient estimator.
      spec: the action space.
      trajectory: imagined; the gradient by its `raw` is what the policy learns from.
      returns: (I, N) lambda-returns.
      baseline: (I, N) values of the states the actions were taken in.
      norm: divides the advantages.
      hypers: entropy scale, discount.

    Returns:
      (loss, metrics).

    Ref: R2I release `agent.py:286-310`.
    """
    policy = Policy(spec, config.actor_unimix, trajectory.raw)
    advantage = (returns - baseline) / norm.scale()
    gain = advantage if uses_backprop(config, spec) else policy.log_prob(sg(trajectory.action)) * sg(advantage)
    entropy = policy.entropy()
    weight = weights(trajectory, hypers.discount)
    loss = -jnp.mean(weight * (gain + hypers.entropy_scale * entropy))
    metrics = {
        "actor/loss": loss,
        "actor/entropy": entropy.mean(),
        "actor/advantage_size": jnp.abs(advantage).mean(),
        "actor/return_range": norm.scale(),
    }
    return loss, metrics


def critic_loss(logits: jax.Array, slow_value: jax.Array, trajectory: Trajectory, returns: jax.Array, hypers):
    """Return the critic's loss: two-hot cross-entropy with the returns and with the slow critic's own prediction.

    Args:
      logits: (I, N, bins), the critic's output for the states in which actions were taken.
      slow_value: (I, N), the slow critic's values of them.
      trajectory: the imagined states.
      returns: (I, N) lambda-returns.
      hypers: discount and the scale of the second term.

    Returns:
      (loss, metrics).

    Ref: R2I release `agent.py:342-360`.
    """
    fit = dist.two_hot_loss(logits, sg(returns))
    regular = dist.two_hot_loss(logits, sg(slow_value))
    weight = weights(trajectory, hypers.discount)
    loss = jnp.mean(weight * (fit + hypers.slow_critic_scale * regular))
    return loss, {"critic/loss": loss, "critic/return": returns.mean(), "critic/reward": trajectory.reward.mean()}


def uses_backprop(config: BehaviorConfig, spec: ActionSpec) -> bool:
    """Return whether the policy's gradient flows through the dynamics."""
    if config.actor_gradient == "auto":
        return not spec.discrete
    return config.actor_gradient == "backprop"
