"""The ring buffer against a NumPy model of every stream. About 5 seconds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i_jit import replay
from r2i_jit.replay import Transitions

CAPACITY, ENVS, BLOCK, LENGTH, BATCH = 24, 3, 4, 5, 64


def stream(num_blocks, episode_lengths, seed):
    """Return every step ever played, (time, E), with obs = a unique id of (time, environment)."""
    steps = num_blocks * BLOCK
    rng = np.random.default_rng(seed)
    age = np.zeros((steps, ENVS), np.int32)
    for env in range(ENVS):
        length, at = int(rng.choice(episode_lengths)), 0
        for t in range(steps):
            age[t, env] = at
            at += 1
            if at == length:
                length, at = int(rng.choice(episode_lengths)), 0
    ids = np.arange(steps)[:, None] * ENVS + np.arange(ENVS)
    is_terminal = np.concatenate([age[1:] == 0, np.zeros((1, ENVS), bool)])
    ids = ids.astype(np.int32)
    return Transitions(ids, ids % 7, (ids % 11).astype(np.float32), age == 0, is_terminal, age)


@jax.jit
def write(storage, block, written):
    return replay.add(storage, block, written)


@partial(jax.jit, static_argnums=3)
def draw(storage, written, key, start):
    return replay.sample(storage, written, key, BATCH, LENGTH, start)


def filled(num_blocks, episode_lengths, seed=0):
    history = stream(num_blocks, episode_lengths, seed)
    example = jax.tree.map(lambda x: jax.ShapeDtypeStruct((), x.dtype), history)
    storage = replay.init(example, CAPACITY, ENVS)
    for at in range(0, num_blocks * BLOCK, BLOCK):
        block = jax.tree.map(lambda x, at=at: x[at : at + BLOCK], history)
        storage = write(storage, block, jnp.int32(at))
    return history, storage, num_blocks * BLOCK


@pytest.mark.parametrize("start", ["paper", "episode"])
@settings(max_examples=40, deadline=None)
@given(
    num_blocks=st.integers(2, 20), lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3), seed=st.integers(0, 99)
)
def test_windows_are_consecutive_stored_steps_of_one_stream(start, num_blocks, lengths, seed):
    history, storage, written = filled(num_blocks, lengths, seed)
    windows = jax.tree.map(np.asarray, draw(storage, jnp.int32(written), jax.random.key(seed), start))
    time, env = windows.obs // ENVS, windows.obs % ENVS
    assert (time == time[:, :1] + np.arange(LENGTH)).all() and (env == env[:, :1]).all()
    assert time.min() >= max(0, written - CAPACITY) and time.max() < written
    for got, played in zip(windows, history, strict=True):
        expected = played[time, env].copy()
        if got is windows.is_first:
            expected[:, 0] = True
        np.testing.assert_array_equal(got, expected)
    if start == "episode":
        age = history.age[time[:, 0], env[:, 0]]
        oldest = max(0, written - CAPACITY)
        cut = age > 0  # allowed only when the episode's start is gone, or too far back
        assert (time[cut, 0] - age[cut] < oldest).all() | (age[cut] >= LENGTH).any()
        assert ((time[cut, 0] - age[cut] < oldest) | (age[cut] >= LENGTH)).all()


def test_uniform_cuts_cover_every_valid_window_evenly():
    _, storage, written = filled(9, [4])  # the ring has wrapped
    keys = jax.random.split(jax.random.key(1), 400)
    begins = np.asarray(jax.vmap(lambda key: draw(storage, jnp.int32(written), key, "paper").obs[:, 0])(keys)).ravel()
    ids, counts = np.unique(begins, return_counts=True)
    windows = (CAPACITY - LENGTH + 1) * ENVS
    assert len(ids) == windows
    expected = begins.size / windows
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < windows + 5 * np.sqrt(2 * windows)


def test_aligned_windows_choose_episodes_in_proportion_to_their_length():
    """Environment 0 plays episodes of 2 and 4 steps in turn: the longer ones are drawn twice as often."""
    history, _, written = filled(6, [1])
    age = np.tile([0, 1, 0, 1, 2, 3], 4).astype(np.int32)[:, None].repeat(ENVS, 1)
    storage = jax.tree.map(jnp.asarray, history._replace(age=age))
    keys = jax.random.split(jax.random.key(2), 300)
    obs = jax.vmap(lambda key: draw(storage, jnp.int32(written), key, "episode").obs[:, 0])(keys)
    begin = np.asarray(obs).ravel() // ENVS
    begin = begin[(begin >= 6) & (begin < 18)]  # away from the ends of the buffer
    assert set(begin % 6) == {0, 2}
    share = np.mean(begin % 6 == 2)
    assert abs(share - 2 / 3) < 5 * np.sqrt(2 / 9 / begin.size)


def test_dtypes_are_kept():
    example = Transitions(
        *(jax.ShapeDtypeStruct((), t) for t in (jnp.uint8, jnp.int32, jnp.float32, bool, bool, jnp.int32))
    )
    storage = replay.init(example, CAPACITY, ENVS)
    assert storage.obs.dtype == jnp.uint8 and storage.is_first.dtype == jnp.bool_


def test_block_must_divide_the_capacity():
    _, storage, _ = filled(2, [3])
    block = jax.tree.map(lambda x: x[:7], storage)
    with pytest.raises(AssertionError, match="must divide"):
        replay.add(storage, block, jnp.int32(0))


@partial(jax.jit, static_argnums=3)
def draw_rewarded(storage, written, key, rewarded):
    return replay.sample(storage, written, key, 4096, LENGTH, "paper", rewarded)


def with_rare_rewards(num_blocks):
    """Return storage with three rewards among its steps, and the observations that say where."""
    _, storage, written = filled(num_blocks, [4])
    stored = np.sort(np.asarray(storage.obs)[np.asarray(storage.reward) != 0].ravel())
    where = stored[[1, len(stored) // 2, -2]]
    reward = jnp.where(jnp.isin(storage.obs, where) & (storage.reward != 0), 1.0, 0.0)
    return storage._replace(reward=reward), jnp.int32(written), where


@pytest.mark.parametrize("num_blocks", [4, 6, 17])  # not full, just full, wrapped within the ring
def test_windows_around_rewards_hold_one_each_as_often_and_anywhere(num_blocks):
    storage, written, where = with_rare_rewards(num_blocks)
    windows = jax.tree.map(np.asarray, draw_rewarded(storage, written, jax.random.key(0), 1.0))
    time, env = windows.obs // ENVS, windows.obs % ENVS
    assert (time == time[:, :1] + np.arange(LENGTH)).all() and (env == env[:, :1]).all()
    assert time.min() >= max(0, written - CAPACITY) and time.max() < written
    assert windows.reward.any(1).all()
    middle = where[1]
    place = np.argwhere(windows.obs == middle)[:, 1]
    expected = 4096 / 3 / LENGTH
    np.testing.assert_allclose(np.bincount(place, minlength=LENGTH), expected, atol=5 * expected**0.5)


def test_half_of_the_windows_around_rewards_leaves_the_others_as_they_are():
    storage, written, _ = with_rare_rewards(17)
    share = {
        rewarded: np.asarray(draw_rewarded(storage, written, jax.random.key(0), rewarded).reward).any(1).mean()
        for rewarded in (0.0, 0.5, 1.0)
    }
    assert share[1.0] == 1.0 and share[0.0] < 0.4
    assert abs(share[0.5] - (share[0.0] + 1) / 2) < 0.04


def test_without_a_reward_there_is_nothing_to_draw_around():
    storage, written, _ = with_rare_rewards(17)
    storage = storage._replace(reward=jnp.zeros_like(storage.reward))
    for got, plain in zip(
        draw_rewarded(storage, written, jax.random.key(0), 0.9),
        draw_rewarded(storage, written, jax.random.key(0), 0.0),
        strict=True,
    ):
        np.testing.assert_array_equal(got, plain)
