"""The folder of compiled programs, which all processes of a user share: bounded, and free of what a kill has torn.

JAX writes an entry in place and never again. A process that is killed while it does so leaves one that does not read:
nothing is computed wrongly then, but every later run warns and compiles anew. Such a warning is taken as the occasion
to look through the folder.
"""

import atexit
import contextlib
import os
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

MOST = 2 * 2**30  # bytes
_EVERY = 24 * 3600  # seconds between two looks at how large it is
_LOOKED = "last-looked"
_kept = set[Path]()  # of which this process hears the warnings
_WARNING = "Error reading persistent compilation cache entry"


def keep(folder: Path) -> None:
    """Keep the folder bounded, and whole from now on."""
    with contextlib.suppress(OSError):  # a run does not hang on it
        _bound_now_and_then(folder)
    if folder in _kept:
        return
    _kept.add(folder)
    shown = warnings.showwarning

    def show(message: Any, *args: Any, **more: Any) -> None:
        if str(message).startswith(_WARNING):
            atexit.register(mend, folder)
        else:
            shown(message, *args, **more)

    warnings.showwarning = show


def _bound_now_and_then(folder: Path) -> None:
    looked = folder / _LOOKED
    with contextlib.suppress(FileNotFoundError):
        if 0 <= time.time() - looked.stat().st_mtime < _EVERY:
            return
    looked.touch()
    bound(folder, MOST)


def bound(folder: Path, most: int) -> None:
    """Delete the entries that were not used for longest, until those that are left take `most` bytes."""
    with os.scandir(folder) as entries:
        found = [(entry.path, entry.stat()) for entry in entries if entry.is_file() and entry.name != _LOOKED]
    # Reading does not always move st_atime: on many file systems once a day.
    found.sort(key=lambda pair: max(pair[1].st_atime, pair[1].st_mtime), reverse=True)
    kept = 0
    for path, status in found:
        kept += status.st_size
        if kept > most:
            Path(path).unlink(missing_ok=True)


def mend(folder: Path) -> None:
    """Delete the entries that do not read, unless somebody may be writing them."""
    with contextlib.suppress(OSError):
        for path in folder.glob("*-cache"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > 60 and not _is_whole(path.read_bytes()):
                    path.unlink()


def _is_whole(entry: bytes) -> bool:
    """Return whether an entry can be unpacked; where it was packed by something else than zlib, if it has bytes."""
    if not entry.startswith(b"\x78"):
        return bool(entry)
    try:
        zlib.decompress(entry)
    except zlib.error:
        return False
    return True
