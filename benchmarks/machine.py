"""What every benchmark prints about where it ran, and how it times."""

import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.running.machine import cores, processor


def describe() -> str:
    """Return one line: processor, cores this process may use, device, versions, date."""
    device = jax.devices()[0]
    return (
        f"{processor()}, {cores()} core(s) used; device {device.platform} ({device.device_kind}); "
        f"jax {jax.__version__}, Python {platform.python_version()}; {time.strftime('%Y-%m-%d')}"
    )


def seconds_per_call(compiled: Callable[..., Any], *args: Any, repeats: int = 9) -> float:
    """Return the median wall time of a call, after one warm-up; fewer calls if they take more than half a minute."""
    jax.block_until_ready(compiled(*args))
    times: list[float] = []
    while len(times) < repeats and sum(times) < 30.0:
        begin = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2]


def cost(compiled: Any) -> tuple[float, float]:
    """Return (floating-point operations, bytes of temporary memory) of a compiled program, as XLA counts them.

    Loop bodies are counted once by XLA, whatever their length.
    """
    analysis = compiled.cost_analysis() or {}
    analysis = analysis[0] if isinstance(analysis, list) else analysis
    memory = compiled.memory_analysis()
    return float(analysis.get("flops", float("nan"))), float(getattr(memory, "temp_size_in_bytes", float("nan")))


def matmul_rate(size: int = 1024) -> float:
    """Return the measured float32 matrix-product rate of the device, in floating-point operations per second."""
    a = jnp.ones((size, size))
    compiled = jax.jit(jnp.dot).lower(a, a).compile()
    return 2.0 * size**3 / seconds_per_call(compiled, a, a)
