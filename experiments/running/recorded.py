"""What a run has recorded, those of its shards as one."""

from pathlib import Path
from typing import Any

from experiments.running import evaluation, rundir
from experiments.running.runinfo import RunInfo
from r2i_jit import metrics, shards


def rows(path: Path, name: str = "metrics.jsonl", lists: bool = False) -> list[dict[str, Any]]:
    """Return the rows of a run's log, one shard's after another's.

    Raises:
      OSError: if one that is there cannot be read.
    """
    return [row for folder in shards.folders(path) for row in metrics.read(folder / name, lists)]


def missing(path: Path) -> list[str]:
    """Return the names of a run's shards that have not begun."""
    return [folder.name for folder in shards.folders(path) if not rundir.is_run(folder)]


def members(path: Path, info: RunInfo) -> list[dict[str, Any]]:
    """Return the members of a run whose shards have begun."""
    if not info.shards:
        return info.members
    there = {row for folder in shards.folders(path) if rundir.is_run(folder) for row in rundir.load(folder)[1].rows}
    return [member for row, member in enumerate(info.members) if row in there]


def reached(path: Path) -> int:
    """Return how far a run got, as the last line of its log and its evaluation say; of one in shards the least."""
    found = []
    for folder in shards.folders(path):
        document = evaluation.read_document(folder / "evaluation.json")
        steps = [row["env_steps"] for row in metrics.read(folder / "metrics.jsonl")[-1:]]
        found.append(max([*steps, 0 if document is None else document["env_steps"]]))
    return min(found, default=0)


def ends(path: Path) -> list[int]:
    """Return the steps at which a run's shards were evaluated; one number where they are equally far."""
    found = [evaluation.read_document(folder / "evaluation.json") for folder in shards.folders(path)]
    return sorted({document["env_steps"] for document in found if document is not None})


def evaluated(path: Path) -> dict[str, Any] | None:
    """Return a run's evaluation.json; None if there is none, or it does not read.

    Of a run in shards it is that of all shards that have one, at the steps that the last of these had then; `missing`
    names those without one.
    """
    folders = shards.folders(path)
    if folders == [path]:
        return evaluation.read_document(path / "evaluation.json")
    there = {
        folder: document for folder in folders if (document := evaluation.read_document(folder / "evaluation.json"))
    }
    if not there:
        return None
    places = [row for folder in there for row in rundir.load(folder)[1].rows]
    first, *_ = there.values()
    return {
        "env": first["env"],
        "env_steps": min(document["env_steps"] for document in there.values()),
        **evaluation.joined(list(there.values()), places),
        "references": first.get("references"),
        "missing": [folder.name for folder in folders if folder not in there],
    }
