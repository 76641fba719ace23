"""Recall to Imagine, end to end in one compiled program."""

import importlib
from typing import TYPE_CHECKING, Any

from r2i_jit.shadows import refuse_shadows

if TYPE_CHECKING:
    from r2i_jit.config import Config, ConfigError, Hypers
    from r2i_jit.policy import LoadError, TrainedPolicy, load
    from r2i_jit.trainer import Trainer, TrainState

__all__ = ["Config", "ConfigError", "Hypers", "LoadError", "TrainState", "TrainedPolicy", "Trainer", "load"]

# Imported when they are first asked for: the trainer brings in the environments, a config JAX, and neither may be there
# to read a line that says what is wrong.
_HOMES = {
    "Config": "config",
    "ConfigError": "config",
    "Hypers": "config",
    "LoadError": "policy",
    "TrainedPolicy": "policy",
    "load": "policy",
    "TrainState": "trainer",
    "Trainer": "trainer",
}


def __getattr__(name: str) -> Any:
    """Import a public name."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"r2i_jit.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


refuse_shadows("envs")
