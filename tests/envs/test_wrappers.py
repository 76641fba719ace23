"""Previous action, start flag and flat actions, over several auto-resets. About 15 s."""

import pickle

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams, EnvState

from envs.observation import Categorical, Continuous, observation_parts
from envs.popgym.repeat_previous import RepeatPrevious
from envs.spaces import MultiDiscrete
from envs.wrappers import FlattenActions, PreviousActionAndStart, Wrapper
from tests.envs.playing import family_of, make, replay, with_hidden


@struct.dataclass
class GridState(EnvState):
    """The last move."""

    time: jax.Array
    last: jax.Array


class Grid(Environment):
    """Three-step episodes; the observation is the time (a `Discrete`) and the reward the action read as digits."""

    def reset_env(self, key, params):
        state = GridState(jnp.int32(0), jnp.zeros(3, jnp.int32))
        return self.observe(key, state, None, params), state

    def step_env(self, key, state, action, params):
        state = GridState(state.time + 1, jnp.asarray(action, jnp.int32))
        reward = (state.last * jnp.array([100, 10, 1])).sum().astype(jnp.float32)
        return self.observe(key, state, action, params), state, reward, jnp.array(False), {}

    def observe(self, key, state, action, params):
        return state.time

    @property
    def default_params(self):
        return EnvParams(max_steps_in_episode=3)

    def observation_space(self, params):
        return spaces.Discrete(4)

    def action_space(self, params):
        return MultiDiscrete([2, 3, 4])


def run(env, params, steps, seed=0):
    """Return (first observation, actions, observations, final observations, over) of `steps` auto-resetting steps."""

    @jax.jit
    def scan(key):
        def step(carry, key):
            key_act, key_step = jax.random.split(key)
            action = env.action_space(params).sample(key_act)
            obs, state, _, terminated, truncated, info = env.step(key_step, carry, action, params)
            return state, (action, obs, info["final_observation"], terminated | truncated)

        key_reset, key_steps = jax.random.split(key)
        first, state = env.reset(key_reset, params)
        return first, *jax.lax.scan(step, state, jax.random.split(key_steps, steps))[1]

    return jax.device_get(scan(jax.random.key(seed)))


