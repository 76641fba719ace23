"""What must hold of every bsuite experiment, whatever it drew and whatever the actions; and the ids. About 25 s.

Settings that are parameters share a program, so one or two ids of an experiment stand for all of them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import bsuite, episodes
from envs.bsuite import ALIASES, EXPERIMENTS
from envs.bsuite.bandit import Bandit
from envs.bsuite.cartpole import STEPS
from envs.bsuite.catch import Catch
from envs.bsuite.deep_sea import DeepSea
from envs.bsuite.discounting_chain import DiscountingChain
from envs.bsuite.game import share
from envs.bsuite.memory_chain import MemoryChain
from envs.bsuite.mountain_car import MountainCar
from envs.bsuite.rewards import RewardNoise
from envs.bsuite.umbrella_chain import UmbrellaChain
from envs.observation import Binary, observation_parts
from envs.spaces import nearest
from experiments import presets
from experiments.bsuite.columns import needed_columns
from experiments.running import rundir
from r2i_jit.compiling import quick

EPISODES = 16
COUNTS = {"memory_len": 23, "memory_size": 17, "umbrella_length": 23, "umbrella_distract": 23}
COUNTS |= {"deep_sea": 21, "deep_sea_stochastic": 21}
# One setting of each experiment, neither trivial nor long.
CHOSEN = {
    **{name: f"bsuite/{name}/0" for name in EXPERIMENTS},
    "memory_len": "bsuite/memory_len/5",
    "memory_size": "bsuite/memory_size/4",
    "umbrella_length": "bsuite/umbrella_length/7",
    "umbrella_distract": "bsuite/umbrella_distract/3",
    "cartpole_swingup": "bsuite/cartpole_swingup/7",
}
make = functools.cache(envs.make)


def numbered() -> list[str]:
    return [env_id for env_id in envs.registered() if env_id.startswith("bsuite/") and env_id not in ALIASES]


@functools.cache
def _program(experiment):
    env, params = make(CHOSEN[experiment])

    def play(key, actions, params):
        obs, state = env.reset_env(key, params)

        def step(state, inputs):
            obs, state, reward, terminated, _ = env.step_env(*inputs[:1], state, inputs[1], params)
            return state, (obs, reward, terminated, env.is_truncated(state, params))

        last, sequences = jax.lax.scan(step, state, (jax.random.split(key, actions.shape[0]), actions))
        return obs, *sequences, last

    return play, jax.jit(jax.vmap(play, (0, 0, None)), compiler_options=quick())


def played(experiment, seed, actions=None):
    """Return first observations, observations, rewards, flags and last states of EPISODES episodes and 3 steps more."""
    env, params = make(CHOSEN[experiment])
    keys = jax.random.split(jax.random.key(seed), EPISODES)
    if actions is None:
        actions = random_actions(experiment, seed)
    return jax.device_get(_program(experiment)[1](keys, actions, params))


def random_actions(experiment, seed, spread=0):
    env, _ = make(CHOSEN[experiment])
    shape = EPISODES, env.max_episode_steps + 3
    return np.random.default_rng(seed).integers(-spread, env.num_actions + spread, shape, np.int32)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_any_play_keeps_its_word(experiment, seed):
    env, params = make(CHOSEN[experiment])
    first, observations, rewards, terminated, truncated, last = played(
        experiment, seed, random_actions(experiment, seed, spread=1000 * seed)
    )
    assert not truncated.any()
    lengths = terminated.argmax(1) + 1
    assert terminated.any(1).all() and (lengths <= env.max_episode_steps).all()
    if not experiment.startswith("cartpole"):
        assert lengths.max() == env.max_episode_steps
    assert np.isfinite(rewards).all() and (last.time == terminated.shape[1]).all()
    space = env.observation_space(params)
    during = np.arange(observations.shape[1]) < lengths[:, None]
    found = np.concatenate([first, observations[during]])
    assert (found.shape[1:], found.dtype) == (space.shape, space.dtype)
    assert (found >= np.asarray(space.low)).all() and (found <= np.asarray(space.high)).all()
    offset, flat = 0, found.reshape(len(found), -1)
    for part in observation_parts(env, params):
        entries = flat[:, offset : offset + part.entries]
        assert not isinstance(part, Binary) or ((entries == 0) | (entries == 1)).all()
        offset += part.entries
    assert offset == flat.shape[1]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_shapes_and_dtypes_are_those_promised(experiment):
    env, params = make(CHOSEN[experiment])
    key, action = jax.random.key(0), jax.ShapeDtypeStruct((), jnp.int32)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        obs, state = jax.eval_shape(env.reset, key, params)
        stepped = jax.eval_shape(env.step, key, state, action, params)
    assert stepped[:2] == (obs, state)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((obs, state, stepped)))
    tallies = {name: leaf for name, leaf in stepped[5].items() if name in needed_columns(experiment)}
    assert set(tallies) == set(needed_columns(experiment)) - {"return", "length"}
    assert all((leaf.shape, leaf.dtype) == ((), jnp.float32) for leaf in tallies.values())
    assert [(x.shape, x.dtype) for x in stepped[2:5]] == [((), jnp.float32), ((), jnp.bool_), ((), jnp.bool_)]
    assert (state.time.dtype, obs.dtype) == (jnp.int32, jnp.float32)
    assert isinstance(env.reward_scale, float) and env.reward_scale > 0
    assert params.max_steps_in_episode == env.max_episode_steps
    with jax.enable_x64(True):
        wide = jax.eval_shape(env.reset, key, params), jax.eval_shape(env.step, key, state, action, params)
    assert jax.tree.map(lambda leaf: leaf.dtype, wide) == jax.tree.map(lambda leaf: leaf.dtype, ((obs, state), stepped))


@pytest.mark.heavy
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_one_key_one_episode_with_64_bits_too(experiment):
    env, params = make(CHOSEN[experiment])

    def draws(key):
        return env.begin(key, params), env.draw(key, params)

    narrow = jax.jit(draws)(jax.random.key(4))
    with jax.enable_x64(True):
        wide = jax.jit(draws)(jax.random.key(4))
    for one, other in zip(jax.tree.leaves(narrow), jax.tree.leaves(wide), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_one_key_one_episode_compiled_or_not_alone_or_together(experiment):
    env, params = make(CHOSEN[experiment])
    actions = random_actions(experiment, 3)
    together = played(experiment, 3, actions)
    key = jax.random.split(jax.random.key(3), EPISODES)[5]
    obs, state = env.reset_env(key, params)
    np.testing.assert_allclose(obs, together[0][5], rtol=1e-6)
    for number, step_key in enumerate(jax.random.split(key, actions.shape[1])[:4]):
        obs, state, reward, terminated, _ = env.step_env(step_key, state, actions[5, number], params)
        np.testing.assert_allclose(obs, together[1][5, number], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(reward, together[2][5, number], rtol=1e-6)
        assert terminated == together[3][5, number]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_actions_of_no_space_do_no_harm(experiment):
    env, params = make(CHOSEN[experiment])
    _, state = env.reset_env(jax.random.key(0), params)
    if isinstance(env, MemoryChain):
        state = state.replace(time=jnp.int32(env.memory_length))
    step = jax.jit(lambda action: env.step_env(jax.random.key(1), state, action, params)[:4])
    for action in np.float32([np.nan, np.inf, -np.inf, 1e30, -7]):
        found = step(jnp.float32(action))
        if isinstance(env, MemoryChain):
            assert found[2] == -1  # No bit: a wrong answer.
            continue
        inside = step(nearest(action, env.num_actions))
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(inside), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


SETTINGS = {
    "memory_len": [f"bsuite/memory_len/{number}" for number in range(23)],
    "umbrella_length": [f"bsuite/umbrella_length/{number}" for number in range(23)],
    **{
        name: [f"bsuite/{name}/{number}" for number in range(20)]
        for name in ("discounting_chain", "bandit", "bandit_noise", "bandit_scale", "catch_scale", "cartpole_swingup")
    },
}


@pytest.mark.heavy
@pytest.mark.parametrize("experiment", SETTINGS)
def test_the_settings_of_an_experiment_are_one_vmap(experiment):
    play = _program(experiment)[0]
    each = [make(env_id)[1] for env_id in SETTINGS[experiment]]
    key, actions = jax.random.key(8), jnp.asarray(random_actions(experiment, 8)[0])
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *each)
    together = jax.jit(jax.vmap(play, (None, None, 0)), compiler_options=quick())(key, actions, stacked)
    alone = jax.jit(play, compiler_options=quick())
    for number, params in enumerate(each):
        for one, other in zip(jax.tree.leaves(alone(key, actions, params)), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(one, other[number], rtol=1e-3, atol=1e-3)


def test_the_step_of_gymnax_begins_the_next_episode():
    env, params = make("bsuite/umbrella_length/7")
    _, state = env.reset(jax.random.key(0), params)
    state = state.replace(time=jnp.int32(env.chain_length - 1))
    obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 1, params)
    assert terminated and not truncated and state.time == 0 and abs(reward) == 1
    assert obs[2] == 1 and info["final_observation"][2] == 0


def test_shares_are_rounded_once_for_every_length():
    ours = jax.jit(share)
    for length in (*range(1, 102, 4), 7, 14, 30, 1000, 10_000):
        left = np.arange(length, -1, -1)
        theirs = (1 - (length - left) / length).astype(np.float32)
        np.testing.assert_array_equal(ours(np.pad(left, (0, 10_000 - length)), length)[: length + 1], theirs)
    constant = jax.jit(jax.vmap(lambda left: share(left, 7)))(np.arange(8))
    np.testing.assert_array_equal(constant, (np.arange(8) / 7).astype(np.float32))


def test_a_memory_of_ten_thousand_steps():
    env = MemoryChain(10_000)
    state = env.begin(jax.random.key(0), env.default_params).replace(time=jnp.int32(10_000))
    for action in (0, 1):
        after, reward = env.transition(state, action, None, env.default_params)
        assert env.is_terminated(after, env.default_params)
        assert reward == (1 if action == state.context[0] else -1)
    assert not env.is_terminated(state, env.default_params)
    assert env.max_episode_steps == 10_001 and STEPS == 1001


def test_chance_is_fair():
    """What is drawn has the frequencies of the original."""
    keys = jax.random.split(jax.random.key(0), 4000)

    def mean(env, draw):
        return np.asarray(jax.jit(jax.vmap(lambda key: draw(env, key, env.default_params)))(keys))

    memory = mean(MemoryChain(2, 4), lambda env, *args: env.begin(*args).context)
    query = mean(MemoryChain(2, 4), lambda env, *args: env.begin(*args).query)
    weather = mean(UmbrellaChain(20, 3), lambda env, *args: jnp.append(env.draw(*args).distractors, env.draw(*args)[0]))
    umbrella = mean(UmbrellaChain(), lambda env, *args: jnp.stack([env.begin(*args).need, env.begin(*args).has]))
    for bits in (memory, weather, umbrella):
        np.testing.assert_allclose(bits.mean(0), 0.5, atol=0.035)
        np.testing.assert_allclose(np.corrcoef(bits.T), np.eye(bits.shape[1]), atol=0.07)
    np.testing.assert_allclose(np.bincount(query) / 4000, 0.25, atol=0.03)
    ball = mean(Catch(), lambda env, *args: env.begin(*args).ball)
    np.testing.assert_allclose(np.bincount(ball) / 4000, 0.2, atol=0.03)
    current = mean(DeepSea(10, False), lambda env, *args: jnp.stack(env.draw(*args)))
    assert abs(current[:, 0].mean()) < 0.06 and abs(current[:, 0].std() - 1) < 0.05
    assert abs((current[:, 1] > 0.1).mean() - 0.9) < 0.02
    noise = mean(RewardNoise(Bandit(), 3.0), lambda env, *args: env.draw(*args).noise)
    assert abs(noise.mean()) < 0.06 and abs(noise.std() - 1) < 0.05
    position = mean(MountainCar(), lambda env, *args: env.begin(*args).position)
    assert -0.6 <= position.min() < -0.59 and -0.41 < position.max() <= -0.4


def test_every_number_of_the_sweep_is_registered():
    found = numbered()
    counts = {name: sum(env_id.startswith(f"bsuite/{name}/") for env_id in found) for name in EXPERIMENTS}
    assert counts == {name: COUNTS.get(name, 20) for name in EXPERIMENTS}
    assert len(found) == 408
    chain = [env_id for env_id in found if env_id.startswith("bsuite/memory_len/")]
    assert chain == [f"bsuite/memory_len/{number}" for number in range(23)]  # 2 before 10.
    for env_id in (*found, *ALIASES):
        env, params = envs.make(env_id)
        assert params == env.default_params and params.max_steps_in_episode == env.max_episode_steps


def test_an_id_can_say_its_setting():
    assert make("bsuite/memory_len_100")[0].memory_length == make("bsuite/memory_len/22")[0].memory_length == 100
    assert make("bsuite/memory_size_40")[0].num_bits == 40
    assert make("bsuite/discounting_chain_delay_30")[0].bonus_arm == 3
    assert make("bsuite/umbrella_length_14")[0].chain_length == 14
    assert make("bsuite/umbrella_distract_90")[0].n_distractor == 90
    assert make("bsuite/deep_sea_50")[0].size == 50
    assert not make("bsuite/deep_sea_stochastic_50")[0].deterministic
    assert set(ALIASES) | set(numbered()) == {name for name in envs.registered() if name.startswith("bsuite/")}


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("bsuite/memory_length/17", "bsuite/memory_len/17"),
        ("memory_len/17", "bsuite/memory_len/17"),
        ("bsuit/umbrella_distract/22", "bsuite/umbrella_distract/22"),
    ],
)
def test_unknown_ids_are_answered_with_near_ones(wrong, near):
    with pytest.raises(ValueError, match="did you mean") as caught:
        envs.make(wrong)
    assert near in str(caught.value)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_states_are_shown_as_text(experiment):
    env, params = make(CHOSEN[experiment])
    last = played(experiment, 0)[-1]
    state = jax.tree.map(lambda leaf: leaf[0], last)
    shown, all_ = env.render(state, params), env.render(state, params, hidden=True)
    assert shown and len(all_) >= len(shown)
    assert env.render(env.reset_env(jax.random.key(0), params)[1], params)
    assert env.name


@pytest.mark.parametrize(
    "build",
    [
        lambda: MemoryChain(0),
        lambda: MemoryChain(1, 0),
        lambda: UmbrellaChain(0),
        lambda: UmbrellaChain(1, -1),
        lambda: DiscountingChain(-1),
        lambda: Bandit(-1),
        lambda: Catch(1),
        lambda: DeepSea(1),
        lambda: MountainCar(0),
        lambda: RewardNoise(Catch(), -1.0),
    ],
)
def test_senseless_settings_are_refused(build):
    with pytest.raises(ValueError, match="should be"):
        build()


@pytest.mark.parametrize("env_id", CHOSEN.values())
def test_an_agent_gets_a_configuration_and_a_folder(env_id, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert presets.preset(env=env_id).env == env_id
    folder = rundir.new_path(env_id, "tiny")
    assert folder.parent.name == "runs" and folder.name.startswith(env_id.replace("/", "-") + "-tiny-")


def test_the_streams_of_an_agent_begin_anew_after_an_end():
    """Every third step is the last one of an episode, and the one after it is the first one of the next."""
    env, params = make("bsuite/memory_size/4")
    start = jax.jit(lambda key: episodes.start(env, params, key, 8))
    advance = jax.jit(lambda stream, action, key: episodes.advance(env, params, stream, action, key))
    stream = start(jax.random.key(0))
    for step in range(1, 9):
        stream = advance(stream, jnp.zeros(8, jnp.int32), jax.random.key(step))
        assert (stream.step.is_first == (step % 4 == 0)).all()
        assert (stream.step.is_last == (step % 4 == 3)).all() and (stream.step.is_terminal == stream.step.is_last).all()
        assert (jnp.abs(stream.step.reward) == (step % 4 == 3)).all()


@pytest.mark.parametrize(
    ("env_id", "steps"),
    [
        ("bsuite/memory_len_10000", 10_001),
        ("bsuite/memory_size_50", 3),
        ("bsuite/umbrella_length_150", 150),
        ("bsuite/deep_sea_60", 60),
        ("bsuite/discounting_chain_delay_300", 300),
    ],
)
def test_settings_beyond_the_sweep_are_made_by_their_number(env_id, steps):
    env, params = envs.make(env_id)
    assert env.max_episode_steps == params.max_steps_in_episode == steps
    assert env_id not in envs.registered()


@pytest.mark.parametrize(
    ("env_id", "wrong"),
    [
        ("bsuite/memory_len_0", "memory_length=0 should be a whole number of at least 1"),
        ("bsuite/deep_sea_999999999", "size=999999999 should be at most 4,000, or an observation is too large"),
        ("bsuite/memory_size_999999999", "num_bits=999999999 should be at most 16,000,000"),
        ("bsuite/umbrella_distract_999999999", "n_distractor=999999999 should be at most 16,000,000"),
        ("bsuite/discounting_chain_delay_7", "a delay of 7 should be 1, 3, 10, 30 or above 30"),
        ("bsuite/memory_len_007", "should be bsuite/memory_len_7"),
        ("bsuite/memory_len_1234567890123", "the number should be at most 999,999,999"),
        ("bsuite/memory_len/23", "its numbers are 0 to 22"),
        (
            "bsuite/catch",
            "stands for 20 settings, which only training takes together: give one, such as bsuite/catch/0",
        ),
        ("bsuite/catch_7", "did you mean bsuite/catch/7"),
    ],
)
def test_a_number_that_no_setting_has_is_refused_in_one_line(env_id, wrong):
    with pytest.raises(ValueError, match="environment") as error:
        envs.make(env_id)
    assert wrong in str(error.value) and "\n" not in str(error.value)


def test_a_chain_of_other_delays_pays_when_they_are_over():
    env, params = envs.make("bsuite/discounting_chain_delay_150")
    for arm, (delay, pay) in enumerate([(1, 1.0), (3, 1.0), (10, 1.0), (30, 1.0), (150, 1.1)]):
        _, state = env.reset_env(jax.random.key(0), params)

        def step(state, _, arm=arm):
            obs, state, reward, terminated, _ = env.step_env(jax.random.key(1), state, arm, params)
            return state, (obs, reward, terminated)

        _, (obs, rewards, terminated) = jax.lax.scan(step, state, None, 150)
        expected = np.zeros(150, np.float32)
        expected[delay - 1] = pay
        np.testing.assert_array_equal(rewards, expected)
        np.testing.assert_array_equal(terminated, np.arange(150) == 149)
        np.testing.assert_array_equal(obs[:, 1], np.float32(np.arange(1, 151) / 150))


def test_an_id_says_what_its_setting_is():
    for alias, env_id in ALIASES.items():
        experiment, _, number = alias.rpartition("_")
        found = bsuite.setting(env_id)
        assert found == bsuite.setting(alias) and found[0] == experiment.removesuffix("_delay")
        assert found[2] == int(number)
    assert bsuite.setting("bsuite/discounting_chain/13") == bsuite.setting("bsuite/discounting_chain_delay_30")
    assert bsuite.setting("bsuite/deep_sea_60") == ("bsuite/deep_sea", "side of the sea", 60)
    assert bsuite.setting("bsuite/catch_noise/7") == ("bsuite/catch_noise", "noise of the reward", 0.3)
    assert bsuite.setting("bsuite/bandit_scale/19") == ("bsuite/bandit_scale", "factor of the reward", 1000)
    assert bsuite.setting("bsuite/cartpole_swingup/10") == ("bsuite/cartpole_swingup", "height that is paid", 0.5)
    for other in ("bsuite/catch/3", "bsuite/memory_len/99", "bsuite/mnist/1", "popgym/RepeatFirstEasy", "mine", ""):
        assert bsuite.setting(other) is None
    env = envs.make("bsuite/discounting_chain/13")[0]
    assert env.delays[env.bonus_arm] == 30
