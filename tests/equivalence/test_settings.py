"""Several settings of one environment in one program: each member is its own run, and every episode is told. 60 s."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import registry, settings
from envs.bsuite import EXPERIMENTS
from r2i_jit import ConfigError, Trainer
from r2i_jit.compiling import quick
from tests.agents import small_config
from tests.trees import assert_close, leaves

CHOSEN = (2, 5)  # numbers of memory_len: lengths of 3 and 6
EPISODE = {2: 4, 5: 7}  # steps
SHORT = {"hypers__reward_scale": 1.0, "replay__train_ratio": 2.0}


def keys(num):
    return jax.random.split(jax.random.key(0), num)


@pytest.fixture(scope="module")
def trainer():
    return Trainer(small_config("bsuite/memory_len/2,5", **SHORT), quick_compile=True, tallied=True)


@pytest.fixture(scope="module")
def begun(trainer):
    return trainer.begin(keys(4))


@pytest.mark.heavy
@pytest.mark.parametrize("index", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_member_equals_the_run_of_its_setting_alone(trainer, index):
    """Up to float reassociation; compared before differences can flip an action."""
    alone = Trainer(small_config(f"bsuite/memory_len/{CHOSEN[index]}", **SHORT), quick_compile=True)
    rows = slice(2 * index, 2 * index + 2)
    many, metrics = trainer.train_chunk(trainer.init(keys(4)))
    one, expected = alone.train_chunk(alone.init(keys(4)[rows]))
    for name in ("obs", "action", "reward", "is_first", "is_terminal"):
        found = getattr(many.seeds.replay, name)[rows]
        np.testing.assert_array_equal(found, getattr(one.seeds.replay, name), err_msg=name)
    assert_close(jax.tree.map(lambda x: x[rows], many.seeds.agent), one.seeds.agent)
    lengths = [EPISODE[CHOSEN[index]]] * 2
    assert metrics["episode_length"][rows].tolist() == expected["episode_length"].tolist() == lengths
    assert metrics.keys() - expected.keys() == {"ended"}  # an agent that is told of plays and learns the same
    assert trainer.trace_counts["train_chunk"] == 1


@pytest.mark.heavy
def test_evaluation_plays_every_member_in_its_own_setting(trainer, begun):
    played = trainer.evaluate(begun[0], jax.random.key(1), 5)
    assert played["episode_length"].tolist() == [[EPISODE[number]] * 5 for number in CHOSEN for _ in range(2)]
    assert not played["episode_cut"].any()


def test_seeds_that_the_settings_do_not_divide_are_refused(trainer):
    with pytest.raises(ConfigError, match="3 rows cannot be shared by 2 settings"):
        trainer.init(keys(3))


def test_one_environment_has_no_setting_in_its_state():
    """So a checkpoint of before fits."""
    shapes = Trainer(small_config()).state_shapes(2)
    assert not leaves(shapes.seeds.setting)


@pytest.mark.heavy
def test_rewards_are_scaled_for_each_setting():
    """Noise ten times as large as a reward is scaled down, in the setting that has it."""
    noisy = Trainer(small_config("bsuite/bandit_noise/0,16", hypers__reward_scale=0.5), quick_compile=True)
    scales = noisy.init(keys(4)).seeds.hypers.reward_scale
    np.testing.assert_allclose(scales, [0.5, 0.5, 0.05, 0.05], rtol=1e-6)


@pytest.mark.heavy
def test_every_episode_is_told_where_it_ended(trainer, begun):
    """What is told agrees with what was stored: lengths, returns, and the chunk's own sums."""
    state, told = begun
    prefilled = {number: np.asarray(told.is_last[2 * i]).sum() for i, number in enumerate(CHOSEN)}
    steps = trainer.prefill_steps // 4
    assert prefilled == {number: 4 * (steps // (EPISODE[number] + 1)) for number in CHOSEN}
    state, metrics = trainer.train_chunk(jax.tree.map(jnp.copy, state))
    metrics = jax.device_get(metrics)
    ended = metrics["ended"]
    assert ended.is_last.shape == (4, trainer.steps_per_chunk // 4, 4)
    for row in range(4):
        where = ended.is_last[row]
        assert where.sum() == metrics["episodes"][row] > 0
        assert (ended.episode_length[row][where] == EPISODE[CHOSEN[row // 2]]).all()
        returns = ended.episode_return[row][where]
        assert set(returns) <= {-1.0, 1.0}
        np.testing.assert_allclose(returns.mean(), metrics["episode_return"][row], atol=1e-6)
        written = slice(steps, steps + where.shape[0])
        np.testing.assert_array_equal(where, np.asarray(state.seeds.replay.is_terminal[row])[written])


# What is said to be one program --------------------------------------------------------------------------------------


def programs(env, params):
    """Return what an environment computes, given its parameters: its programs as text, and their constants."""
    numbers = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf).name.replace("64", "32")), params)
    key = jax.random.key(0)

    def step(key, params, state, action):
        return env.step_env(key, state, action, params), env.is_truncated(state, params)

    state = jax.eval_shape(env.reset_env, key, numbers)[1]
    action = jax.ShapeDtypeStruct((), jnp.int32)
    made = jax.make_jaxpr(env.reset_env)(key, numbers), jax.make_jaxpr(step)(key, numbers, state, action)
    return [str(jaxpr.jaxpr) for jaxpr in made], [np.asarray(const) for jaxpr in made for const in jaxpr.consts]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_settings_that_are_said_to_differ_in_parameters_only_are_one_program(experiment):
    name = f"bsuite/{experiment}"
    try:
        ids = registry.settings(name)
    except ValueError as error:
        assert "a program each" in str(error)
        first, last = (envs.make(f"{name}/{number}") for number in (0, 1))
        assert programs(*first)[0] != programs(*last)[0] or not all(
            map(np.array_equal, programs(*first)[1], programs(*last)[1])
        )
        return
    texts, constants = programs(*envs.make(ids[0]))
    for env_id in ids[1:]:
        other_texts, other_constants = programs(*envs.make(env_id))
        assert other_texts == texts, env_id
        assert all(map(np.array_equal, constants, other_constants)) and len(constants) == len(other_constants)


def test_a_row_of_parameters_plays_as_its_own_environment():
    made = settings.make("bsuite/cartpole_swingup/0,7,19")
    rows = made.stacked(6)
    sample = jax.jit(jax.vmap(made.env.reset_env), compiler_options=quick())(keys(6), rows)[1]
    actions = jnp.arange(6, dtype=jnp.int32) % 3
    stepped = jax.jit(jax.vmap(made.env.step_env), compiler_options=quick())(keys(6), sample, actions, rows)
    for row in range(6):
        env, params = envs.make(made.ids[row // 2])
        one = env.step_env(keys(6)[row], jax.tree.map(lambda x, row=row: x[row], sample), actions[row], params)
        np.testing.assert_allclose(stepped[0][row], one[0], atol=1e-6)
        np.testing.assert_allclose(stepped[2][row], one[2], atol=1e-6)
