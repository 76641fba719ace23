"""What the world model takes an observation to be: numbers, bits, one-hot groups, images; and a reconstruction's loss.

An observation is one array, described by a tuple of `envs.observation` parts, or a tuple of arrays, described by a
tuple of such tuples: arranged, as `envs.observation.arrange` says. The numbers of all arrays make one vector, and every
image goes by itself.

Owned by tests/unit/test_observations.py, test_check_environment.py (what is refused) and test_given_latent.py (groups).
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import spaces

from envs import faults
from envs.observation import Binary, Categorical, Continuous, Image, Leaf, Parts, is_class_number, line, member, shown
from r2i_jit import shares
from r2i_jit.config import ConfigError, ModelConfig
from r2i_jit.nets import distributions as dist

_CONSTANT = 1e-6  # variance in symlog space up to which a number counts as one that does not change


def check_environment(env: Any, params: Any, leaves: tuple[Leaf, ...]) -> Any:
    """Compare what an environment returns with its spaces and with itself, by shapes alone: nothing is compiled.

    Args:
      env: a gymnax 1.0 environment.
      params: its parameters.
      leaves: its `observation_leaves`.

    Returns:
      Shape and dtype of an arranged observation, a tuple of them where it is several arrays.

    Raises:
      ConfigError: if `reset_env` or `step_env` returns something else than gymnax 1.0 says, an observation that is not
        of its space, a state whose leaves are others after a step than after a reset, a reward that is not one number,
        or an end of the episode that is not one truth value.
    """
    name, action = f"env={env.name!r}: ", env.action_space(params)
    key = jax.random.key(0)
    reset = _traced(name, "reset_env", lambda key: env.reset_env(key, params), key)
    _check_count(name, "reset_env", reset, ("observation", "state"))
    kind = jnp.float32 if isinstance(action, spaces.Box) and not _is_a(action, (jnp.integer,)) else jnp.int32
    choice = jax.ShapeDtypeStruct(tuple(action.shape), kind)
    step = _traced(name, "step_env", lambda *args: env.step_env(*args, params), key, reset[1], choice)
    _check_count(name, "step_env", step, ("observation", "state", "reward", "terminated", "info"))
    truncated = _traced(name, "is_truncated", lambda state: env.is_truncated(state, params), step[1])

    space = env.observation_space(params)
    for source, obs in (("reset_env", reset[0]), ("step_env", step[0])):
        arrays = [_checked(f"{name}{source}'s observation", obs, space, leaf) for leaf in leaves]
    _check_same(f"{name}observation", reset[0], step[0])
    _check_same(f"{name}state", reset[1], step[1])
    _check_scalar(f"{name}reward", step[2], "a number", (jnp.bool_, jnp.integer, jnp.floating))
    for flag, value in (("terminated", step[3]), ("is_truncated", truncated)):
        _check_scalar(f"{name}{flag}", value, "a truth value", (jnp.bool_, jnp.integer))
    examples = [
        jax.ShapeDtypeStruct(leaf.arranged_shape, array.dtype) for leaf, array in zip(leaves, arrays, strict=True)
    ]
    return tuple(examples) if len(examples) > 1 else examples[0]


def _traced(name: str, source: str, function: Any, *args: Any) -> Any:
    """Return the shapes of what a method returns; what it raises becomes one line with the place in its code."""
    try:
        return jax.eval_shape(function, *args)
    except Exception as error:
        raise ConfigError(f"{name}{source} raises {faults.described(error)}") from error


@contextlib.contextmanager
def blamed(env: str) -> Iterator[None]:
    """Make one line of what an environment raises that is asked for its spaces; a ValueError is one already.

    Raises:
      ConfigError: naming the environment and the place in its code.
    """
    try:
        yield
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except Exception as error:
        raise ConfigError(f"environment {env!r}: its spaces or parameters: {faults.described(error)}") from error


def _check_count(name: str, source: str, returned: Any, expected: tuple[str, ...]) -> None:
    count = len(returned) if isinstance(returned, tuple) else 1
    if count != len(expected):
        raise ConfigError(
            f"{name}{source} returns {count} values; they should be {len(expected)}: {', '.join(expected)}"
        )


def _checked(name: str, obs: Any, space: Any, leaf: Leaf) -> jax.ShapeDtypeStruct:
    """Return an array of an observation; refuse one of another shape, or of another kind than it will be taken for."""
    try:
        array = member(obs, leaf.path)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}; its space is {line(space)}") from None
    name += shown(leaf.path)
    if not isinstance(array, jax.ShapeDtypeStruct):
        found = [jax.tree_util.keystr(place) for place, _ in jax.tree_util.tree_leaves_with_path(array)]
        raise ConfigError(f"{name} has leaves {', '.join(found) or 'none'}; it should be one array")
    if array.shape != leaf.shape:
        raise ConfigError(f"{name} has shape {array.shape}; its space says {leaf.shape}")
    # Vectors all become float32; an image's integers are divided by 255, and a class number is counted.
    kinds: tuple[Any, ...] = (jnp.bool_, jnp.integer, jnp.floating)
    if isinstance(leaf.parts[0], Image):
        kinds = (jnp.dtype(leaf.dtype),)
    elif any(isinstance(part, Categorical) and not part.one_hot for part in leaf.parts):
        kinds = (jnp.integer,)
    if not _is_a(array, kinds):
        raise ConfigError(f"{name} is {array.dtype}; its space says {leaf.dtype}")
    return array


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
    if not _same_structure(jax.tree.structure(reset), jax.tree.structure(step)):
        kinds = (type(tree).__name__ for tree in (reset, step))
        raise ConfigError(f"{name} is another tree after reset_env than after step_env: {' and '.join(kinds)}")


def _same_structure(one: Any, other: Any) -> bool:
    """Compare as a loop does; what is no leaf may be equal and shown differently, or shown and not comparable."""
    try:
        return one == other
    except Exception:  # such as NumPy arrays, which are equal entry by entry
        return str(one) == str(other)


def _check_scalar(name: str, value: Any, what: str, kinds: tuple[Any, ...]) -> None:
    if not (isinstance(value, jax.ShapeDtypeStruct) and value.shape == () and _is_a(value, kinds)):
        shown = _shown(value) if isinstance(value, jax.ShapeDtypeStruct) else repr(value)
        raise ConfigError(f"{name} is {shown}; it should be {what} of shape ()")


def _is_a(value: jax.ShapeDtypeStruct, kinds: tuple[Any, ...]) -> bool:
    return any(jnp.issubdtype(value.dtype, kind) for kind in kinds)


def _shown(leaf: jax.ShapeDtypeStruct) -> str:
    return f"{leaf.dtype} {leaf.shape}"


def split(parts: Any, obs: Any) -> tuple[tuple[Parts, Any], ...]:
    """Return (parts, array) of each array of an observation, or of anything that has as many members."""
    return tuple(zip(parts, obs, strict=True)) if isinstance(parts[0], tuple) else ((parts, obs),)


def images(parts: Any) -> tuple[Image, ...]:
    """Return the images of an observation."""
    return tuple(array[0] for array, _ in split(parts, parts) if isinstance(array[0], Image))


def numbers(parts: Any) -> Parts:
    """Return the parts that are no images: those of the vector that is made of the observation."""
    return tuple(part for array, _ in split(parts, parts) if not isinstance(array[0], Image) for part in array)


def pixels(parts: Any, obs: Any) -> list[jax.Array]:
    """Return the images, (..., height, width, channels) each, bytes as they are and others in [-0.5, 0.5]."""
    found = [leaf for array, leaf in split(parts, obs) if isinstance(array[0], Image)]
    return [leaf if leaf.dtype == jnp.uint8 else centred(leaf) for leaf in found]


def centred(image: jax.Array) -> jax.Array:
    """Return an image's integers from 0 to 255, or floats from 0 to 1, as float32 in [-0.5, 0.5]."""
    scale = 255.0 if jnp.issubdtype(image.dtype, jnp.integer) else 1.0
    return image.astype(jnp.float32) / scale - 0.5


