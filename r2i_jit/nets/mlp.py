"""Linear layers as R2I has them: no bias, LayerNorm (eps 1e-3), SiLU; truncated-normal initialisation, fan average.

Ref: R2I release `nets.py:680-725, 775-780`.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

kernel_init = nn.initializers.variance_scaling(1.0, "fan_avg", "truncated_normal")


def product(x: jax.Array, matrix: jax.Array, precision: jax.lax.PrecisionLike = None) -> jax.Array:
    """Return `x @ matrix` for x (..., D), as a product of two matrices.

    With more axes the gradient with respect to the matrix is slower on CPU (docs/decisions/009).
    """
    flat = _product(x.reshape(-1, x.shape[-1]), matrix, precision)
    return flat.reshape(*x.shape[:-1], matrix.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(x: jax.Array, matrix: jax.Array, precision: jax.lax.PrecisionLike) -> jax.Array:
    return jnp.dot(x, matrix, precision=precision)


def _product_forward(x, matrix, precision):
    return jnp.dot(x, matrix, precision=precision), (x, matrix)


def _product_backward(precision, saved, grad):
    """Compute the matrix's gradient with its longer side last, which is faster on CPU (`benchmarks products`).

    The barrier is there because the compiler would undo the transposition.
    """
    x, matrix = saved

    def over_rows(a, b):
        return jax.lax.dot_general(a, b, (((0,), (0,)), ((), ())), precision=precision)

    if matrix.shape[0] > matrix.shape[1]:
        by_matrix = jax.lax.optimization_barrier(over_rows(grad, x)).T
    else:
        by_matrix = over_rows(x, grad)
    return jnp.dot(grad, matrix.T, precision=precision), by_matrix


_product.defvjp(_product_forward, _product_backward)


class Dense(nn.Module):
    """Linear map of one or several inputs, as if they were concatenated; no copy of them is made for that.

    The product is one of two matrices however many axes the inputs have; see `product`.
    """

    features: int
    use_bias: bool = True
    dtype: jnp.dtype = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, *inputs: jax.Array) -> jax.Array:
        """Map (..., D_i) to (..., features)."""
        ends = np.cumsum([x.shape[-1] for x in inputs])
        kernel = self.param("kernel", self.kernel_init, (int(ends[-1]), self.features)).astype(self.dtype)
        parts = zip(inputs, jnp.split(kernel, ends[:-1]), strict=True)
        total = functools.reduce(jnp.add, [product(x.astype(self.dtype), rows) for x, rows in parts])
        if not self.use_bias:
            return total
        return total + self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)


class Linear(nn.Module):
    """Dense without bias, LayerNorm, SiLU."""

    units: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, *x: jax.Array) -> jax.Array:
        """Map (..., D_i) to (..., units)."""
        x = Dense(self.units, use_bias=False, dtype=self.dtype, kernel_init=kernel_init)(*x)
        return nn.silu(nn.LayerNorm(epsilon=1e-3, dtype=self.dtype)(x))


class MLP(nn.Module):
    """`layers` Linear layers and an output projection in float32.

    `out_scale` scales the output's initial weights: 0 makes a head that starts at its uninformed prediction.
    """

    layers: int
    units: int
    out: int
    out_scale: float = 1.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, *x: jax.Array) -> jax.Array:
        """Map (..., D_i) to (..., out)."""
        for _ in range(self.layers):
            x = (Linear(self.units, self.dtype)(*x),)
        init = nn.initializers.variance_scaling(self.out_scale, "fan_avg", "truncated_normal")
        if self.out_scale == 0.0:
            init = nn.initializers.zeros
        return Dense(self.out, dtype=self.dtype, kernel_init=init)(*x).astype(jnp.float32)
