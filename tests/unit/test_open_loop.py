"""Prediction without observations: where the context ends, which action leads where, how it becomes a picture. 20 s."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.observation import Categorical, Image
from r2i_jit.actions import ActionSpec
from r2i_jit.agent import Agent
from r2i_jit.open_loop import as_images, open_loop
from r2i_jit.world_model import WorldModel
from tests.agents import small_config

B, T, C = 2, 9, 4
SIDE = 16


def build(parts, spec, shape, dtype=jnp.uint8):
    """Return (agent, state), the weights drawn here because to initialise an agent takes long to compile."""
    agent = Agent(small_config(model__ssm_layers=1), parts, spec, jax.ShapeDtypeStruct(shape, dtype))
    shapes = jax.eval_shape(partial(agent.init, hypers=agent.config.hypers), jax.random.key(0))
    rng = np.random.default_rng(0)

    def weights(path, leaf):
        values, name = rng.normal(size=leaf.shape) * 0.3, getattr(path[-1], "key", "")
        if name == "kernel":  # Large enough that the latents hang on what is seen.
            values *= 10 / np.prod(leaf.shape[:-1]) ** 0.5
        return jnp.asarray(values + (name == "scale"), leaf.dtype)

    return agent, jax.tree_util.tree_map_with_path(weights, shapes)


@pytest.fixture(scope="module")
def built():
    shape = (SIDE, SIDE, 3)
    return build((Image(shape),), ActionSpec(3, discrete=True), shape)


@pytest.fixture(scope="module")
def episodes():
    rng = np.random.default_rng(1)
    obs = rng.integers(0, 256, (B, T, SIDE, SIDE, 3), np.uint8)
    return obs, rng.integers(0, 3, (B, T)), np.arange(T) == np.zeros((B, 1))


def apply(built, method, *args):
    agent, state = built
    return agent.model.apply({"params": state.model}, *args, method=method)


def rows(tree, index):
    return jax.tree.map(lambda leaf: leaf[:, index], tree)


def assert_close(actual, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), actual, expected)


@pytest.mark.heavy
def test_with_all_steps_as_context_it_is_the_decoded_posterior(built, episodes):
    obs, actions, is_first = episodes
    key = jax.random.key(3)
    found = open_loop(*built, *episodes, T, key)
    one_hot = np.eye(3, dtype=np.float32)[actions]
    prev_action = np.concatenate([np.zeros((B, 1, 3), np.float32), one_hot[:, :-1]], 1)
    carry = apply(built, WorldModel.initial, B)
    latent = apply(built, WorldModel.observe, obs, prev_action, is_first, carry, jax.random.split(key)[0]).latent
    assert_close(found.latent, latent)
    assert_close(found.prediction, apply(built, WorldModel.reconstruct, latent))
    assert found.prediction.shape == obs.shape and found.prediction.dtype == jnp.float32


@pytest.mark.heavy
def test_the_action_at_the_contexts_end_leads_to_the_first_predicted_latent(built, episodes):
    key = jax.random.key(3)
    found = open_loop(*built, *episodes, C, key)
    prepared = apply(built, WorldModel.prepare)
    keys = jax.random.split(jax.random.split(key)[1], T - C)
    latent = rows(found.latent, C - 1)
    for t in range(C, T):
        action = np.eye(3, dtype=np.float32)[episodes[1][:, t - 1]]
        latent = apply(built, WorldModel.imagine_step, prepared, latent, action, keys[t - C])
        assert_close(rows(found.latent, t), latent)
    assert_close(found.prediction, apply(built, WorldModel.reconstruct, found.latent))


@pytest.mark.heavy
def test_without_a_key_every_latent_is_the_most_likely_one(built, episodes):
    found = open_loop(*built, *episodes, C, None)
    prepared = apply(built, WorldModel.prepare)
    most_likely = lambda log_probs: jax.nn.one_hot(log_probs.argmax(-1), log_probs.shape[-1]).reshape(B, -1)
    for t in range(T):
        latent = rows(found.latent, t)
        if t < C:
            expected = most_likely(apply(built, WorldModel.encode, episodes[0][:, t]))
        else:
            action = np.eye(3, dtype=np.float32)[episodes[1][:, t - 1]]
            before = rows(found.latent, t - 1)
            again = apply(built, WorldModel.imagine_step, prepared, before, action, None)
            assert_close(latent.deter, again.deter)
            expected = most_likely(apply(built, WorldModel.prior, again.deter, before.stoch))
        np.testing.assert_allclose(latent.stoch, expected, atol=1e-6)
    sampled = open_loop(*built, *episodes, C, jax.random.key(3)).latent.stoch
    assert np.asarray(sampled != found.latent.stoch).any((0, 2)).all()  # so chance had a say at every step


def test_what_is_seen_later_changes_nothing_and_what_is_done_changes_what_follows(built, episodes):
    obs, actions, is_first = episodes
    key = jax.random.key(3)
    found = open_loop(*built, *episodes, C, key)
    other = obs.copy()
    other[:, C:] = 255 - other[:, C:]
    np.testing.assert_array_equal(open_loop(*built, other, actions, is_first, C, key).prediction, found.prediction)
    other[:, :C], other[:, C:] = 0, obs[:, C:]
    unlike = open_loop(*built, other, actions, is_first, C, key).prediction != found.prediction
    assert np.asarray(unlike)[:, C:].any()

    changed = actions.copy()
    changed[:, C + 1] = (changed[:, C + 1] + 1) % 3
    differs = open_loop(*built, obs, changed, is_first, C, key).latent.deter != found.latent.deter
    np.testing.assert_array_equal(np.asarray(differs).any((0, 2)), np.arange(T) >= C + 2)


def test_vectors_are_predicted_too_and_bounded_actions_are_scaled_back():
    spec = ActionSpec(2, False, np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32))
    built = build((Categorical(4),), spec, (4,))
    obs, is_first = np.eye(4, dtype=np.uint8)[np.zeros((B, T), int)], np.zeros((B, T), bool)
    stored = np.random.default_rng(2).uniform(-1, 1, (B, T, 2)).astype(np.float32)
    found = open_loop(*built, obs, spec.to_env(stored), is_first, C, jax.random.key(0))
    assert found.prediction.shape == (B, T, 4)
    first = apply(
        built, WorldModel.imagine_step, apply(built, WorldModel.prepare), rows(found.latent, C - 1), stored[:, C - 1],
        jax.random.key(0),
    )  # fmt: skip
    np.testing.assert_allclose(found.latent.deter[:, C], first.deter, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("context", [0, T + 1])
def test_a_context_outside_the_episode_is_refused(built, episodes, context):
    with pytest.raises(ValueError, match=f"context={context} should be from 1 to the number of steps, {T}"):
        open_loop(*built, *episodes, context, jax.random.key(0))


def test_decoded_images_are_clipped_and_rounded():
    levels = as_images(jnp.array([-0.7, -0.5, 0.0, 100 / 255 - 0.5, 0.5, 0.9]))
    np.testing.assert_array_equal(levels, [0, 0, 128, 100, 255, 255])
    assert levels.dtype == jnp.uint8
