"""How collecting and training take turns: whole numbers of steps and updates, from the config alone."""

import dataclasses
import math
from fractions import Fraction
from typing import NamedTuple

from r2i_jit.config import Config, ConfigError

_MOST = 10_000  # steps of each environment, or updates, in a turn
_MOST_STEPS = 10**8  # environment steps in a turn: the step counter is an int32


class Schedule(NamedTuple):
    """The counts of one seed's loop; steps are those of one environment."""

    turn_steps: int  # collected before each block of updates
    turn_updates: int
    turns: int  # per chunk
    prefill_turns: int  # of random play before the first update
    capacity: int  # steps that replay keeps of each environment, whole turns


def schedule(config: Config) -> Schedule:
    """Return the counts.

    Raises:
      ConfigError: if no short turn has the configured train ratio, or replay cannot hold a sequence. PPO has neither.
    """
    if config.algorithm == "ppo":
        turn_updates = config.ppo.epochs * config.ppo.minibatches
        return Schedule(
            config.ppo.steps, turn_updates, max(1, math.ceil(config.loop.chunk_updates / turn_updates)), 0, 0
        )
    turn_steps, turn_updates = _turn(config)
    turns = max(1, math.ceil(config.loop.chunk_updates / turn_updates))
    num_envs, length = config.loop.num_envs, config.replay.sequence_length
    capacity = -(-config.replay.capacity // (num_envs * turn_steps)) * turn_steps
    if min(capacity, config.replay.capacity // num_envs) < length:  # in whole turns it may hold more than was asked for
        raise ConfigError(
            f"replay.capacity={config.replay.capacity}: a stream of each of loop.num_envs={num_envs} environments "
            f"must hold replay.sequence_length={length} steps; give at least {num_envs * length}"
        )
    wanted = max(config.replay.prefill, config.replay.batch_size * length)
    prefill_turns = max(-(-wanted // (num_envs * turn_steps)), -(-length // turn_steps))
    return Schedule(turn_steps, turn_updates, turns, min(prefill_turns, capacity // turn_steps), capacity)


def least_prefill(config: Config) -> int:
    """Return the steps of a seed's random play that cannot be less: they fill a batch and a sequence of each stream."""
    plan = schedule(dataclasses.replace(config, replay=dataclasses.replace(config.replay, prefill=0)))
    return plan.prefill_turns * plan.turn_steps * config.loop.num_envs


def _turn(config: Config) -> tuple[int, int]:
    """Return (steps per environment, updates) of a turn: the smallest whole numbers with the configured train ratio."""
    cfg, num_envs = config.replay, config.loop.num_envs
    tokens = cfg.batch_size * cfg.sequence_length
    updates_per_step = Fraction(cfg.train_ratio).limit_denominator(10**6) * num_envs / tokens
    steps, updates = updates_per_step.denominator, updates_per_step.numerator
    if not updates or steps > _MOST or updates > _MOST:
        raise ConfigError(
            f"replay.train_ratio={cfg.train_ratio}: no turn of at most {_MOST} steps and updates has this ratio with "
            f"replay.batch_size={cfg.batch_size}, replay.sequence_length={cfg.sequence_length} and "
            f"loop.num_envs={num_envs}; round it"
        )
    if steps * num_envs > _MOST_STEPS:
        raise ConfigError(
            f"loop.num_envs={num_envs}: a turn takes {steps} steps of each, and the step counter holds "
            f"{_MOST_STEPS} of them at most; change replay.train_ratio={cfg.train_ratio}"
        )
    return steps, updates
