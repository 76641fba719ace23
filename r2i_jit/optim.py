"""Optimisers over packed gradients: clipped Adam with decoupled decay on kernels; the SSM is a group of its own.

A model of this kind has some seventy small parameter arrays. Handed to optax one by one they become hundreds of kernels
to compile and to launch; packed into one vector per group they become a handful (see docs/performance.md). Groups are
tree labels: by the name of a parameter, wherever it lies.

Ref: R2I release `jaxutils.py:410-430`; there, each of the six SSM parameter names is clipped by its own norm.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from r2i_jit.config import Hypers

SSM_PARAMETERS = ("lambda_re", "lambda_im", "log_dt", "b", "c", "d")
Packed = dict[str, jax.Array]


class Optimizer(NamedTuple):
    """One of `optimizers`.

    Attributes:
      tx: over packed gradients.
      decay: share of a kernel that a step takes away, the learning rate times the weight decay; None is none. `apply`
        takes it, so that parameters need not be packed.
    """

    tx: optax.GradientTransformation
    decay: jax.Array | float | None = None


def group(path: tuple[Any, ...]) -> str:
    """Return the group of the parameter at a tree path: "ssm", "kernel" (which is decayed) or "rest"."""
    name = path[-1].key
    return "ssm" if name in SSM_PARAMETERS else "kernel" if name == "kernel" else "rest"


def pack(tree: Any) -> Packed:
    """Return one vector per group of a parameter tree, in tree order."""
    vectors: dict[str, list[jax.Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        vectors.setdefault(group(path), []).append(jnp.ravel(leaf))
    return {name: jnp.concatenate(leaves) for name, leaves in vectors.items()}


def unpack(packed: Packed, like: Any) -> Any:
    """Return the tree of which `pack` made `packed`; `like` has its structure and shapes."""
    offsets = dict.fromkeys(packed, 0)

    def take(path, leaf):
        name = group(path)
        begin = offsets[name]
        offsets[name] = begin + leaf.size
        return packed[name][begin : begin + leaf.size].reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(take, like)


def decayed(hypers: Hypers, updates: jax.Array) -> Hypers:
    """Return `hypers` with learning rates and entropy scale as they are after so many updates.

    They are multiplied by decay_updates / (decay_updates + updates), which needs no length of the run to be known; with
    0 they stay what they are.
    """
    half = hypers.decay_updates
    factor = jnp.where(half > 0, half / jnp.maximum(half + updates.astype(jnp.float32), 1.0), 1.0)
    names = ("model_lr", "ssm_lr", "actor_lr", "critic_lr", "entropy_scale")
    return hypers.replace(**{name: factor * getattr(hypers, name) for name in names})


def optimizers(hypers: Hypers) -> tuple[Optimizer, Optimizer, Optimizer]:
    """Return the optimisers of world model, actor and critic.

    Every number may be traced, so a sweep over them is a `vmap`.
    """

    def adam(lr, eps, clip):
        return optax.chain(optax.clip_by_global_norm(clip), optax.scale_by_adam(eps=eps), optax.scale(-1.0 * lr))

    model = optax.partition(
        {
            "model": adam(hypers.model_lr, hypers.model_eps, hypers.model_clip),
            "ssm": adam(hypers.ssm_lr, hypers.model_eps, hypers.model_clip),
        },
        lambda packed: {name: "ssm" if name == "ssm" else "model" for name in packed},
    )
    actor = adam(hypers.actor_lr, hypers.actor_eps, hypers.actor_clip)
    critic = adam(hypers.critic_lr, hypers.critic_eps, hypers.critic_clip)
    return Optimizer(model, hypers.model_lr * hypers.model_weight_decay), Optimizer(actor), Optimizer(critic)


def apply(
    optimizer: Optimizer, grads: Any, opt_state: Any, params: Any, hypers: Hypers, updates: jax.Array
) -> tuple[Any, Any]:
    """Take one step.

    Args:
      optimizer: one of `optimizers`.
      grads: gradient tree.
      opt_state: its state.
      params: parameter tree.
      hypers: `warmup_updates`, over which the learning rate rises linearly.
      updates: int32, updates made before this one.

    Returns:
      (parameter tree, state).
    """
    # optax raises a float to the number of steps, an int32: strict promotion refuses it, x64 makes it a float64.
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        steps, opt_state = optimizer.tx.update(pack(grads), opt_state)
    warm = jnp.minimum(1.0, (updates + 1).astype(jnp.float32) / jnp.maximum(hypers.warmup_updates, 1.0))

    def move(path, leaf, step):
        decays = optimizer.decay is not None and group(path) == "kernel"
        return leaf + warm * (step - optimizer.decay * leaf if decays else step)

    return jax.tree_util.tree_map_with_path(move, params, unpack(steps, params)), opt_state
