"""Known returns of an environment: random, best known and published, each with its source."""

import functools
import json
import re
from pathlib import Path
from typing import Any

from envs import registry

_FILE = Path(__file__).with_name("reference_returns.json")
_BSUITE = Path(__file__).with_name("bsuite_returns.json")  # made by `experiments.oracles.bsuite_returns`


@functools.cache
def _table(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def references(env: str) -> dict[str, Any]:
    """Return what is known of `env`.

    `random`, `best` and for mazes `oracle` (each mean, label, source), `published` (agent -> mean), `curves` (agent ->
    [environment steps, mean] of training, points of a published curve), and `players`: scripted player on the original
    -> [mean return, standard deviation over episodes, number of episodes].

    An environment that is not in the tables has none: the result is empty.
    """
    if env.startswith("bsuite/"):
        return _of_bsuite(env)
    if env.startswith("memory_maze/"):  # another observation of the same game, which no one has published
        whole = env.removesuffix("-rays")
        known = _table(_FILE)["envs"].get(whole, {})
        return known if whole == env else {name: known[name] for name in ("random", "oracle", "best") if name in known}
    return _table(_FILE)["envs"].get(env, {})


def _of_bsuite(env: str) -> dict[str, Any]:
    """Return what is known of a number of an experiment, or of an id that says its setting."""
    from envs.bsuite import ALIASES

    experiment, _, number = ALIASES.get(env, env).removeprefix("bsuite/").partition("/")
    table = _table(_BSUITE)["experiments"]
    if not number and (other := re.fullmatch(r"(\w+)_\d+", experiment)):  # a setting beyond the sweep
        known = table.get(other[1], {})
        return {name: dict(known[name]) for name in ("random", "best") if _alike(known.get(name))}
    known = table.get(experiment)
    if known is None or number not in map(str, range(known["numbers"])):
        return {}
    found: dict[str, Any] = {name: dict(known[name]) for name in ("random", "best")}
    for figure in found.values():
        if isinstance(figure["mean"], list):
            figure["mean"] = figure["mean"][int(number)]
    players = known.get("players", {}).get(number)
    return found if players is None else {**found, "players": players}


def _alike(figure: dict[str, Any] | None) -> bool:
    """Return whether all settings of an experiment have one return, by its rules: those beyond the sweep, too."""
    return figure is not None and not isinstance(figure["mean"], list) and figure["source"] == "bsuite exact"


def sources() -> dict[str, str]:
    """Return what the names of the sources stand for."""
    return {**_table(_FILE)["sources"], **_table(_BSUITE)["sources"]}


def lines(env: str) -> list[tuple[str, float, float]]:
    """Return (label, lowest, highest return) of the reference lines of a plot: random play, our oracle and the best.

    The two differ where `env` stands for several settings (`envs.registry.settings`) that do not pay alike. What is
    not known of all of them is left out.
    """
    try:
        known = [references(setting) for setting in registry.settings(env)]
    except ValueError:  # a name from a file, which there is not
        return []
    names = [name for name in ("random", "oracle", "best") if all(name in figures for figures in known)]
    means = {name: [figures[name]["mean"] for figures in known] for name in names}
    return [(known[0][name]["label"], min(means[name]), max(means[name])) for name in names]


def span(low: float, high: float, digits: int) -> str:
    """Return a number as text, or the two between which numbers lie."""
    ends = dict.fromkeys(f"{end:.{digits}f}" for end in (low, high))
    return " .. ".join(ends)


def summary(env: str) -> str:
    """Return one line for the terminal, or an empty text if nothing is known."""
    parts = [f"{label} {span(low, high, 3)}" for label, low, high in lines(env)]
    published = [f"{agent} {mean:.2f}" for agent, mean in references(env).get("published", {}).items()]
    return "; ".join(parts + [f"published: {', '.join(published)}"] * bool(published))
