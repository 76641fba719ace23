"""What must hold of every POPGym game, whatever it drew and whatever the actions."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from gymnax.environments.environment import Environment
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.observation import Categorical, observation_parts
from experiments.running.references import references
from tests.envs.playing import (
    BY_LEVEL,
    EPISODES,
    POPGYM,
    QUICK,
    keys,
    make,
    nearest_valid,
    play,
    random_actions,
    replay,
    start,
)

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "popgym_returns.json").read_text())
# Games whose answers are judged: an action outside the space is a wrong answer. Elsewhere it is the nearest one inside.
JUDGED = ("Autoencode", "CountRecall", "RepeatFirst", "RepeatPrevious")
seeds = st.integers(0, 2**32 - 1)


def finished(played) -> tuple[np.ndarray, np.ndarray]:
    """Return (episode returns, lengths), each (EPISODES,)."""
    over = played.terminated | played.truncated
    lengths = over.argmax(1) + 1
    during = np.arange(over.shape[1]) < lengths[:, None]
    return np.where(during, played.rewards, 0.0).sum(1), lengths


@pytest.mark.parametrize("env_id", BY_LEVEL)
@settings(max_examples=3, deadline=None)
@given(seed=seeds, spread=st.sampled_from([0, 1, 1000]))
def test_any_play_stays_in_bounds(env_id, seed, spread):
    env, params = make(env_id)
    obs, state = jax.device_get(start(env_id, seed))
    played = play(env_id, state, random_actions(env_id, seed, spread), seed)
    over = played.terminated | played.truncated
    assert over[:, : env.max_episode_steps].any(1).all()
    assert (played.last.time == over.shape[1]).all()
    assert np.isfinite(played.rewards).all()
    assert (np.abs(finished(played)[0]) <= 2.0).all()
    assert_in_space(env, params, np.concatenate([obs[:, None], played.first[:, None], played.observations], 1))
    for leaf in jax.tree.leaves(played.last):
        assert np.isfinite(leaf).all()


def assert_in_space(env, params, observations: np.ndarray) -> None:
    """Check (B, T, ...) observations against the declared space and its parts."""
    space = env.observation_space(params)
    assert (observations.shape[2:], observations.dtype) == (space.shape, space.dtype)
    assert (observations >= np.asarray(space.low)).all() and (observations <= np.asarray(space.high)).all()
    offset = 0
    for part in observation_parts(env, params):
        if isinstance(part, Categorical):
            groups = observations[..., offset : offset + part.size].reshape(-1, part.classes)
            assert (groups.sum(-1) == 1).all() and ((groups == 0) | (groups == 1)).all()
        offset += part.size
    assert offset == observations.shape[-1]


@pytest.mark.parametrize("env_id", BY_LEVEL)
def test_shapes_and_dtypes_are_those_promised(env_id):
    env, params = make(env_id)
    key, space = jax.random.key(0), env.action_space(params)
    action = jax.ShapeDtypeStruct(space.shape, space.dtype)
    obs, state = jax.eval_shape(env.reset, key, params)
    stepped = jax.eval_shape(env.step, key, state, action, params)
    space = env.observation_space(params)
    assert (obs.shape, obs.dtype) == (space.shape, space.dtype)
    assert obs.dtype == (jnp.uint8 if np.issubdtype(space.dtype, np.integer) else jnp.float32)
    assert stepped[:2] == (obs, state)  # Same treedef, shapes and dtypes: it can be scanned,
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((obs, state, stepped)))  # and never retraces.
    assert [(x.shape, x.dtype) for x in stepped[2:5]] == [((), jnp.float32), ((), jnp.bool_), ((), jnp.bool_)]
    assert isinstance(env.reward_scale, float) and env.reward_scale > 0
    assert params.max_steps_in_episode == env.max_episode_steps


@pytest.mark.parametrize("env_id", BY_LEVEL)
def test_random_play_returns_what_it_does_in_the_original(env_id):
    golden, returns, lengths = GOLDEN["returns"][env_id], [], []
    for seed in range(16):
        totals, steps = finished(play(env_id, start(env_id, seed)[1], random_actions(env_id, seed), seed))
        returns.extend(totals)
        lengths.extend(steps)
    for ours, mean, std in ((returns, "return_mean", "return_std"), (lengths, "length_mean", "length_std")):
        error = np.hypot(np.std(ours) / len(ours) ** 0.5, golden[std] / golden["episodes"] ** 0.5)
        assert abs(np.mean(ours) - golden[mean]) <= 4 * error + 1e-6
    # The published reference figures were measured by somebody else, or are exact.
    error = np.std(returns) * (1 / len(returns) + 1 / golden["episodes"]) ** 0.5
    assert abs(np.mean(returns) - references(env_id)["random"]["mean"]) < 4 * error + 5e-5


@pytest.mark.heavy
@pytest.mark.parametrize("env_id", BY_LEVEL)
def test_one_key_one_episode_in_a_batch_or_alone(env_id):
    env, params = make(env_id)
    actions = random_actions(env_id, seed=2)
    fresh, state = start(env_id, seed=9)
    together = play(env_id, state, actions, seed=9)

    def alone(key, actions):
        obs, state = env.reset_env(key, params)
        return obs, state, replay(env, params, key, state, actions)

    # Half a batch is another program; it must give the same as the whole one. Floats may be fused differently.
    got = jax.jit(jax.vmap(alone), compiler_options=QUICK)(keys(9)[: EPISODES // 2], actions[: EPISODES // 2])
    one = jax.jit(alone, compiler_options=QUICK)(keys(9)[3], actions[3])
    for batch, single, want in zip(*map(jax.tree.leaves, (got, one, (fresh, state, together))), strict=True):
        same = np.testing.assert_array_equal if batch.dtype != jnp.float32 else _close
        same(batch, want[: EPISODES // 2])
        same(single, want[3])


def _close(ours, theirs) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("env_id", BY_LEVEL)
def test_an_invalid_action_does_what_the_docstring_says(env_id):
    """A wrong answer where answers are judged, elsewhere the nearest valid action."""
    env, params = make(env_id)
    _, state = start(env_id, seed=4)
    invalid = random_actions(env_id, seed=4, spread=1000)
    valid = nearest_valid(env_id, invalid)
    assert (valid != invalid).any()
    got = play(env_id, state, invalid)
    if env_id.removeprefix("popgym/").startswith(JUDGED):
        steps = env.max_episode_steps
        paid = play(env_id, state, np.zeros_like(invalid)).rewards[:, :steps] != 0  # Right or wrong.
        outside = (valid != invalid)[:, :steps]
        assert (got.rewards[:, :steps][outside & paid] < 0).all() and (got.rewards[:, :steps][~paid] == 0).all()
        return
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(play(env_id, state, valid)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.heavy
@pytest.mark.parametrize("env_id", [env_id for env_id in POPGYM if env_id.endswith("Easy")])
def test_automatic_reset_is_that_of_gymnax(env_id):
    """Same keys, same everything (test_episodes.py has larger batches and nested maps)."""
    env, params = make(env_id)
    _, state = start(env_id, seed=6)
    state = state.replace(time=jnp.where(jnp.arange(EPISODES) % 3 == 0, env.max_episode_steps - 1, 0).astype(jnp.int32))
    action = random_actions(env_id, seed=6)[:, 0]
    both = env.step, lambda *args: Environment.step(env, *args)
    compiled = [jax.jit(jax.vmap(step, (0, 0, 0, None)), compiler_options=QUICK) for step in both]
    ours, plain = (step(keys(6), state, action, params) for step in compiled)
    assert jax.tree.structure(ours) == jax.tree.structure(plain)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        (np.testing.assert_array_equal if one.dtype != jnp.float32 else _close)(one, other)


@pytest.mark.parametrize("env_id", BY_LEVEL)
def test_actions_are_sampled_from_the_space(env_id):
    env, params = make(env_id)
    space = env.action_space(params)
    sampled = np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 200)))
    assert sampled.shape[1:] == space.shape
    np.testing.assert_array_equal(nearest_valid(env_id, sampled), sampled)
    assert isinstance(space, spaces.Box) or (sampled.reshape(200, -1).max(0) > 0).all()
