"""Configurations by suite and size: what `just train` uses before `--set`.

`paper` is the published agent's configuration, corrected where the release says it is wrong. `tiny` learns on two CPU
cores while a person waits; `small` is for one GPU. docs/results.md has what they reach. One module a suite, with
`PRESETS` (size -> function of the environment), `DEFAULT_ENV`, and the steps of a full run: `SUITE_STEPS` by size and
`STEPS` by environment, where that differs; or `steps`, a function of the environment. Any other environment has its
configuration by `rule`.
"""

import dataclasses
from types import ModuleType

import envs.settings
from experiments.presets import agents, atari, brax, bsuite, craftax, dmc, gymnax, memory_maze, popgym, rule, xminigrid
from r2i_jit.config import Config, ConfigError
from r2i_jit.observations import blamed

_MODULES: dict[str, ModuleType] = {
    "popgym": popgym,
    "memory_maze": memory_maze,
    "bsuite": bsuite,
    "xminigrid": xminigrid,
    "gymnax": gymnax,
    "brax": brax,
    "dmc": dmc,
    "craftax": craftax,
    "atari": atari,
}
SUITES = tuple(_MODULES)
SIZES = ("tiny", "small", "paper")
AGENTS = agents.AGENTS


def preset(suite: str | None = None, size: str = "tiny", env: str | None = None, agent: str = "r2i") -> Config:
    """Return the configuration for an environment at a size.

    Args:
      suite: one of `SUITES`; None: that of `env`, which may also be in none.
      size: "tiny", "small" or "paper".
      env: what `envs.make` takes, or what stands for several settings of one environment (`envs.registry.settings`):
        then it is the configuration for the one with the longest episodes; by default the suite's first example.
      agent: one of `AGENTS`.

    Raises:
      ConfigError: for an unknown suite, size, environment or agent, naming what there is, or one that is not supported.
    """
    if suite is None and env is None:
        raise ConfigError(f"give a suite ({', '.join(SUITES)}) or an environment")
    if suite is not None and suite not in SUITES:
        hint = f"; an environment is given by --env {suite}" if "/" in suite or ":" in suite else ""
        raise ConfigError(f"unknown suite {suite!r}: expected one of {', '.join(SUITES)}{hint}")
    if size not in SIZES:
        raise ConfigError(f"unknown size {size!r}: expected one of {', '.join(SIZES)}")
    env = env or _MODULES[suite or ""].DEFAULT_ENV
    if suite is not None and suite_of(env) != suite:
        raise ConfigError(f"environment {env!r} is not of suite {suite!r}; its ids start with {suite}/")
    with blamed(env):
        settings = envs.settings.make(env)
        environment, params = settings.env, settings.env_params
        if (found := suite_of(env)) is None:
            config = rule.configuration(env, environment, params, size)
        else:
            config = _MODULES[found].PRESETS[size](env, environment)
    hypers = config.hypers.replace(reward_scale=config.hypers.reward_scale * float(environment.reward_scale))
    return agents.configured(agent, dataclasses.replace(config, hypers=hypers))


def suite_of(env: str) -> str | None:
    """Return the suite that an environment's id names, None if it is in none that is known here."""
    found = env.partition("/")[0] if ":" not in env else ""
    return found if found in SUITES else None


def default_env(suite: str) -> str:
    """Return a suite's first example."""
    return _MODULES[suite].DEFAULT_ENV


def log_episodes(env: str) -> int | None:
    """Return how many episodes of each agent a suite's own scores look at, None where it has no such scores."""
    suite = suite_of(env)
    return getattr(_MODULES[suite], "LOG_EPISODES", None) if suite else None


def default_steps(config: Config, size: str) -> int:
    """Return how many environment steps a full run of this configuration takes."""
    suite = suite_of(config.env)
    if suite is None:
        return rule.SUITE_STEPS[size]
    module = _MODULES[suite]
    if hasattr(module, "steps"):
        return module.steps(config.env)
    return module.STEPS.get(config.env) or module.SUITE_STEPS[size]
