"""Our POPGym games against POPGym 1.0.7: same deck, same actions, same everything, step by step. About 15 s."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("popgym", reason="the original is a test dependency")

from tests.envs import originals
from tests.envs.playing import EPISODES, POPGYM, RECALL, make, play, start, with_cards


def episodes_of(env_id: str) -> tuple[list[originals.Episode], Counter]:
    """Play the original: perfect, random and mixed episodes, and those that provoke each penalty."""
    env, rng, branches = originals.original(env_id), np.random.default_rng(7), Counter()
    skills = [1.0, 0.0, 0.5, 0.9]
    episodes = []
    for number in range(EPISODES):
        skill = skills[number % len(skills)]
        if env_id in RECALL:
            policy = originals.recall_policy(rng, branches, skill, invalid=0.2)
        elif number == EPISODES - 1:
            policy = originals.last_moment_policy
        else:
            policy = originals.concentration_policy(rng, branches, skill)
        episodes.append(originals.play(env, policy, seed=11 if number == 0 else None))
    return episodes, branches


@pytest.mark.parametrize("env_id", POPGYM)
def test_whole_episodes_equal_the_original(env_id):
    env, _ = make(env_id)
    episodes, branches = episodes_of(env_id)
    actions = np.zeros((EPISODES, env.max_episode_steps), np.int32)
    for row, episode in zip(actions, episodes, strict=True):
        row[: len(episode.actions)] = episode.actions
    _, states = start(env_id, seed=0)
    ours = play(env_id, with_cards(states, np.stack([episode.cards for episode in episodes])), actions)

    for number, episode in enumerate(episodes):
        steps = len(episode.actions)
        assert steps <= env.max_episode_steps
        np.testing.assert_array_equal(ours.first[number], episode.observations[0])
        np.testing.assert_array_equal(ours.observations[number, :steps], episode.observations[1:])
        np.testing.assert_allclose(ours.rewards[number, :steps], episode.rewards, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(ours.terminated[number, :steps], episode.terminated)
        np.testing.assert_array_equal(ours.truncated[number, :steps], episode.truncated)

    lengths = {len(episode.actions) for episode in episodes}
    ends = {(episode.terminated[-1], episode.truncated[-1]) for episode in episodes}
    if env_id in RECALL:
        assert lengths == {env.max_episode_steps}
        assert ends == {(True, False)}
        assert min(branches[kind] for kind in ("right", "wrong", "invalid")) > 50
    else:
        assert {env.num_cards, env.max_episode_steps} <= lengths
        assert ends == {(True, False), (False, True), (True, True)}
        kinds = ("first", "match", "mismatch", "same", "up as first", "up as second")
        assert min(branches[kind] for kind in kinds) > 50
    assert max(np.sum(episode.rewards) for episode in episodes) == pytest.approx(1.0)


@pytest.mark.parametrize("env_id", POPGYM)
def test_sizes_are_those_of_the_original(env_id):
    import gymnasium

    env, params = make(env_id)
    original = originals.original(env_id)
    assert env.num_actions == env.action_space(params).n == original.action_space.n
    assert env.observation_space(params).shape == (gymnasium.spaces.flatdim(original.observation_space),)
    length = original.episode_length if "Concentration" in env_id else original.max_episode_length
    assert env.max_episode_steps == params.max_steps_in_episode == length
