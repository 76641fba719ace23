"""Rows over several devices: what is drawn, looked up, taken and averaged is what one device has."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from r2i_jit import ConfigError, Trainer, replay, shares, spreading
from r2i_jit.behavior import ReturnNorm
from r2i_jit.replay import Transitions
from tests.agents import small_config
from tests.trees import assert_same

DEVICES = jax.devices("cpu")[:2]  # tests/conftest.py makes so many
KEY = jax.random.key(3)
WHOLE, ROWS = P(), P(shares.AXIS)


def spread(function, *, given=WHOLE, returned=ROWS):
    """Return a function that two devices run on their shares."""
    mesh = Mesh(np.array(DEVICES), (shares.AXIS,))
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=given, out_specs=returned, check_vma=False))


def test_outside_of_a_mesh_there_is_one_device_and_no_trace_in_the_program():
    assert shares.count() == 1

    def plain(key, x, rows):
        return jax.random.uniform(key, (4, 2)), jax.random.split(key, (4,)), x[rows], x[rows], x, x, x

    def shared(key, x, rows):
        look = lambda rows: x[rows]
        drawn = shares.drawn(partial(jax.random.uniform, key), (4, 2)), shares.keys(key, 4)
        reduced = shares.gathered(x, 0), shares.mean(x), shares.total(x)
        return *drawn, shares.looked_up(look, rows, 4), shares.taken(look, rows, 4), *reduced

    arguments = KEY, jnp.ones(4), jnp.arange(2)
    assert str(jax.make_jaxpr(shared)(*arguments)) == str(jax.make_jaxpr(plain)(*arguments))


def test_each_device_has_its_rows_of_what_one_device_draws():
    drawn = spread(lambda key: shares.drawn(lambda shape: jax.random.normal(key, shape), (3, 2)))(KEY)
    assert_same(drawn, jax.random.normal(KEY, (6, 2)))
    assert_same(spread(lambda key: shares.keys(key, 3))(KEY), jax.random.split(KEY, 6))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.uint8, jnp.int32, jnp.bool_, jnp.bfloat16])
def test_rows_are_found_wherever_they_lie(dtype):
    x = (jnp.arange(18).reshape(6, 3) % 5).astype(dtype)
    rows = jnp.array([5, 0, 3, 3], jnp.int32)  # of the first device 0, of the second the others
    both = ROWS, WHOLE
    taken = spread(lambda x, rows: shares.taken(lambda own: x[own], rows, 3), given=both)(x, rows)
    found = spread(lambda x, rows: shares.looked_up(lambda own: x[own], rows, 3), given=both, returned=WHOLE)(x, rows)
    assert taken.dtype == found.dtype == dtype
    assert_same((taken, found), (x[rows], x[rows]))


def test_means_totals_and_percentiles_are_those_of_all_rows():
    x = jax.random.normal(KEY, (4, 6), jnp.float32)
    columns = P(None, shares.AXIS)
    mean, total = spread(lambda x: (shares.mean(x.mean()), shares.total(x.sum())), given=columns, returned=WHOLE)(x)
    np.testing.assert_allclose([mean, total], [x.mean(), x.sum()], rtol=1e-5)
    norm = ReturnNorm(jnp.float32(0), jnp.float32(0))
    shared = spread(lambda x: norm.update(x, 0.9), given=columns, returned=WHOLE)(x)
    np.testing.assert_allclose(shared, norm.update(x, 0.9), rtol=1e-6)


@pytest.mark.heavy
@pytest.mark.parametrize("start", ["episode", "paper"])
@pytest.mark.parametrize("rewarded", [0.0, 0.7])
def test_the_same_windows_are_sampled(start, rewarded):
    capacity, envs, length, written = 32, 4, 6, jnp.int32(40)
    keys = jax.random.split(KEY, 3)
    age = jnp.broadcast_to(jnp.arange(capacity)[:, None] % 9, (capacity, envs)).astype(jnp.int32)
    storage = Transitions(
        obs=jax.random.randint(keys[0], (capacity, envs, 3), 0, 255).astype(jnp.uint8),
        action=jax.random.randint(keys[1], (capacity, envs), 0, 4),
        reward=(jax.random.uniform(keys[2], (capacity, envs)) > 0.95).astype(jnp.float32),
        is_first=age == 0,
        is_terminal=age == 8,
        age=age,
    )
    sample = lambda storage, key: replay.sample(storage, written, key, 8, length, start, rewarded)
    shared = spread(sample, given=(P(None, shares.AXIS), WHOLE))
    for key in jax.random.split(KEY, 5):
        assert_same(shared(storage, key), sample(storage, key))


def test_what_cannot_be_shared_equally_is_refused_with_the_key():
    for changes, named in (
        ({"loop__num_envs": 3}, "loop.num_envs=3"),
        ({"replay__batch_size": 3}, "replay.batch_size=3"),
        ({"behavior__imagination_starts": 5}, "behavior.imagination_starts=5"),
        ({"algorithm": "ppo", "loop__num_envs": 4, "ppo__minibatches": 4}, "loop.num_envs / ppo.minibatches=1"),
    ):
        with pytest.raises(ConfigError, match=f"^{named} cannot be shared by 2 devices a seed; give a multiple"):
            Trainer(small_config(**changes), devices=DEVICES, devices_per_seed=2)
    for number in (0, 3):
        with pytest.raises(ConfigError, match=f"devices_per_seed={number}: expected from 1 to 2"):
            Trainer(small_config(), devices=DEVICES, devices_per_seed=number)


@pytest.mark.parametrize(("seeds", "each", "used"), [(1, 2, 2), (2, 2, 4), (3, 2, 2), (3, 1, 3), (2, 3, 3), (5, 4, 4)])
def test_seeds_get_as_many_groups_of_devices_as_divide_them(seeds, each, used):
    assert len(spreading.fitting([None] * 4, seeds, each)) == used
