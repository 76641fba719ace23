"""Random play for the prefill: uniform, or with actions that last."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2i_jit.actions import ActionSpec
from r2i_jit.rollout import stroll

COUNT = 20_000


def drawn(spec: ActionSpec, prev_action: jax.Array, is_first: jax.Array, repeat: float) -> np.ndarray:
    step = SimpleNamespace(reward=jnp.zeros(COUNT), is_first=is_first)
    player = SimpleNamespace(stream=SimpleNamespace(step=step), prev_action=prev_action)
    return np.asarray(stroll(spec, player, jax.random.key(0), repeat))


@pytest.mark.parametrize("repeat", [0.0, 0.75])
def test_the_last_action_is_repeated_as_often_as_asked_for(repeat):
    action = drawn(ActionSpec(6, True), jnp.full(COUNT, 4), jnp.zeros(COUNT, bool), repeat)
    share = np.bincount(action, minlength=6) / COUNT
    expected = np.full(6, (1 - repeat) / 6)
    expected[4] += repeat
    np.testing.assert_allclose(share, expected, atol=4 * 0.5 / COUNT**0.5)


def test_an_episode_does_not_begin_with_the_action_of_the_one_before():
    action = drawn(ActionSpec(6, True), jnp.full(COUNT, 4), jnp.ones(COUNT, bool), 0.75)
    np.testing.assert_allclose(np.bincount(action, minlength=6) / COUNT, 1 / 6, atol=4 * 0.5 / COUNT**0.5)


def test_continuous_actions_are_repeated_as_a_whole():
    before = jax.random.uniform(jax.random.key(1), (COUNT, 3))
    same = drawn(ActionSpec(3, False), before, jnp.zeros(COUNT, bool), 0.5) == np.asarray(before)
    assert (same.all(1) == same.any(1)).all()
    assert abs(same.all(1).mean() - 0.5) < 4 * 0.5 / COUNT**0.5
