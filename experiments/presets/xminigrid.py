"""xminigrid's configurations: those of the rule. None of its games has settings of its own yet."""

from typing import Any

from experiments.presets import rule
from r2i_jit.config import Config

DEFAULT_ENV = "xminigrid/MiniGrid-MemoryS8"
SUITE_STEPS = rule.SUITE_STEPS
STEPS: dict[str, int] = {}


def _by_rule(size: str) -> Any:
    def configuration(env: str, environment: Any) -> Config:
        return rule.configuration(env, environment, environment.default_params, size)

    return configuration


PRESETS = {size: _by_rule(size) for size in SUITE_STEPS}
