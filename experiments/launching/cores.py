"""Cores of this machine, each held by one job at a time, whoever started it.

A scheduler such as Ray counts cores and does not say which. A job that is not pinned would use all of them, as would
every other one.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def held(count: int) -> Iterator[tuple[int, ...]]:
    """Hold so many of the cores that this process may use; where too few are free, those of others besides.

    Yields none where processes cannot be pinned. The kernel lets go of them even after a kill.
    """
    if not hasattr(os, "sched_getaffinity"):
        yield ()
        return
    allowed = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as files:
        free = list[int]()
        for core in allowed:
            if len(free) < count and (file := _taken(core)) is not None:
                files.enter_context(file)
                free.append(core)
        others = [core for core in allowed if core not in free]
        yield tuple([*free, *others][:count])


def _taken(core: int) -> TextIO | None:
    """Return the file by which this process has a core from here on; None if another one has it."""
    folder = Path(tempfile.gettempdir()) / f"r2i-cores-{os.getuid()}"
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / str(core)).open("a", encoding="utf-8")
    except OSError:  # where nothing can be noted, cores are not told apart
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
