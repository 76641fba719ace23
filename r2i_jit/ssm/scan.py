"""Diagonal linear recurrences with episode resets: the one place where time is integrated. No parameters, no modules.

    x_t = lambda_bar * (x_init if is_first_t else x_{t-1}) + bu_t

Resets are folded into the elements (a_t = 0, b_t += lambda_bar * x_init where is_first_t), after which the plain linear
operator is associative and any evaluation order gives the same states. The released R2I folds them otherwise and is
wrong for interior resets (docs/decisions/001-resets-in-the-scan.md).

Owned by tests/equivalence/test_scan.py: every form equals a NumPy loop, values and gradients.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

from r2i_jit.ssm import kernel

Method = Literal["sequential", "associative", "chunked", "fused"]


def resolve(method: str) -> Method:
    """Return the scan to use: "auto" is sequential on CPU, 4-7 times faster there than associative; fused elsewhere."""
    if method == "auto":
        return "sequential" if jax.default_backend() == "cpu" else "fused"
    return method  # type: ignore[return-value]


def scan_with_resets(
    lambda_bar: jax.Array, bu: jax.Array, x_init: jax.Array, is_first: jax.Array, carry: jax.Array, method: Method
) -> jax.Array:
    """Run the recurrence over a whole sequence.

    Args:
      lambda_bar: (P,) complex.
      bu: (B, T, P) complex inputs.
      x_init: (P,) complex, the state before the first step of an episode.
      is_first: (B, T) bool; the state is replaced BEFORE step t.
      carry: (B, P) complex, the state before t = 0; ignored where is_first[:, 0].
      method: "sequential"; "associative"; "chunked", sqrt(T) chunks side by side; or "fused", the same in two kernels
        on an NVIDIA GPU and chunked elsewhere. They agree up to float reassociation.

    Returns:
      (B, T, P) complex, the states x_t.
    """
    keep = jnp.swapaxes(1.0 - is_first.astype(jnp.float32), 0, 1)[..., None]  # (T, B, 1)
    restart = (1.0 - keep).astype(bu.dtype) * (lambda_bar * x_init)[None, None]
    elements = jnp.swapaxes(bu, 0, 1) + restart
    elements = elements.at[0].add(_decay(lambda_bar, keep[0]) * carry)
    return jnp.swapaxes(_recurrence(method, lambda_bar, keep, elements), 0, 1)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recurrence(method: Method, lambda_bar: jax.Array, keep: jax.Array, b: jax.Array) -> jax.Array:
    """Return x_t = lambda_bar * keep_t * x_{t-1} + b_t with x_{-1} = 0; time-major, keep (T, B, 1), b (T, B, P)."""
    return _solve(method, lambda_bar, keep, b, reverse=False)


def _recurrence_forward(method, lambda_bar, keep, b):
    x = _solve(method, lambda_bar, keep, b, reverse=False)
    return x, (lambda_bar, keep, x)


def _recurrence_backward(method, residuals, x_bar):
    """Backpropagate with the same recurrence run backwards: g_t = x_bar_t + lambda_bar * keep_{t+1} * g_{t+1}."""
    lambda_bar, keep, x = residuals
    keep_next = jnp.concatenate([keep[1:], jnp.zeros_like(keep[:1])])
    g = _solve(method, lambda_bar, keep_next, x_bar, reverse=True)
    lambda_bar_bar = jnp.sum(g[1:] * keep[1:].astype(g.dtype) * x[:-1], axis=(0, 1))
    return lambda_bar_bar, jnp.zeros_like(keep), g


_recurrence.defvjp(_recurrence_forward, _recurrence_backward)


def _solve(method: Method, lambda_bar: jax.Array, keep: jax.Array, b: jax.Array, *, reverse: bool) -> jax.Array:
    if method == "associative":

        def compose(left, right):
            (a_left, b_left), (a_right, b_right) = left, right
            return a_right * a_left, a_right * b_left + b_right

        return jax.lax.associative_scan(compose, (_decay(lambda_bar, keep), b), reverse=reverse)[1]
    if method == "chunked":
        return _chunked(lambda_bar, keep, b, reverse=reverse)
    if method == "fused":
        fused, chunked = partial(kernel.solve, reverse=reverse), partial(_chunked, reverse=reverse)
        return jax.lax.platform_dependent(lambda_bar, keep, b, cuda=fused, default=chunked)

    def step(x, inputs):
        keep_t, b_t = inputs
        x = _decay(lambda_bar, keep_t) * x + b_t
        return x, x

    return jax.lax.scan(step, jnp.zeros_like(b[0]), (keep, b), reverse=reverse)[1]


def _decay(lambda_bar: jax.Array, keep: jax.Array) -> jax.Array:
    """Return a_t = lambda_bar * keep_t, (..., P) complex, for keep (..., 1) float32."""
    return jax.lax.broadcast_to_rank(lambda_bar, keep.ndim) * keep.astype(lambda_bar.dtype)


def _chunked(lambda_bar: jax.Array, keep: jax.Array, b: jax.Array, *, reverse: bool) -> jax.Array:
    """Solve sqrt(T) chunks side by side, step by step, then carry the states across them.

    2 sqrt(T) steps of one small kernel each, against log2(T) levels of the associative scan, each with kernels of its
    own that interleave what the levels hold, all of which must be compiled.
    """
    steps, chunks, missing = kernel.chunk_sizes(b.shape[0], reverse=reverse)

    def cut(x: jax.Array) -> jax.Array:
        """(T, ...) to (steps, chunks, ...)."""
        x = jnp.pad(x, [missing, *[(0, 0)] * (x.ndim - 1)])
        return jnp.swapaxes(x.reshape(chunks, steps, *x.shape[1:]), 0, 1)

    def within(state, inputs):
        x, decay = state
        keep_t, b_t = inputs
        a = _decay(lambda_bar, keep_t)
        state = a * x + b_t, a * decay
        return state, state

    def across(x, inputs):
        decay, end = inputs
        return decay * x + end, x

    shape = (chunks, *b.shape[1:])
    start = jnp.zeros(shape, b.dtype), jnp.ones(shape, b.dtype)
    (ends, decays), (x, decay) = jax.lax.scan(within, start, (cut(keep), cut(b)), reverse=reverse)
    _, before = jax.lax.scan(across, jnp.zeros_like(b[0]), (decays, ends), reverse=reverse)
    x = jnp.swapaxes(x + decay * before[None], 0, 1).reshape(steps * chunks, *b.shape[1:])
    return x[missing[0] :][: b.shape[0]]
