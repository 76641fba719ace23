"""`model.posterior=observation`: the latent is the observation, the prior predicts the next one. About 30 seconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.observation import Categorical, Continuous, Image
from r2i_jit import Trainer, model_loss
from r2i_jit.config import ConfigError
from r2i_jit.model_loss import Batch
from r2i_jit.observations import from_groups, latent_groups, to_groups
from r2i_jit.world_model import WorldModel
from tests.agents import small_config

B, T, A = 3, 7, 4
PARTS = (Categorical(2), Categorical(4), Categorical(3, count=2))  # unequal groups, and several of one kind
CONFIG = small_config(model__posterior="observation", model__unimix=0.1)
CHANGES = CONFIG.override(["model.dynamics_input=change", "model.prior_skip=true"])


def play(seed=0):
    rng = np.random.default_rng(seed)
    sizes = [part.classes for part in PARTS for _ in range(part.count)]
    groups = [np.eye(size)[rng.integers(size, size=(B, T))] for size in sizes]
    action = np.eye(A, dtype=np.float32)[rng.integers(A, size=(B, T))]
    is_first = rng.random((B, T)) < 0.3
    return np.concatenate(groups, -1).astype(np.uint8), action, is_first


@pytest.fixture(
    scope="module", params=[CONFIG, pytest.param(CHANGES, marks=pytest.mark.heavy)], ids=["latent", "change"]
)
def built(request):
    model = WorldModel(request.param.model, PARTS)
    params = jax.jit(model.init)(jax.random.key(0), *play(), jax.random.key(1))["params"]
    return model, params


def apply(built, method, *args):
    return built[0].apply({"params": built[1]}, *args, method=method)


def groups_of(obs):
    return to_groups(PARTS, jnp.asarray(obs, jnp.float32))


def observed(built, obs, action, is_first, key=None):
    return apply(built, WorldModel.observe, obs, action, is_first, apply(built, WorldModel.initial, B), key)


def test_groups_lie_one_below_the_other_and_come_back():
    obs = play()[0].astype(np.float32)
    groups = to_groups(PARTS, jnp.asarray(obs))
    assert groups.shape == (B, T, *latent_groups(CONFIG.model, PARTS)) == (B, T, 4, 4)
    np.testing.assert_array_equal(groups.sum(-1), 1.0)
    np.testing.assert_array_equal(groups[..., 0, :], np.pad(obs[..., :2], [(0, 0), (0, 0), (0, 2)]))
    np.testing.assert_array_equal(groups[..., 3, :3], obs[..., 9:])
    np.testing.assert_array_equal(from_groups(PARTS, groups), obs)


def test_there_is_nothing_to_encode_or_decode(built):
    coding = {"encoder_0", "post_net", "decoder"}
    learned = WorldModel(small_config().model, PARTS)
    shapes = jax.eval_shape(learned.init, jax.random.key(0), *play(), jax.random.key(1))["params"]
    assert coding <= set(shapes) and not coding & set(built[1]) and "prior_net" in built[1]


@pytest.mark.heavy
@pytest.mark.parametrize("key", [None, jax.random.key(2)])
def test_the_latent_is_the_observation_in_sequences_and_steps(built, key):
    obs, action, is_first = play(1)
    latent, expected = observed(built, obs, action, is_first, key).latent, groups_of(obs)
    np.testing.assert_array_equal(latent.stoch.reshape(expected.shape), expected)
    decoded = apply(built, WorldModel.reconstruct, latent)
    np.testing.assert_array_equal(decoded > -1.0, obs.astype(bool))

    carry = apply(built, WorldModel.initial, B)
    for t in range(T):
        carry = apply(built, WorldModel.observe_step, obs[:, t], action[:, t], is_first[:, t], carry, key)
        close = lambda step, sequence, t=t: np.testing.assert_allclose(step, sequence[:, t], rtol=1e-4, atol=1e-5)
        jax.tree.map(close, carry, latent)


def test_the_kl_is_the_cross_entropy_with_the_next_observation(built):
    obs, action, is_first = play(2)
    zeros = jnp.zeros((B, T), jnp.float32)
    batch = Batch(jnp.asarray(obs), jnp.asarray(action), zeros, jnp.asarray(is_first), zeros)
    hypers = CONFIG.hypers.replace(free_nats=0.0)
    _, (metrics, latent) = model_loss.loss(*built, batch, hypers, jax.random.key(0))
    prev_stoch = jnp.concatenate([jnp.zeros_like(latent.stoch[:, :1]), latent.stoch[:, :-1]], 1)
    prev_stoch = jnp.where(is_first[..., None], 0.0, prev_stoch)
    prior = apply(built, WorldModel.prior, latent.deter, prev_stoch)
    likelihood = jnp.sum(prior * groups_of(obs), (-2, -1))
    np.testing.assert_allclose(metrics["model/kl"], -likelihood.mean(), rtol=1e-5)
    assert metrics["model/observation_loss"] == 0.0 and abs(metrics["model/post_entropy"]) < 1e-6


def test_imagined_latents_are_one_hot_groups(built):
    obs, action, is_first = play(3)
    carry = apply(built, WorldModel.initial, B)
    latent = apply(built, WorldModel.observe_step, obs[:, 0], action[:, 0], is_first[:, 0], carry, None)
    prepared = apply(built, WorldModel.prepare)
    following = apply(built, WorldModel.imagine_step, prepared, latent, action[:, 1], jax.random.key(0))
    np.testing.assert_array_equal(following.stoch.reshape(B, 4, 4).sum(-1), 1.0)


@pytest.mark.parametrize("built", [CHANGES], indirect=True)
def test_a_change_is_what_was_not_there_before_and_all_of_it_at_an_episodes_start(built):
    obs, action, is_first = play(4)
    change = observed(built, obs, action, is_first).latent.change
    before = np.concatenate([np.zeros_like(obs[:, :1]), obs[:, :-1]], 1) * ~is_first[..., None]
    new = (obs.astype(bool) & ~before.astype(bool)).astype(np.float32)
    np.testing.assert_array_equal(change.reshape(B, T, 4, 4), groups_of(new))


def test_with_the_skip_what_was_is_likely_before_anything_is_learned(built):
    obs, action, _ = play(5)
    still, once = np.repeat(obs[:, :1], T, 1), np.arange(T) == np.zeros((B, 1))
    likelihood = jnp.exp(jnp.sum(observed(built, still, action, once).prior * groups_of(still), -1))[:, 1:].mean()
    assert (likelihood > 0.8) == built[0].config.prior_skip


@pytest.mark.parametrize("parts", [(Image((16, 16, 3)),), (Categorical(2), Continuous(3))])
def test_an_observation_that_is_not_discrete_is_refused(parts):
    with pytest.raises(ConfigError, match=r"model\.posterior='observation'.*'learned'"):
        latent_groups(CONFIG.model, parts)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "env", [pytest.param("popgym/RepeatPreviousEasy", marks=pytest.mark.slow), "popgym/AutoencodeEasy"]
)
def test_a_trainer_runs_with_it(env):
    trainer = Trainer(small_config(env, model__posterior="observation"), quick_compile=True)
    state = trainer.init(jax.random.split(jax.random.key(0), 1))
    _, metrics = trainer.train_chunk(state)
    losses = {name: value for name, value in metrics.items() if "/" in name}
    assert "model/loss" in losses and all(np.isfinite(value).all() for value in losses.values())