def vector(parts: Any, obs: Any) -> jax.Array:
    """Return what is no image as (..., D) float32, class numbers one-hot."""
    flat = [flatten_observation(array, leaf) for array, leaf in split(parts, obs) if not isinstance(array[0], Image)]
    return flat[0] if len(flat) == 1 else jnp.concatenate(flat, -1)


def flatten_observation(parts: Parts, obs: jax.Array) -> jax.Array:
    """Return an array as (..., D) float32, or as (..., height, width, channels) in [-0.5, 0.5] if it is an image.

    The numbers of classes become one-hot: the parts say so, as no shape can tell a batch of n numbers from one group of
    n entries.
    """
    first = parts[0]
    if isinstance(first, Image):
        return centred(obs)
    if isinstance(first, Categorical) and is_class_number(parts):
        return jax.nn.one_hot(obs, first.classes, dtype=jnp.float32)
    if all(part.entries == part.size for part in parts):
        return obs.astype(jnp.float32)
    pieces, offset = [], 0
    for part in parts:
        piece, offset = obs[..., offset : offset + part.entries], offset + part.entries
        if isinstance(part, Categorical) and not part.one_hot:
            piece = jax.nn.one_hot(piece, part.classes, dtype=jnp.float32).reshape(*piece.shape[:-1], part.size)
        pieces.append(piece.astype(jnp.float32))
    return jnp.concatenate(pieces, -1)


