"""bsuite's configurations: one preset for every experiment and setting, by rule from the spaces and the episode's length.

What it has beside the rule of any environment (`rule`) is about two things that bsuite asks for: one reward after many
steps, and one choice whose reward comes many steps later. docs/decisions/031 has what was tried.
"""

import dataclasses
from typing import Any

from experiments.presets import popgym, rule
from r2i_jit.config import Config

DEFAULT_ENV = "bsuite/memory_len_100"
STEPS: dict[str, int] = {}  # of single environments: none differs
SUITE_STEPS = {"tiny": 100_000, "small": 1_000_000, "paper": 5_000_000}
_LONGEST = 1024  # steps of a training sequence at most
# What a step's loss is averaged over is the sequence. A reward that comes once in an episode would weigh less the
# longer that is; with this many times its length it weighs about as much as everything else together.
_REWARD_SHARE = 0.3
_TRAIN_RATIO = 8.0
_EPISODES = 4
_PREFILL = 16_000
_SETTINGS = (
    "model.reward_init=16",
    "model.unimix=0.001",
    "model.dt_min=0.001",
    "model.dt_max=0.1",
    "hypers.model_clip=1",
    "hypers.rep_scale=0",
    "hypers.discount=1",
)


def _tiny(env: str, environment: Any) -> Config:
    """About 0.3M parameters: the rule's, and what is said above."""
    return _remembering(rule.configuration(env, environment, environment.default_params, "tiny"), environment)


def _remembering(config: Config, environment: Any) -> Config:
    length = min(environment.max_episode_steps + 1, _LONGEST)
    batch = max(_EPISODES, config.replay.batch_size * config.replay.sequence_length // length)
    ratio = popgym.train_ratio(_TRAIN_RATIO, batch * length, config.loop.num_envs)
    replay = dataclasses.replace(
        config.replay, sequence_length=length, batch_size=batch, train_ratio=ratio, prefill=_PREFILL
    )
    config = dataclasses.replace(config, replay=replay)
    return config.override((f"hypers.reward_loss_scale={max(1.0, _REWARD_SHARE * length)}", *_SETTINGS))


def _small(env: str, environment: Any) -> Config:
    """About 5M parameters, for one GPU: the rule's, and what is said above."""
    return _remembering(rule.configuration(env, environment, environment.default_params, "small"), environment)


def _paper(env: str, environment: Any) -> Config:
    return popgym.paper(env)


PRESETS = {"tiny": _tiny, "small": _small, "paper": _paper}
