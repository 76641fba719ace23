"""What values a key of the config may have: a range beside its definition, checks of values, and reading of texts.

A numeric field is made by `count`, `within`, `positive`, `not_negative` or `share`, which put a `Range` in its
metadata. Numbers become float32 and int32 in the compiled program, so what those cannot hold is outside of every range.
"""

import contextlib
import dataclasses
import functools
import json
import math
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np

_FLOAT_MOST = float(np.finfo(np.float32).max)
_FLOAT_LEAST = float(np.finfo(np.float32).tiny)  # above 0: what is smaller counts as 0 in compiled programs
_SHOWN = 60  # characters of a value in a message
_NOUNS = {int: "a whole number", float: "a finite number"}


class ConfigError(ValueError):
    """A configuration that cannot be built; its message is one line for the user."""


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    noun: str = "a number"

    def __str__(self) -> str:
        """Say what is inside, as in "expected ..."."""
        if self.high < _FLOAT_MOST and self.low != _FLOAT_LEAST:
            low, high = (end if isinstance(end, int) else f"{end:g}" for end in self[:2])
            return f"{self.noun} from {low} to {high}"
        least = "above 0" if self.low == _FLOAT_LEAST else f"of at least {self.low:g}"
        return f"{self.noun} {least}" + (f" and at most {self.high:g}" if self.high < _FLOAT_MOST else "")


class Key(NamedTuple):
    """How a key is declared: its type, and its range if it is a number."""

    kind: Any
    range: Range | None


def count(default: int, most: int, least: int = 1) -> Any:
    """Declare a whole number."""
    return _field(default, Range(least, most, "a whole number"))


def within(default: float, low: float, high: float) -> Any:
    """Declare a number between two ends, which it may be."""
    return _field(default, Range(low, high))


def share(default: float) -> Any:
    """Declare a part of a whole."""
    return _field(default, Range(0, 1, "a share,"))


def positive(default: float, most: float = _FLOAT_MOST) -> Any:
    """Declare a number above 0."""
    return _field(default, Range(_FLOAT_LEAST, most))


def not_negative(default: float, most: float = _FLOAT_MOST) -> Any:
    """Declare a number that may be 0."""
    return _field(default, Range(0, most))


def _field(default: float, limits: Range) -> Any:
    return dataclasses.field(default=default, metadata={"range": limits})


@functools.cache
def keys_of(group: type) -> dict[str, Key]:
    """Return how the fields of a group's class are declared."""
    kinds = get_type_hints(group)
    return {field.name: Key(kinds[field.name], field.metadata.get("range")) for field in dataclasses.fields(group)}


def check(name: str, key: Key, value: Any) -> None:
    """See that a value is of its key's kind and in its range.

    Raises:
      ConfigError: if it is not, naming key, value and what would be right.
    """
    if get_origin(key.kind) is Literal:
        fits, wanted = value in get_args(key.kind), f"one of {', '.join(map(str, get_args(key.kind)))}"
    elif key.kind in (bool, str):
        fits, wanted = isinstance(value, key.kind), "true or false" if key.kind is bool else "a text"
    else:
        fits, wanted = _fits(key, value)
    if not fits:
        raise ConfigError(f"{name}={shown(value)}: expected {wanted}")


def _fits(key: Key, value: Any) -> tuple[bool, str]:
    """Return whether a number is one and in its range, and what would be."""
    assert key.range is not None, "every number has a range"
    kinds = (int, np.integer) if key.kind is int else (int, float, np.integer, np.floating)
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    if not is_number or value != value or abs(value) == math.inf:
        return False, _NOUNS[key.kind]
    wanted = str(key.range)
    too_large = value > key.range.high == _FLOAT_MOST
    if too_large or 0 < value < key.range.low == _FLOAT_LEAST:
        wanted += f" that float32 can hold, {_FLOAT_LEAST:.2g} to {_FLOAT_MOST:.2g}"
    return bool(key.range.low <= value <= key.range.high), wanted


def read_text(name: str, key: Key, text: str) -> Any:
    """Return the value that a text on the command line stands for, unchecked if it is no number.

    Raises:
      ConfigError: for a text that is no number where one is expected.
    """
    if key.kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if key.kind not in (int, float):
        return text
    with contextlib.suppress(ValueError):
        if key.kind is int:
            return int(text)
    with contextlib.suppress(ValueError):
        number = float(text)
        if math.isfinite(number) and (key.kind is float or number.is_integer()):
            return key.kind(number)
    raise ConfigError(f"{name}={shown(text)}: expected {_NOUNS[key.kind]}")


def read_json(text: str) -> Any:
    """Return the value that a JSON text stands for.

    Raises:
      ConfigError: for a text that is no JSON, saying where, or has a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except ConfigError:
        raise
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        reason = "brackets in brackets without end"
    except ValueError as error:  # a number of thousands of digits, or bytes that are no text
        reason = " ".join(str(error).split())
    raise ConfigError(f"the config is no JSON text ({reason})")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, in which no key may be twice."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ConfigError(f"config key {shown(name)} is given twice")
        values[name] = value
    return values


def shown(value: Any) -> str:
    """Return a value as it stands in a message: one line, cut if it is long."""
    try:
        text = repr(value.item() if isinstance(value, np.generic) else value)
    except (ValueError, RecursionError):  # digits without end, or lists in lists
        return f"({type(value).__name__})"
    text = " ".join(text.splitlines())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
