"""What a trained agent makes of a situation: its value, and what its world model expects of actions."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.observation import Binary, Categorical, Image, Parts
from r2i_jit.agent import Agent, AgentState
from r2i_jit.algorithms import Learner
from r2i_jit.config import ModelConfig
from r2i_jit.nets import distributions as dist
from r2i_jit.observations import split
from r2i_jit.open_loop import as_images
from r2i_jit.world_model import Latent, WorldModel

_DECODED_AT_ONCE = 64  # Steps; more need more memory and take as long.


class Prediction(NamedTuple):
    """What is expected of T actions: leading axes (B, T); index t is what action t leads to.

    Attributes:
      obs: images as uint8; otherwise float32 (B, T, D): probabilities for one-hot groups, bits and the numbers of
        classes, numbers as the environment gives them. A tuple of those where an observation is several arrays.
      reward: float32, in the game's own reward.
      continues: float32, probability that the episode does not terminate there, given that it has not before.
      latent: of the world model.
    """

    obs: Any
    reward: jax.Array
    continues: jax.Array
    latent: Latent


def value(agent: Learner, state: AgentState, latent: Latent) -> jax.Array:
    """Return the critic's discounted return (B,) from latents (B, ...) on, in the game's own reward."""
    return agent.value(state, latent) / jnp.float32(agent.config.hypers.reward_scale)


def predict(agent: Agent, state: AgentState, latent: Latent, actions: jax.Array, key: jax.Array | None) -> Prediction:
    """Let the world model go on without observations.

    Args:
      agent: whose world model it is.
      state: its parameters.
      latent: (B, ...) to go on from.
      actions: (B, T, ...), as `ActionSpec.from_env` takes them.
      key: for samples of the latents. None takes the most likely ones, step by step, as `open_loop`.

    Returns:
      What it expects, (B, T, ...).
    """

    def apply(method, *args):
        return agent.model.apply({"params": state.model}, *args, method=method)

    encoded = jnp.moveaxis(agent.spec.encode(agent.spec.from_env(actions)).astype(jnp.float32), 1, 0)
    prepared = apply(WorldModel.prepare)

    def step(latent, now):
        latent = apply(WorldModel.imagine_step, prepared, latent, *now)
        return latent, latent

    keys = None if key is None else jax.random.split(key, encoded.shape[0])
    by_time = jax.lax.scan(step, latent, (encoded, keys))[1]
    reward_logits, continue_logit = apply(WorldModel.heads, by_time)
    raw = jax.lax.map(partial(apply, WorldModel.reconstruct), by_time, batch_size=_DECODED_AT_ONCE)
    members = [readable(agent.config.model, parts, one) for parts, one in split(agent.model.parts, raw)]
    obs = tuple(members) if len(members) > 1 else members[0]
    continues = jax.nn.sigmoid(continue_logit.astype(jnp.float32))
    found = Prediction(obs, _own_reward(agent, reward_logits), continues, by_time)
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), found)


def readable(config: ModelConfig, parts: Parts, raw: jax.Array) -> jax.Array:
    """Return one array of `WorldModel.reconstruct`'s output in the terms of observations: see `Prediction`."""
    raw = raw.astype(jnp.float32)
    if isinstance(parts[0], Image):
        return as_images(raw)
    # A latent that is the observation is decoded to logits, whatever a decoder would have been trained for.
    as_logits = config.observation_loss == "categorical" or config.posterior == "observation"
    pieces, offset = [], 0
    for part in parts:
        piece = raw[..., offset : offset + part.size]
        offset += part.size
        if isinstance(part, Categorical) and as_logits:
            groups = piece.reshape(*piece.shape[:-1], part.count, part.classes)
            pieces.append(jax.nn.softmax(groups).reshape(piece.shape))
        elif isinstance(part, Binary) and as_logits:
            pieces.append(jax.nn.sigmoid(piece))
        else:
            pieces.append(dist.symexp(piece))
    return jnp.concatenate(pieces, -1)


def _own_reward(agent: Agent, logits: jax.Array) -> jax.Array:
    """Return the mean of two-hot logits without the factor that rewards are learned with."""
    return dist.two_hot_mean(logits) / jnp.float32(agent.config.hypers.reward_scale)
