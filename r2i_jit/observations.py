"""What the world model takes an observation to be: numbers, one-hot groups, and the loss of a reconstruction.

Owned by tests/unit/test_observations.py (what is refused, and class numbers) and test_given_latent.py (groups).
"""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import spaces

from envs.observation import Categorical, Image, Part, is_picture
from r2i_jit.config import ConfigError, ModelConfig
from r2i_jit.nets import conv
from r2i_jit.nets import distributions as dist


def check_parts(env_name: str, parts: tuple[Part, ...], model: ModelConfig) -> None:
    """Refuse observations that are of no use to this agent's networks.

    Args:
      env_name: what the message calls the environment.
      parts: of its observation.
      model: the world model's configuration, which names the networks for images.

    Raises:
      ConfigError: if the sides of an image do not divide by what `model.image_net` asks for.
    """
    multiple = conv.PATCH if model.image_net == "patches" else 2**conv.STAGES
    for part in parts:
        if isinstance(part, Image) and (part.shape[0] % multiple or part.shape[1] % multiple):
            raise ConfigError(
                f"env={env_name!r}: observations are images of shape {part.shape}; with "
                f"model.image_net={model.image_net!r} height and width should divide by {multiple}"
            )


def check_environment(env: Any, params: Any) -> jax.ShapeDtypeStruct:
    """Compare what an environment returns with its spaces and with itself, by shapes alone: nothing is compiled.

    Returns:
      Shape and dtype of an observation.

    Raises:
      ConfigError: if `reset_env` or `step_env` returns something else than gymnax 1.0 says, an observation that is not
        of its space, a state whose leaves are others after a step than after a reset, a reward that is not one number,
        or an end of the episode that is not one truth value.
    """
    name, action = f"env={env.name!r}: ", env.action_space(params)
    for kind, space in (("action", action), ("observation", env.observation_space(params))):
        if getattr(space, "shape", None) is None:
            raise ConfigError(f"{name}{kind} space {space!r} is not supported: it has no shape")
    number = jnp.float32 if isinstance(action, spaces.Box) else jnp.int32
    key = jax.random.key(0)
    reset = jax.eval_shape(lambda key: env.reset_env(key, params), key)
    _check_count(name, "reset_env", reset, ("observation", "state"))
    choice = jax.ShapeDtypeStruct(tuple(action.shape), number)
    step = jax.eval_shape(lambda *args: env.step_env(*args, params), key, reset[1], choice)
    _check_count(name, "step_env", step, ("observation", "state", "reward", "terminated", "info"))
    truncated = jax.eval_shape(lambda state: env.is_truncated(state, params), step[1])

    for source, obs in (("reset_env", reset[0]), ("step_env", step[0])):
        _check_observation(f"{name}{source}'s observation", obs, env.observation_space(params))
    _check_same(f"{name}observation", reset[0], step[0])
    _check_same(f"{name}state", reset[1], step[1])
    _check_scalar(f"{name}reward", step[2], "a number", (jnp.bool_, jnp.integer, jnp.floating))
    for flag, value in (("terminated", step[3]), ("is_truncated", truncated)):
        _check_scalar(f"{name}{flag}", value, "a truth value", (jnp.bool_, jnp.integer))
    return reset[0]


def _check_count(name: str, source: str, returned: Any, expected: tuple[str, ...]) -> None:
    count = len(returned) if isinstance(returned, tuple) else 1
    if count != len(expected):
        raise ConfigError(
            f"{name}{source} returns {count} values; they should be {len(expected)}: {', '.join(expected)}"
        )


def _check_observation(name: str, obs: Any, space: Any) -> None:
    """Refuse an observation of another shape than its space's, or of another kind than the encoder will take it for."""
    if not isinstance(obs, jax.ShapeDtypeStruct):
        leaves = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(obs)]
        raise ConfigError(f"{name} has leaves {', '.join(leaves) or 'none'}; it should be one array")
    if obs.shape != tuple(space.shape):
        raise ConfigError(f"{name} has shape {obs.shape}; its space says {tuple(space.shape)}")
    # Vectors all become float32; a picture is divided by 255, and a class number counted.
    kinds: tuple[Any, ...] = (jnp.bool_, jnp.integer, jnp.floating)
    if is_picture(space) or isinstance(space, spaces.Discrete):
        kinds = (jnp.uint8,) if is_picture(space) else (jnp.integer,)
    if not _is_a(obs, kinds):
        raise ConfigError(f"{name} is {obs.dtype}; its space says {jnp.dtype(space.dtype)}")


