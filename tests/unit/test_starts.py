"""In which states imagination begins."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2i_jit import Trainer
from r2i_jit.world_model import Latent
from tests.agents import small_config

BATCH, LENGTH = 2, 20


def starts(wanted: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the batch's states were taken, and 1 - is_terminal of them."""
    config = small_config(behavior__imagination_starts=wanted, behavior__first_starts=first)
    place = jnp.arange(BATCH * LENGTH).reshape(BATCH, LENGTH)
    batch = SimpleNamespace(is_terminal=place % LENGTH == LENGTH - 1, reward=jnp.zeros((BATCH, LENGTH), jnp.float32))
    latent, cont = Trainer(config).agent._starts(Latent(place, None, place, place, place), batch, jax.random.key(0))
    assert (latent.stoch == latent.hidden).all()
    return np.asarray(latent.stoch), np.asarray(cont)


@pytest.mark.parametrize("wanted", [0, 8])
@pytest.mark.parametrize("first", [1, 2, 5])
def test_some_more_imagination_begins_where_the_sequences_do(wanted, first):
    alone, alone_cont = starts(wanted, 0)
    assert len(alone) == (wanted or BATCH * LENGTH)
    both, cont = starts(wanted, first)
    np.testing.assert_array_equal(both[: len(alone)], alone)
    np.testing.assert_array_equal(cont[: len(alone)], alone_cont)
    np.testing.assert_array_equal(both[len(alone) :], [i % BATCH * LENGTH for i in range(first)])
    np.testing.assert_array_equal(cont == 0, both % LENGTH == LENGTH - 1)
