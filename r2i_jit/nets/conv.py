"""Image encoder and decoder: 4x4 stride-2 convolutions, LayerNorm, SiLU, no residual blocks; or patches, dense layers.

The paper has four convolutions between 64x64 pixels and 4x4 features. "patches" has none: one linear map for every 8x8
patch, the same for all, then dense layers over all patches; on a CPU a gradient step takes a sixth of the time
(docs/decisions/009-images-on-cpu.md).

The convolutions are written as matrix products. The loop runs them inside a scan and under a `vmap` over seeds, and
there the library's are far slower: XLA's CPU backend leaves its fast routines inside a loop, and a convolution with a
kernel per seed becomes a grouped one.

Owned by tests/unit/test_conv.py (against the library's).

Ref: R2I release `configs.yaml:78`, `nets.py:428-463`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from r2i_jit.config import ImageNet
from r2i_jit.nets.mlp import Dense, LayerNorm, Linear, kernel_init, product

STAGES = 4  # halvings of the resolution
PATCH = 8  # side of a patch


class ImageEncoder(nn.Module):
    """(..., height, width, channels) to (..., D).

    "convolutions" go through depths d, 2d, 4d, 8d and halve the sides four times; "patches" of 8x8 become d numbers
    each. Sides that do not divide by 16, or by 8, are filled up with black.
    """

    net: ImageNet
    depth: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Encode images, uint8 or in [-0.5, 0.5]."""
        lead = image.shape[:-3]
        x = _filled(image.reshape(-1, *image.shape[-3:]), padded(self.net, image.shape[-3:]))
        if self.net == "patches":
            x = Linear(self.depth, self.dtype)(_centred(to_patches(x)).astype(self.dtype))
        else:
            x = _centred(x).astype(self.dtype)
            for stage in range(STAGES):
                x = _norm_act(Downsample(self.depth * 2**stage, dtype=self.dtype)(x), self.dtype)
        return x.reshape(*lead, -1)


class ImageDecoder(nn.Module):
    """(..., D_i) to an image (..., height, width, channels) in [-0.5, 0.5].

    The encoder's mirror image; "patches" have a layer of `units` before that. What the encoder fills up is cut off.
    """

    net: ImageNet
    depth: int
    units: int
    shape: tuple[int, int, int]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, *features: jax.Array) -> jax.Array:
        """Decode features."""
        lead, (height, width, channels) = features[0].shape[:-1], padded(self.net, self.shape)
        flat = [x.reshape(-1, x.shape[-1]) for x in features]
        if self.net == "patches":
            small = (height // PATCH, width // PATCH, self.depth)
            flat = [Linear(self.units, self.dtype)(*flat)]
        else:
            small = (height // 2**STAGES, width // 2**STAGES, self.depth * 2 ** (STAGES - 1))
        x = Dense(small[0] * small[1] * small[2], dtype=self.dtype, kernel_init=kernel_init)(*flat)
        x = _norm_act(x.reshape(-1, *small), self.dtype)
        if self.net == "patches":
            x = from_patches(Dense(PATCH**2 * channels, dtype=self.dtype, kernel_init=kernel_init)(x))
        else:
            for stage in reversed(range(STAGES - 1)):
                x = _norm_act(Upsample(self.depth * 2**stage, dtype=self.dtype)(x), self.dtype)
            x = Upsample(channels, use_bias=True, dtype=self.dtype)(x)
        x = x[:, : self.shape[0], : self.shape[1]]
        return x.reshape(*lead, *self.shape).astype(jnp.float32)


class Downsample(nn.Module):
    """A 4x4 convolution with stride 2, without bias: `nn.Conv`'s parameters and values (see `conv`)."""

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, height, width, D) to (N, height / 2, width / 2, features)."""
        kernel = self.param("kernel", kernel_init, (4, 4, x.shape[-1], self.features), jnp.float32)
        return conv(x.astype(self.dtype), kernel.astype(self.dtype))


class Upsample(nn.Module):
    """A 4x4 transposed convolution with stride 2: `nn.ConvTranspose`'s parameters and values (see `conv_transpose`)."""

    features: int
    use_bias: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, height, width, D) to (N, 2 height, 2 width, features)."""
        kernel = self.param("kernel", kernel_init, (4, 4, x.shape[-1], self.features), jnp.float32)
        x = conv_transpose(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
            x = x + jax.lax.broadcast_to_rank(bias, x.ndim)
        return x


def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Return a 4x4 convolution of stride 2 and padding "SAME" as one matrix product.

    Args:
      x: (N, height, width, D), even height and width.
      kernel: (4, 4, D, F).

    Returns:
      (N, height / 2, width / 2, F).
    """
    count, height, width, depth = x.shape
    height, width = height // 2, width // 2
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    pairs = padded.reshape(count, height + 1, 2, width + 1, 2 * depth)
    rows = ((0, 0), (0, 1), (1, 0), (1, 1))  # (pair, row in it) of the four rows that a pixel sees
    windows = [pairs[:, i : i + height, a, j : j + width] for i, a in rows for j in (0, 1)]
    return product(jnp.concatenate(windows, -1), kernel.reshape(16 * depth, -1))


