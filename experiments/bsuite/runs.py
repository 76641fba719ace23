"""The episodes of bsuite that the runs in a folder have played, as `report` takes them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from envs import registry
from experiments.bsuite import tags
from experiments.bsuite.columns import EpisodeLog
from experiments.running import cli, episodes, recorded, rundir
from r2i_jit import shards

SUITE = "bsuite/"
_NAMES = {episodes.RETURN: "return", episodes.LENGTH: "length"}


def logs(folder: Path) -> list[EpisodeLog]:
    """Return what every agent in the run directories of a folder has played, of the settings that bsuite scores.

    Passed over are runs that were to keep no episodes, and settings beyond bsuite's own, such as
    `bsuite/memory_len_300`. Where a log has lost lines, or is lost itself, a note says so: only the episodes before
    the first lost one are taken.

    Raises:
      OSError: if a log cannot be read.
      ValueError: if one lacks what its score is computed from.
    """
    return [log for path in sorted(folder.glob("*/run.json")) for log in _of_run(path.parent)]


def _of_run(path: Path) -> Iterator[EpisodeLog]:
    config, info = rundir.load(path)
    if info.log_episodes is None or not config.env.startswith(SUITE):
        return
    rows = recorded.rows(path, episodes.NAME, lists=True)
    step = recorded.reached(path)
    for member in recorded.members(path, info):
        bsuite_id = registry.canonical(member.get("env", config.env)).removeprefix(SUITE)
        if bsuite_id.rpartition("/")[0] not in tags.EXPERIMENTS:
            continue
        columns = episodes.joined(rows, member)
        kept, had = len(columns.get(episodes.RETURN, ())), _counted(rows, member)
        if kept < had:
            cli.note(f"{path / episodes.NAME} has lost lines: {bsuite_id} is scored by {kept:,} of {had:,} episodes")
        if not rows and any(any((folder / "checkpoints").glob("*")) for folder in shards.folders(path)):
            cli.note(f"{path / episodes.NAME} is lost: {bsuite_id} has no score")
        if kept and kept == had and (ends := _end(rows, member)) < step and not rundir.is_held(path):
            cli.note(
                f"{path / episodes.NAME} ends at step {ends:,} of {step:,}: {bsuite_id} is scored by the {kept:,} "
                "episodes before"
            )
        if columns:
            yield EpisodeLog(
                bsuite_id, member["seed"], {_NAMES.get(name, name): column for name, column in columns.items()}
            )


def _end(rows: Sequence[dict[str, Any]], member: dict[str, Any]) -> int:
    """Return the step of a member's last line."""
    return [row for row in rows if episodes.of_member(row, member)][-1]["env_steps"]


def _counted(rows: Sequence[dict[str, Any]], member: dict[str, Any]) -> int:
    """Return how many episodes of a member there were, as its last line says."""
    own = [row for row in rows if episodes.of_member(row, member)]
    return own[-1][episodes.BEFORE] + len(own[-1][episodes.RETURN]) if own else 0
