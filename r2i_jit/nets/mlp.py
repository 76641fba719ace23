"""Linear layers as R2I has them: no bias, LayerNorm (eps 1e-3), SiLU; truncated-normal initialisation, fan average.

Ref: R2I release `nets.py:680-725, 775-780`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

kernel_init = nn.initializers.variance_scaling(1.0, "fan_avg", "truncated_normal")


def product(x: jax.Array, matrix: jax.Array, precision: jax.lax.PrecisionLike = None) -> jax.Array:
    """Return `x @ matrix` for x (..., D), as a product of two matrices.

    With more axes the gradient with respect to the matrix is slower on CPU (docs/decisions/009).
    """
    flat = jnp.dot(x.reshape(-1, x.shape[-1]), matrix, precision=precision)
    return flat.reshape(*x.shape[:-1], matrix.shape[-1])


class Dense(nn.Dense):
    """`nn.Dense`, whose product is one of two matrices however many axes the input has; see `product`."""

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Map (..., D) to (..., features)."""
        return super().__call__(inputs.reshape(-1, inputs.shape[-1])).reshape(*inputs.shape[:-1], self.features)


class Linear(nn.Module):
    """Dense without bias, LayerNorm, SiLU."""

    units: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (..., D) to (..., units)."""
        x = Dense(self.units, use_bias=False, dtype=self.dtype, kernel_init=kernel_init)(x.astype(self.dtype))
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
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (..., D) to (..., out)."""
        for _ in range(self.layers):
            x = Linear(self.units, self.dtype)(x)
        init = nn.initializers.variance_scaling(self.out_scale, "fan_avg", "truncated_normal")
        if self.out_scale == 0.0:
            init = nn.initializers.zeros
        return Dense(self.out, dtype=self.dtype, kernel_init=init)(x).astype(jnp.float32)
