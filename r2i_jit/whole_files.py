"""Files that are there whole or not at all."""

import contextlib
import os
import uuid
from pathlib import Path


def replace(path: Path, data: bytes, *, many: bool = False) -> None:
    """Write a file through a temporary one beside it, so that a kill leaves the old contents or the new.

    Args:
      path: the file.
      data: its contents.
      many: whether several processes may do so at the same time; the last one's contents stay.

    Raises:
      OSError: if that fails.
    """
    temporary = _beside(path) if many else path.with_name(path.name + ".tmp")
    try:
        _write(temporary, data)
        os.replace(temporary, path)
    except OSError:
        if many:
            temporary.unlink(missing_ok=True)
        raise


def create(path: Path, data: bytes) -> None:
    """Write a file that is not there: of several processes that do so at the same time one succeeds.

    Raises:
      FileExistsError: if it is there.
      OSError: if that fails.
    """
    temporary = _beside(path)
    try:
        _write(temporary, data)
        try:
            os.link(temporary, path)  # fails where the name is taken, on network file systems too
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if path.exists():
                raise FileExistsError(path) from None
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
