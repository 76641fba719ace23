"""The settings of a world model of vectors, which all suites and the rule start from: by size, with no game's own.

They were measured on POPGym. What follows from an environment's spaces and length is the rule's (`rule`).
"""

from fractions import Fraction
from typing import Any

from envs.observation import Categorical, Continuous, observation_leaves
from r2i_jit.config import BehaviorConfig, Config, Hypers, LoopConfig, ModelConfig, ReplayConfig


def tiny(env: str, length: int, stoch: int) -> Config:
    """Return the settings of `tiny` that no game has its own of, for sequences of `length` and `stoch` latents."""
    batch, num_envs = max(1, 832 // length), 16
    return Config(
        env=env,
        model=ModelConfig(
            ssm_layers=3,
            ssm_state=128,
            ssm_blocks=8,
            units=96,
            deter=96,
            dt_min=0.01,
            dt_max=1.0,
            stoch=stoch,
            classes=8,
            action_scale=3.0,
            head_layers=2,
            head_units=96,
            reward_init=1.0,
        ),
        behavior=BehaviorConfig(horizon=6, imagination_starts=128, actor_units=96, critic_units=96),
        replay=ReplayConfig(
            capacity=500_000,
            batch_size=batch,
            sequence_length=length,
            train_ratio=train_ratio(32.0, batch * length, num_envs),
        ),
        loop=LoopConfig(num_envs=num_envs, chunk_updates=64),
        hypers=Hypers(
            model_lr=1e-3, ssm_lr=1e-3, actor_lr=3e-4, critic_lr=3e-4, rep_scale=0.03, entropy_scale=2e-2, discount=0.95
        ),
    )


def small(env: str, length: int) -> Config:
    """Return the settings of `small` for sequences of `length`."""
    batch, num_envs = max(1, 4096 // length), 64
    return Config(
        env=env,
        model=ModelConfig(
            ssm_layers=3,
            ssm_state=128,
            ssm_blocks=8,
            units=256,
            deter=256,
            dt_max=1.0,
            stoch=16,
            classes=16,
            head_layers=2,
            head_units=256,
        ),
        behavior=BehaviorConfig(horizon=15, imagination_starts=1024, actor_units=256, critic_units=256),
        replay=ReplayConfig(
            capacity=1_000_000,
            batch_size=batch,
            sequence_length=length,
            train_ratio=train_ratio(64.0, batch * length, num_envs),
        ),
        loop=LoopConfig(num_envs=num_envs, chunk_updates=64),
        hypers=Hypers(model_lr=6e-4, ssm_lr=6e-4, actor_lr=2e-4, critic_lr=2e-4, entropy_scale=3e-3),
    )


def paper(env: str) -> Config:
    """Return R2I's POPGym configuration with the authors' correction of its network sizes.

    Ref: R2I release, branch popgym (pull request 4): 5 layers, P = 512, H = 1024, deter = 512; B x T = 4 x 1024, 8
    environments, train ratio 64, replay 1e7 steps, policy input (z, x). The published run is 2e8 steps long. Kept from
    this project: categorical observation loss, episode-aligned windows and the reward scale (`--set` takes them back).
    """
    return Config(
        env=env,
        model=ModelConfig(ssm_layers=5, ssm_state=512, ssm_blocks=8, units=1024, deter=512, head_units=512),
        replay=ReplayConfig(capacity=10_000_000, batch_size=4, sequence_length=1024, train_ratio=64.0, prefill=32_768),
        loop=LoopConfig(num_envs=8, chunk_updates=64),
        hypers=Hypers(),
    )


def train_ratio(wanted: float, tokens: int, num_envs: int) -> float:
    """Return the train ratio next to `wanted` for which collecting and at most eight updates can take turns.

    Batches hold whole episodes, so `tokens` is seldom round: a ratio to the letter can mean 512 updates at a time.
    """
    steps_per_update = Fraction(tokens / (wanted * num_envs)).limit_denominator(8)
    return float(tokens / (num_envs * steps_per_update))


def latents(environment: Any, params: Any, of_a_number: int = 1) -> int:
    """Return how many categorical latents a tiny model gets: as many as the observation has one-hot groups, in [2, 32].

    A bit counts as one, a number as `of_a_number`. Spare latents encode the same thing again, each with its own
    sampling noise, and recall is learned later: on RepeatPreviousMedium after 1,900 updates with 8 latents, 1,000 with
    2 (docs/decisions/005-tiny-preset.md).
    """
    parts = [part for leaf in observation_leaves(environment, params) for part in leaf.parts]
    counts = [
        part.count
        if isinstance(part, Categorical)
        else part.size * (of_a_number if isinstance(part, Continuous) else 1)
        for part in parts
    ]
    return min(32, max(2, sum(counts)))
