"""Who has a folder, where the file system knows no locks: a file whose holder renews its time, and that expires.

Times are the file system's own, so that clocks of machines may differ.
"""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from r2i_jit import whole_files

EXPIRES = 120.0  # seconds after its last renewal
RENEWED = 20.0  # seconds between two
SETTLES = 1.0  # seconds until of several that take an expired one all see who was last


class Taken(OSError):
    """Somebody else has it; the message says who."""


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lease `path` and renew it by a thread until the end.

    Raises:
      Taken: if it is another's and has not expired.
      OSError: if it cannot be written.
    """
    own = f"{socket.gethostname()} pid {os.getpid()} {uuid.uuid4().hex}"
    _take(path, own)
    over = threading.Event()
    thread = threading.Thread(target=_renew, args=(path, own, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(OSError):
            if path.read_text(encoding="utf-8") == own:
                path.unlink()


def is_held(path: Path) -> bool:
    """Return whether somebody has the lease."""
    try:
        return _age(path) < EXPIRES
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _take(path: Path, own: str) -> None:
    try:
        return whole_files.create(path, own.encode())
    except FileExistsError:
        if is_held(path):
            raise Taken(_holder(path)) from None
    whole_files.replace(path, own.encode(), many=True)
    time.sleep(SETTLES)
    if path.read_text(encoding="utf-8") != own:
        raise Taken(_holder(path))


def _holder(path: Path) -> str:
    try:
        return " ".join(path.read_text(encoding="utf-8", errors="replace").split()[:-1])
    except OSError:
        return "somebody"


def _age(path: Path) -> float:
    """Return the seconds since a file was written, by the clock of its file system."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        probe.touch()
        now = probe.stat().st_mtime
    except OSError:  # no right to write there: by our own clock
        now = time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return now - path.stat().st_mtime


def _renew(path: Path, own: str, over: threading.Event) -> None:
    while not over.wait(RENEWED):
        with contextlib.suppress(OSError):  # a server that is away for a moment; what has expired is another's then
            if path.read_text(encoding="utf-8") == own:
                os.utime(path)
