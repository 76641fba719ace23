"""Play episodes with an agent and keep what it has in memory at every step, beside what is hidden from it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.observation import Image, observation_leaves
from experiments.drawing.scene import innermost
from experiments.remembering.measures import Played
from r2i_jit import recording

_STEPS, _FEWEST, _MOST = 20_000, 16, 512  # wanted in all, and of how many episodes at least and at most
_MOST_NUMBERS = 512  # of one hidden quantity, and of an observation; larger ones are left out
_MOST_CLASSES = 32  # of a hidden whole number that is read off class by class
# What an agent keeps, by the names of `world_model.Latent` and `ppo.Recalled`. The rest is no memory of its own.
_NAMES = {"hidden": "memory", "deter": "read-out", "output": "read-out", "stoch": "latent"}


def enough_episodes(longest: int) -> int:
    """Return how many episodes of this length are played where nobody says."""
    return min(_MOST, max(_FEWEST, -(-_STEPS // longest)))


def play(trainer: Any, state: Any, member: int, env_id: str, key: jax.Array, episodes: int, longest: int) -> Played:
    """Play fresh episodes side by side with one agent of a run, in the form of play that its configuration names.

    Args:
      trainer: of the run.
      state: its state.
      member: which agent.
      env_id: what it plays.
      key: typed PRNG key.
      episodes: how many.
      longest: steps of the longest; what has not ended by then is cut.
    """
    env, agent = trainer.env, trainer.agent
    params = trainer.settings.params[trainer.settings.number(env_id)]
    own = jax.tree.map(lambda leaf: leaf[member], state.seeds.agent)
    policy = recording.agent_policy(agent, env, params, own, greedy=trainer.config.loop.evaluation_greedy)
    played = recording.record(env, params, policy, key, episodes, longest, lambda memory: _kept(memory[0]))
    before = np.cumsum(np.asarray(played.step.is_last), 0) - np.asarray(played.step.is_last)
    # A program's dicts are sorted: memory comes first.
    kept = {name: np.asarray(played.kept[name]) for name in dict.fromkeys(_NAMES.values()) if name in played.kept}
    leaves = observation_leaves(env, params)
    if len(leaves) == 1 and not any(isinstance(part, Image) for part in leaves[0].parts):
        obs = np.asarray(played.step.obs, np.float32)
        if obs[0, 0].size <= _MOST_NUMBERS:
            kept["observation"] = obs.reshape(*obs.shape[:2], -1)
    truth, in_view = _hidden(innermost(env), params, played.env_state)
    return Played(np.asarray(played.step.reward), before == 0, truth, in_view, kept)


def _kept(latent: Any) -> dict[str, jax.Array]:
    """Return an agent's memory by name, each (E, F)."""
    found = {name: getattr(latent, field) for field, name in _NAMES.items() if hasattr(latent, field)}
    return {name: leaf.reshape(leaf.shape[0], -1).astype(jnp.float32) for name, leaf in found.items()}


def _hidden(env: Any, params: Any, states: Any) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Return what is hidden by name, (T, E, D), and what is in view; states (T, E, ...)."""
    by_step = lambda function: jax.jit(lambda states: jax.lax.map(jax.vmap(function), states))(states)
    named = by_step(env.extras) if hasattr(env, "extras") else _leaves(states)
    found = {name: _columns(np.asarray(values)) for name, values in named.items()}
    in_view = np.asarray(by_step(env.in_view)) if hasattr(env, "in_view") else None
    return {name: values for name, values in found.items() if values is not None}, in_view


def _leaves(states: Any) -> dict[str, Any]:
    """Return a state's arrays by their names."""
    flat = jax.tree_util.tree_leaves_with_path(states)
    numbers = [(jax.tree_util.keystr(path).lstrip("."), leaf) for path, leaf in flat]
    return {name: leaf for name, leaf in numbers if not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)}


def _columns(values: np.ndarray) -> np.ndarray | None:
    """Return what a probe is to read off, float32 (T, E, D); None where nothing varies or there is too much of it.

    Whole numbers of a few values are one column a value; a bit is one.
    """
    values = values.reshape(*values.shape[:2], -1)
    if values.dtype.kind in "iub" and not (values.dtype == np.uint8 and values.max(initial=0) <= 1):
        classes = np.unique(values)
        if 2 < len(classes) <= _MOST_CLASSES and values.shape[-1] * len(classes) <= _MOST_NUMBERS:
            values = (values[..., None] == classes).reshape(*values.shape[:2], -1)
    if values.shape[-1] > _MOST_NUMBERS:
        return None
    values = values.astype(np.float32)
    return values if np.isfinite(values).all() and (values.std((0, 1)) > 0).any() else None
