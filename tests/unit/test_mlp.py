"""Matrix products and layers of several inputs, against the plain ones. About 5 seconds."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2i_jit.nets import mlp
from r2i_jit.nets.mlp import MLP, Dense, GatedMLP, cast_kernels, product


@pytest.mark.parametrize(("rows", "columns"), [(7, 3), (3, 7), (4, 4)])
def test_product_has_the_gradients_of_a_matrix_product(rows, columns):
    rng = np.random.default_rng(0)
    x, matrix = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((2, 5, rows), (rows, columns)))
    weight = jnp.asarray(rng.normal(size=(2, 5, columns)), jnp.float32)

    def through(function):
        return jax.jit(jax.value_and_grad(lambda x, matrix: jnp.sum(weight * jnp.sin(function(x, matrix))), (0, 1)))

    actual, expected = through(product)(x, matrix), through(jnp.matmul)(x, matrix)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), actual, expected)
    seeds = jax.vmap(through(product))(jnp.stack([x, 2 * x]), jnp.stack([matrix, -matrix]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-5, atol=1e-5), seeds, expected)


@pytest.mark.parametrize(("batch", "rows", "columns"), [(64, 7, 96), (96, 80, 1), (5, 3, 7), (64, 80, 96)])
def test_a_gpus_gradient_of_a_matrix_is_that_of_the_others(batch, rows, columns):
    rng = np.random.default_rng(2)
    x, grad = (jnp.asarray(rng.normal(size=(batch, width)), jnp.float32) for width in (rows, columns))
    expected = np.asarray(x, np.float64).T @ np.asarray(grad, np.float64)
    for form in (mlp._over_rows, mlp._over_stretches):
        np.testing.assert_allclose(jax.jit(form, static_argnums=0)(None, x, grad), expected, rtol=1e-4, atol=1e-4)
    half = mlp._over_stretches(None, x.astype(jnp.bfloat16), grad.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), expected, rtol=0.02, atol=0.3)


def test_a_narrow_gradient_is_summed_over_stretches_on_a_gpu_only():
    def gradient(x, matrix):
        return jax.grad(lambda matrix: product(x, matrix).sum())(matrix)

    traced = jax.jit(gradient).trace(jnp.ones((64, 7), jnp.float32), jnp.ones((7, 96), jnp.float32))
    assert "32x7x96" in traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "32x7x96" not in traced.lower(lowering_platforms=("cpu",)).as_text()


def test_kernels_are_cast_once_for_many_steps():
    class Two(nn.Module):
        @nn.compact
        def __call__(self, x):
            return MLP(1, 8, 4, dtype=jnp.bfloat16)(x) + Dense(4, name="exact")(x)

    x = jnp.asarray(np.random.default_rng(3).normal(size=(5, 6)), jnp.float32)
    params = Two().init(jax.random.key(0), x)["params"]
    cast = cast_kernels(params, jnp.bfloat16, but=("exact",))
    by_name = {jax.tree_util.keystr(path): leaf.dtype.name for path, leaf in jax.tree_util.tree_leaves_with_path(cast)}
    halves = {name for name, dtype in by_name.items() if dtype == "bfloat16"}
    assert halves == {"['MLP_0']['Dense_0']['kernel']", "['MLP_0']['Linear_0']['Dense_0']['kernel']"}
    np.testing.assert_array_equal(Two().apply({"params": cast}, x), Two().apply({"params": params}, x))


@pytest.mark.parametrize(
    "layer", [Dense(5), Dense(5, use_bias=False), pytest.param(MLP(2, 6, 5), marks=pytest.mark.heavy), MLP(0, 6, 5)]
)
def test_several_inputs_are_as_one(layer):
    rng = np.random.default_rng(1)
    inputs = [jnp.asarray(rng.normal(size=(2, 3, width)), jnp.float32) for width in (4, 1, 6)]
    params = layer.init(jax.random.key(0), *inputs)
    whole = jnp.concatenate(inputs, -1)

    def loss(params, *inputs):
        return jnp.sum(jnp.sin(layer.apply(params, *inputs)))

    np.testing.assert_allclose(layer.apply(params, *inputs), layer.apply(params, whole), rtol=1e-5, atol=1e-5)
    actual, expected = jax.grad(loss)(params, *inputs), jax.grad(loss)(params, whole)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), actual, expected)


def test_computing_in_bfloat16_keeps_parameters_in_float32():
    x = jnp.ones((3, 4), jnp.float32)
    params = Dense(2, dtype=jnp.bfloat16).init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert Dense(2, dtype=jnp.bfloat16).apply(params, x).dtype == jnp.bfloat16
    gradient = jax.grad(lambda params: Dense(2, dtype=jnp.bfloat16).apply(params, x).sum().astype(jnp.float32))(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(("shape", "dtype"), [((7, 5, 6), "float32"), ((4100, 3), "float32"), ((3, 6), "bfloat16")])
def test_layer_norm_has_the_values_and_gradients_of_flaxs(shape, dtype):
    rng = np.random.default_rng(5)
    x, weight = (jnp.asarray(rng.normal(size=shape), dtype) for _ in range(2))
    params = {name: jnp.asarray(rng.normal(size=shape[-1:]), jnp.float32) for name in ("scale", "bias")}

    def through(layer):
        return jax.jit(
            jax.value_and_grad(lambda params, x: jnp.sum(weight * jnp.sin(layer.apply({"params": params}, x))), (0, 1))
        )

    with jax.numpy_dtype_promotion("standard"):
        expected = through(nn.LayerNorm(epsilon=1e-3, dtype=dtype))(params, x)
    actual = through(mlp.LayerNorm(epsilon=1e-3, dtype=dtype))(params, x)
    bound = 1e-5 if dtype == "float32" else 0.05
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.astype(jnp.float32), b.astype(jnp.float32), rtol=bound, atol=bound)


def test_a_bias_has_the_gradient_of_a_sum_over_all_rows():
    rng = np.random.default_rng(6)
    x, weight = (jnp.asarray(rng.normal(size=(3, 5, width)), jnp.float32) for width in (6, 4))
    params = Dense(4).init(jax.random.key(0), x)
    gradient = jax.grad(lambda params: jnp.sum(weight * Dense(4).apply(params, x)))(params)["params"]["bias"]
    np.testing.assert_allclose(gradient, np.asarray(weight, np.float64).sum((0, 1)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("given", [0, 2])
def test_gated_ways_are_linear_in_the_input_and_nothing_at_first(given):
    rng = np.random.default_rng(4)
    x = jnp.asarray(rng.normal(size=(5, 6)), jnp.float32)
    others = jnp.asarray(rng.integers(0, 2, (5, given)), jnp.float32) if given else None
    layer = GatedMLP(1, 8, 3, gates=2)
    params = layer.init(jax.random.key(0), x, given=others)["params"]
    linear = params["Linear_0"]
    norm = nn.LayerNorm(epsilon=1e-3)
    hidden = nn.silu(norm.apply({"params": linear["LayerNorm_0"]}, x @ linear["Dense_0"]["kernel"]))
    through = hidden @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]
    np.testing.assert_allclose(layer.apply({"params": params}, x, given=others), through, rtol=1e-5, atol=1e-6)
    ways = rng.normal(size=(6, 3 + given, 3)).astype(np.float32)  # input, way, output
    params = params | {"Dense_2": {"kernel": jnp.asarray(ways.reshape(6, -1))}}
    found = np.tanh(hidden @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"][None])
    gates = np.concatenate([np.ones((5, 1)), found, *([] if others is None else [others])], -1)
    expected = np.asarray(through) + np.einsum("nd,nk,dko->no", x, gates, ways)
    np.testing.assert_allclose(layer.apply({"params": params}, x, given=others), expected, rtol=1e-4, atol=1e-5)
