"""Random play for the prefill, uniform or with actions that last; and evaluation of an agent that forgets."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.episodes import longest_episode
from r2i_jit.actions import ActionSpec, action_spec
from r2i_jit.rollout import NEVER, evaluate, stroll

COUNT = 20_000


def drawn(spec: ActionSpec, prev_action: jax.Array, is_first: jax.Array, repeat: float) -> np.ndarray:
    step = SimpleNamespace(reward=jnp.zeros(COUNT, jnp.float32), is_first=is_first)
    player = SimpleNamespace(stream=SimpleNamespace(step=step), prev_action=prev_action)
    return np.asarray(stroll(spec, player, jax.random.key(0), repeat))


@pytest.mark.parametrize("repeat", [0.0, 0.75])
def test_the_last_action_is_repeated_as_often_as_asked_for(repeat):
    action = drawn(ActionSpec(6, True), jnp.full(COUNT, 4, jnp.int32), jnp.zeros(COUNT, bool), repeat)
    share = np.bincount(action, minlength=6) / COUNT
    expected = np.full(6, (1 - repeat) / 6)
    expected[4] += repeat
    np.testing.assert_allclose(share, expected, atol=4 * 0.5 / COUNT**0.5)


def test_an_episode_does_not_begin_with_the_action_of_the_one_before():
    action = drawn(ActionSpec(6, True), jnp.full(COUNT, 4, jnp.int32), jnp.ones(COUNT, bool), 0.75)
    np.testing.assert_allclose(np.bincount(action, minlength=6) / COUNT, 1 / 6, atol=4 * 0.5 / COUNT**0.5)


def test_continuous_actions_are_repeated_as_a_whole():
    before = jax.random.uniform(jax.random.key(1), (COUNT, 3), jnp.float32)
    same = drawn(ActionSpec(3, False), before, jnp.zeros(COUNT, bool), 0.5) == np.asarray(before)
    assert (same.all(1) == same.any(1)).all()
    assert abs(same.all(1).mean() - 0.5) < 4 * 0.5 / COUNT**0.5


class Recaller:
    """Plays RepeatPreviousEasy as it should be: a stand-in for an agent, whose memory is the last four suits."""

    def __init__(self, env, params):
        self.spec = action_spec(env, params)

    def initial_latent(self, _, count):
        return jnp.zeros((count, 4), jnp.int32)

    def act(self, state, latent, obs, prev_action, is_first, key, *, greedy):
        kept = jnp.where(is_first[:, None], self.initial_latent(state, len(obs)), latent)
        latent = jnp.concatenate([kept[:, 1:], obs.argmax(-1).astype(jnp.int32)[:, None]], 1)
        return latent[:, 0], latent


@pytest.mark.heavy
def test_who_forgets_misses_the_answers_that_hang_on_older_steps():
    env, params = envs.make("popgym/RepeatPreviousEasy")
    play = jax.jit(
        lambda forget: evaluate(
            Recaller(env, params), env, params, (), jax.random.key(0), 256, greedy=True, forget=forget, max_steps=100
        )
    )
    remembered, lengths, _ = play(NEVER)
    np.testing.assert_allclose(remembered, 1.0, rtol=1e-5)
    np.testing.assert_array_equal(lengths, 51)
    for forget in (51, 50, 13, 5, 4, 1):
        returns, lengths, _ = play(forget)
        missed = sum(step % forget < 3 for step in range(3, 51))
        np.testing.assert_array_equal(lengths, 51)
        # A paid answer missed is a guess, suit 0: right with chance 1/4. Of 48, `missed` follow a step forgotten.
        expected = 1 - missed / 48 * 1.5
        error = 2 * (missed * 3 / 16) ** 0.5 / 48 / 16
        assert abs(float(returns.mean()) - expected) < 5 * error + 1e-5, forget


class Endless:
    """Pays one a step and ends episodes of environments that start at an even number after 7 steps, others never."""

    name = "Endless"

    def reset_env(self, key, params):
        start = jax.random.randint(key, (), 0, 100, jnp.int32)
        return start, (start, jnp.zeros((), jnp.int32))

    def step_env(self, key, state, action, params):
        start, time = state
        over = (start % 2 == 0) & (time + 1 >= 7)
        return start, (start, time + 1), jnp.ones((), jnp.float32), over, {}

    def is_truncated(self, state, params):
        return jnp.zeros((), bool)


class Idler:
    """Stands for an agent."""

    spec = ActionSpec(2, True)

    def initial_latent(self, _, count):
        return jnp.zeros(count, jnp.int32)

    def act(self, state, latent, obs, prev_action, is_first, key, *, greedy):
        return latent, latent


def test_an_episode_that_does_not_end_is_cut():
    returns, lengths, cut = evaluate(Idler(), Endless(), None, (), jax.random.key(0), 64, greedy=True, max_steps=20)
    assert 10 < int(cut.sum()) < 54
    np.testing.assert_array_equal(lengths, np.where(cut, 20, 7))
    np.testing.assert_array_equal(returns, lengths)
    # One that ends on the last step that is allowed has ended.
    _, lengths, cut = evaluate(Idler(), Endless(), None, (), jax.random.key(0), 64, greedy=True, max_steps=7)
    assert (lengths == 7).all() and 10 < int(cut.sum()) < 54


def test_the_longest_episode_is_what_the_environment_or_its_parameters_say():
    env, params = envs.make("popgym/RepeatPreviousEasy")
    assert longest_episode(env, params) == 51
    assert longest_episode(Endless(), SimpleNamespace(max_steps_in_episode=9)) == 9
    assert longest_episode(Endless(), None) is None
