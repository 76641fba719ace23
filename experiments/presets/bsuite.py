"""bsuite: every experiment by the rule, for as many episodes as bsuite takes."""

from functools import partial
from typing import Any

import envs.settings
from experiments.presets import rule
from r2i_jit.config import Config

DEFAULT_ENV = "bsuite/memory_len_100"
LOG_EPISODES = 10_000  # the first of each agent: more than any score looks at
# Of these an agent plays 1,000 episodes, of the others 10,000 (NUM_EPISODES in bsuite/experiments/*/sweep.py, 0.3.6).
_SHORT = ("cartpole", "cartpole_swingup", "discounting_chain", "mountain_car")


def episodes(env: str) -> int:
    """Return how many episodes bsuite lets an agent play in a setting of this experiment."""
    experiment = env.removeprefix("bsuite/").removesuffix("_noise").removesuffix("_scale")
    return 1_000 if any(f"{experiment}/".startswith((f"{name}/", f"{name}_")) for name in _SHORT) else 10_000


def steps(env: str) -> int:
    """Return the environment steps of as many episodes of the longest setting; a reset takes one, too."""
    return episodes(env) * ((envs.settings.make(env).longest or 0) + 1)


def _configuration(size: str, env: str, environment: Any) -> Config:
    return rule.configuration(env, environment, environment.default_params, size)


PRESETS = {size: partial(_configuration, size) for size in ("tiny", "small", "paper")}
