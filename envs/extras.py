"""Suites that run in a package which is an extra of this one: listed where it is installed, else one line names it."""

from collections.abc import Iterable, Mapping
from functools import partial
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from envs.registry import Lazy, register

_NO_OTHERS: Mapping[str, str] = MappingProxyType({})


def made(
    env_id: str, target: str, kwargs: Mapping[str, Any], install: str, others: Mapping[str, str] = _NO_OTHERS
) -> Any:
    """Return an environment of an adapter.

    Args:
      env_id: what it is asked for as.
      target: `package.module:function` that makes it.
      kwargs: of that function.
      install: how its extra is installed.
      others: how packages are installed that are not in the extra, by name.

    Raises:
      ValueError: if a package is not installed, naming it and how to install it.
    """
    try:
        return Lazy(target, kwargs)()
    except ModuleNotFoundError as error:
        how = others.get(error.name or "", install)
        raise ValueError(
            f"environment {env_id!r} needs the package {error.name!r}, which is not installed: {how}"
        ) from error


def installed(package: str) -> bool:
    """Return whether a package is."""
    return find_spec(package) is not None


def register_extra(suite: str, names: Iterable[str], *, target: str, package: str, install: str) -> None:
    """Register `suite/name` for each name.

    Args:
      suite: the ids' first part.
      names: their second parts, of which `target` takes one as `name`.
      target: see `made`.
      package: of which it hangs whether they are listed.
      install: see `made`.
    """
    for name in names:
        factory = partial(made, f"{suite}/{name}", target, {"name": name}, install)
        register(f"{suite}/{name}", factory, available=partial(installed, package))
