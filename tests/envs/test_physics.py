"""Bodies under physics: what `envs.adapters.physics` makes of any such package, on one made up. About 15 s."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import episodes
from envs.adapters.physics import Physics
from envs.observation import observation_leaves
from envs.tally import Tally
from r2i_jit import Trainer
from r2i_jit.compiling import quick
from r2i_jit.observations import check_environment
from tests.agents import small_config
from tests.envs.playing import make

LIMIT, ROWS = 6, 5
POISON = 0.9  # an action above this makes the physics blow up
HARD = -0.9  # one below this ends the episode


@struct.dataclass
class Bead:
    """A package's state, as loose with types as some are."""

    place: jax.Array
    obs: jax.Array
    reward: Any
    done: Any
    metrics: dict
    info: dict


class Wire:
    """A bead on a wire: it is pushed by the action, which is also what is paid."""

    action_size = 1
    hidden = False  # whether it blows up where nobody sees it

    def reset(self, key):
        place = jax.random.uniform(key, (2,))
        return Bead(
            place, place, 0.0, 0.0, {"far": jnp.zeros(())}, {"key": key, "count": 0, "touched": jnp.zeros((0, 3))}
        )

    def step(self, state, action):
        push = jnp.where(action[0] > POISON, jnp.nan, action[0])
        place = state.place + push
        state.metrics["far"] = place[0]  # in place, as brax does
        info = {**state.info, "count": state.info["count"] + 1}
        shown = jnp.where(self.hidden & jnp.isnan(place), 0.0, place)
        reward = jnp.where(self.hidden & jnp.isnan(push), 1.0, push)
        return Bead(place, shown, reward, jnp.where(action[0] < HARD, 1.0, 0.0), state.metrics, info)


class HiddenWire(Wire):
    hidden = True


class Beads(Physics):
    def __init__(self, env=None, limit=LIMIT, repeat=1):
        super().__init__(env or Wire(), "beads", limit=limit, repeat=repeat)

    def _coordinates(self, inner):
        return inner.place


def step(env, state, *actions):
    """Return the results of steps with these actions; the last one's reward and flags."""
    for action in actions:
        obs, state, reward, terminated, info = env.step_env(
            jax.random.key(0), state, jnp.full((1,), action), env.default_params
        )
    truncated = env.is_truncated(state, env.default_params)
    return obs, state, float(reward), bool(terminated), bool(truncated), info


def start(env, seed=0):
    return env.reset_env(jax.random.key(seed), env.default_params)[1]


@pytest.mark.parametrize("repeat", [1, 3])
def test_it_keeps_its_word_whatever_types_the_package_has(repeat):
    env = Beads(repeat=repeat)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        check_environment(env, env.default_params, observation_leaves(env, env.default_params))
    assert (env.max_episode_steps, env.default_params.max_steps_in_episode, env.num_actions) == (LIMIT, LIMIT, 1)
    assert (env.action_space(env.default_params).low, env.action_space(env.default_params).high) == (-1, 1)


def test_an_action_is_held_and_its_rewards_are_summed():
    obs, state, reward, *_ = step(Beads(repeat=3), start(Beads()), 0.25)
    assert reward == pytest.approx(0.75) and state.time == 1 and state.inner.info["count"] == 3
    np.testing.assert_allclose(obs, start(Beads()).inner.obs + 0.75, rtol=1e-6)


def test_what_comes_after_the_end_of_a_held_action_neither_moves_nor_pays():
    _, state, reward, terminated, truncated, info = step(Beads(repeat=3), start(Beads()), HARD - 0.05)
    assert (reward, state.inner.info["count"]) == (pytest.approx(HARD - 0.05), 1)
    assert terminated and not truncated and not info["diverged"]


def test_time_cuts_an_episode_off_and_an_end_with_the_last_step_is_an_end():
    env = Beads()
    assert step(env, start(env), *[0.1] * (LIMIT - 1))[3:5] == (False, False)
    assert step(env, start(env), *[0.1] * LIMIT)[3:5] == (False, True)
    assert step(env, start(env), *[0.1] * (LIMIT - 1), HARD - 0.05)[3:5] == (True, False)


def test_actions_outside_are_the_nearest_inside():
    for action, inside in ((-7.0, -1.0), (3.0, 1.0)):
        far, near = (step(Beads(), start(Beads()), each) for each in (action, inside))
        np.testing.assert_array_equal(far[0], near[0])
        assert far[2:5] == near[2:5]
    assert step(Beads(), start(Beads()), -7.0)[2] == -1 and step(Beads(), start(Beads()), 3.0)[5]["diverged"]


