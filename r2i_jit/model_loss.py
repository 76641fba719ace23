"""What the world model is trained on: reconstruction, reward, continue and the two KL terms, over a batch of sequences.

Owned by tests/equivalence/test_world_model.py (gradients) and tests/unit/test_decoded_steps.py.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from r2i_jit import shares
from r2i_jit.nets import distributions as dist
from r2i_jit.observations import observation_loss
from r2i_jit.world_model import Latent, WorldModel

_DECODED = 2**32 - 1  # names a key of its own beside the posterior samples' draws, which count up from 0


class Batch(NamedTuple):
    """Training sequences, (B, T, ...)."""

    obs: Any  # arrays (B, T, *shape)
    prev_action: jax.Array  # (B, T, A): what the dynamics at t consume
    reward: jax.Array
    is_first: jax.Array
    is_terminal: jax.Array


def loss(model: WorldModel, params, batch: Batch, hypers, key: jax.Array):
    """Return the world model's loss.

    L = observation + reward + continue
        + dyn_scale max(free, KL(sg post, prior)) + rep_scale max(free, KL(post, sg prior)),
    the KL summed over latents and floored per time step, everything averaged over (B, T); the observation's over
    config.decoded_steps of the T steps, if that is set, which is the same in expectation. Where the latent is the
    observation, that part is zero and KL(post, prior) is the prior's cross-entropy with the observation.

    Args:
      model: the module.
      params: its parameters.
      batch: sequences whose first step is marked is_first.
      hypers: loss scales and free nats.
      key: for posterior samples.

    Returns:
      (loss, (metrics, latent (B, T, ...) without gradient)).

    Ref: R2I release `nets.py:203-228`, `agent.py:187-195`.
    """

    def apply(method, *args):
        return model.apply({"params": params}, *args, method=method)

    carry = apply(WorldModel.initial, batch.reward.shape[0])
    observed = apply(WorldModel.observe, batch.obs, batch.prev_action, batch.is_first, carry, key)
    reward_logits, continue_logit = apply(WorldModel.heads, observed.latent)
    if model.config.posterior == "observation":  # nothing is lost, and nothing to learn
        obs, observation = batch.obs, jnp.zeros(batch.reward.shape, jnp.float32)
    else:
        shown, obs = decoded(model.config.decoded_steps, observed.latent, batch.obs, jax.random.fold_in(key, _DECODED))
        reconstruction = apply(WorldModel.reconstruct, shown)
        observation = observation_loss(model.config, model.parts, reconstruction, obs)

    sg = jax.lax.stop_gradient
    dyn = dist.kl(sg(observed.post), observed.prior).sum(-1)
    rep = dist.kl(observed.post, sg(observed.prior)).sum(-1)
    losses = {
        "observation": observation,
        "reward": dist.two_hot_loss(reward_logits, batch.reward * hypers.reward_scale),
        "continue": dist.bernoulli_loss(continue_logit, 1.0 - batch.is_terminal.astype(jnp.float32)),
        "dyn": jnp.maximum(hypers.free_nats, dyn),
        "rep": jnp.maximum(hypers.free_nats, rep),
    }
    scales = {
        "observation": hypers.observation_scale,
        "reward": reward_scale(batch.reward, hypers),
        "continue": hypers.continue_scale,
        "dyn": hypers.dyn_scale,
        "rep": hypers.rep_scale,
    }
    seen = jax.tree.leaves(obs)[0].shape[:2]
    assert all(value.shape == (seen if name == "observation" else batch.reward.shape) for name, value in losses.items())
    means = {name: value.mean() for name, value in losses.items()}
    total = sum(scales[name] * value for name, value in means.items())
    metrics = {f"model/{name}_loss": value for name, value in means.items()}
    metrics["model/loss"] = total
    metrics["model/kl"] = dyn.mean()
    metrics["model/post_entropy"] = dist.entropy(observed.post).sum(-1).mean()
    metrics["model/prior_entropy"] = dist.entropy(observed.prior).sum(-1).mean()
    return total, (metrics, jax.tree.map(sg, observed.latent))


def reward_scale(reward: jax.Array, hypers) -> jax.Array:
    """Return what the mean loss of rewards (B, T) is multiplied by: more where few steps are paid."""
    share = shares.mean(jnp.mean((reward != 0).astype(jnp.float32)))
    paid = jnp.maximum(share, 1.0 / reward.shape[1])
    return jnp.maximum(hypers.reward_loss_scale, hypers.sparse_reward_scale / paid)


def decoded(steps: int, latent: Latent, obs: Any, key: jax.Array) -> tuple[Latent, Any]:
    """Return what the decoder is trained on: one random step of each of `steps` equal stretches of time, or all."""
    batch, length = latent.deter.shape[:2]
    if not 0 < steps < length:
        return latent, obs
    stretch = length / steps
    place = jnp.arange(steps, dtype=jnp.int32).astype(jnp.float32)[None]
    place += shares.drawn(lambda shape: jax.random.uniform(key, shape, jnp.float32), (batch, steps))
    index = jnp.minimum((place * stretch).astype(jnp.int32), length - 1)
    latent = latent._replace(hidden=jnp.zeros((batch, length, 0, 0), jnp.float32))  # the decoder does not read x
    row = jnp.arange(batch, dtype=jnp.int32)[:, None]
    return jax.tree.map(lambda leaf: leaf[row, index], (latent, obs))
