"""Learning rates over a run, and who learns when. About 40 seconds."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from r2i_jit import optim
from r2i_jit.config import Hypers

DECAYED = {"model_lr", "ssm_lr", "actor_lr", "critic_lr", "entropy_scale"}


def shares(decay_updates, updates):
    """Return what is left of each number after so many updates."""
    hypers = Hypers(decay_updates=decay_updates)
    now = jax.jit(optim.decayed)(jax.tree.map(jnp.float32, hypers), jnp.int32(updates))
    kept = {f.name: (getattr(now, f.name), getattr(hypers, f.name)) for f in dataclasses.fields(hypers)}
    return {name: float(value) / before for name, (value, before) in kept.items() if before}


@pytest.mark.parametrize(("updates", "left"), [(0, 1.0), (100, 0.5), (300, 0.25)])
def test_rates_and_entropy_scale_halve_and_nothing_else_does(updates, left):
    for name, share in shares(100.0, updates).items():
        assert share == pytest.approx(left if name in DECAYED else 1.0, rel=1e-6), name


@pytest.mark.parametrize("updates", [0, 1, 10**6])
def test_without_a_decay_nothing_changes(updates):
    assert all(share == pytest.approx(1.0, rel=1e-6) for share in shares(0.0, updates).values())


def test_a_step_is_as_long_as_the_rate_and_the_warm_up_say():
    hypers = Hypers(actor_lr=0.1, warmup_updates=4.0)
    params = {"Dense_0": {"kernel": jnp.ones((2, 3), jnp.float32)}}
    grads = jax.tree.map(lambda leaf: 5.0 * leaf, params)
    actor = optim.optimizers(hypers)[1]
    state = actor.tx.init(optim.pack(params))
    for updates, length in ((0, 0.025), (3, 0.1), (50, 0.1)):  # Adam's first step is the rate, whatever the gradient
        moved, _ = optim.apply(actor, grads, state, params, hypers, jnp.int32(updates))
        np.testing.assert_allclose(moved["Dense_0"]["kernel"], 1.0 - length, rtol=1e-4)


def test_a_step_is_optax_with_decayed_kernels():
    """What optax's own chain does to a tree, leaf by leaf, but for the SSM's group: it has a norm of its own."""
    hypers = Hypers(model_lr=0.1, model_weight_decay=0.5, model_clip=0.3, warmup_updates=0.0)
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
    params = {name: {"kernel": draw(3, 2), "bias": draw(2)} for name in ("a", "b")}
    kernels = {name: {"kernel": True, "bias": False} for name in params}
    adam = optax.scale_by_adam(eps=hypers.model_eps)
    decay = optax.add_decayed_weights(0.5, mask=kernels)
    reference = optax.chain(optax.clip_by_global_norm(0.3), adam, decay, optax.scale(-0.1))
    model = optim.optimizers(hypers)[0]
    ours, theirs = params, params
    our_state, their_state = model.tx.init(optim.pack(params)), reference.init(params)
    for updates in range(3):
        grads = jax.tree.map(lambda leaf: draw(*leaf.shape), params)
        ours, our_state = optim.apply(model, grads, our_state, ours, hypers, jnp.int32(updates))
        with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):  # as in `optim.apply`
            steps, their_state = reference.update(grads, their_state, theirs)
        theirs = optax.apply_updates(theirs, steps)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), ours, theirs)
