"""Linear layers as R2I has them: no bias, LayerNorm (eps 1e-3), SiLU; truncated-normal initialisation, fan average.

Ref: R2I release `nets.py:680-725, 775-780`.
"""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

_NARROW = 64  # columns: with fewer, a weight matrix's gradient is few tiles for a GPU
_STRETCHES = 32  # into which its rows are split then
_FEW_ROWS = 4096  # fewer, and a processor is faster to multiply them by ones than to add them up

kernel_init = nn.initializers.variance_scaling(1.0, "fan_avg", "truncated_normal")


def _scaled(scale: float) -> nn.initializers.Initializer:
    """Return `kernel_init` with its variance times `scale`."""
    return nn.initializers.variance_scaling(scale, "fan_avg", "truncated_normal") if scale else nn.initializers.zeros


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
    x, matrix = saved
    over_rows = functools.partial(_over_rows, precision)
    if min(matrix.shape) > _NARROW:
        by_matrix = over_rows(x, grad)
    else:
        over_stretches = functools.partial(_over_stretches, precision)
        by_matrix = jax.lax.platform_dependent(x, grad, cuda=over_stretches, default=over_rows)
    return jnp.dot(grad, matrix.T, precision=precision), by_matrix


_product.defvjp(_product_forward, _product_backward)


def _over_rows(precision: jax.lax.PrecisionLike, x: jax.Array, grad: jax.Array) -> jax.Array:
    """Return x^T grad with its longer side last, which is faster on CPU (`benchmarks products`).

    The barrier is there because the compiler would undo the transposition.
    """

    def over_rows(a, b):
        return jax.lax.dot_general(a, b, (((0,), (0,)), ((), ())), precision=precision)

    if x.shape[1] > grad.shape[1]:
        return jax.lax.optimization_barrier(over_rows(grad, x)).T
    return over_rows(x, grad)


def _over_stretches(precision: jax.lax.PrecisionLike, x: jax.Array, grad: jax.Array) -> jax.Array:
    """Return x^T grad as the sum of products over stretches of the rows.

    A GPU gives each tile of the result to one of its processors, and a narrow result has a handful of tiles.
    """
    stretches = math.gcd(x.shape[0], _STRETCHES)
    x, grad = (a.reshape(stretches, -1, a.shape[-1]) for a in (x, grad))
    parts = jnp.einsum("sri,sro->sio", x, grad, precision=precision, preferred_element_type=jnp.float32)
    return parts.sum(0).astype(x.dtype)


class Dense(nn.Module):
    """Linear map of one or several inputs, as if they were concatenated.

    The product is one of two matrices however many axes the inputs have; see `product`. Either the inputs are
    concatenated or the matrix is split, which copies it on CPU: whichever is smaller.
    """

    features: int
    use_bias: bool = True
    dtype: jnp.dtype = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, *inputs: jax.Array) -> jax.Array:
        """Map (..., D_i) to (..., features)."""
        if math.prod(inputs[0].shape[:-1]) < self.features:
            inputs = (jnp.concatenate([x.astype(self.dtype) for x in inputs], -1),)
        ends = np.cumsum([x.shape[-1] for x in inputs])
        kernel = self.param("kernel", self.kernel_init, (int(ends[-1]), self.features), jnp.float32).astype(self.dtype)
        parts = zip(inputs, jnp.split(kernel, ends[:-1]), strict=True)
        total = functools.reduce(jnp.add, [product(x.astype(self.dtype), rows) for x, rows in parts])
        if not self.use_bias:
            return total
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        return _shifted(total, bias)


def cast_kernels(params, dtype: jnp.dtype, but: tuple[str, ...] = ()):
    """Return parameters with the kernels of `Dense` layers in the dtype that they compute in.

    They cast them themselves, at every call: this is for many calls in a loop. Modules named in `but` keep float32.
    """

    def cast(path, leaf):
        names = [entry.key for entry in path]
        return leaf.astype(dtype) if names[-1] == "kernel" and not set(but).intersection(names) else leaf

    return jax.tree_util.tree_map_with_path(cast, params)


