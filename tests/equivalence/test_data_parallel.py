"""One agent over several devices learns what it does on one, up to the rounding of sums. Some minutes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from jax.sharding import PartitionSpec as P

import envs
from r2i_jit import Trainer, compiling, model_loss, shares, spreading
from r2i_jit.checkpoint import Checkpoints
from r2i_jit.config import Config, Hypers
from r2i_jit.model_loss import Batch
from tests.agents import small_config
from tests.host import little_games
from tests.trees import assert_same, leaves

DEVICES = jax.devices("cpu")[:4]  # tests/conftest.py makes so many, beside whatever accelerators there are
KEYS = jax.random.split(jax.random.key(0), 2)
LITTLE = {
    "replay__sequence_length": 8, "replay__batch_size": 4, "replay__capacity": 128, "replay__train_ratio": 2.0,
    "model__ssm_layers": 1, "loop__evaluation_episodes": 3,
}  # fmt: skip
KINDS = {
    "discrete": {"env": "little/Guess"},
    # Whatever else is drawn or is a number of a whole batch: windows around rewards, decoded steps, first starts,
    # repeated actions, each choice apart, the posterior step by step, variances and the share of steps that are paid.
    "all": {
        "env": "little/Pair", "replay__rewarded": 0.5, "replay__prefill_repeat": 0.5, "model__decoded_steps": 4,
        "behavior__first_starts": 0.25, "model__posterior": "recurrent", "model__number_loss": "unexplained",
        "hypers__sparse_reward_scale": 2.0,
    },
    "continuous": {"env": "little/Near"},
    "ppo": {"env": "little/Guess", "algorithm": "ppo", "ppo__steps": 8, "ppo__minibatches": 2, "ppo__epochs": 2},
}  # fmt: skip
pytestmark = pytest.mark.slow


class Near(little_games.Guess):
    """A secret number to come near to."""

    def __init__(self):
        super().__init__(spaces.Box(-2.0, 2.0, (1,), jnp.float32))

    def step_env(self, key, state, action, params):
        after = super().step_env(key, state, state.secret, params)
        return *after[:2], -jnp.abs(action - state.secret.astype(jnp.float32)).sum(), *after[3:]


@pytest.fixture(scope="module", autouse=True)
def games():
    with pytest.MonkeyPatch.context() as patch:
        little_games.register(patch)
        envs.register("little/Near", Near)
        yield


def config(kind: str) -> Config:
    return small_config(**{**LITTLE, **KINDS[kind]})


@functools.cache
def trained(kind: str, devices: int, seeds: int = 1):
    """Return a trainer, the state after two chunks, what was told on the way, and an evaluation."""
    trainer = Trainer(
        config(kind), devices=DEVICES[: devices * seeds], devices_per_seed=devices, quick_compile=True, tallied=True
    )
    assert trainer.devices_for(seeds) == devices * seeds
    state, ended = trainer.begin(KEYS[:seeds])
    told = [ended]
    for _ in range(2):
        state, metrics = trainer.train_chunk(state)
        told.append(metrics)
    return trainer, state, told, trainer.evaluate(state, jax.random.key(9))


def assert_equal_up_to_rounding(one, other):
    """Compare trees: numbers of floating point up to the rounding of sums, everything else exactly."""
    for a, b in zip(leaves(one), leaves(other), strict=True):
        if np.issubdtype(a.dtype, np.floating):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("kind", "devices"), [("discrete", 2), ("discrete", 4), ("all", 2), ("continuous", 2), ("ppo", 2)]
)
def test_several_devices_learn_what_one_does(kind, devices):
    """Actions, what replay holds and where the environments are, are the same numbers; losses and parameters close."""
    _, state, told, played = trained(kind, devices)
    _, alone, told_alone, played_alone = trained(kind, 1)
    assert int(state.seeds.agent.updates[0]) > 1
    assert any(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(told[0].is_last)) or kind == "ppo"
    assert_equal_up_to_rounding(state, alone)
    assert_equal_up_to_rounding(told, told_alone)
    assert played["episode_return"].shape == (1, 3)
    assert_equal_up_to_rounding(played, played_alone)


def test_seeds_and_shares_of_them_go_together():
    _, state, _, _ = trained("discrete", 2, seeds=2)
    _, alone, _, _ = trained("discrete", 1)
    assert_equal_up_to_rounding(jax.tree.map(lambda leaf: leaf[:1], state.seeds), alone.seeds)


def test_an_agent_is_the_same_on_its_devices_and_its_environments_are_in_shares():
    _, state, _, _ = trained("discrete", 2)
    for leaf in jax.tree.leaves(state.seeds.agent):
        assert leaf.sharding.is_fully_replicated and len(leaf.sharding.device_set) == 2
        copies = [np.asarray(shard.data) for shard in leaf.addressable_shards]
        np.testing.assert_array_equal(*copies)
    for axis, part in ((1, state.seeds.player), (2, state.seeds.replay)):
        for leaf in jax.tree.leaves(part):
            assert leaf.sharding.shard_shape(leaf.shape)[axis] == leaf.shape[axis] / 2


def test_the_gradient_is_the_whole_batchs():
    """Of the world model's loss, with everything in it that is a number of the whole batch."""
    made = config("all")
    trainer = Trainer(made, quick_compile=True)
    agent, hypers = trainer.agent, Hypers(sparse_reward_scale=2.0)
    keys = jax.random.split(jax.random.key(1), 5)
    shape = made.replay.batch_size, made.replay.sequence_length
    batch = Batch(
        obs=jax.random.uniform(keys[0], (*shape, 5)),
        prev_action=jax.nn.one_hot(jax.random.randint(keys[1], shape, 0, 6), 6),
        reward=(jax.random.uniform(keys[2], shape) > 0.8).astype(jnp.float32),
        is_first=jnp.zeros(shape, bool).at[:, 0].set(True).at[1, 3].set(True),
        is_terminal=jnp.zeros(shape, bool).at[2, 5].set(True),
    )
    params = agent.init(keys[3], hypers).model

    def gradient(params, batch):
        grads = jax.grad(lambda params: model_loss.loss(agent.model, params, batch, hypers, keys[4])[0])(params)
        return shares.mean(grads)

    mesh = spreading.make_mesh(DEVICES[:2], 1, "seed", 2)
    shared = spreading.spread(gradient, mesh, (P(), P(shares.AXIS)), P())
    whole, mean = (jax.jit(f, compiler_options=compiling.quick())(params, batch) for f in (gradient, shared))
    assert any(np.abs(leaf).max() > 1e-2 for leaf in leaves(whole))
    for a, b in zip(leaves(whole), leaves(mean), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_of_two_devices_goes_on_on_one_and_the_other_way_round(tmp_path):
    for saving, reading in ((2, 1), (1, 2)):
        _, state, _, _ = trained("discrete", saving)
        reader, expected, _, _ = trained("discrete", reading)
        with Checkpoints(tmp_path / str(saving)) as checkpoints:
            checkpoints.save(1, state, {})
            checkpoints.wait()
            restored = checkpoints.restore(reader.state_shapes(1)).state
        assert_same(restored, state)
        for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(expected), strict=True):
            assert a.sharding.is_equivalent_to(b.sharding, a.ndim)
        again, _ = reader.train_chunk(restored)
        assert int(again.seeds.agent.updates[0]) > int(state.seeds.agent.updates[0])