def _check_same(name: str, reset: Any, step: Any) -> None:
    """Refuse two trees that no loop could carry, one after the other."""
    before, after = (
        {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (reset, step)
    )
    for leaf in sorted(before.keys() ^ after.keys()):
        place = "reset_env, not after step_env" if leaf in before else "step_env, not after reset_env"
        raise ConfigError(f"{name}{leaf} is there after {place}")
    for leaf, old in before.items():
        if (old.shape, old.dtype) != (after[leaf].shape, after[leaf].dtype):
            raise ConfigError(f"{name}{leaf} is {_shown(old)} after reset_env and {_shown(after[leaf])} after step_env")
    if str(jax.tree.structure(reset)) != str(jax.tree.structure(step)):
        kinds = (type(tree).__name__ for tree in (reset, step))
        raise ConfigError(f"{name} is another tree after reset_env than after step_env: {' and '.join(kinds)}")


def _check_scalar(name: str, value: Any, what: str, kinds: tuple[Any, ...]) -> None:
    if not (isinstance(value, jax.ShapeDtypeStruct) and value.shape == () and _is_a(value, kinds)):
        shown = _shown(value) if isinstance(value, jax.ShapeDtypeStruct) else repr(value)
        raise ConfigError(f"{name} is {shown}; it should be {what} of shape ()")


def _is_a(value: jax.ShapeDtypeStruct, kinds: tuple[Any, ...]) -> bool:
    return any(jnp.issubdtype(value.dtype, kind) for kind in kinds)


def _shown(leaf: jax.ShapeDtypeStruct) -> str:
    return f"{leaf.dtype} {leaf.shape}"


def flatten_observation(parts: tuple[Part, ...], obs: jax.Array) -> jax.Array:
    """Return an observation batch as (..., D) float32, or (..., height, width, channels) in [-0.5, 0.5] for images.

    Where the observation is the number of a class (an integer scalar) it becomes one-hot: the parts say so, as no shape
    can tell a batch of n numbers from one group of n entries.
    """
    first = parts[0]
    if isinstance(first, Image):
        return obs.astype(jnp.float32) / 255.0 - 0.5
    if isinstance(first, Categorical) and not first.one_hot:
        return jax.nn.one_hot(obs, first.classes, dtype=jnp.float32)
    return obs.astype(jnp.float32)


def latent_groups(config: ModelConfig, parts: tuple[Part, ...]) -> tuple[int, int]:
    """Return (S, C), the number of categorical latents and of the classes of each.

    Raises:
      ConfigError: if the latent is to be an observation that is not made of one-hot groups.
    """
    if config.posterior == "learned":
        return config.stoch, config.classes
    groups = [part for part in parts if isinstance(part, Categorical)]
    if len(groups) < len(parts):
        raise ConfigError(
            "model.posterior='observation': this environment's observation is not discrete; use 'learned'"
        )
    return sum(part.count for part in groups), max(part.classes for part in groups)


def to_groups(parts: tuple[Part, ...], obs: jax.Array) -> jax.Array:
    """Return a flat observation of one-hot groups (..., D) as (..., S, C); the smaller groups are padded with zeros."""
    classes = max(part.classes for part in parts if isinstance(part, Categorical))
    groups, offset = [], 0
    for part in parts:
        assert isinstance(part, Categorical)
        group = obs[..., offset : offset + part.size].reshape(*obs.shape[:-1], part.count, part.classes)
        groups.append(jnp.pad(group, [(0, 0)] * (group.ndim - 1) + [(0, classes - part.classes)]))
        offset += part.size
    return jnp.concatenate(groups, -2)


def from_groups(parts: tuple[Part, ...], groups: jax.Array) -> jax.Array:
    """Return the flat observation (..., D) of `to_groups`'s result (..., S, C)."""
    flat, offset = [], 0
    for part in parts:
        assert isinstance(part, Categorical)
        group = groups[..., offset : offset + part.count, : part.classes]
        flat.append(group.reshape(*group.shape[:-2], part.size))
        offset += part.count
    return jnp.concatenate(flat, -1)


def observation_loss(config: ModelConfig, parts: tuple[Part, ...], prediction: jax.Array, obs: jax.Array) -> jax.Array:
    """Return the reconstruction loss of `WorldModel.reconstruct`'s output, summed over the observation, (B, T).

    Images: squared error in [0, 1] space, summed over pixels. Categorical parts: cross-entropy (or, with
    config.observation_loss = "symlog_mse", the paper's squared error). Continuous parts: squared error in symlog space.
    """
    target = flatten_observation(parts, obs)
    prediction = prediction.astype(jnp.float32)
    if isinstance(parts[0], Image):
        return jnp.sum((prediction - target) ** 2, (-3, -2, -1))
    total, offset = jnp.zeros(target.shape[:-1], jnp.float32), 0
    for part in parts:
        p, t = prediction[..., offset : offset + part.size], target[..., offset : offset + part.size]
        offset += part.size
        if isinstance(part, Categorical) and config.observation_loss == "categorical":
            shape = (*p.shape[:-1], part.count, part.classes)
            total += -jnp.sum(t.reshape(shape) * jax.nn.log_softmax(p.reshape(shape)), (-2, -1))
        else:
            total += jnp.sum((p - dist.symlog(t)) ** 2, -1)
    return total
