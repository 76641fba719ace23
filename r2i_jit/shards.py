"""A run in shards: its members shared out to folders, each a run directory that some process trains by itself.

The run's own folder says what the whole is (config.json, and run.json with all members and the number of shards);
everything that grows with training lies in the shards' folders, `shard-0-of-8` to `shard-7-of-8`. A member is the same
agent however the members are shared out.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def name(number: int, count: int) -> str:
    """Return what the folder of one of `count` shards is called."""
    return f"shard-{number}-of-{count}"


def share(whole: Sequence[Any], number: int, count: int) -> Sequence[Any]:
    """Return what one of `count` shards has of a sequence: one stretch of it, as long as the others' or one longer."""
    return whole[len(whole) * number // count : len(whole) * (number + 1) // count]


def folders(path: Path) -> list[Path]:
    """Return the run directories that a run is made of: its shards' in order, there or not; itself, if it has none."""
    try:
        count = json.loads((path / "run.json").read_text(encoding="utf-8"))["shards"]
        return [path / name(number, count) for number in range(count)] or [path]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
    ):  # what is wrong with a run.json, who reads it says
        return [path]


def of_member(path: Path, member: int) -> tuple[Path, int]:
    """Return in which run directory one of a run's members is, and its place there.

    Raises:
      LookupError: if the run has shards and none that is there has it; a sentence that names the shard.
    """
    there = folders(path)
    if there == [path]:
        return path, member
    for folder in there:
        try:
            rows = json.loads((folder / "run.json").read_text(encoding="utf-8"))["shard"]["rows"]
            if member in rows:
                return folder, rows.index(member)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    missing = [folder.name for folder in there if not (folder / "run.json").is_file()]
    raise LookupError(f"{path} has no agent {member}" + (f"; missing are {', '.join(missing)}" if missing else ""))
