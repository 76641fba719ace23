"""The linear recurrence of `r2i_jit.ssm.scan` as two kernels for NVIDIA GPUs.

A loop in a compiled program launches a few kernels a step, and the levels of an associative scan some more each: at T =
1024 hundreds of launches for each layer and direction, of kernels that hardly compute. Here the sequence is cut into
sqrt(T) chunks. One kernel runs through every chunk for its decay and its last state from nothing; the other takes these
of the chunks before its own as the state to start from, and runs through the chunk again for its states.

Owned by tests/equivalence/test_scan.py (interpreted, and compiled where there is a GPU).
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

COLUMNS = 32  # Batch entries times states that a program takes: one warp, a column a thread.

Pair = tuple[Any, Any]  # real and imaginary part: a kernel has no complex numbers


def solve(lambda_bar: jax.Array, keep: jax.Array, b: jax.Array, *, reverse: bool, interpret: bool = False) -> jax.Array:
    """Return x_t = lambda_bar * keep_t * x_{t-1} + b_t with x_{-1} = 0.

    Args:
      lambda_bar: (P,) complex64.
      keep: (T, B, 1) float32.
      b: (T, B, P) complex64.
      reverse: run from the last step to the first.
      interpret: run the kernels' operations one by one, on any device.

    Returns:
      (T, B, P) complex64.
    """
    length, batch, width = b.shape
    steps, chunks, missing = chunk_sizes(length, reverse=reverse)
    columns = -(-batch * width // COLUMNS) * COLUMNS

    def flat(x: jax.Array) -> jax.Array:
        """(T, B, P) to (steps * chunks, columns)."""
        return jnp.pad(x.reshape(length, -1), (missing, (0, columns - batch * width)))

    a = [flat(keep * part(lambda_bar)[None, None]) for part in (jnp.real, jnp.imag)]
    rows = [*a, flat(jnp.real(b)), flat(jnp.imag(b))]

    def call(kernel: Any, results: int, length: int, name: str, *rows: jax.Array) -> Any:
        shapes = [jax.ShapeDtypeStruct((length, columns), jnp.float32)] * results
        kernel, grid = partial(kernel, steps, chunks, reverse), (columns // COLUMNS, chunks)
        launch = pl.pallas_call(kernel, shapes, grid=grid, interpret=interpret, name=name, **_options(interpret))
        with jax.enable_x64(False):  # all in it has 32 bits; Python's numbers would have 64 where JAX may have such
            return launch(*rows)

    ends = call(_summarise, 4, chunks, "scan_chunks", *rows)
    real, imaginary = call(_run, 2, steps * chunks, "scan_states", *rows, *ends)
    x = jax.lax.complex(real, imaginary)[:, : batch * width].reshape(-1, batch, width)
    return x[missing[0] :][:length]


def chunk_sizes(length: int, *, reverse: bool) -> tuple[int, int, tuple[int, int]]:
    """Return steps per chunk, chunks, and what must be added in front of and behind a sequence to fill them.

    It is added at the end that comes last, and so changes nothing.
    """
    steps = math.ceil(math.sqrt(length))
    chunks = -(-length // steps)
    missing = steps * chunks - length
    return steps, chunks, (missing, 0) if reverse else (0, missing)


def _options(interpret: bool) -> dict[str, Any]:
    if interpret:
        return {}
    from jax.experimental.pallas import triton

    return {"compiler_params": triton.CompilerParams(num_warps=1, num_stages=1)}


def _times(x: Pair, y: Pair) -> Pair:
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


def _plus(x: Pair, y: Pair) -> Pair:
    return x[0] + y[0], x[1] + y[1]


def _place(steps: int, chunks: int, reverse: bool) -> tuple[Any, Any, Any]:
    """Return the program's columns, its chunk, and a function from a step in it to the row."""
    chunk = pl.program_id(1)

    def row(step: Any) -> Any:
        place = chunk * steps + step
        return steps * chunks - 1 - place if reverse else place

    return pl.ds(pl.program_id(0) * COLUMNS, COLUMNS), chunk, row


def _summarise(steps: int, chunks: int, reverse: bool, a_re, a_im, b_re, b_im, decay_re, decay_im, end_re, end_im):
    """Write a chunk's decay (the product of its a) and its last state from nothing."""
    columns, chunk, row = _place(steps, chunks, reverse)

    def step(number, carry):
        decay, x = carry
        at = row(number)
        a, b = (a_re[at, columns], a_im[at, columns]), (b_re[at, columns], b_im[at, columns])
        return _times(a, decay), _plus(_times(a, x), b)

    zero, one = jnp.zeros(COLUMNS, jnp.float32), jnp.ones(COLUMNS, jnp.float32)
    decay, x = jax.lax.fori_loop(0, steps, step, ((one, zero), (zero, zero)))
    decay_re[chunk, columns], decay_im[chunk, columns] = decay
    end_re[chunk, columns], end_im[chunk, columns] = x


def _run(steps, chunks, reverse, a_re, a_im, b_re, b_im, decay_re, decay_im, end_re, end_im, x_re, x_im):
    """Write a chunk's states."""
    columns, chunk, row = _place(steps, chunks, reverse)

    def over(number, x):
        decay = decay_re[number, columns], decay_im[number, columns]
        return _plus(_times(decay, x), (end_re[number, columns], end_im[number, columns]))

    def step(number, x):
        at = row(number)
        a, b = (a_re[at, columns], a_im[at, columns]), (b_re[at, columns], b_im[at, columns])
        x = _plus(_times(a, x), b)
        x_re[at, columns], x_im[at, columns] = x
        return x

    zero = jnp.zeros(COLUMNS, jnp.float32)
    x = jax.lax.fori_loop(0, chunk, over, (zero, zero))
    jax.lax.fori_loop(0, steps, step, x)
