"""bsuite's configurations: one preset for all experiments and settings, by rule from spaces and episodes' lengths.

It is the rule of any environment (`rule`), changed for what bsuite's memory experiments ask for: one reward after many
steps. docs/decisions/031 has what was tried, and what is not learned.
"""

import dataclasses
from typing import Any

from experiments.presets import popgym, rule
from r2i_jit.config import Config

DEFAULT_ENV = "bsuite/memory_len_100"
STEPS: dict[str, int] = {}  # of single environments: none differs
SUITE_STEPS = {"tiny": 160_000, "small": 1_000_000, "paper": 5_000_000}

_LONGEST = 1024  # steps of a training sequence at most
_EPISODES = 4  # in a batch at least: one reward each
# New episodes count more than updates: those of the replay are soon known by heart, each by its random actions.
_TRAIN_RATIO = 8.0
_PREFILL = 16_000
# Losses are means over time, so that one reward an episode counts less the longer that is. With a factor of this times
# the length it counts about as much as everything else together.
_REWARD_SHARE = 0.3
# Up to so many steps nothing is discounted, as all episodes of bsuite end with discount 0. With less, the discounting
# chain's reward of 1.1 after 100 steps would be worth less than one of 1 at once.
_UNDISCOUNTED = 333
_SETTINGS = (
    "model.reward_init=16",
    "model.unimix=0.001",
    "model.dt_min=0.001",
    "model.dt_max=0.1",
    "hypers.model_clip=1",  # an episode's first input is zero: through three layer norms its first gradient is 1e8
    "hypers.rep_scale=0",
)


def _tiny(env: str, environment: Any) -> Config:
    """About 0.3M parameters: the rule's, and what is said above."""
    return _remembering(rule.configuration(env, environment, environment.default_params, "tiny"), environment)


def _small(env: str, environment: Any) -> Config:
    """About 5M parameters, for one GPU: the rule's, and what is said above. Nothing was trained with it yet."""
    return _remembering(rule.configuration(env, environment, environment.default_params, "small"), environment)


def _paper(env: str, environment: Any) -> Config:
    return popgym.paper(env)


def _remembering(config: Config, environment: Any) -> Config:
    steps = environment.max_episode_steps
    length = min(steps + 1, _LONGEST)
    batch = max(_EPISODES, config.replay.batch_size * config.replay.sequence_length // length)
    ratio = popgym.train_ratio(_TRAIN_RATIO, batch * length, config.loop.num_envs)
    replay = dataclasses.replace(
        config.replay, sequence_length=length, batch_size=batch, train_ratio=ratio, prefill=_PREFILL
    )
    hypers = config.hypers.replace(reward_loss_scale=max(1.0, _REWARD_SHARE * length))
    if steps <= _UNDISCOUNTED:
        hypers = hypers.replace(discount=1.0)
    return dataclasses.replace(config, replay=replay, hypers=hypers).override(_SETTINGS)


PRESETS = {"tiny": _tiny, "small": _small, "paper": _paper}
