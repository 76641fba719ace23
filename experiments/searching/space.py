"""What is searched: hyper-parameters by name, each with its range, as `--param` says it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.running import cli

_HOW = "expected KEY=LOW:HIGH or KEY=LOW:HIGH:log, such as hypers.model_lr=1e-4:1e-2:log"


class Param(NamedTuple):
    """One hyper-parameter: its key in the config, the ends of its range, and whether it is drawn on a log scale."""

    key: str
    low: float
    high: float
    log: bool

    def __str__(self) -> str:
        return f"{self.key}={self.low:g}:{self.high:g}{':log' * self.log}"


def parse(texts: Sequence[str], config: Any) -> list[Param]:
    """Return what `--param` asks for; exit 2 with one line if it is wrong, or outside of what the config allows."""
    found: dict[str, Param] = {}
    for text in texts:
        param = _parse(text, config)
        if param.key in found:
            cli.fail(f"--param {text!r}: {param.key} is given twice")
        found[param.key] = param
    return list(found.values())


def _parse(text: str, config: Any) -> Param:
    from experiments.running import asking
    from r2i_jit.config import ConfigError, flatten

    key, equals, words = (part.strip() for part in text.partition("="))
    ends = [word.strip() for word in words.split(":")]
    if log := ends[2:] == ["log"]:
        ends = ends[:2]
    if not equals or len(ends) != 2 or not all(ends):
        cli.fail(f"--param {text!r}: {_HOW}")
    try:
        low, high = (flatten(config.override([f"{key}={end}"]).to_dict())[key] for end in ends)
    except ConfigError as error:
        cli.fail(f"--param: {error}")
    asking.refuse_unread(config, [key], "--param")
    if not key.startswith("hypers."):
        cli.fail(f"--param {key}: it shapes the compiled program; search hypers.* keys, and give this one by --set")
    if not low < high:
        cli.fail(f"--param {text!r}: the range ends at {high:g} and begins at {low:g}; give the smaller number first")
    if log and low <= 0:
        cli.fail(f"--param {text!r}: a log scale has no {low:g}; begin above 0, or leave out :log")
    return Param(key, low, high, log)


def refuse_set(params: Sequence[Param], assignments: Sequence[str]) -> None:
    """Exit 2 if a key is searched and set as well."""
    given = {word.partition("=")[0].strip() for word in assignments}
    for param in params:
        if param.key in given:
            cli.fail(f"{param.key} is given by --param and by --set; leave one out")
