"""The episodes of bsuite that the runs in a folder have played, as `report` takes them."""

from collections.abc import Iterator
from pathlib import Path

from envs import registry
from experiments.bsuite import tags
from experiments.bsuite.columns import EpisodeLog
from experiments.running import episodes, rundir
from r2i_jit import metrics

SUITE = "bsuite/"
_NAMES = {episodes.RETURN: "return", episodes.LENGTH: "length"}


def logs(folder: Path) -> list[EpisodeLog]:
    """Return what every agent in the run directories of a folder has played, of the settings that bsuite scores.

    Passed over are runs without an `episodes.jsonl`, and settings beyond bsuite's own, such as `bsuite/memory_len_300`.

    Raises:
      OSError: if a log cannot be read.
      ValueError: if one lacks what its score is computed from.
    """
    return [log for path in sorted(folder.glob("*/run.json")) for log in _of_run(path.parent)]


def _of_run(path: Path) -> Iterator[EpisodeLog]:
    config, info = rundir.load(path)
    if info.log_episodes is None or not config.env.startswith(SUITE):
        return
    rows = metrics.read(path / episodes.NAME, lists=True)
    for member in info.members:
        bsuite_id = registry.canonical(member.get("env", config.env)).removeprefix(SUITE)
        if bsuite_id.rpartition("/")[0] not in tags.EXPERIMENTS:
            continue
        columns = episodes.joined(rows, member)
        if columns:
            yield EpisodeLog(
                bsuite_id, member["seed"], {_NAMES.get(name, name): column for name, column in columns.items()}
            )
