"""An S5 layer, in a parallel form over a sequence and a stepwise form, with the same parameters.

The state is complex; outside this package it travels as real numbers, the real parts followed by the imaginary parts:
(..., 2P). That makes both projections one real matrix product each (no complex matrix products anywhere), and the
policy reads it without conversion. The recurrence itself runs in complex64 whatever the compute dtype.

Owned by tests/equivalence/test_sequence.py (parallel = stepwise, whole = two pieces) and tests/unit/test_precision.py.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from r2i_jit.config import ModelConfig
from r2i_jit.nets.mlp import product
from r2i_jit.ssm import discretize, hippo
from r2i_jit.ssm.scan import resolve, scan_with_resets


def _precision(dtype: jnp.dtype) -> jax.lax.Precision:
    """Return the precision of the two projections, which are float32, where the rest is computed in `dtype`.

    If that is bfloat16, what the first reads was rounded to 8 bits and what the second gives will be: then TF32's 11
    (on TPU three passes of 8) are enough. The recurrence is no product, and float32 in either case.
    """
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else jax.lax.Precision.HIGH


class Discrete(NamedTuple):
    """A layer's discretised system: what a step needs, computed once per sequence or rollout."""

    lambda_bar: jax.Array  # (P,) complex
    b_bar: jax.Array  # (H, 2P) real: u @ b_bar = [Re, Im] of B_bar u
    c_tilde: jax.Array  # (2P, H) real: [Re x, Im x] @ c_tilde = Re(C x)


def to_complex(x: jax.Array) -> jax.Array:
    """Return (..., 2P) reals as (..., P) complex numbers."""
    real, imaginary = jnp.split(x, 2, axis=-1)
    return jax.lax.complex(real, imaginary)


def to_real(x: jax.Array) -> jax.Array:
    """Return (..., P) complex numbers as (..., 2P) reals."""
    return jnp.concatenate([jnp.real(x), jnp.imag(x)], axis=-1)


class S5Layer(nn.Module):
    """Multi-input multi-output diagonal SSM: x_t = lambda_bar x_{t-1} + B_bar u_t, y_t = Re(C x_t) + D u_t.

    Initialised from HiPPO-LegS (block-diagonal, all P eigenvalues kept: no conjugate symmetry), B and C rotated into
    its eigenbasis, dt log-uniform per state. Parameters are real pairs.

    Ref: S5, arXiv 2208.04933; R2I release `ssm/mimo.py`.
    """

    config: ModelConfig
    width: int
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        """Create the six SSM parameters and the learned initial state."""
        cfg, p, h = self.config, self.config.ssm_state, self.width
        eigenvalues, vectors = hippo.block_diagonal(p, cfg.ssm_blocks)

        def init_b(key):
            drawn = nn.initializers.lecun_normal()(key, (h, p), jnp.float32).T
            b = jnp.asarray(vectors.conj().T, jnp.complex64) @ drawn.astype(jnp.complex64)
            return jnp.stack([b.real, b.imag], -1)  # (P, H, 2)

        def init_c(key):
            pair = nn.initializers.lecun_normal(in_axis=1, out_axis=0)(key, (h, p, 2), jnp.float32)
            c = jax.lax.complex(pair[..., 0], pair[..., 1]) @ jnp.asarray(vectors, jnp.complex64)
            return jnp.stack([c.real, c.imag], -1)  # (H, P, 2)

        def init_log_dt(key):
            low, high = np.log(cfg.dt_min), np.log(cfg.dt_max)
            return jax.random.uniform(key, (p,), jnp.float32, low, high)

        self.lambda_re = self.param("lambda_re", lambda _: jnp.asarray(eigenvalues.real, jnp.float32))
        self.lambda_im = self.param("lambda_im", lambda _: jnp.asarray(eigenvalues.imag, jnp.float32))
        self.log_dt = self.param("log_dt", init_log_dt)
        self.b = self.param("b", init_b)
        self.c = self.param("c", init_c)
        self.d = self.param("d", nn.initializers.normal(1.0), (h,), jnp.float32)
        if cfg.initial_state == "learned":
            self.initial = self.param("initial", nn.initializers.zeros, (2 * p,), jnp.float32)
        else:
            self.initial = jnp.zeros((2 * p,), jnp.float32)

    def prepare(self) -> Discrete:
        """Discretise the layer's system."""
        real = jnp.minimum(self.lambda_re, -1e-4) if self.config.clip_eigenvalues else self.lambda_re
        eigenvalues = jax.lax.complex(real, self.lambda_im)
        lambda_bar, gain = discretize.METHODS[self.config.discretization](eigenvalues, jnp.exp(self.log_dt))
        b_bar = (gain[:, None] * jax.lax.complex(self.b[..., 0], self.b[..., 1])).T  # (H, P)
        c_tilde = jnp.concatenate([self.c[..., 0], -self.c[..., 1]], axis=1).T  # (2P, H)
        return Discrete(lambda_bar, to_real(b_bar), c_tilde)

    def parallel(self, u: jax.Array, is_first: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map u (B, T, H), is_first (B, T), carry (B, 2P) to outputs y (B, T, H) and states x (B, T, 2P)."""
        system = self.prepare()
        u = u.astype(jnp.float32)
        bu = to_complex(product(u, system.b_bar, _precision(self.dtype)))
        method = resolve(self.config.scan)
        x = scan_with_resets(system.lambda_bar, bu, to_complex(self.initial), is_first, to_complex(carry), method)
        x = to_real(x)
        return self._read_out(system, x, u), x

    def step(self, system: Discrete, u: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map u (N, H) and the state before the step x (N, 2P) to y (N, H) and the state after it."""
        u = u.astype(jnp.float32)
        x = to_real(system.lambda_bar[None] * to_complex(x)) + product(u, system.b_bar, _precision(self.dtype))
        return self._read_out(system, x, u), x

    def evening(self) -> jax.Array:
        """Return factors (2P,), dt^-1/2, that bring the states to one scale.

        A state's input enters with a factor of about dt and is kept for about 1 / dt steps: slow states are small.
        """
        scale = jnp.exp(-0.5 * jax.lax.stop_gradient(self.log_dt))
        return jnp.concatenate([scale, scale])

    def _read_out(self, system: Discrete, x: jax.Array, u: jax.Array) -> jax.Array:
        return product(x, system.c_tilde, _precision(self.dtype)) + jax.lax.broadcast_to_rank(self.d, u.ndim) * u