@pytest.mark.parametrize("repeat", [1, 3])
@pytest.mark.parametrize("kind", [Wire, HiddenWire])
def test_numbers_that_are_not_finite_end_the_episode_and_are_seen_by_nobody(kind, repeat):
    env = Beads(kind(), repeat=repeat)
    obs, state, reward, terminated, truncated, info = step(env, start(env), 0.5, POISON + 0.05)
    np.testing.assert_array_equal(obs, np.zeros(2))
    np.testing.assert_array_equal(env.observe(None, state, None, env.default_params), np.zeros(2))
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert info["diverged"] and env.is_diverged(state, env.default_params)
    again = step(env, state, 0.1)  # Who goes on all the same sees no more than that.
    assert again[3] and np.isfinite(again[0]).all() and again[2] == 0.0


@functools.cache
def player(repeat: int):
    env = Beads(repeat=repeat)

    def play(actions):
        stream = episodes.start(env, env.default_params, jax.random.key(1), ROWS)

        def step(stream, inputs):
            stream = episodes.advance(env, env.default_params, stream, *inputs)
            return stream, (stream.step, episodes.diverged(env, env.default_params, stream.env_state), stream.age)

        keys = jax.random.split(jax.random.key(2), len(actions))
        return jax.lax.scan(step, stream, (actions[..., None], keys))[1]

    return jax.jit(play, compiler_options=quick())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), rate=st.sampled_from([0.0, 0.05, 0.4]), repeat=st.sampled_from([1, 2]))
def test_a_fault_touches_its_own_episode_and_no_other(seed, rate, repeat):
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-0.5, 0.5, (20, ROWS)).astype(np.float32)
    poison = rng.random(actions.shape) < rate
    steps, diverged, age = jax.tree.map(np.asarray, player(repeat)(np.where(poison, np.float32(1), actions)))
    assert all(np.isfinite(leaf).all() for leaf in (steps.obs, steps.reward))
    np.testing.assert_array_equal(diverged, poison & ~steps.is_first)
    np.testing.assert_array_equal(steps.is_terminal, diverged)
    healthy, *_ = jax.tree.map(np.asarray, player(repeat)(actions))
    untouched = ~poison.any(0)
    for one, other in zip(jax.tree.leaves(steps), jax.tree.leaves(healthy), strict=True):
        np.testing.assert_array_equal(one[:, untouched], other[:, untouched])
    starts = steps.obs[steps.is_first]
    assert len(np.unique(starts, axis=0)) == len(starts), "an episode began as another one had"


def beads():
    """What the run below is trained on."""
    return Beads(limit=8)


@pytest.mark.heavy
def test_a_run_counts_them_and_stays_finite():
    config = small_config("tests.envs.test_physics:beads", replay__sequence_length=9, hypers__reward_scale=1)
    trainer = Trainer(config, quick_compile=True)
    state = trainer.init(jax.random.split(jax.random.key(0), 2))
    counted = 0
    for _ in range(6):
        state, metrics = trainer.train_chunk(state)
        counted = counted + np.asarray(metrics["episodes_diverged"])
        assert not np.any(metrics["diverged"])
        assert all(np.isfinite(value).all() for value in metrics.values())
    assert counted.shape == (2,) and counted.min() > 0


def test_an_environment_that_cannot_say_so_has_no_such_count():
    plain, params = make("popgym/RepeatFirstEasy")
    for env in (plain, Tally(plain)):
        assert episodes.diverged(env, params, None) is None


def test_episodes_tell_how_often():
    env = Tally(Beads())
    state = start(env)
    for action, sum_ in ((0.5, 0), (POISON + 0.05, 1)):
        _, state, *_ = env.step_env(jax.random.key(0), state, jnp.full((1,), action), env.default_params)
        assert state.sums == {"diverged": sum_}
        assert bool(env.is_diverged(state, env.default_params)) == bool(sum_)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"repeat": 0}])
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="should be at least 1"):
        Beads(**wrong)


def test_a_package_that_shows_several_arrays_is_refused():
    class Several(Wire):
        def reset(self, key):
            return super().reset(key).replace(obs={"a": jnp.zeros(2)})

    with pytest.raises(ValueError, match="observations should be one vector"):
        Beads(Several())
