"""The compiled loop: pieces = whole, one seed = one row of many, one compilation per program. About 90 seconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2i_jit import ConfigError, Trainer
from tests.agents import small_config
from tests.trees import assert_same, leaves


@pytest.fixture(scope="module")
def trainer():
    return Trainer(small_config(), quick_compile=True)


def keys(num, seed=0):
    return jax.random.split(jax.random.key(seed), num)


@pytest.mark.heavy
def test_two_chunks_equal_one_of_twice_the_length_bit_for_bit(trainer):
    config = small_config(loop__chunk_updates=2 * trainer.updates_per_chunk)
    whole = Trainer(config, quick_compile=True)
    assert whole.updates_per_chunk == 2 * trainer.updates_per_chunk
    expected, _ = whole.train_chunk(whole.init(keys(2)))
    state, _ = trainer.train_chunk(trainer.init(keys(2)))
    state, _ = trainer.train_chunk(state)
    assert_same(state, expected)


def test_same_seed_same_bits_and_one_compilation_each(trainer):
    """Calls with the same number of seeds never trace again."""
    runs = []
    before = dict(trainer.trace_counts)
    for _ in range(2):
        state = trainer.init(keys(2))
        for _ in range(2):
            state, metrics = trainer.train_chunk(state)
        returns = [trainer.evaluate(state, jax.random.key(9), greedy=way) for way in (True, False)]
        returns.append(trainer.evaluate(state, jax.random.key(9), greedy=True, forget=1))
        runs.append((state, metrics, returns))
    assert_same(runs[0], runs[1])
    assert trainer.trace_counts == {"init": 1, "prefill": 1, "train_chunk": 1, "evaluate": 1}
    assert before["train_chunk"] <= 1
    greedy, sampled, forgetful = (np.asarray(played["episode_return"]) for played in runs[0][2])
    assert (greedy != sampled).any() and (greedy != forgetful).any()
    assert_same(trainer.evaluate(runs[0][0], jax.random.key(9)), runs[0][2][not trainer.config.loop.evaluation_greedy])


@pytest.mark.heavy
def test_each_seed_equals_its_single_run(trainer):
    """To the bit, on a processor: what is beside a seed changes nothing of it."""
    single = Trainer(small_config(), quick_compile=True)
    many, metrics = trainer.train_chunk(trainer.init(keys(2)))
    played = trainer.evaluate(many, jax.random.key(9))
    for seed in range(2):
        row = lambda tree, seed=seed: jax.tree.map(lambda leaf: leaf[seed : seed + 1], tree)
        one, own = single.train_chunk(single.init(row(keys(2))))
        assert_same(one.seeds, row(many.seeds))
        assert_same(own, row(metrics))
        assert_same(single.evaluate(one, jax.random.key(9), rows=[seed]), row(played))


def test_seeds_differ(trainer):
    state = trainer.init(keys(2))
    kernels = [x for x in leaves(state.seeds.agent.model) if x.ndim > 2 and x.any()]  # the reward head starts at zero
    assert len(kernels) > 5 and all(not np.array_equal(x[0], x[1]) for x in kernels)
    assert not np.array_equal(state.seeds.replay.obs[0], state.seeds.replay.obs[1])


def test_hypers_are_traced_per_seed(trainer):
    """A learning rate of zero freezes that seed's world model and no other's, without compiling again."""
    hypers = jax.tree.map(lambda x: jnp.full(2, x, jnp.float32), trainer.config.hypers)
    hypers = hypers.replace(model_lr=jnp.array([0.0, 1e-3]), ssm_lr=jnp.array([0.0, 1e-3]))
    state = trainer.init(keys(2), hypers)
    before = [x.copy() for x in leaves(state.seeds.agent.model)]
    state, _ = trainer.train_chunk(state)
    after = leaves(state.seeds.agent.model)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(before, after, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(before, after, strict=True))
    assert trainer.trace_counts["train_chunk"] == 1


def test_the_world_model_may_begin_before_the_critic_and_that_before_the_actor(trainer):
    hypers = trainer.config.hypers.replace(head_start=2.0, critic_head_start=2.0)
    state = trainer.init(keys(2), jax.tree.map(lambda x: jnp.full(2, x, jnp.float32), hypers))
    assert trainer.updates_per_chunk == 2
    model, critic = {"model", "model_opt", "updates"}, {"critic", "slow_critic", "critic_opt", "return_norm"}
    for learned in (model, model | critic, model | critic | {"actor", "actor_opt"}):
        before = jax.tree.map(np.asarray, state.seeds.agent)  # the chunk takes the buffers
        state, _ = trainer.train_chunk(state)
        after = state.seeds.agent
        assert {name for name in after._fields if not same(getattr(before, name), getattr(after, name))} == learned


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))


def test_a_seed_that_diverges_stays_as_it_was_and_changes_no_bit_of_another(trainer):
    def run(rate):
        hypers = jax.tree.map(lambda x: jnp.full(2, x, jnp.float32), trainer.config.hypers)
        state = trainer.init(keys(2), hypers.replace(model_lr=hypers.model_lr.at[1].set(rate)))
        agent = jax.tree.map(lambda x: np.asarray(x[1]), state.seeds.agent)
        flags = []
        for _ in range(3):
            state, metrics = trainer.train_chunk(state)
            flags.append(metrics["diverged"].tolist())
        return agent, state, metrics, flags

    _, healthy, expected, flags = run(1e-3)
    assert flags == [[False, False]] * 3
    agent, state, metrics, flags = run(1e30)
    assert flags == [[False, True]] * 3
    assert_same(jax.tree.map(lambda x: x[1], state.seeds.agent), agent)
    others = lambda tree: jax.tree.map(lambda x: x[:1], tree)
    assert_same(others(state.seeds.replace(hypers=None)), others(healthy.seeds.replace(hypers=None)))
    assert_same(others(metrics), others(expected))


def test_once_diverged_is_for_good(trainer):
    """Whatever the next chunk would make of it."""
    state = trainer.init(keys(2))
    state = state.replace(seeds=state.seeds.replace(diverged=jnp.array([True, False])))
    before = jax.tree.map(lambda x: np.asarray(x[0]), state.seeds.agent)
    state, metrics = trainer.train_chunk(state)
    assert metrics["diverged"].tolist() == [True, False] and int(state.seeds.agent.updates[0]) == 0
    assert_same(jax.tree.map(lambda x: x[0], state.seeds.agent), before)


def test_a_chunk_in_which_no_episode_ends_makes_no_nan(trainer):
    state, metrics = trainer.train_chunk(trainer.init(keys(2)))
    assert all(np.isfinite(leaf).all() for leaf in leaves((state.seeds.agent, metrics)))
    assert metrics["episodes"].tolist() == [0.0, 0.0] and metrics["episode_return"].tolist() == [0.0, 0.0]


def test_counters_and_metrics(trainer):
    state = trainer.init(keys(2))
    assert int(state.env_steps) == trainer.prefill_steps
    state, metrics = trainer.train_chunk(state)
    assert int(state.env_steps) == trainer.prefill_steps + trainer.steps_per_chunk
    assert (metrics["updates"] == trainer.updates_per_chunk).all()
    ratio = trainer.updates_per_chunk * 2 * 20 / trainer.steps_per_chunk
    assert ratio == trainer.config.replay.train_ratio
    finite = {name: np.isfinite(value).all() for name, value in metrics.items()}
    assert all(finite.values()), finite
    assert all(value.shape == (2,) for value in metrics.values())


def test_stored_episodes_obey_the_contract(trainer):
    """Every episode in replay begins with is_first, has reward 0 there, and its terminal observation is a step."""
    state = trainer.init(keys(2))
    for _ in range(30):  # into the second episode, and far enough for the ring to wrap
        state, _ = trainer.train_chunk(state)
    storage = jax.tree.map(lambda x: np.asarray(x[0]), state.seeds.replay)
    written = int(state.written)
    order = np.arange(max(0, written - trainer.capacity), written) % trainer.capacity
    first, terminal, age = storage.is_first[order], storage.is_terminal[order], storage.age[order]
    reward = storage.reward[order]
    np.testing.assert_array_equal(first, age == 0)
    assert (reward[first] == 0).all() and terminal.any()
    np.testing.assert_array_equal(terminal, age == 51)  # RepeatPreviousEasy: 51 steps
    assert first[1:][terminal[:-1]].all()
    assert (storage.obs[order].sum(-1) == 1).all()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"replay__capacity": 30}, "replay.capacity=30"),
        ({"replay__capacity": 1, "replay__train_ratio": 1.0}, "replay.capacity=1: "),  # a turn alone is a sequence here
        ({"replay__train_ratio": 0}, "replay.train_ratio"),
        ({"model__ssm_blocks": 3}, "model.ssm_blocks=3 must divide"),
        ({"loop__num_envs": 0}, "loop.num_envs=0"),
        ({"replay__rewarded": 1.5}, "replay.rewarded=1.5: expected a share"),
        ({"replay__prefill_repeat": -0.1}, "replay.prefill_repeat=-0.1"),
        ({"behavior__actor_gradient": "backprop"}, "continuous"),
    ],
)
def test_impossible_configurations_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        Trainer(small_config(**override))


def test_unknown_environment_names_the_nearest():
    with pytest.raises(ConfigError, match="RepeatPreviousEasy"):
        Trainer(small_config(env="popgym/RepeatPreviousEazy"))