def latent_groups(config: ModelConfig, parts: Any) -> tuple[int, int]:
    """Return (S, C), the number of categorical latents and of the classes of each.

    Raises:
      ConfigError: if the latent is to be an observation that is not made of one-hot groups.
    """
    if config.posterior != "observation":
        return config.stoch, config.classes
    groups = [part for part in numbers(parts) if isinstance(part, Categorical)]
    if images(parts) or len(groups) < len(numbers(parts)):
        raise ConfigError(
            "model.posterior='observation': this environment's observation is not discrete; use 'learned'"
        )
    return sum(part.count for part in groups), max(part.classes for part in groups)


def to_groups(parts: Parts, obs: jax.Array) -> jax.Array:
    """Return a flat observation of one-hot groups (..., D) as (..., S, C); the smaller groups are padded with zeros."""
    classes = max(part.classes for part in parts if isinstance(part, Categorical))
    groups, offset = [], 0
    for part in parts:
        assert isinstance(part, Categorical)
        group = obs[..., offset : offset + part.size].reshape(*obs.shape[:-1], part.count, part.classes)
        groups.append(jnp.pad(group, [(0, 0)] * (group.ndim - 1) + [(0, classes - part.classes)]))
        offset += part.size
    return jnp.concatenate(groups, -2)


def from_groups(parts: Parts, groups: jax.Array) -> jax.Array:
    """Return the flat observation (..., D) of `to_groups`'s result (..., S, C)."""
    flat, offset = [], 0
    for part in parts:
        assert isinstance(part, Categorical)
        group = groups[..., offset : offset + part.count, : part.classes]
        flat.append(group.reshape(*group.shape[:-2], part.size))
        offset += part.count
    return jnp.concatenate(flat, -1)


def observation_loss(config: ModelConfig, parts: Any, prediction: Any, obs: Any) -> jax.Array:
    """Return the reconstruction loss of `WorldModel.reconstruct`'s output, summed over the observation, (B, T).

    Images: squared error in [0, 1] space, summed over pixels. Categorical and binary parts: cross-entropy (or, with
    config.observation_loss = "symlog_mse", the paper's squared error). Continuous parts: squared error in symlog space,
    with config.number_loss = "unexplained" divided by each number's variance over (B, T).
    """
    members = zip(split(parts, prediction), split(parts, obs), strict=True)
    losses = [_array_loss(config, array, guess, leaf) for (array, guess), (_, leaf) in members]
    return losses[0] if len(losses) == 1 else sum(losses[1:], losses[0])


def _array_loss(config: ModelConfig, parts: Parts, prediction: jax.Array, obs: jax.Array) -> jax.Array:
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
        elif isinstance(part, Binary) and config.observation_loss == "categorical":
            total += jnp.sum(dist.bernoulli_loss(p, t), -1)
        else:
            total += _squared_error(config, p, dist.symlog(t), isinstance(part, Continuous))
    return total


def _squared_error(config: ModelConfig, prediction: jax.Array, target: jax.Array, are_numbers: bool) -> jax.Array:
    error = (prediction - target) ** 2
    if are_numbers and config.number_loss == "unexplained":
        variance = jnp.var(shares.gathered(target, 0), tuple(range(target.ndim - 1)), keepdims=True)
        error = error / jnp.where(variance > _CONSTANT, variance, 1.0)
    return jnp.sum(error, -1)
