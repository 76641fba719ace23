"""POPGym's configurations: the rule of any environment (`rule`), with whole episodes as training sequences."""

from typing import Any

from experiments.presets import rule, vectors
from r2i_jit.config import Config

DEFAULT_ENV = "popgym/RepeatPreviousEasy"
SUITE_STEPS = {"tiny": 500_000, "small": 500_000, "paper": 500_000}
# Environment steps of a full run, where the suite's default is not enough or more than is needed.
STEPS = {
    "popgym/RepeatFirstEasy": 200_000,
    "popgym/RepeatPreviousEasy": 40_000,
    "popgym/RepeatPreviousMedium": 150_000,
    "popgym/AutoencodeEasy": 1_500_000,
    "popgym/ConcentrationEasy": 3_500_000,
}
# Steps of a training sequence at most: answers lie at an episode's beginning.
_LONGEST = 1024
# With what these were measured, before the rule.
_BEFORE = ("behavior.horizon=6", "behavior.continue_mode=mode", "hypers.discount=0.95")
# Where the rule does not teach a game, or an environment (docs/decisions/014, 017 to 019).
TINY_GAMES = {
    "popgym/RepeatFirst": ("hypers.decay_updates=2000",),  # what is learned drifts at full rates (docs/results.md)
    "popgym/Autoencode": (
        *_BEFORE,
        "model.reward_init=16",
        "model.unimix=0.001",
        "hypers.rep_scale=0",
        "behavior.policy_input=full",
        "replay.train_ratio=8",
        "replay.prefill=50000",
        "hypers.head_start=300",
    ),
    "popgym/ConcentrationEasy": (
        *_BEFORE,
        "model.posterior=observation",
        "model.dynamics_input=change",
        "model.prior_skip=true",
        "model.units=256",
        "model.deter=256",
        "model.dt_min=0.001",
        "model.head_units=128",
        "model.reward_init=16",
        "model.unimix=0.0002",
        "behavior.policy_input=output",
        "behavior.actor_gates=4",
        "behavior.actor_units=256",
        "behavior.critic_units=128",
        "behavior.imagination_starts=256",
        "hypers.actor_lr=0.001",
        "hypers.critic_lr=0.001",
        "hypers.free_nats=0",  # a card recalled is worth less than one nat
        "hypers.rep_scale=0",
        "hypers.entropy_scale=0.02",
        "hypers.decay_updates=6000",
        "hypers.head_start=300",  # the reward head's first guesses are large
        "replay.capacity=50000",  # imagination begins where the policy of now gets to
        "replay.train_ratio=2",
        "replay.prefill=50000",
    ),
}


def _by_rule(env: str, environment: Any, size: str) -> Config:
    return rule.configuration(env, environment, environment.default_params, size, longest=_LONGEST)


def _tiny(env: str, environment: Any) -> Config:
    """About 0.3M parameters: the rule's, and for a few games settings of their own."""
    game = env.removesuffix("Easy").removesuffix("Medium").removesuffix("Hard")
    return _by_rule(env, environment, "tiny").override(TINY_GAMES.get(env) or TINY_GAMES.get(game, ()))


def _small(env: str, environment: Any) -> Config:
    """About 5M parameters, for one GPU: the rule's."""
    return _by_rule(env, environment, "small")


def _paper(env: str, environment: Any) -> Config:
    """As `vectors.paper`."""
    return vectors.paper(env)


PRESETS = {"tiny": _tiny, "small": _small, "paper": _paper}