def test_action_and_flag_are_right_on_every_observation_of_many_episodes():
    inner, params = RepeatPrevious(num_decks=1, k=4), None
    params = inner.default_params
    bare = run(inner, params, 170)
    first, actions, observations, finals, over = run(PreviousActionAndStart(inner), params, 170)

    assert over.sum() == 3
    start = [1, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(first, [*bare[0], *start])
    for t in range(170):
        moved = [*np.eye(4, dtype=int)[actions[t]], 1, 0]
        np.testing.assert_array_equal(observations[t], [*bare[2][t], *(start if over[t] else moved)])
        np.testing.assert_array_equal(finals[t], [*bare[3][t], *moved])


@pytest.mark.parametrize(
    "env_id",
    ["popgym/AutoencodeEasy", "popgym/ConcentrationEasy", "popgym/BattleshipEasy", "popgym/PositionOnlyPendulumEasy"],
)
def test_equals_the_originals_wrappers(env_id):
    pytest.importorskip("popgym")
    import gymnasium
    from popgym.wrappers import Antialias, PreviousAction

    from tests.envs import originals

    family, level = family_of(env_id)
    original = Antialias(PreviousAction(originals.original(family, level)))
    original.action_space.seed(0)
    theirs, actions = [original.reset(seed=0)[0]], [original.action_space.sample() for _ in range(30)]
    hidden = family.hidden(original.unwrapped)
    theirs = [
        gymnasium.spaces.flatten(original.observation_space, obs)
        for obs in (*theirs, *(original.step(action)[0] for action in actions))
    ]
    inner, params = make(env_id)
    env = PreviousActionAndStart(inner)
    _, state = env.reset(jax.random.key(0), params)
    play = jax.jit(lambda state, actions: replay(env, params, jax.random.key(0), state, actions))
    ours = play(with_hidden(state, hidden), jnp.array(actions))
    np.testing.assert_allclose(ours.first, theirs[0], rtol=0, atol=family.observation_atol)
    np.testing.assert_allclose(ours.observations, theirs[1:], rtol=0, atol=1e-5 if family.observation_atol else 0)
    assert env.observation_space(params).shape == (gymnasium.spaces.flatdim(original.observation_space),)
    assert ours.observations.dtype == env.observation_space(params).dtype
    assert ours.observations.dtype == (jnp.float32 if family.observation_atol else jnp.uint8)


def test_continuous_actions_are_appended_as_they_are():
    inner, params = gymnax.make("Pendulum-v1")
    env = PreviousActionAndStart(inner)
    params = params.replace(max_steps_in_episode=5)
    first, actions, observations, finals, over = run(env, params, 12)
    space = env.observation_space(params)
    assert over.sum() == 2 and space.shape == (6,) and space.dtype == observations.dtype == np.float32
    assert observation_parts(env, params) == (Continuous(3), Continuous(1), Categorical(2))
    np.testing.assert_array_equal(space.low[3:], [-2, 0, 0])
    np.testing.assert_array_equal(space.high[3:], [2, 1, 1])
    assert all(space.contains(obs) for obs in observations)
    np.testing.assert_array_equal(first[3:], [0, 0, 1])
    np.testing.assert_array_equal(observations[over][:, 3:], [[0, 0, 1]] * 2)
    np.testing.assert_array_equal(observations[~over][:, 3], actions[~over][:, 0])
    np.testing.assert_array_equal(finals[:, 3], actions[:, 0])
    np.testing.assert_array_equal(observations[~over][:, 4:], [[1, 0]] * 10)


def test_several_discrete_entries_are_one_hot_each():
    env = PreviousActionAndStart(Grid())
    params = env.default_params
    assert observation_parts(env, params) == tuple(Categorical(n) for n in (4, 2, 3, 4, 2))
    first, actions, observations, _, over = run(env, params, 7)
    np.testing.assert_array_equal(first, [1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1])
    assert over.sum() == 2 and observations.dtype == np.uint8
    for obs, action, end in zip(observations, actions, over, strict=True):
        expected = np.concatenate([np.eye(n)[0 if end else a] for n, a in zip((2, 3, 4), action, strict=True)])
        np.testing.assert_array_equal(obs[4:13], expected)


def test_observe_tells_the_start_by_the_missing_action():
    inner, params = make("popgym/RepeatPreviousEasy")
    env = PreviousActionAndStart(inner)
    obs, state = env.reset(jax.random.key(0), params)
    np.testing.assert_array_equal(env.observe(jax.random.key(0), state, None, params), obs)
    np.testing.assert_array_equal(env.observe(jax.random.key(0), state, 3, params)[4:], [0, 0, 0, 1, 1, 0])


def test_the_null_action_lies_in_the_space():
    class Positive(Grid):
        def action_space(self, params):
            return spaces.Box(1.5, 2.0, (2,))

    env = PreviousActionAndStart(Positive())
    obs, _ = env.reset(jax.random.key(0), env.default_params)
    np.testing.assert_array_equal(obs, [1, 0, 0, 0, 1.5, 1.5, 0, 1])


def test_what_cannot_be_flattened_is_refused():
    class Images(Grid):
        def observation_space(self, params):
            return spaces.Box(0, 255, (16, 16, 3), jnp.uint8)

    class Nested(Grid):
        def action_space(self, params):
            return spaces.Tuple((spaces.Discrete(2),))

    with pytest.raises(ValueError, match="not to images"):
        PreviousActionAndStart(Images())
    with pytest.raises(ValueError, match="is not supported"):
        PreviousActionAndStart(Nested())
    with pytest.raises(ValueError, match="should be a MultiDiscrete"):
        FlattenActions(RepeatPrevious())


def test_flat_actions_count_in_c_order():
    env = FlattenActions(Grid())
    params = env.default_params
    assert env.num_actions == env.action_space(params).n == 24
    _, state = env.reset(jax.random.key(0), params)
    step = jax.jit(jax.vmap(lambda action: env.step_env(jax.random.key(0), state, action, params)))
    _, after, rewards, _, _ = step(jnp.arange(24))
    vectors = np.stack(np.unravel_index(np.arange(24), (2, 3, 4)), axis=1)
    np.testing.assert_array_equal(after.last, vectors)
    np.testing.assert_array_equal(rewards, vectors @ [100, 10, 1])
    np.testing.assert_array_equal(step(jnp.array([-7, 24, 10**6]))[1].last, [[0, 0, 0], [1, 2, 3], [1, 2, 3]])


def test_wrappers_nest_and_number_the_flat_action():
    env = PreviousActionAndStart(FlattenActions(Grid()))
    params = env.default_params
    _, actions, observations, _, over = run(env, params, 7)
    assert observations.shape == (7, 4 + 24 + 2)
    np.testing.assert_array_equal(observations[:, 4:28].argmax(1), np.where(over, 0, actions))


def test_a_wrapper_shows_what_the_inner_environment_offers():
    inner, params = make("popgym/RepeatPreviousEasy")
    env = Wrapper(inner)
    assert (env.name, env.num_actions, env.default_params) == (inner.name, 4, params)
    assert (env.reward_scale, env.max_episode_steps) == (48.0, 51)
    assert env.observation_parts(params) == inner.observation_parts(params)
    assert pickle.loads(pickle.dumps(env)).reward_scale == 48.0
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = env.no_such_thing


def test_multi_discrete_samples_every_vector_equally_and_knows_its_own():
    space = MultiDiscrete([2, 3])
    samples = np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 6000)))
    assert samples.dtype == np.int32 and bool(space.contains(samples))
    counts = np.bincount(np.ravel_multi_index(samples.T, (2, 3)), minlength=6)
    assert np.abs(counts - 1000).max() < 5 * (6000 * 5 / 36) ** 0.5
    assert [bool(space.contains(jnp.array(x))) for x in ([1, 2], [2, 0], [0, 3], [-1, 0])] == [
        True,
        False,
        False,
        False,
    ]
    assert (space.size, repr(space)) == (6, "MultiDiscrete([2, 3])")
    for wrong in ([], [2, 0]):
        with pytest.raises(ValueError, match="one or more positive"):
            MultiDiscrete(wrong)
