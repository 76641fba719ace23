"""Configurations by suite and size: what `just train` uses before `--set`.

`paper` is the published agent's configuration, corrected where the release says it is wrong. `tiny` learns on two CPU
cores while a person waits; `small` is for one GPU. docs/results.md has what they reach. One module a suite, with
`PRESETS` (size -> function of the environment), `DEFAULT_ENV`, and the steps of a full run: `SUITE_STEPS` by size and
`STEPS` by environment, where that differs.
"""

import dataclasses
from types import ModuleType

import envs
from experiments.presets import memory_maze, popgym
from r2i_jit.config import Config, ConfigError

_MODULES: dict[str, ModuleType] = {"popgym": popgym, "memory_maze": memory_maze}
SUITES = tuple(_MODULES)
SIZES = ("tiny", "small", "paper")


def preset(suite: str, size: str = "tiny", env: str | None = None) -> Config:
    """Return the configuration for a suite's environment at a size.

    Args:
      suite: "popgym" or "memory_maze".
      size: "tiny", "small" or "paper".
      env: an id of the suite; by default the suite's first example.

    Raises:
      ConfigError: for an unknown suite, size or environment, naming what there is.
    """
    if suite not in SUITES:
        raise ConfigError(f"unknown suite {suite!r}: expected one of {', '.join(SUITES)}")
    if size not in SIZES:
        raise ConfigError(f"unknown size {size!r}: expected one of {', '.join(SIZES)}")
    env = env or _MODULES[suite].DEFAULT_ENV
    if not env.startswith(f"{suite}/"):
        raise ConfigError(f"environment {env!r} is not of suite {suite!r}; its ids start with {suite}/")
    try:
        environment, _ = envs.make(env)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    config = _MODULES[suite].PRESETS[size](env, environment)
    hypers = config.hypers.replace(reward_scale=config.hypers.reward_scale * float(environment.reward_scale))
    return dataclasses.replace(config, hypers=hypers)


def default_steps(config: Config, size: str) -> int:
    """Return how many environment steps a full run of this configuration takes."""
    module = _MODULES[config.env.partition("/")[0]]
    return module.STEPS.get(config.env) or module.SUITE_STEPS[size]
