"""Functions whose `vmap` makes more rows of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.rows import fold_axes, in_blocks


def one(scale, pair):
    """Of one row: a scalar and a tree with leaves (3,) and ()."""
    return {"sum": jnp.sum(pair[0]) * scale, "all": (pair[0] + pair[1] * scale).astype(jnp.int32)}


def arguments(rng, *axes):
    return rng.normal(size=axes), (rng.normal(size=(*axes, 3)), rng.normal(size=axes))


def loops(compiled):
    return compiled.as_text().count(" while(")


@pytest.mark.heavy
@settings(deadline=None, max_examples=15)
@given(st.integers(1, 23), st.integers(1, 8), st.integers(0, 2**31))
def test_blocks_give_what_a_vmap_gives(count, block, seed):
    rows = arguments(np.random.default_rng(seed), count)
    blocks = jax.vmap(in_blocks(one, block))(*rows)
    same = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)  # A GPU sums a single row in another order.
    jax.tree.map(same, blocks, jax.vmap(one)(*rows))


def test_blocks_under_two_vmaps_and_shared_arguments():
    scale, pair = arguments(np.random.default_rng(0), 4, 5)
    function = in_blocks(one, 3)
    made = jax.vmap(jax.vmap(function, (0, 0)), (None, 0))(scale[0], pair)
    jax.tree.map(np.testing.assert_array_equal, made, jax.vmap(jax.vmap(one), (None, 0))(scale[0], pair))
    alone = function(scale[0, 0], (pair[0][0, 0], pair[1][0, 0]))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[0, 0]), alone, made)


@pytest.mark.parametrize(("rows", "expected"), [((6,), 1), ((5,), 0), ((2, 3), 1), ((2, 2), 0)])
def test_there_is_a_loop_where_rows_of_all_axes_fill_two_blocks(rows, expected):
    function = in_blocks(one, 3)
    for _ in rows:
        function = jax.vmap(function)
    compiled = jax.jit(function).lower(*arguments(np.random.default_rng(0), *rows)).compile()
    assert loops(compiled) == (expected if jax.default_backend() == "cpu" else 0)


def test_folding_shows_the_function_all_rows():
    seen = []

    def count(x):
        seen.append(x.shape)
        return jnp.cumsum(x)

    x = np.arange(12.0).reshape(2, 2, 3)
    made = jax.vmap(jax.vmap(fold_axes(count)))(x)
    assert (12,) in seen
    np.testing.assert_array_equal(made, np.cumsum(x).reshape(2, 2, 3))


@pytest.mark.parametrize(("wrap", "maps"), [(fold_axes, 1), (lambda function: in_blocks(function, 2), 2)])
def test_empty_arrays_pass_through(wrap, maps):
    """A physics engine's state has some: of a body without contacts."""
    rows = np.zeros((2, 6, 0, 3)), np.arange(12.0).reshape(2, 6)
    function = wrap(lambda a, b: (a * 2.0, b * 2.0))
    for _ in range(maps):
        function = jax.vmap(function)
    made = function(*rows)
    assert made[0].shape == rows[0].shape
    np.testing.assert_array_equal(made[1], rows[1] * 2)
