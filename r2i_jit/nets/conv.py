"""Image encoder and decoder: four 4x4 stride-2 convolutions, LayerNorm, SiLU, no residual blocks.

Ref: R2I release `configs.yaml:78`, `nets.py:428-463`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from r2i_jit.nets.mlp import kernel_init

STAGES = 4


class ImageEncoder(nn.Module):
    """(..., height, width, channels) to (..., D) through depths d, 2d, 4d, 8d; sides must divide by 16."""

    depth: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Encode images in [-0.5, 0.5]."""
        lead = image.shape[:-3]
        x = image.reshape(-1, *image.shape[-3:]).astype(self.dtype)
        for stage in range(STAGES):
            x = nn.Conv(
                self.depth * 2**stage, (4, 4), (2, 2), use_bias=False, dtype=self.dtype, kernel_init=kernel_init
            )(x)
            x = nn.silu(nn.LayerNorm(epsilon=1e-3, dtype=self.dtype)(x))
        return x.reshape(*lead, -1)


class ImageDecoder(nn.Module):
    """(..., D) to an image (..., height, width, channels) in [-0.5, 0.5]."""

    depth: int
    shape: tuple[int, int, int]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Decode features."""
        lead, (height, width, channels) = x.shape[:-1], self.shape
        small = (height // 2**STAGES, width // 2**STAGES, self.depth * 2 ** (STAGES - 1))
        x = nn.Dense(small[0] * small[1] * small[2], dtype=self.dtype, kernel_init=kernel_init)(x.astype(self.dtype))
        x = x.reshape(-1, *small)
        for stage in reversed(range(STAGES - 1)):
            x = nn.silu(nn.LayerNorm(epsilon=1e-3, dtype=self.dtype)(x))
            x = nn.ConvTranspose(
                self.depth * 2**stage, (4, 4), (2, 2), use_bias=False, dtype=self.dtype, kernel_init=kernel_init
            )(x)
        x = nn.silu(nn.LayerNorm(epsilon=1e-3, dtype=self.dtype)(x))
        x = nn.ConvTranspose(channels, (4, 4), (2, 2), dtype=self.dtype, kernel_init=kernel_init)(x)
        return x.reshape(*lead, *self.shape).astype(jnp.float32)
