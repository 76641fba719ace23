"""Files that are there whole or not at all."""

import os
from pathlib import Path


def replace(path: Path, data: bytes) -> None:
    """Write a file through a temporary one beside it, so that a kill leaves the old contents or the new.

    Raises:
      OSError: if that fails.
    """
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
