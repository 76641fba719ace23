"""On-device sequence replay: a ring buffer per environment stream, in the dtypes that the environment emits.

Storage is time-major, (capacity, E, ...): one collected block of K steps is one contiguous write. The write position is
a function of the number of steps collected so far, which all seeds share, so under `vmap` over seeds the write stays a
`dynamic_update_slice` (a position per seed would turn it into a scatter, eight times slower on CPU).

Owned by tests/unit/test_replay.py (against a NumPy model: support and uniformity of the sampled windows, ring wrap).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp


class Transitions(NamedTuple):
    """Steps as stored; leading axes (time, E), or (B, T) when sampled."""

    obs: jax.Array
    action: jax.Array  # int32 () or float32 (A,), chosen after obs
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
) -> Transitions:
    """Draw windows of consecutive steps of single streams; none crosses the write head.

    "paper": every valid window is equally likely, wherever it cuts an episode. "episode": such a window is drawn, and
    moved back to the first step of the episode in which it begins, if that lies less than `length` steps back and is
    still stored. An episode is then chosen in proportion to its length and seen from its start, so the model is never
    asked for what it was not shown; only windows into episodes longer than `length` are cut.

    Args:
      storage: (capacity, E, ...).
      written: int32, steps per environment written so far; at least `length`.
      key: typed PRNG key.
      batch_size: B.
      length: T, at most the capacity.
      start: see above.

    Returns:
      (B, T, ...) with is_first[:, 0] forced, as the sequence model starts from its initial state.
    """
    capacity, num_envs = storage.reward.shape[:2]
    key_time, key_env = jax.random.split(key)
    filled = jnp.minimum(written, capacity)
    oldest = written - filled
    begin = oldest + jax.random.randint(key_time, (batch_size,), 0, filled - length + 1)
    env = jax.random.randint(key_env, (batch_size,), 0, num_envs)
    if start == "episode":
        age = storage.age[begin % capacity, env]
        aligned = begin - age
        begin = jnp.where((age < length) & (aligned >= oldest), aligned, begin)
    index = (begin[:, None] + jnp.arange(length)) % capacity
    windows = jax.tree.map(lambda s: s[index, env[:, None]], storage)
    return windows._replace(is_first=windows.is_first.at[:, 0].set(True))
