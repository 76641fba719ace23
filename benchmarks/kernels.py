"""What the project's own GPU kernels save: the physics of Memory Maze, and the scan of the sequence model.

    python -m benchmarks kernels

Physics: a step of N walkers under random actions, inside one compiled loop, by the kernel (`envs/memory_maze/fused.py`,
on an NVIDIA GPU) and by the loop that every other device runs. Scan: the recurrence over T steps of batches of B times
P states, forward, by each form (`r2i_jit/ssm/scan.py`; "fused" is chunked but for NVIDIA GPUs), and the compile time.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import machine
from envs.memory_maze import fused, motion
from r2i_jit.ssm.scan import scan_with_resets

SIDE = 11
STEPS = 20  # of the walkers in a call
METHODS = ("sequential", "associative", "chunked", "fused")


def walk(count: int, form: Callable | None) -> Callable:
    """Return (walkers, walls, key) -> walkers after `STEPS` random actions, the physics run by `form`."""

    def run(body, walls, key):
        def step(number, body):
            actions = jax.random.randint(jax.random.fold_in(key, number), (count,), 0, motion.NUM_ACTIONS)
            return jax.vmap(motion.step)(body, walls, actions)[0]

        own = fused.scan
        fused.scan = form or own
        try:
            return jax.lax.fori_loop(0, STEPS, step, body)
        finally:
            fused.scan = own

    return run


def walkers(count: int) -> tuple[Any, jax.Array, jax.Array]:
    """Return bodies at rest in an empty maze's middle, its walls, and a key."""
    walls = jnp.ones((SIDE, SIDE), bool).at[1:-1, 1:-1].set(False)
    key = jax.random.key(0)
    body = jax.vmap(motion.at_rest)(
        jax.random.uniform(key, (count, 2), minval=-6, maxval=6), jax.random.uniform(key, (count,), maxval=6)
    )
    return body, jnp.broadcast_to(walls, (count, SIDE, SIDE)), key


def timed(function: Callable, *args: Any) -> tuple[float, float]:
    """Return (seconds to compile, seconds of a call)."""
    begin = time.perf_counter()
    compiled = jax.jit(function).lower(*args).compile()
    return time.perf_counter() - begin, machine.seconds_per_call(compiled, *args)


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks kernels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-envs", type=int, nargs="+", default=[256, 4096], help="walkers (%(default)s)")
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 1024, 4096], help="T (%(default)s)")
    parser.add_argument("--tokens", type=int, default=8192, help="B * T (%(default)s)")
    parser.add_argument("--states", type=int, default=128, help="P (%(default)s)")
    args = parser.parse_args(argv)
    print(f"{machine.describe()}\n\n| walkers | kernel (ms a step) | loop (ms a step) |\n|--:|--:|--:|", flush=True)
    loop = lambda step, carry, constants, length: fused._loop(step, length, carry, constants)
    for count in args.num_envs:
        forms = ([None] if jax.default_backend() == "gpu" else []) + [loop]
        times = [timed(walk(count, form), *walkers(count))[1] for form in forms]
        cells = [f"{1e3 * seconds / STEPS:.2f}" for seconds in times]
        print(f"| {count:,} | {' | '.join(['-'] * (2 - len(cells)) + cells)} |", flush=True)
    print("\n| T | B | form | microseconds | compile (s) |\n|--:|--:|---|--:|--:|", flush=True)
    for length in args.lengths:
        batch = max(1, args.tokens // length)
        lambda_bar = jnp.exp(jax.lax.complex(-0.01, jnp.linspace(0.0, 3.0, args.states)))
        bu = jnp.ones((batch, length, args.states), jnp.complex64)
        first = jnp.zeros((batch, length), bool).at[:, 0].set(True)
        state = jnp.zeros((batch, args.states), jnp.complex64)
        for method in METHODS:
            run = partial(scan_with_resets, method=method)
            compiling, seconds = timed(run, lambda_bar, bu, state[0], first, state)
            print(f"| {length} | {batch} | {method} | {1e6 * seconds:,.0f} | {compiling:.1f} |", flush=True)


if __name__ == "__main__":
    main()
