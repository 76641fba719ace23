"""On-device sequence replay: a ring buffer per environment stream, in the dtypes that the environment emits.

Storage is time-major, (capacity, E, ...): one collected block of K steps is one contiguous write. The write position is
a function of the number of steps collected so far, which all seeds share, so under `vmap` over seeds the write stays a
`dynamic_update_slice` (a position per seed would turn it into a scatter, eight times slower on CPU).

Owned by tests/unit/test_replay.py (against a NumPy model: support and uniformity of the sampled windows, ring wrap).
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from r2i_jit import shares


class Transitions(NamedTuple):
    """Steps as stored; leading axes (time, E), or (B, T) when sampled."""

    obs: Any  # an array, or a tuple of arrays
    action: jax.Array  # int32 () or (G,), or float32 (A,), chosen after obs
    reward: jax.Array  # float32, the game's own
    is_first: jax.Array  # bool
    is_terminal: jax.Array  # bool
    age: jax.Array  # int32, steps since the episode's first observation


def init(example: Transitions, capacity: int, num_envs: int) -> Transitions:
    """Return zeroed storage for `capacity` steps of each of `num_envs` streams.

    Args:
      example: one step of one environment (arrays or ShapeDtypeStructs without leading axes).
      capacity: steps per environment; a multiple of the block that is written at once.
      num_envs: E.
    """
    return jax.tree.map(lambda x: jnp.zeros((capacity, num_envs, *x.shape), x.dtype), example)


def add(storage: Transitions, block: Transitions, written: jax.Array) -> Transitions:
    """Overwrite the oldest steps with a block.

    Args:
      storage: (capacity, E, ...).
      block: (K, E, ...); K divides the capacity, so a block never wraps.
      written: int32, steps per environment written before this block.
    """
    capacity, size = storage.reward.shape[0], block.reward.shape[0]
    assert capacity % size == 0, f"a block of {size} steps must divide the capacity of {capacity}"
    at = written % capacity
    return jax.tree.map(lambda s, b: jax.lax.dynamic_update_slice_in_dim(s, b.astype(s.dtype), at, 0), storage, block)


def sample(
    storage: Transitions,
    written: jax.Array,
    key: jax.Array,
    batch_size: int,
    length: int,
    start: Literal["episode", "paper"],
    rewarded: float = 0.0,
) -> Transitions:
    """Draw windows of consecutive steps of single streams; none crosses the write head.

    "paper": every valid window is equally likely, wherever it cuts an episode. "episode": such a window is drawn, and
    moved back to the first step of the episode in which it begins, if that lies less than `length` steps back and is
    still stored. An episode is then chosen in proportion to its length and seen from its start, so the model is never
    asked for what it was not shown; only windows into episodes longer than `length` are cut.

    Where rewards are rare, a share of the windows can be drawn around one: around any step with a reward, equally
    likely, and that step equally likely anywhere in the window, as far as the stored steps reach. (A world model may be
    trained on any choice of sequences, as what follows from a state does not depend on it.)

    Args:
      storage: (capacity, E, ...); of several devices, each has its own streams.
      written: int32, steps per environment written so far; at least `length`.
      key: typed PRNG key.
      batch_size: B, of all devices.
      length: T, at most the capacity.
      start: see above.
      rewarded: share of the windows that are drawn around a reward, in [0, 1]; none while there is no reward.

    Returns:
      (B, T, ...), of several devices each its share, with is_first[:, 0] forced, as the sequence model starts from its
      initial state.
    """
    capacity, own_envs = storage.reward.shape[:2]
    num_envs = own_envs * shares.count()
    key_time, key_env = jax.random.split(key)
    filled = jnp.minimum(written, capacity)
    oldest = written - filled
    begin = oldest + jax.random.randint(key_time, (batch_size,), 0, filled - length + 1, jnp.int32)
    env = jax.random.randint(key_env, (batch_size,), 0, num_envs, jnp.int32)
    if rewarded:
        key_chosen, key_reward = jax.random.split(jax.random.fold_in(key, 1))
        near, near_env, any_reward = _around_rewards(storage.reward, written, key_reward, batch_size, length)
        chosen = jax.random.bernoulli(key_chosen, jnp.float32(rewarded), (batch_size,)) & any_reward
        begin, env = jnp.where(chosen, near, begin), jnp.where(chosen, near_env, env)
    if start == "episode":
        age = shares.looked_up(lambda env: storage.age[begin % capacity, env], env, own_envs)
        aligned = begin - age
        begin = jnp.where((age < length) & (aligned >= oldest), aligned, begin)
    index = (begin[:, None] + jnp.arange(length, dtype=jnp.int32)[None]) % capacity
    windows = shares.taken(lambda env: jax.tree.map(lambda s: s[index, env[:, None]], storage), env, own_envs)
    return windows._replace(is_first=windows.is_first.at[:, 0].set(True))


def _around_rewards(
    reward: jax.Array, written: jax.Array, key: jax.Array, batch_size: int, length: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return windows around steps with a reward: (first step (B,), stream (B,), whether there is any such step)."""
    capacity, num_envs = reward.shape[0], reward.shape[1] * shares.count()
    oldest = written - jnp.minimum(written, capacity)
    key_which, key_place = jax.random.split(key)
    # The ring's slots hold the stored steps, and zeros where nothing was written yet.
    paid = shares.gathered(reward != 0, 1)
    passed = jnp.cumsum(paid.reshape(-1).astype(jnp.int32), dtype=jnp.int32)
    which = jax.random.randint(key_which, (batch_size,), 0, jnp.maximum(passed[-1], 1), jnp.int32)
    slot, env = jnp.divmod(jnp.minimum(jnp.searchsorted(passed, which, side="right"), passed.shape[0] - 1), num_envs)
    time = oldest + (slot - oldest) % capacity
    begin = time - jax.random.randint(key_place, (batch_size,), 0, length, jnp.int32)
    return jnp.clip(begin, oldest, written - length), env, passed[-1] > 0
