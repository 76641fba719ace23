"""What a command line asks for: the configuration of an environment at a size, the environments of a suite."""

import dataclasses
import fnmatch
from collections.abc import Sequence
from typing import Any, NoReturn

from envs import registry
from experiments.running import cli
from experiments.running.cli import fail
from experiments.running.runinfo import RunInfo
from r2i_jit import relevance
from r2i_jit.config import Config, ConfigError, flatten


def config(suite: str | None, size: str, env: str | None, assignments: Sequence[str], agent: str | None) -> Config:
    """Return a preset with assignments such as `model.units=128`.

    Raises:
      ConfigError: if there is no such suite, size, environment, agent or key, or a value is wrong.
    """
    from experiments.presets import preset

    return preset(suite, size=size, env=env, agent=agent or "r2i").override(list(assignments))


def asked_config(args: Any, size: str, env: str | None, *, new: bool = True) -> Config:
    """Return the Config that the command line asks for; exit 2 with one line if it is wrong.

    Args:
      args: the command line.
      size: the preset's.
      env: as of `config`.
      new: whether something is to start with it. Of a run that is there its own Config says what it reads.
    """
    typed = _keys(args.assignments)
    if new:
        _refuse_chosen_elsewhere(typed)
    try:
        found = config(args.suite, size, env, args.assignments, args.agent)
    except ConfigError as error:
        fail(error)
    if new:
        refuse_unread(found, typed)
    return found


def typed_config(args: Any, saved: Config, info: RunInfo) -> Config:
    """Return a saved run's Config with what the command line says of it; exit 2 with one line if that is wrong."""
    env = args.env
    if env is None and args.suite not in (None, info.suite):  # another suite was typed, and with it another environment
        env = asked_config(args, resolved_size(args.size), None, new=False).env
    env = saved.env if env is None or registry.same(env, saved.env) else env
    try:
        found = dataclasses.replace(saved, env=env).override(args.assignments)
    except ConfigError as error:
        fail(error)
    # What the run has anyway may be said: it may be of before this was refused, and be resumed by its old words.
    before, after = flatten(saved.to_dict()), flatten(found.to_dict())
    refuse_unread(found, [key for key in _keys(args.assignments) if before[key] != after[key]])
    return found


def refuse_unread(config: Config, keys: Sequence[str], option: str = "") -> None:
    """Exit 2 naming the first of some keys that nothing reads in this Config, and what is read in its place.

    Args:
      config: in which all that was typed is in place.
      keys: those that were typed.
      option: what they were typed after, if they are no assignments.
    """
    reasons = relevance.unread(config)
    _refuse_chosen_elsewhere(keys)
    for key in keys:
        if key in reasons:
            fail(f"{option}{' ' * bool(option)}{key} has no effect: {reasons[key]}")


def _refuse_chosen_elsewhere(keys: Sequence[str]) -> None:
    """Exit 2 if one of some keys is that from which a preset follows: the rest would be another's."""
    if "algorithm" in keys:
        fail("algorithm is chosen by --agent: ppo-gru and ppo-s5 are PPO, r2i and dreamerv3 learn in a world model")
    if "env" in keys:
        fail("env is chosen by --env")


def _keys(assignments: Sequence[str]) -> list[str]:
    """Return the keys of assignments."""
    return [word.partition("=")[0].strip() for word in assignments]


def resolved_size(size: str | None) -> str:
    """Return the preset for `--size auto`: small with an accelerator, else tiny."""
    import jax

    if size in (None, "auto"):
        return "tiny" if jax.default_backend() == "cpu" else "small"
    return size


def environments(suite: str, patterns: Sequence[str]) -> list[str]:
    """Return the ids of a suite that match one of the patterns, each by one name; exit 2 if there are none."""
    import envs
    from experiments import presets
    from experiments.presets import SUITES

    if suite not in SUITES:
        cli.fail(f"unknown suite {suite!r}: expected one of {', '.join(SUITES)}")
    found = [env_id for env_id in envs.registered() if env_id.startswith(f"{suite}/")]
    if not found:  # What is missing, its factory says: a package, or what that one needs.
        try:
            envs.make(presets.default_env(suite))
        except ValueError as error:
            cli.fail(error)
    for pattern in patterns:
        if not any(_matches(env_id, pattern) for env_id in found):
            _refuse_pattern(suite, pattern, found)
    matching = [env_id for env_id in found if any(_matches(env_id, pattern) for pattern in patterns)]
    chosen = {registry.canonical(env_id) for env_id in matching}
    return [env_id for env_id in found if env_id in chosen]


def _refuse_pattern(suite: str, pattern: str, found: Sequence[str]) -> NoReturn:
    """Exit 2 saying what is missing for what a pattern matches, or what it may have been meant to be."""
    import envs

    ids = [env_id for env_id in envs.registered(missing=True) if env_id.startswith(f"{suite}/")]
    matching = [env_id for env_id in ids if _matches(env_id, pattern)]
    inside = f"{pattern.rstrip('/')}/*"
    if not matching and any(_matches(env_id, inside) for env_id in ids):
        cli.fail(f"--only {pattern!r} matches no environment of {suite}; did you mean {inside!r}?")
    for env_id in matching:
        try:
            envs.make(env_id)
        except ValueError as error:
            cli.fail(f"--only {pattern!r}: {error}")
    cli.fail(f"--only {pattern!r} matches no environment of {suite}, such as {found[0]}")


def _matches(env_id: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(env_id, pattern) or fnmatch.fnmatchcase(env_id.partition("/")[2], pattern)