class LayerNorm(nn.Module):
    """flax's with its scale and bias, whose gradients are added up as `_sum_over_rows` says.

    Under strict promotion of dtypes too: for bfloat16, flax's asks what promoting it to float32 gives.
    """

    epsilon: float = 1e-6
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise over the last axis."""
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        with jax.numpy_dtype_promotion("standard"):
            normal = nn.LayerNorm(epsilon=self.epsilon, dtype=self.dtype, use_scale=False, use_bias=False)(x)
        return _shifted(_scaled_by(normal, scale.astype(normal.dtype)), bias.astype(normal.dtype))


@jax.custom_vjp
def _scaled_by(x: jax.Array, scale: jax.Array) -> jax.Array:
    """Return x (..., D) times scale (D,)."""
    return x * jax.lax.broadcast_to_rank(scale, x.ndim)


def _scaled_by_backward(saved, grad):
    x, scale = saved
    return _scaled_by(grad, scale), _sum_over_rows(grad * x)


_scaled_by.defvjp(lambda x, scale: (_scaled_by(x, scale), (x, scale)), _scaled_by_backward)


@jax.custom_vjp
def _shifted(x: jax.Array, bias: jax.Array) -> jax.Array:
    """Return x (..., D) plus bias (D,)."""
    return x + jax.lax.broadcast_to_rank(bias, x.ndim)


_shifted.defvjp(lambda x, bias: (_shifted(x, bias), None), lambda _, grad: (grad, _sum_over_rows(grad)))


def _sum_over_rows(x: jax.Array) -> jax.Array:
    """Return the sum (D,) over all rows of x (..., D): of few on a processor by a product (`benchmarks products`)."""
    rows = x.reshape(-1, x.shape[-1])
    if rows.shape[0] >= _FEW_ROWS:
        return rows.sum(0)
    product = lambda rows: jnp.dot(jnp.ones((1, rows.shape[0]), rows.dtype), rows)[0]
    return jax.lax.platform_dependent(rows, cpu=product, default=lambda rows: rows.sum(0))


class Linear(nn.Module):
    """Dense without bias, LayerNorm, SiLU."""

    units: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, *x: jax.Array) -> jax.Array:
        """Map (..., D_i) to (..., units)."""
        y = Dense(self.units, use_bias=False, dtype=self.dtype, kernel_init=kernel_init)(*x)
        return nn.silu(LayerNorm(epsilon=1e-3, dtype=self.dtype)(y))


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
        return Dense(self.out, dtype=self.dtype, kernel_init=_scaled(self.out_scale))(*x).astype(jnp.float32)


class GatedMLP(nn.Module):
    """An MLP with linear ways past its layers, each times a gate; float32 output.

    out(x) = MLP(x) + sum_k g_k W_k x: one gate is 1, `gates` of them are hyperbolic tangents of numbers linear in the
    last layer, and the others are given. All W_k start at zero. See docs/decisions/019.
    """

    layers: int
    units: int
    out: int
    gates: int
    out_scale: float = 1.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, *x: jax.Array, given: jax.Array | None = None) -> jax.Array:
        """Map (..., D_i), and gates (..., G) if any are given, to (..., out)."""
        hidden = x
        for _ in range(self.layers):
            hidden = (Linear(self.units, self.dtype)(*hidden),)
        through = Dense(self.out, dtype=self.dtype, kernel_init=_scaled(self.out_scale))(*hidden)
        found = jnp.tanh(Dense(self.gates, dtype=self.dtype, kernel_init=kernel_init)(*hidden))
        parts = [jnp.ones_like(found[..., :1]), found, *([] if given is None else [given.astype(self.dtype)])]
        gates = jnp.concatenate(parts, -1)
        zeros = nn.initializers.zeros
        ways = Dense(self.out * gates.shape[-1], use_bias=False, dtype=self.dtype, kernel_init=zeros)(*x)
        ways = ways.reshape(*gates.shape, self.out)
        return (through + jnp.sum(gates[..., None] * ways, -2)).astype(jnp.float32)
