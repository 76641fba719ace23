"""Recall to Imagine, end to end in one compiled program."""

from typing import TYPE_CHECKING, Any

from r2i_jit.config import Config, ConfigError, Hypers

if TYPE_CHECKING:
    from r2i_jit.trainer import Trainer, TrainState

__all__ = ["Config", "ConfigError", "Hypers", "TrainState", "Trainer"]


def __getattr__(name: str) -> Any:
    """Import the trainer when it is first asked for: it brings in the environments, and a config needs neither."""
    if name in ("TrainState", "Trainer"):
        from r2i_jit import trainer

        return getattr(trainer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
