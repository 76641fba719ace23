"""The kernel in which a GPU runs the physics, interpreted here, is the loop that a CPU runs. About 10 seconds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.memory_maze import fused, motion

SIDE = 11


def walkers(rng, *shape):
    """Return bodies in the middle of cells between walls, on the move, and the walls."""
    walls = rng.random((*shape, SIDE, SIDE)) < 0.4
    place = 2.0 * rng.integers(-3, 4, (*shape, 2)) + rng.uniform(-0.7, 0.7, (*shape, 2))
    position = np.concatenate([place, np.zeros((*shape, 1))], -1)
    angle, velocity = rng.uniform(-3, 3, shape), rng.normal(size=(*shape, 5))
    body = motion.Body(position, angle, angle, velocity)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), body), walls


@pytest.mark.heavy
@pytest.mark.parametrize(
    "shape",
    [(), (5,), (3, 13)],
    ids=["one", "several", "batches"],
)
def test_the_kernel_moves_walkers_as_the_loop_does(monkeypatch, shape):
    """However many `vmap`s there are, and when their number fills no block."""
    rng = np.random.default_rng(len(shape))
    body, walls = walkers(rng, *shape)
    action = jnp.asarray(rng.integers(0, motion.NUM_ACTIONS, shape), jnp.int32)

    def step(body, walls, action):
        return motion.step(body, walls, action, substeps=6)

    for _ in shape:
        step = jax.vmap(step)
    expected = jax.jit(step)(body, walls, action)
    kernel = lambda function, carry, constants, length: fused._fused(function, length, carry, constants, interpret=True)
    monkeypatch.setattr(fused, "scan", kernel)
    got = jax.jit(lambda *args: step(*args))(body, walls, action)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.heavy
def test_what_a_vmap_leaves_alone_is_shared():
    """Constants that are the same for all, and outputs of every step."""

    def step(carry, constants):
        number, total = carry
        scale, shift = constants
        return (number + 1.0, total + scale * number), (total, (number > shift + 1).astype(jnp.int32), number + shift)

    x, scale = jnp.arange(40, dtype=jnp.float32), jnp.float32(2.0)
    kernel = partial(fused._fused, step, 5, interpret=True)
    loop = partial(fused._loop, step, 5)
    run = lambda form: jax.vmap(lambda x: form((x, jnp.zeros((), jnp.float32)), (scale, x)))(x)
    for one, other in zip(jax.tree.leaves(run(kernel)), jax.tree.leaves(run(loop)), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_array_equal(one, other)


@pytest.mark.heavy
@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
def test_a_gpu_gets_one_kernel_and_a_cpu_none(wide):
    """Lowered for CUDA here, where there may be none; the kernel has 32 bits where JAX may have 64."""
    body, walls = walkers(np.random.default_rng(0), 4)
    with jax.enable_x64(wide):
        traced = jax.jit(jax.vmap(motion.step)).trace(body, walls, jnp.zeros(4, jnp.int32))
        assert traced.lower(lowering_platforms=("cuda",)).as_text().count("gpu.triton") == 1
        assert "triton" not in traced.lower(lowering_platforms=("cpu",)).as_text()
