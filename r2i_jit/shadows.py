"""Whether Python finds our packages where they are: their names are common ones, and the first one found wins."""

import importlib.util
from pathlib import Path


def refuse_shadows(*packages: str) -> None:
    """Raise if a package that lies beside this one is, as Python finds it, somebody else's.

    A project may have a folder of the same name beside the script that it runs, or where `python -m` is called.

    Raises:
      ImportError: naming both.
    """
    root = Path(__file__).resolve().parents[1]
    for package in packages:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            continue
        theirs, ours = Path(found.origin).resolve(), root / package / "__init__.py"
        if theirs != ours:
            shown = theirs.parent if theirs.name == "__init__.py" else theirs
            raise ImportError(
                f"{shown} shadows the package {package!r} of r2i-jit ({ours.parent}): rename it or start from another "
                "folder; as `r2i COMMAND`, commands are safe from it"
            )
