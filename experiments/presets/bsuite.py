"""bsuite's configurations: one preset for all experiments and settings, by rule from spaces and episodes' lengths.

It is the rule of any environment (`rule`), changed for what bsuite's memory experiments ask for: one reward after many
steps. docs/decisions/032 has what was tried, and what is not learned.
"""

import dataclasses
from typing import Any

import envs.settings
from envs.observation import Continuous
from experiments.presets import rule, vectors
from r2i_jit.config import Config

DEFAULT_ENV = "bsuite/memory_len_100"
LOG_EPISODES = 10_000  # the first of each agent: more than any score looks at
# Of these an agent plays 1,000 episodes, of the others 10,000 (NUM_EPISODES in bsuite/experiments/*/sweep.py, 0.3.6).
_EPISODES_ALLOWED = (1_000, 10_000)
_SHORT = ("cartpole", "cartpole_swingup", "discounting_chain", "mountain_car")

_LONGEST = 1024  # steps of a training sequence at most
# Episodes in a batch, as there is one reward in each; fewer, where they would be too long, and more, where short.
_EPISODES, _FEWEST_EPISODES = 16, 4
_MOST_STEPS = 4_832  # of a batch with more episodes than the fewest: 16 of 301 steps, and the last observation

# A full run has so many updates at least. More would do no good where a run has many steps: new episodes count more
# than updates, as those of the replay are soon known by heart, each by its random actions.
_UPDATES = 3_000
_LEAST_RATIO, _MOST_RATIO = 4.0, 64.0
_PREFILL = 16_000
_MOST_PREFILL = 20  # it is at most one part in so many of a full run: bsuite's scores count its episodes, too
# Up to so many steps nothing is discounted, as all episodes of bsuite end with discount 0. With less, the discounting
# chain's reward of 1.1 after 100 steps would be worth less than one of 1 at once.
_UNDISCOUNTED = 333
# Up to so many steps whole episodes are imagined, and returns are what was imagined and no critic's guess: that is
# wrong by more than the 0.1 that is at stake in the discounting chain. Half of them begin at the first step.
_IMAGINED = 100
# Updates before critic and actor begin, at most, and as shares of a full run. Until the model foretells late rewards,
# what is imagined teaches to take the early ones.
_HEAD_START, _CRITIC_HEAD_START = (600, 0.2), (300, 0.1)
_IMAGINED_STEPS = 3_200  # of an update, in 32 to 128 paths
_PATHS = (32, 128)
_OF_NUMBERS = 0.1  # observation scale of numbers: by their variance they are most of the loss
_SETTINGS = (
    "model.number_loss=unexplained",  # or a bit that is shown once in 300 steps is not worth encoding
    "model.reward_init=16",
    "model.unimix=0.001",
    "model.dt_min=0.001",
    "model.dt_max=0.1",
    "hypers.model_clip=1",  # an episode's first input is zero: through three layer norms its first gradient is 1e8
    "hypers.free_nats=0",  # so little is seen that it is worth less than a nat: the prior would not be trained
    "hypers.rep_scale=0",
    "hypers.sparse_reward_scale=0.3",  # then one reward an episode counts about as much as everything else together
    "hypers.critic_lr=1e-3",
    "behavior.actor_init=0",  # else what is likely at first is what is learned first to be good
)


def episodes(env: str) -> int:
    """Return how many episodes bsuite lets an agent play in a setting of this experiment."""
    experiment = env.removeprefix("bsuite/")
    for suffix in ("_noise", "_scale"):
        experiment = experiment.replace(suffix, "")
    return _EPISODES_ALLOWED[0] if experiment.startswith(_SHORT) else _EPISODES_ALLOWED[1]


def steps(env: str) -> int:
    """Return the environment steps of as many episodes of the longest setting; a reset takes one, too."""
    return episodes(env) * ((envs.settings.make(env).longest or 0) + 1)


def _tiny(env: str, environment: Any) -> Config:
    """About 0.3M parameters: the rule's, and what is said above."""
    return _remembering(rule.configuration(env, environment, environment.default_params, "tiny"), environment, "tiny")


def _small(env: str, environment: Any) -> Config:
    """About 5M parameters, for one GPU: the rule's, and what is said above. Nothing was trained with it yet."""
    return _remembering(rule.configuration(env, environment, environment.default_params, "small"), environment, "small")


def _paper(env: str, environment: Any) -> Config:
    """As for POPGym, with a prefill that leaves something of a run."""
    config = vectors.paper(env)
    replay = dataclasses.replace(config.replay, prefill=min(config.replay.prefill, _most_prefill(env)))
    return dataclasses.replace(config, replay=replay)


def _most_prefill(env: str) -> int:
    return steps(env) // _MOST_PREFILL


def _remembering(config: Config, environment: Any, size: str) -> Config:
    longest = environment.max_episode_steps
    if episodes(config.env) == _EPISODES_ALLOWED[0] and longest > _IMAGINED:
        # Poles and cars are paid at each step, and of their episodes the first thousand count, which are short before
        # anything is learned: nothing may wait. So it is the rule's.
        return config
    if size == "tiny":  # one latent a number: a bit needs no more, and spare ones delay recall
        latents = vectors.latents(environment, environment.default_params)
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, stoch=latents))
    length = min(longest + 1, _LONGEST)
    few = max(_FEWEST_EPISODES, min(_EPISODES, _MOST_STEPS // length))
    batch = max(few, config.replay.batch_size * config.replay.sequence_length // length)
    wanted = min(_MOST_RATIO, max(_LEAST_RATIO, _UPDATES * batch * length / steps(config.env)))
    ratio = vectors.train_ratio(wanted, batch * length, config.loop.num_envs)
    prefill = min(_PREFILL, _most_prefill(config.env))
    replay = dataclasses.replace(
        config.replay, sequence_length=length, batch_size=batch, train_ratio=ratio, prefill=prefill
    )
    hypers, behavior = config.hypers, config.behavior
    updates = steps(config.env) * ratio / (batch * length)
    head_start, critic_head_start = (
        float(min(most, int(share * updates))) for most, share in (_HEAD_START, _CRITIC_HEAD_START)
    )
    hypers = hypers.replace(head_start=head_start, critic_head_start=critic_head_start)
    if longest <= _UNDISCOUNTED:
        hypers = hypers.replace(discount=1.0)
    if longest <= _IMAGINED:
        hypers = hypers.replace(return_lambda=1.0, slow_critic_scale=0.0)
        fewest, most = _PATHS
        paths = max(fewest, min(most, _IMAGINED_STEPS // longest))
        # These end at a known time. Chances of that, a thousandth each, would add up over a hundred steps.
        behavior = dataclasses.replace(
            behavior, horizon=longest, imagination_starts=paths, first_starts=0.5, continue_mode="mode"
        )
    if all(isinstance(part, Continuous) for part in environment.observation_parts(environment.default_params)):
        hypers = hypers.replace(observation_scale=_OF_NUMBERS)
    config = dataclasses.replace(config, behavior=behavior, replay=replay, hypers=hypers)
    return config.override(_SETTINGS)


PRESETS = {"tiny": _tiny, "small": _small, "paper": _paper}