def conv_transpose(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Return `lax.conv_transpose(x, kernel, (2, 2), "SAME")` by one matrix product.

    Between every four neighbours of the input, borders included, lie 2x2 pixels of the output that depend on these
    four alone. So each window of 2x2 inputs is multiplied with the kernel, its taps sorted by window and output pixel.

    Args:
      x: (N, height, width, D).
      kernel: (4, 4, D, F).

    Returns:
      (N, 2 height, 2 width, F).
    """
    count, height, width, depth = x.shape
    features = kernel.shape[-1]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = jnp.concatenate([padded[:, i : i + height + 1, j : j + width + 1] for i in (0, 1) for j in (0, 1)], -1)
    # Along one axis, output pixel 0 of a window meets taps 1 and 3, pixel 1 taps 0 and 2.
    taps = np.array([[1, 0], [3, 2]])  # (input, output)
    sorted_taps = kernel[taps[:, None, :, None], taps[None, :, None, :]]  # (i, j, a, b, D, F)
    matrix = sorted_taps.transpose(0, 1, 4, 2, 3, 5).reshape(4 * depth, 4 * features)
    out = product(windows, matrix).reshape(count, height + 1, width + 1, 2, 2, features)
    out = out.transpose(0, 1, 3, 2, 4, 5).reshape(count, 2 * height + 2, 2 * width + 2, features)
    return out[:, 1:-1, 1:-1]


def to_patches(x: jax.Array) -> jax.Array:
    """Return (N, height, width, C) as (N, height / PATCH, width / PATCH, PATCH * PATCH * C)."""
    count, height, width, channels = x.shape
    rows = x.reshape(count, height // PATCH, PATCH, width // PATCH, PATCH * channels)
    if x.dtype != jnp.uint8:
        return rows.swapaxes(2, 3).reshape(count, height // PATCH, width // PATCH, -1)
    # A CPU moves element by element: four bytes are one.
    words = jax.lax.bitcast_convert_type(rows.reshape(*rows.shape[:-1], -1, 4), jnp.uint32).swapaxes(2, 3)
    return jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(count, height // PATCH, width // PATCH, -1)


def from_patches(x: jax.Array) -> jax.Array:
    """Return the inverse of `to_patches`."""
    count, height, width, size = x.shape
    x = x.reshape(count, height, width, PATCH, PATCH, size // PATCH**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(count, height * PATCH, width * PATCH, -1)


def padded(net: ImageNet, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (height, width, channels) with the sides that the networks work on."""
    side = PATCH if net == "patches" else 2**STAGES
    height, width, channels = shape
    return -(-height // side) * side, -(-width // side) * side, channels


def _filled(x: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Return images (N, ...) with black below and on the right, up to a height and a width."""
    below, right = shape[0] - x.shape[1], shape[1] - x.shape[2]
    if not (below or right):
        return x
    black = jnp.asarray(0 if x.dtype == jnp.uint8 else -0.5, x.dtype)
    return jnp.pad(x, ((0, 0), (0, below), (0, right), (0, 0)), constant_values=black)


def _centred(x: jax.Array) -> jax.Array:
    """Return bytes as numbers in [-0.5, 0.5], and numbers as they are."""
    return x.astype(jnp.float32) / 255.0 - 0.5 if x.dtype == jnp.uint8 else x


def _norm_act(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    return nn.silu(LayerNorm(epsilon=1e-3, dtype=dtype)(x))
