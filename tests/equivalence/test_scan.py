"""Every form of the recurrence equals a NumPy loop, values and gradients. About 15 seconds."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i_jit.ssm import kernel
from r2i_jit.ssm.scan import scan_with_resets

B, P = 2, 3
METHODS = ("sequential", "associative", "chunked", "fused")  # the last: kernels where there is a GPU, else chunked
LENGTHS = (1, 2, 7, 33)  # one compilation each; none but 1 and 2 a power of two


def loop(lambda_bar, bu, x_init, is_first, carry):
    """The definition: x_t = lambda_bar * (x_init if is_first_t else x_{t-1}) + bu_t."""
    x, states = carry, []
    for t in range(bu.shape[1]):
        x = np.where(is_first[:, t, None], x_init, x)
        x = lambda_bar * x + bu[:, t]
        states.append(x)
    return np.stack(states, 1)


def system(seed, length):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)

    radius, angle = rng.uniform(0.5, 1.0, P), rng.uniform(-3, 3, P)
    return (radius * np.exp(1j * angle)).astype(np.complex64), draw(B, length, P), draw(P), draw(B, P)


@partial(jax.jit, static_argnums=0)
def run(method, lambda_bar, bu, x_init, is_first, carry):
    return scan_with_resets(lambda_bar, bu, x_init, is_first, carry, method)


@partial(jax.jit, static_argnums=0)
def gradients(method, lambda_bar, bu, x_init, is_first, carry, direction):
    def objective(lambda_bar, bu, x_init, carry):
        x = scan_with_resets(lambda_bar, bu, x_init, is_first, carry, method)
        return jnp.sum(jnp.real(x * direction)) + jnp.sum(jnp.abs(x) ** 2)

    return jax.grad(objective, argnums=(0, 1, 2, 3))(lambda_bar, bu, x_init, carry)


@jax.jit
def reference_gradients(lambda_bar, bu, x_init, is_first, carry, direction):
    """Gradients of the same objective through a plain stepwise loop that autodiff differentiates."""

    def objective(lambda_bar, bu, x_init, carry):
        x, total = carry, 0.0
        for t in range(bu.shape[1]):
            x = lambda_bar[None] * jnp.where(is_first[:, t, None], x_init[None], x) + bu[:, t]
            total += jnp.sum(jnp.real(x * direction[:, t])) + jnp.sum(jnp.abs(x) ** 2)
        return total

    return jax.grad(objective, argnums=(0, 1, 2, 3))(lambda_bar, bu, x_init, carry)


def resets(bits, length):
    return np.array([[bits >> (b * length + t) & 1 for t in range(length)] for b in range(B)], bool)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(bits=st.integers(0, 2 ** (2 * max(LENGTHS)) - 1), seed=st.integers(0, 999))
def test_scan_equals_loop_for_any_reset_pattern(method, length, bits, seed):
    lambda_bar, bu, x_init, carry = system(seed, length)
    is_first = resets(bits, length)
    got = run(method, lambda_bar, bu, x_init, is_first, carry)
    np.testing.assert_allclose(got, loop(lambda_bar, bu, x_init, is_first, carry), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30, deadline=None)
@given(bits=st.integers(0, 2**14 - 1), seed=st.integers(0, 999))
def test_gradients_equal_those_of_the_loop(method, bits, seed):
    length = 7
    lambda_bar, bu, x_init, carry = system(seed, length)
    direction = system(seed + 1000, length)[1]
    arguments = (lambda_bar, bu, x_init, resets(bits, length), carry, direction)
    for got, expected in zip(gradients(method, *arguments), reference_gradients(*arguments), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_long_sequences_stay_accurate(method):
    """4096 steps of nearly undamped modes (the slowest at initialisation) stay within float32 rounding of float64."""
    length = 4096
    rng = np.random.default_rng(0)
    lambda_bar = (np.exp(-0.0005) * np.exp(1j * rng.uniform(-3, 3, P))).astype(np.complex64)
    _, bu, x_init, carry = system(0, length)
    is_first = rng.random((B, length)) < 0.002
    got = np.asarray(run(method, lambda_bar, bu, x_init, is_first, carry))
    expected = loop(*(x.astype(np.complex128) for x in (lambda_bar, bu, x_init)), is_first, carry.astype(np.complex128))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(got / scale, expected / scale, atol=2e-5)


@pytest.mark.heavy
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("length", "width"), [(1, 3), (7, 40), (33, 64)])
def test_the_kernels_for_gpus_compute_the_recurrence(length, width, reverse):
    """Interpreted, for a batch of systems; lengths and widths that fill neither chunks nor columns."""
    seeds = 2
    rng = np.random.default_rng(length)
    draw = lambda *shape: (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    lambda_bar, b = draw(seeds, width), draw(seeds, length, B, width)
    lambda_bar /= 1.05 * np.abs(lambda_bar)
    keep = (rng.random((seeds, length, B, 1)) > 0.2).astype(np.float32)
    got = jax.jit(jax.vmap(partial(kernel.solve, reverse=reverse, interpret=True)))(lambda_bar, keep, b)
    x, expected = np.zeros((seeds, B, width), np.complex64), np.zeros_like(b)
    for t in range(length)[:: -1 if reverse else 1]:
        x = lambda_bar[:, None] * keep[:, t] * x + b[:, t]
        expected[:, t] = x
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def traced_fused():
    arguments = system(0, 40)
    return gradients.trace("fused", *arguments[:3], np.zeros((B, 40), bool), arguments[3], arguments[1])


def test_gpus_get_the_kernels():
    """Lowered for CUDA here, where there may be none: forward and backward are two kernels each."""
    traced = traced_fused()
    assert traced.lower(lowering_platforms=("cuda",)).as_text().count("gpu.triton") == 4
    assert "triton" not in traced.lower(lowering_platforms=("cpu",)).as_text()


def test_the_kernels_have_32_bits_where_jax_may_have_64():
    def kernels(x64):
        with jax.enable_x64(x64):
            text = traced_fused().lower(lowering_platforms=("cuda",)).as_text()
        return re.findall(r'ir = "((?:[^"\\]|\\.)*)"', text)

    assert len(kernels(True)) == 4 and kernels(True) == kernels(False)


def test_released_operator_would_fail():
    """The published operator, written out, disagrees with the loop: the test above can fail."""
    lambda_bar, bu, x_init, _ = system(3, 9)
    is_first = np.zeros((B, 9), bool)
    is_first[:, 5] = True

    def compose(left, right):
        (a_i, b_i, _, d_i), (a_j, b_j, z_j, d_j) = left, right
        a = a_j * a_i * (1 - d_j) + a_j * d_j
        b = a_j * ((1 - d_j) * b_i + d_j * z_j) + b_j
        return a, b, z_j, jnp.minimum(jnp.real(d_i + d_j), 1).astype(d_i.dtype)

    def pad(first, rest):
        return jnp.concatenate([first[:, None], rest], 1)

    d = jnp.asarray(np.insert(is_first, 0, False, axis=1), jnp.complex64)[..., None]  # rightly placed flags
    b = pad(jnp.zeros((B, P), jnp.complex64), jnp.asarray(bu))
    a = pad(jnp.ones((B, P), jnp.complex64), jnp.broadcast_to(lambda_bar, bu.shape))
    z = jnp.broadcast_to(x_init, b.shape)
    got = jax.lax.associative_scan(compose, (a, b, z, jnp.broadcast_to(d, b.shape)), axis=1)[1][:, 1:]
    expected = loop(lambda_bar, bu, x_init, is_first, np.zeros((B, P), np.complex64))
    assert np.abs(np.asarray(got) - expected).max() > 0.1
