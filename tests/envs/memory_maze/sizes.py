"""By which sizes of the maze a test is parametrized."""

from collections.abc import Collection

import pytest


def smallest_first(sizes: Collection[int]) -> list:
    """Return the sizes as `parametrize` takes them: all but the smallest are heavy."""
    return [size if size == min(sizes) else pytest.param(size, marks=pytest.mark.heavy) for size in sizes]
