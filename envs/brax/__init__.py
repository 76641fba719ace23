"""The environments of brax 0.14 (Freeman et al. 2021, arXiv 2106.13281): `brax/<its name>`.

They run in the package itself, which is an extra of this one: `envs.adapters.brax`. The names are written down here, so
that listing them imports nothing.
"""

from importlib.util import find_spec
from typing import Any

from envs.registry import Lazy, leave_out, register

EXTRA = "pip install 'r2i-jit[brax]'"
LIMIT = 1_000  # steps of an episode: that of brax's own training (training/agents/*/train.py, episode_length)
NAMES = (
    *("ant", "halfcheetah", "hopper", "humanoid", "humanoidstandup", "inverted_double_pendulum", "inverted_pendulum"),
    *("pusher", "reacher", "swimmer", "walker2d"),
)
# On brax's backend of springs, several times faster to compile and to run than `generalized`, on which the others are.
SPRING = ("ant", "halfcheetah", "hopper", "humanoid", "humanoidstandup", "walker2d")


def installed() -> bool:
    """Return whether the package is."""
    return find_spec("brax") is not None


def made(name: str) -> Any:
    """Return the environment of a name of brax.

    Raises:
      ValueError: if the package, or one that it needs, is not installed.
    """
    try:
        return Lazy("envs.adapters.brax:named", {"name": name})()
    except ModuleNotFoundError as error:
        raise ValueError(
            f"environment 'brax/{name}' needs the package {error.name!r}, which is not installed: {EXTRA}"
        ) from error


for _name in NAMES:
    register(f"brax/{_name}", Lazy(f"{__name__}:made", {"name": _name}), available=installed)
leave_out("brax/fast", "it has no physics: it is brax's stand-in for its own tests")
