"""Our POPGym games against POPGym 1.0.7: same hidden state, same actions, same everything, step by step.

224 episodes an id, or of as many as make 30,000 steps. What every rule and every end is called, and who plays, is said
in tests/envs/families.
"""

import dataclasses

import jax
import numpy as np
import pytest

pytest.importorskip("popgym", reason="the original is a test dependency")
import gymnasium

from tests.envs import originals
from tests.envs.families import Family
from tests.envs.playing import (
    BY_LEVEL,
    EPISODES,
    POPGYM,
    family_of,
    keys,
    make,
    play,
    rollout_length,
    start,
    step_keys,
    with_hidden,
)

ROUNDS = 7
ENOUGH = 30_000  # steps; the originals take most of the time, those of 1,000 steps an episode most of all
TOGETHER = 1e-3  # how far two rollouts may be apart and still count as the same


def but_labyrinths(ids):
    """Return the same ids, those heavy whose originals are slow."""
    return [pytest.param(*one.values, marks=pytest.mark.heavy) if "Labyrinth" in one.values[0] else one for one in ids]


@pytest.mark.parametrize("env_id", but_labyrinths(BY_LEVEL))
def test_whole_episodes_equal_the_original(env_id):
    (family, level), (env, _) = family_of(env_id), make(env_id)
    recorder = originals.Recorder(family, level, seed=7)
    lengths = []
    for number in range(ROUNDS):
        recording = recorder.record(EPISODES, env.max_episode_steps, _draws(family, env_id, number))
        states = with_hidden(start(env_id, seed=number)[1], recording.hidden)
        ours = play(env_id, states, recording.actions, number, _due(family, recording), recording.trail)
        _compare(family, recording, ours)
        lengths.extend(recording.lengths)
        if sum(lengths) > ENOUGH and not _missing(family, level, recorder) and max(lengths) == env.max_episode_steps:
            break
    assert max(lengths) == env.max_episode_steps
    assert not _missing(family, level, recorder)


@pytest.mark.parametrize("env_id", [one for one in BY_LEVEL if family_of(one.values[0])[0].resync])
def test_float_physics_stay_with_the_original_for_whole_episodes(env_id):
    """Left to itself from the first state on, under play that does not balance; flags and lengths are the same.

    A pendulum that nearly stands still upright magnifies every rounding, and how the compiler rounds is not the game's
    affair. So values are compared for as long as two rollouts of ours, one rounding apart at first, stay together.
    """
    (family, level), (env, _) = family_of(env_id), make(env_id)
    alone = dataclasses.replace(
        family,
        policies=tuple(family.policies[index] for index in family.steady),
        resync=0,
        observation_atol=family.steady_atol,
        reward_atol=family.steady_atol / env.max_episode_steps,
    )
    recorder = originals.Recorder(alone, level, seed=8)
    errors, compared = [], []
    for number in range(ROUNDS):
        recording = recorder.record(EPISODES, env.max_episode_steps, _draws(alone, env_id, number))
        state = start(env_id, seed=number)[1]
        ours, twin = (
            play(env_id, with_hidden(state, hidden), recording.actions, number)
            for hidden in (recording.hidden, {k: _rounded_up(v) for k, v in recording.hidden.items()})
        )
        steps = recording.rewards.shape[1]
        apart = np.abs(ours.observations - twin.observations).max(-1)[:, :steps]
        together = np.maximum.accumulate(apart, 1) <= TOGETHER
        _compare(alone, recording, ours, together)
        during = np.arange(steps) < recording.lengths[:, None]
        compared.append(together[during])
        errors.append(np.abs(ours.observations[:, :steps] - recording.observations[:, 1:])[during].ravel())
    assert np.concatenate(compared).mean() > 0.95
    assert (np.quantile(np.concatenate(errors), [0.5, 0.99]) < [1e-5, 1e-3]).all()


def _missing(family: Family, level: str, recorder: originals.Recorder) -> set:
    """Return the rules and ends that were not met and should have been, and those that were and should not."""
    return (set(family.labels[level]) ^ set(recorder.labels)) | (recorder.ends ^ set(family.ends[level]))


def _rounded_up(value: np.ndarray) -> np.ndarray:
    """Return the next float32 of every number; counters as they are."""
    value = np.asarray(value)
    return np.nextafter(value.astype(np.float32), np.float32(np.inf)) if value.dtype.kind == "f" else value


def _due(family: Family, recording: originals.Recording) -> np.ndarray:
    """Return before which steps our hidden state is replaced by the original's, bool (EPISODES, T)."""
    steps = np.arange(recording.rewards.shape[1])
    during = steps < recording.lengths[:, None]
    return during & (steps % family.resync == 0) if family.resync else np.zeros_like(during)


def _draws(family: Family, env_id: str, seed: int) -> np.ndarray | None:
    """Return what our rollout will draw, (EPISODES, T + 1, ...)."""
    if family.draws is None:
        return None
    env, params = make(env_id)
    steps = rollout_length(env)
    all_keys = jax.jit(jax.vmap(lambda key: step_keys(key, steps)))(keys(seed))
    drawn = np.asarray(family.draws(env, params, all_keys.reshape(-1)))
    return drawn.reshape(EPISODES, steps + 1, *drawn.shape[1:])


def _compare(family: Family, recording: originals.Recording, ours, valued: np.ndarray | bool = True) -> None:
    """Compare flags at every step of the episodes, observations and rewards where `valued` (EPISODES, T)."""
    steps = recording.rewards.shape[1]
    # Steps past an episode's end are padding.
    during = np.arange(steps) < recording.lengths[:, None]
    observation = dict(rtol=0, atol=family.observation_atol)
    np.testing.assert_allclose(ours.first, recording.observations[:, 0], **observation)
    valued = during & valued
    np.testing.assert_allclose(
        ours.observations[:, :steps][valued], recording.observations[:, 1:][valued], **observation
    )
    rewards = ours.rewards[:, :steps][valued]
    np.testing.assert_allclose(rewards, recording.rewards[valued], rtol=0, atol=family.reward_atol)
    np.testing.assert_array_equal(ours.terminated[:, :steps][during], recording.terminated[during])
    np.testing.assert_array_equal(ours.truncated[:, :steps][during], recording.truncated[during])


@pytest.mark.parametrize("env_id", POPGYM)
def test_spaces_are_those_of_the_original(env_id):
    (family, level), (env, params) = family_of(env_id), make(env_id)
    original = originals.original(family, level)
    actions, observations = env.action_space(params), env.observation_space(params)
    assert observations.shape == (gymnasium.spaces.flatdim(original.observation_space),)
    if isinstance(original.action_space, gymnasium.spaces.Box):
        assert actions.shape == original.action_space.shape
        np.testing.assert_array_equal(np.broadcast_to(actions.low, actions.shape), original.action_space.low)
        np.testing.assert_array_equal(np.broadcast_to(actions.high, actions.shape), original.action_space.high)
    elif isinstance(original.action_space, gymnasium.spaces.MultiDiscrete):
        assert actions.nvec == tuple(original.action_space.nvec)
    else:
        assert actions.n == env.num_actions == original.action_space.n
    if isinstance(original.observation_space, gymnasium.spaces.Box):
        for ours, theirs in (
            (observations.low, original.observation_space.low),
            (observations.high, original.observation_space.high),
        ):
            np.testing.assert_allclose(np.broadcast_to(ours, observations.shape), theirs, rtol=1e-6)
