"""Computation in stages whose results are kept."""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax.experimental.xla_metadata import set_xla_metadata

T = TypeVar("T")


def once(stage: Callable[[], T]) -> T:
    """Return `stage()`, computed once however many later operations read it.

    XLA fuses cheap operations into those that read them and computes them there again: the walls that a picture needs
    512 times would be looked for at each of 4096 pixels. Its compiler for CPUs drops optimization barriers before it
    fuses, but leaves functions alone that must not be inlined.

    Args:
      stage: makes arrays from those that it closes over; traced more than once.
    """
    function = jax.jit(stage)

    def whole() -> T:
        return jax.tree.map(lambda x: set_xla_metadata(x, inlineable="false"), function())

    return jax.lax.platform_dependent(cpu=whole, default=lambda: jax.lax.optimization_barrier(function()))
