"""The environments of Craftax 1.6 (Matthews et al. 2024, arXiv 2402.16801): `craftax/<its name>`.

They run in the package itself, which is an extra of this one: `envs.adapters.craftax`. The ids are written down here,
so that listing them imports nothing.
"""

from functools import partial
from typing import Any

from envs import extras
from envs.registry import Lazy, register

EXTRA = "pip install 'r2i-jit[craftax]'"
# The package's own ids are Craftax-<name>-v1.
NAMES = ("Classic-Symbolic", "Classic-Pixels", "Symbolic", "Pixels")


def made(name: str) -> Any:
    """Return the environment of a name of the package.

    Raises:
      ValueError: if the package, or one that it needs, is not installed, or its textures cannot be saved.
    """
    try:
        return extras.made(f"craftax/{name}", "envs.adapters.craftax:named", {"name": name}, EXTRA)
    except OSError as error:
        raise ValueError(
            f"environment 'craftax/{name}': the package saves its textures in its own folder, and cannot: {error}"
        ) from error


for _name in NAMES:
    _available = partial(extras.installed, "craftax")
    register(f"craftax/{_name}", Lazy(f"{__name__}:made", {"name": _name}), available=_available)
