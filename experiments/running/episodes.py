"""`episodes.jsonl`: every episode that a run's members played, one after another, prefill included.

One line per chunk and member, with lists that have an entry for each episode that ended in it: `episode_return`,
`episode_length`, and the sums of the numbers that the environment gives as `info`; `episodes_before` counts those of
the lines before. The first line of a member is of the random play before it learns. Episodes that end at the same step
stand in the order of the environments.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2i_jit import metrics as sinks

NAME = "episodes.jsonl"
RETURN, LENGTH, BEFORE = "episode_return", "episode_length", "episodes_before"


class EpisodeLog:
    """Appends the episodes of each member to a run's `episodes.jsonl`, until it has enough of that member's.

    Raises:
      LogError: from any method, if the file cannot be written.
    """

    def __init__(self, folder: Path, step: int, members: Sequence[dict[str, Any]], most: int) -> None:
        """Cut the file after environment step `step` (-1: begin a new one), and open it.

        Args:
          folder: the run directory.
          step: that of the checkpoint which the run goes on from, or -1.
          members: of the run.
          most: episodes that are kept of each member, the first ones.
        """
        path = folder / NAME
        earlier = sinks.truncate(path, step, members if step >= 0 else (), lists=True)
        self._members, self._most = list(members), most
        own = [[row for row in earlier if of_member(row, member)] for member in members]
        self._counts = [rows[-1][BEFORE] + len(rows[-1][RETURN]) if rows else 0 for rows in own]
        self._file = sinks.JsonLines(path)

    def write(self, step: int, ended: Any) -> None:
        """Append what ended in a chunk, or in the prefill.

        Args:
          step: environment steps per member after it.
          ended: a `rollout.Ended`, leaves (members, steps, envs).
        """
        rows = []
        for index, member in enumerate(self._members):
            columns = _columns(ended, index, self._most - self._counts[index])
            rows.append({sinks.STEP: step, **member, BEFORE: self._counts[index], **columns})
            self._counts[index] += len(columns[RETURN])
        self._file.write(rows)

    def flush(self) -> None:
        """Force the lines to the disk, as before a checkpoint that claims them."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()


def of_member(row: dict[str, Any], member: dict[str, Any]) -> bool:
    """Return whether a line is a member's."""
    return all(row.get(name) == value for name, value in member.items())


def read(folder: Path, member: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the episodes of one member of a run, in order: name -> (episodes,); none where there is no file.

    Raises:
      OSError: if the file cannot be read.
    """
    return joined(sinks.read(folder / NAME, lists=True), member)


def joined(rows: Sequence[dict[str, Any]], member: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the episodes of one member from all lines, up to the first line that is missing: name -> (episodes,)."""
    own, count = [], 0
    for row in rows:
        if of_member(row, member):
            if row[BEFORE] != count:
                break
            count += len(row[RETURN])
            own.append(row)
    names = [name for name, value in (own[0] if own else {}).items() if isinstance(value, list)]
    return {name: np.array([value for row in own for value in row[name]]) for name in names}


def _columns(ended: Any, index: int, most: int) -> dict[str, list[float]]:
    """Return the first `most` episodes of a member that ended, by step and then by environment."""
    where = np.nonzero(np.asarray(ended.is_last[index]))
    where = tuple(axis[: max(0, most)] for axis in where)
    arrays = {RETURN: ended.episode_return, LENGTH: ended.episode_length, **ended.sums}
    return {name: np.asarray(array[index])[where].tolist() for name, array in arrays.items()}
