"""Seeds spread over devices: each device's share is what it would be alone. About a minute and a half."""

import jax
import jax.numpy as jnp
import pytest

from r2i_jit import Trainer
from r2i_jit.checkpoint import Checkpoints
from tests.agents import small_config
from tests.trees import assert_close, assert_same

DEVICES = jax.devices("cpu")[:2]  # tests/conftest.py makes four, beside whatever accelerators there are
KEYS = jax.random.split(jax.random.key(0), 2)
pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def spread():
    """Return a trainer on two devices, and copies of what it made: the start, the state after a chunk, metrics."""
    trainer = Trainer(small_config(), devices=DEVICES, quick_compile=True)
    assert trainer.compile(2, init=True, evaluation=True) > 0
    begun = trainer.init(KEYS)
    start = jax.tree.map(jnp.copy, begun)
    state, metrics = trainer.train_chunk(begun)
    return trainer, start, state, metrics


def test_each_device_does_what_a_single_run_does(spread):
    trainer, _, state, metrics = spread
    alone = Trainer(small_config(), devices=DEVICES[:1], quick_compile=True)
    played = trainer.evaluate(state, jax.random.key(9))
    for seed in range(2):
        one, measured = alone.train_chunk(alone.init(KEYS[seed : seed + 1]))
        share = jax.tree.map(lambda x, seed=seed: x[seed : seed + 1], (state.seeds, metrics))
        assert_same((one.seeds.replay, one.seeds.key), (share[0].replay, share[0].key))
        assert_close((one.seeds.agent, measured), (share[0].agent, share[1]))  # another program, other rounding
        if seed == 0:  # the first seed's key does not depend on how many there are
            expected = alone.evaluate(one, jax.random.key(9))
            assert_same(expected["episode_length"], played["episode_length"][:1])
            assert_close(expected["episode_return"], played["episode_return"][:1])


def test_every_seed_lies_on_its_device_and_nothing_is_compiled_twice(spread):
    trainer, _, state, metrics = spread
    for leaf in jax.tree.leaves((state.seeds, metrics)):
        assert len(leaf.sharding.device_set) == 2 and not leaf.sharding.is_fully_replicated
    assert int(state.env_steps) == trainer.prefill_steps + trainer.steps_per_chunk
    counts = dict(trainer.trace_counts)
    state, _ = trainer.train_chunk(jax.tree.map(jnp.copy, state))
    trainer.evaluate(state, jax.random.key(1))
    trainer.evaluate(state, jax.random.key(2))
    assert trainer.trace_counts == counts and set(counts.values()) == {1}


def test_a_restored_state_goes_on_as_if_nothing_had_happened(spread, tmp_path):
    trainer, start, state, _ = spread
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, start, {})
        checkpoints.wait()
        restored = checkpoints.restore(trainer.state_shapes(2)).state
    assert_same(restored, start)
    alike = jax.tree.map(lambda a, b: a.sharding.is_equivalent_to(b.sharding, a.ndim), restored, start)
    assert all(jax.tree.leaves(alike))
    again, _ = trainer.train_chunk(restored)
    assert_same(again, state)


@pytest.mark.parametrize(("seeds", "devices"), [(1, 1), (2, 2), (3, 1), (4, 2), (64, 2)])
def test_shares_are_equal(spread, seeds, devices):
    assert spread[0].devices_for(seeds) == devices


def test_without_devices_all_seeds_are_on_the_first():
    assert Trainer(small_config()).devices_for(64) == 1


def test_a_device_that_is_not_the_first_is_used():
    key = Trainer(small_config(), devices=DEVICES[1:]).state_shapes(2).seeds.key
    assert key.sharding.device_set == {DEVICES[1]}
