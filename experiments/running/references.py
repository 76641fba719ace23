"""Known returns of an environment: random, best known and published, each with its source."""

import functools
import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("reference_returns.json")


@functools.cache
def _table() -> dict[str, Any]:
    return json.loads(_FILE.read_text(encoding="utf-8"))


def references(env: str) -> dict[str, Any]:
    """Return what is known of `env`.

    `random`, `best` and for mazes `oracle` (each mean, label, source), `published` (agent -> mean), `curves` (agent ->
    [environment steps, mean] of training, points of a published curve), and `players`: scripted player on the original
    -> [mean return, standard deviation over episodes, number of episodes].

    An environment that is not in the table has none: the result is empty.
    """
    return _table()["envs"].get(env, {})


def sources() -> dict[str, str]:
    """Return what the names of the sources stand for."""
    return _table()["sources"]


def lines(env: str) -> list[tuple[str, float]]:
    """Return (label, return) of the reference lines of a plot: random play, our oracle and the best known play."""
    known = references(env)
    return [(known[name]["label"], known[name]["mean"]) for name in ("random", "oracle", "best") if name in known]


def summary(env: str) -> str:
    """Return one line for the terminal, or an empty text if nothing is known."""
    parts = [f"{label} {mean:.3f}" for label, mean in lines(env)]
    published = [f"{agent} {mean:.2f}" for agent, mean in references(env).get("published", {}).items()]
    return "; ".join(parts + [f"published: {', '.join(published)}"] * bool(published))
