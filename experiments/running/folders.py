"""Folders of runs, as `suite` and `compare` make them: where each run lies, and how long it was trained."""

from pathlib import Path


def folder(out: Path, env_id: str) -> Path:
    """Return the run directory of an environment, or of the settings that an argument stands for."""
    return out / env_id.partition("/")[2].replace("/", "-")


def minutes_until(path: Path, step: int) -> float:
    """Return how long a run had been trained at a step, by its log; 0 if it is not known."""
    from r2i_jit import metrics

    try:
        rows = metrics.read(path / "metrics.jsonl")
    except OSError:
        return 0.0
    return max((row.get("wall_seconds") or 0.0 for row in rows if row["env_steps"] <= step), default=0.0) / 60
