"""The table of a folder of runs, as `suite`, `compare` and `launch` write it, and a suite's own report."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.running import cli
from experiments.running.folders import folder


def units(suite: str, out: Path, env_ids: Sequence[str]) -> list[str]:
    """Return what is trained, a run each: the runs in the folder that have one of the ids, and the others together."""
    from envs import registry

    there = [unit for unit in in_folder(suite, out, ()) if not set(env_ids).isdisjoint(registry.settings(unit))]
    had = {env_id for unit in there for env_id in registry.settings(unit)}
    return in_order(suite, there + registry.together([env_id for env_id in env_ids if env_id not in had]))


def print_report(suite: str, out: Path) -> None:
    """Print a suite's own scores, where it has some and there are episodes, and write them into the folder `report`."""
    if suite != "bsuite":
        return
    from experiments.bsuite import report, runs

    try:
        logs = runs.logs(out)
        if logs:
            print(f"\nbsuite's own scores (over all episodes since the first), in {out / 'report'}:\n")
            print(report.report(logs, out / "report", out.name), end="")
    except (OSError, ValueError) as error:
        cli.fail(f"no report: {error}")


def write(suite: str, out: Path, env_ids: Sequence[str], failures: dict[str, int]) -> str:
    """Write results.json and results.md from the evaluations of all runs in the folder and return the table."""
    from experiments.running.display import table
    from experiments.running.rundir import replace_text

    runs = in_folder(suite, out, env_ids, damaged=True)
    entries = [found for env_id in runs for found in of_run(out, env_id, failures.get(env_id))]
    replace_text(out / "results.json", json.dumps(entries, indent=2) + "\n")
    columns = ["environment", "return", "otherwise", "score", "steps", "random", "best known"]
    text = table(columns, [[show(value) for value in row(found)] for found in entries])
    replace_text(out / "results.md", text + "\n")
    return text


def in_folder(suite: str, out: Path, env_ids: Sequence[str], damaged: bool = False) -> list[str]:
    """Return the environments that were asked for and those that there are runs of, in the registry's order.

    `damaged` says that a run that does not read is passed over; otherwise it is an error of the user (exit 2).
    """
    from experiments.running import rundir
    from experiments.running.runinfo import RunFileError

    had = []
    for path in sorted(out.glob("*/run.json")):
        try:
            had.append(rundir.read(path.parent)[0].env)
        except RunFileError as error:
            if not damaged:
                cli.fail(error)
    there = [
        env_id for env_id in had if (not suite or env_id.startswith(f"{suite}/")) and rundir.is_run(folder(out, env_id))
    ]
    return in_order(suite, list(dict.fromkeys([*env_ids, *there])))


def in_order(suite: str, env_ids: Sequence[str]) -> list[str]:
    """Return environments, or what stands for several settings, in the registry's order."""
    import envs
    from envs import registry

    known = [env_id for env_id in envs.registered() if env_id.startswith(f"{suite}/")]
    place = {env_id: number for number, env_id in enumerate(known)}
    return sorted(env_ids, key=lambda env_id: place.get(registry.settings(env_id)[0], len(place)))


def of_run(out: Path, env_id: str, failure: int | None) -> list[dict[str, Any]]:
    """Return what is known of each environment of one run: one, or its settings."""
    from envs import registry
    from experiments.running import recorded
    from experiments.running.evaluation import OTHER, mean_over_seeds

    document = recorded.evaluated(folder(out, env_id))
    if document is None or document["env"] != env_id:
        return [entry(setting, failure, {}) for setting in registry.settings(env_id)]
    if len(ids := registry.settings(env_id)) == 1:
        kept = ("greedy", "mean", "stderr", *OTHER, "env_steps")  # what an older version wrote lacks some
        return [entry(env_id, failure, {name: document[name] for name in kept if name in document})]
    steps = {name: document[name] for name in ("greedy", "env_steps") if name in document}
    own = {setting: [row for row in document["members"] if row["env"] == setting] for setting in ids}
    return [entry(setting, failure, mean_over_seeds(rows) | steps) for setting, rows in own.items()]


def entry(env_id: str, failure: int | None, measured: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of one environment, given what was measured: a final evaluation's figures, or nothing."""
    from experiments.running.references import references

    known = references(env_id)
    result: dict[str, Any] = {"env": env_id, "failure": failure, **measured}
    result |= {name: known[name]["mean"] for name in ("random", "best") if name in known}
    if {"random", "best"} <= known.keys() and result.get("mean") is not None:
        result["score"] = (result["mean"] - result["random"]) / (result["best"] - result["random"])
    return result


def row(found: dict[str, Any]) -> list[Any]:
    """Return the table's cells of one environment."""
    from experiments.running.evaluation import OTHER, form, shown

    returned = other = None
    if found.get("mean") is not None:
        returned = shown(found["mean"], found["stderr"])
        if found.get(OTHER[0]) is not None:
            other = f"{form(not found['greedy'])} {shown(*(found[name] for name in OTHER))}"
    elif found["failure"] is not None:
        returned = f"failed (exit {found['failure']})"
    cells = [found.get(name) for name in ("score", "env_steps", "random", "best")]
    return [found["env"], returned, other, *cells]


def show(value: Any) -> str:
    """Return a cell as text; "-" where there is nothing yet."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
