"""bsuite's configurations: one preset for all experiments and settings, by rule from spaces and episodes' lengths.

It is the rule of any environment (`rule`), changed for what bsuite asks for: one reward after many steps, and one
choice whose reward comes many steps later. docs/decisions/031 has what was tried.
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
# Up to so many steps, episodes are imagined to their end. Then returns need no critic, which would have to hear of a
# late reward through many updates, and nothing need be discounted: all episodes end with discount 0.
_IMAGINED = 100
_IMAGINED_STATES = 1536  # in an update about, as many as the rule has
_FIRST_STARTS = 8  # a first choice may be all that counts, and first steps are few among long episodes' steps
_ENTROPY = 0.1  # of exact returns: a tenth of a reward decides, and what seems worse by three tenths is still tried
_SETTINGS = (
    "model.reward_init=16",
    "model.unimix=0.0002",  # what is imagined for many steps must not forget what was chosen
    "model.dt_min=0.001",
    "model.dt_max=0.1",
    "behavior.policy_input=full",
    "behavior.actor_unimix=0.03",
    "hypers.model_clip=1",  # an episode's first step, all zeros into layer norms, has gradients of 1e8 in the beginning
    "hypers.free_nats=0",  # what a small latent foretells, a clock among it, is worth less than a nat
    "hypers.rep_scale=0",
    "hypers.head_start=600",  # until what is imagined is right: a choice once given up is hardly imagined again
    "hypers.critic_lr=0.001",
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
    behavior = config.behavior
    if steps <= _IMAGINED + 1:
        horizon = max(behavior.horizon, steps)
        behavior = dataclasses.replace(
            behavior,
            horizon=horizon,
            imagination_starts=max(24, _IMAGINED_STATES // horizon),
            first_starts=_FIRST_STARTS,
        )
        hypers = hypers.replace(discount=1.0, return_lambda=1.0, entropy_scale=_ENTROPY)
    config = dataclasses.replace(config, replay=replay, behavior=behavior, hypers=hypers)
    return config.override(_SETTINGS)


PRESETS = {"tiny": _tiny, "small": _small, "paper": _paper}
