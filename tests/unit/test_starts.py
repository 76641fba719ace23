"""Where imagination starts: an even cover of the batch, and as many first steps as are asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.observation import Categorical
from r2i_jit.actions import ActionSpec
from r2i_jit.agent import Agent
from r2i_jit.model_loss import Batch
from r2i_jit.world_model import Latent
from tests.agents import small_config

B, T, WANTED = 4, 25, 20


def starts(share: float, wanted: int = WANTED, draws: int = 200):
    """Return the starts' places (draws, wanted) in a batch whose latents say where they are, and what goes on there."""
    config = small_config(behavior__imagination_starts=wanted, behavior__first_starts=share)
    agent = Agent(config, (Categorical(4),), ActionSpec(3, discrete=True), jax.ShapeDtypeStruct((4,), jnp.uint8))
    place = jnp.arange(B * T, dtype=jnp.float32).reshape(B, T)
    latent = Latent(place[..., None], None, place[..., None], place[..., None, None], place)
    ends = (place % 10 == 0).astype(bool)
    batch = Batch(None, None, place, ends, ends)
    keys = jax.random.split(jax.random.key(0), draws)
    found, cont = jax.jit(jax.vmap(lambda key: agent._starts(latent, batch, key)))(keys)
    np.testing.assert_array_equal(found.stoch, found.hidden[..., 0])
    np.testing.assert_array_equal(cont, np.asarray(found.start) % 10 != 0)
    return np.asarray(found.start)


@pytest.mark.parametrize(("share", "first"), [(0.0, 0), (0.5, 10), (0.25, 5), (1.0, 20)])
def test_a_share_of_the_starts_are_first_steps_of_every_sequence_in_turn(share, first):
    found = starts(share)
    assert found.shape[1] == WANTED
    begins = found[:, :first]
    assert (begins % T == 0).all()
    if first:
        counts = np.bincount((begins // T).astype(int).ravel(), minlength=B) / begins.size
        np.testing.assert_allclose(counts, 1 / B, atol=0.03)
    others = found[:, first:]
    if others.size:  # one in each of equal stretches of the batch
        stretch = B * T / others.shape[1]
        number = np.arange(others.shape[1])
        assert (others > number * stretch - 1).all() and (others < (number + 1) * stretch).all()


def test_all_states_are_starts_if_as_many_are_wanted_as_there_are():
    for wanted in (0, B * T, B * T + 1):
        np.testing.assert_array_equal(starts(0.5, wanted, 2), np.tile(np.arange(B * T), (2, 1)))
