"""How much memory a run may take: its state is mostly replay, and lives on the device."""

import dataclasses
from typing import Any

from experiments.running import machine
from experiments.running.cli import fail, note
from r2i_jit.config import Config

# Of the device's memory. On a CPU the copy that a checkpoint is written from lies beside the buffer.
_REPLAY_SHARE = {"cpu": 0.3, "accelerator": 0.6}


def state_bytes(shapes: Any) -> int:
    """Return the size of a tree of arrays or of their shapes."""
    import jax

    # Keys have an item size only as the bits that they are made of, and there are few of them.
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def device_bytes() -> int:
    """Return the memory of the first device; of a CPU, what this process may use of it."""
    import jax

    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("bytes_limit") or machine.memory_bytes()


def fit_replay(config: Config, buffers: float, bytes_per_step: float) -> Config:
    """Return the config with a replay that fits the device beside everything else, and say so if it is a smaller one.

    Args:
      config: asks for `replay.capacity` steps a seed.
      buffers: how many there are on a device; a half, say, where each is spread over two.
      bytes_per_step: what one stored step takes.
    """
    if not bytes_per_step:  # what is played is learned from at once
        return config
    affordable = int(_for_replay() / (bytes_per_step * buffers))
    least = config.loop.num_envs * config.replay.sequence_length
    if config.replay.capacity <= affordable or affordable < least:  # what is still too large is refused
        return config
    note(
        f"replay.capacity={affordable} for {config.replay.capacity}: {_share():.0%} of the device's "
        f"{device_bytes() / 1e9:.1f} GB (set it to choose another)"
    )
    return dataclasses.replace(config, replay=dataclasses.replace(config.replay, capacity=affordable))


def seeds_that_fit(config: Config, bytes_per_step: float) -> int:
    """Return how many buffers of the size that a config asks for fit the device beside everything else; at least 1."""
    if not bytes_per_step:  # what is played is learned from at once
        return 4096
    return max(1, int(_for_replay() / (bytes_per_step * config.replay.capacity)))


def _for_replay() -> float:
    """Return the bytes of the device that replay may take."""
    return _share() * device_bytes()


def _share() -> float:
    import jax

    return _REPLAY_SHARE["cpu" if jax.default_backend() == "cpu" else "accelerator"]


def refuse_too_large(shapes: Any, num_seeds: int, memories: int = 1, each: int = 1) -> None:
    """Exit 2 if the state alone does not fit.

    Args:
      shapes: of the state of all seeds.
      num_seeds: how many there are.
      memories: over how many the state is spread, each of `device_bytes`.
      each: over how many devices each seed is spread: its agent is on each of them, the rest in shares.
    """
    copies = (each - 1) * state_bytes(shapes.seeds.agent)
    size, limit = (state_bytes(shapes) + copies) / memories, device_bytes()
    stored = state_bytes(shapes.seeds.replay) / memories
    if size > limit:
        cause = "replay.capacity" if stored > size / 2 else "the sizes in model and behavior"
        seeds = num_seeds if memories == 1 else num_seeds * each // memories
        what = "a device's share of the state" if each > 1 and memories > 1 else "the state"
        fail(
            f"{what} of {seeds} seeds takes {size / 1e9:.1f} GB and the device has {limit / 1e9:.1f} GB; "
            f"lower {cause} or --seeds"
        )
