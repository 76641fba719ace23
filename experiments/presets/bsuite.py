"""bsuite's configurations: one preset for all experiments and settings, by rule from spaces and episodes' lengths.

It is the rule of any environment (`rule`), changed for what bsuite's memory experiments ask for: one reward after many
steps. docs/decisions/032 has what was tried, and what is not learned.
"""

import dataclasses
from typing import Any

import envs.settings
from experiments.presets import popgym, rule
from r2i_jit.config import Config

DEFAULT_ENV = "bsuite/memory_len_100"
LOG_EPISODES = 10_000  # the first of each agent: more than any score looks at
# Of these an agent plays 1,000 episodes, of the others 10,000 (NUM_EPISODES in bsuite/experiments/*/sweep.py, 0.3.6).
_SHORT = ("cartpole", "cartpole_swingup", "discounting_chain", "mountain_car")

_LONGEST = 1024  # steps of a training sequence at most
_EPISODES = 4  # in a batch at least: one reward each
# New episodes count more than updates: those of the replay are soon known by heart, each by its random actions.
_TRAIN_RATIO = 8.0
_PREFILL = 16_000
_MOST_PREFILL = 20  # it is at most one part in so many of a full run: bsuite's scores count its episodes, too
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


def episodes(env: str) -> int:
    """Return how many episodes bsuite lets an agent play in a setting of this experiment."""
    experiment = env.removeprefix("bsuite/")
    for suffix in ("_noise", "_scale"):
        experiment = experiment.replace(suffix, "")
    return 1_000 if experiment.startswith(_SHORT) else 10_000


def steps(env: str) -> int:
    """Return the environment steps of as many episodes of the longest setting; a reset takes one, too."""
    return episodes(env) * ((envs.settings.make(env).longest or 0) + 1)


def _tiny(env: str, environment: Any) -> Config:
    """About 0.3M parameters: the rule's, and what is said above."""
    return _remembering(rule.configuration(env, environment, environment.default_params, "tiny"), environment)


def _small(env: str, environment: Any) -> Config:
    """About 5M parameters, for one GPU: the rule's, and what is said above. Nothing was trained with it yet."""
    return _remembering(rule.configuration(env, environment, environment.default_params, "small"), environment)


def _paper(env: str, environment: Any) -> Config:
    """As for POPGym, with a prefill that leaves something of a run."""
    config = popgym.paper(env)
    replay = dataclasses.replace(config.replay, prefill=min(config.replay.prefill, _most_prefill(env)))
    return dataclasses.replace(config, replay=replay)


def _most_prefill(env: str) -> int:
    return steps(env) // _MOST_PREFILL


def _remembering(config: Config, environment: Any) -> Config:
    longest = environment.max_episode_steps
    length = min(longest + 1, _LONGEST)
    batch = max(_EPISODES, config.replay.batch_size * config.replay.sequence_length // length)
    ratio = popgym.train_ratio(_TRAIN_RATIO, batch * length, config.loop.num_envs)
    prefill = min(_PREFILL, _most_prefill(config.env))
    replay = dataclasses.replace(
        config.replay, sequence_length=length, batch_size=batch, train_ratio=ratio, prefill=prefill
    )
    hypers = config.hypers.replace(reward_loss_scale=max(1.0, _REWARD_SHARE * length))
    if longest <= _UNDISCOUNTED:
        hypers = hypers.replace(discount=1.0)
    return dataclasses.replace(config, replay=replay, hypers=hypers).override(_SETTINGS)


PRESETS = {"tiny": _tiny, "small": _small, "paper": _paper}
