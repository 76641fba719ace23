"""How equivalence tests run."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def strict():
    """Refuse what promotes a dtype or a rank by itself, in tests as in what they test."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield
