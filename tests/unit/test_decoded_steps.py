"""The observation loss on a few steps of each sequence: which steps, and that they are those of the latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2i_jit.model_loss import decoded
from r2i_jit.world_model import Latent

BATCH, LENGTH = 3, 10


def sequences() -> tuple[Latent, jax.Array]:
    """Return latents and observations that say their row and step: 100 * row + step."""
    row, step = np.arange(BATCH)[:, None], np.arange(LENGTH)
    place = jnp.asarray((100 * row + step)[..., None], jnp.float32)
    return Latent(place, place, place, jnp.zeros((BATCH, LENGTH, 2, 4), jnp.float32), place[..., 0]), place


@pytest.mark.parametrize("steps", [0, LENGTH, LENGTH + 1])
def test_all_steps_are_decoded_unless_fewer_are_asked_for(steps):
    latent, obs = sequences()
    shown, shown_obs = decoded(steps, latent, obs, jax.random.key(0))
    assert shown is latent and shown_obs is obs


@pytest.mark.parametrize("steps", [1, 4, 5])
def test_one_step_of_every_stretch_each_as_often_as_the_others(steps):
    latent, obs = sequences()
    draw = jax.jit(jax.vmap(lambda key: decoded(steps, latent, obs, key)))
    shown, shown_obs = draw(jax.random.split(jax.random.key(0), 4000))
    np.testing.assert_array_equal(shown.stoch, shown_obs)
    np.testing.assert_array_equal(shown.deter, shown_obs)
    np.testing.assert_array_equal(shown.change, shown_obs)
    row, step = np.divmod(np.asarray(shown_obs[..., 0]), 100)  # (draws, BATCH, steps)
    assert (row == np.arange(BATCH)[:, None]).all()
    stretch = LENGTH / steps
    assert (step >= np.floor(np.arange(steps) * stretch)).all() and (step < (np.arange(steps) + 1) * stretch).all()
    share = np.bincount(step.astype(int).ravel(), minlength=LENGTH) / step.size
    np.testing.assert_allclose(share, 1 / LENGTH, atol=0.006)
