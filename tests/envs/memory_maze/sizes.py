"""By which sizes of the maze a test is parametrized."""

from collections.abc import Collection

import pytest


def smallest_and_largest(sizes: Collection[int]) -> list:
    """Return the sizes as `parametrize` takes them: those between the smallest and the largest are heavy."""
    ends = min(sizes), max(sizes)
    return [size if size in ends else pytest.param(size, marks=pytest.mark.heavy) for size in sizes]
