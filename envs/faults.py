"""Saying in one line what went wrong in a user's own code, and where."""

import site
import sysconfig
import traceback
from pathlib import Path

_OURS = Path(__file__).parents[1]
_LIBRARIES = [
    Path(place).resolve()
    for place in {*sysconfig.get_paths().values(), *site.getsitepackages()}
    if Path(place).resolve() not in (Path("/"), *_OURS.parents, _OURS)
]
_OWN = ("envs", "experiments", "r2i_jit")


def place(error: BaseException) -> str | None:
    """Return `file:line` of the innermost frame that is neither in a library nor in this package; None if none is."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        ours = any(path.is_relative_to(_OURS / name) for name in _OWN)
        if path.is_file() and not ours and not any(path.is_relative_to(library) for library in _LIBRARIES):
            return f"{path.name}:{frame.lineno}"
    return None


def described(error: BaseException) -> str:
    """Return an error as one line: its kind, the first line of its text, and its place in the user's code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError: {error.msg} ({Path(error.filename).name}:{error.lineno})"
    text = (str(error).strip().splitlines() or [""])[0]
    where = place(error)
    return f"{type(error).__name__}{f': {text}' if text else ''}{f' ({where})' if where else ''}"
