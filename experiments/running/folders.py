"""Folders of runs, as `suite` and `compare` make them: where each run lies, and whether it is over."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.running import cli


def folder(out: Path, env_id: str) -> Path:
    """Return the run directory of an environment, or of the settings that an argument stands for."""
    return out / re.sub("[/:]", "-", env_id.partition("/")[2] or env_id)


def is_over(document: dict[str, Any] | None, rows: Sequence[dict[str, Any]], steps: int, minutes: float | None) -> bool:
    """Return whether a run has been evaluated at the steps, or after the minutes, that it is to have.

    Args:
      document: what `recorded.evaluated` gives.
      rows: its log.
      steps: that it is to have.
      minutes: the same; None for no limit.
    """
    if document is None or document.get("missing"):
        return False
    step = document["env_steps"]
    return step >= steps or (minutes is not None and minutes_until(rows, step) >= minutes)


def log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's log; none if it cannot be read."""
    from experiments.running import recorded

    try:
        return recorded.rows(path)
    except OSError:
        return []


def minutes_trained(path: Path) -> float:
    """Return how long a run has been trained, by its log; 0 if it is not known."""
    return minutes_until(log(path), cli.MOST_STEPS)


def minutes_until(rows: Sequence[dict[str, Any]], step: int) -> float:
    """Return how long a run had been trained at a step, by its log; 0 if it is not known."""
    return max((row.get("wall_seconds") or 0.0 for row in rows if row["env_steps"] <= step), default=0.0) / 60
