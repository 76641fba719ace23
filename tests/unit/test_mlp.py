"""Matrix products and layers of several inputs, against the plain ones. About 5 seconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2i_jit.nets.mlp import MLP, Dense, product


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


@pytest.mark.parametrize("layer", [Dense(5), Dense(5, use_bias=False), MLP(2, 6, 5), MLP(0, 6, 5)])
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
    x = jnp.ones((3, 4))
    params = Dense(2, dtype=jnp.bfloat16).init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert Dense(2, dtype=jnp.bfloat16).apply(params, x).dtype == jnp.bfloat16
    gradient = jax.grad(lambda params: Dense(2, dtype=jnp.bfloat16).apply(params, x).sum().astype(jnp.float32))(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}
