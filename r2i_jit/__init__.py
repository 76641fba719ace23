"""Recall to Imagine, end to end in one compiled program."""

from r2i_jit.config import Config, ConfigError, Hypers
from r2i_jit.trainer import Trainer, TrainState

__all__ = ["Config", "ConfigError", "Hypers", "TrainState", "Trainer"]
