"""Comparing pytrees of arrays, typed PRNG keys included, and reading programs."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params


def leaves(tree):
    """Return the leaves on the host, keys as their bits."""

    def plain(x):
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    return [np.asarray(plain(x)) for x in jax.tree.leaves(tree)]


def assert_same(a, b):
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def assert_close(a, b):
    """Compare up to float reassociation."""
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4)


def equations(jaxpr):
    """Yield every equation of a program, those of the functions within included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)
