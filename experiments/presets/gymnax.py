"""gymnax's configurations: all by rule (`experiments.presets.rule`), none of one game's own."""

from functools import partial
from typing import Any

from experiments.presets import rule
from r2i_jit.config import Config

DEFAULT_ENV = "gymnax/CartPole-v1-Masked"
SUITE_STEPS = rule.SUITE_STEPS
STEPS: dict[str, int] = {}


def _by_rule(size: str, env: str, environment: Any) -> Config:
    return rule.configuration(env, environment, environment.default_params, size)


PRESETS = {size: partial(_by_rule, size) for size in SUITE_STEPS}
