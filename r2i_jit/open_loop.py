"""What the world model makes of an episode: its own account of what it saw, then of what it can only predict."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from r2i_jit.agent import Agent, AgentState
from r2i_jit.world_model import Latent, WorldModel

_DECODED_AT_ONCE = 64  # Steps of an episode; more need more memory and take as long.


class OpenLoop(NamedTuple):
    """One account of B episodes: posterior up to the context's end, prediction after it.

    Attributes:
      latent: (B, T, ...).
      prediction: the decoder's raw output, float32 (B, T, D), or images (B, T, height, width, channels) in about
        [-0.5, 0.5]; a tuple of those where an observation is several arrays.
    """

    latent: Latent
    prediction: Any


def open_loop(
    agent: Agent,
    state: AgentState,
    obs: Any,
    actions: jax.Array,
    is_first: jax.Array,
    context: int,
    key: jax.Array | None,
) -> OpenLoop:
    """Let the world model see the first steps of episodes, and then nothing but the actions.

    Args:
      agent: whose world model it is.
      state: its parameters.
      obs: arrays (B, T, *shape).
      actions: (B, T) or (B, T, ...), as the environment takes them; actions[:, t] is chosen after obs[:, t]. The last
        one leads nowhere.
      is_first: (B, T) bool. In the predicted part an episode is taken to go on: no model can foresee a new one.
      context: C, how many steps it sees; static.
      key: for samples of the latents. None takes the most likely ones, step by step: one account without the chance
        that adds up in samples, though not the most likely sequence.

    Returns:
      What it makes of all T steps; it does not depend on obs[:, C:].

    Raises:
      ValueError: unless 1 <= C <= T.
    """
    steps = is_first.shape[1]
    if not 1 <= context <= steps:
        raise ValueError(f"open_loop: context={context} should be from 1 to the number of steps, {steps}")
    seen = jax.tree.map(lambda leaf: leaf[:, :context], obs)
    return _open_loop(agent, state, seen, actions, is_first[:, :context], key)


@partial(jax.jit, static_argnums=0)
def _open_loop(agent, state, obs, actions, is_first, key) -> OpenLoop:
    def apply(method, *args):
        return agent.model.apply({"params": state.model}, *args, method=method)

    batch, context = is_first.shape
    key_posterior, key_prior = (None, None) if key is None else jax.random.split(key)
    actions = agent.spec.encode(agent.spec.from_env(actions)).astype(jnp.float32)
    prev_actions = jnp.concatenate([jnp.zeros_like(actions[:, :1]), actions[:, : context - 1]], 1)
    carry = apply(WorldModel.initial, batch)
    seen = apply(WorldModel.observe, obs, prev_actions, is_first, carry, key_posterior).latent
    prepared = apply(WorldModel.prepare)

    def predict(latent, now):
        latent = apply(WorldModel.imagine_step, prepared, latent, *now)
        return latent, latent

    # The action at index t leads to the latent at t + 1.
    led_by = jnp.moveaxis(actions[:, context - 1 : -1], 1, 0)
    start = jax.tree.map(lambda leaf: leaf[:, -1], seen)
    keys = None if key_prior is None else jax.random.split(key_prior, led_by.shape[0])
    predicted = jax.lax.scan(predict, start, (led_by, keys))[1]
    by_time = jax.tree.map(lambda a, b: jnp.concatenate([jnp.moveaxis(a, 1, 0), b]), seen, predicted)
    decoded = jax.lax.map(partial(apply, WorldModel.reconstruct), by_time, batch_size=_DECODED_AT_ONCE)
    by_episode = lambda leaf: jnp.moveaxis(leaf, 0, 1)
    return OpenLoop(*jax.tree.map(by_episode, (by_time, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), decoded))))


def as_images(prediction: jax.Array) -> jax.Array:
    """Return a decoder's images (..., height, width, channels) as uint8, the way observations are."""
    return jnp.clip(jnp.round((prediction + 0.5) * 255.0), 0, 255).astype(jnp.uint8)
