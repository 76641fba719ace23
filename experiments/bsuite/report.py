"""Score bsuite's log files as bsuite does: `python -m experiments.bsuite.report DIR [DIR ...] --out REPORT`.

A DIR is one agent: a folder of bsuite's CSV files, such as `bsuite_id_-_memory_len-17.csv`, or one whose folders have
them, a folder a seed; or a REPORT; or a folder of runs, such as `suite bsuite` makes. The files may be those of the
original's CSV logger. Written are report.md (score, whether finished, settings and episodes of each experiment, and the
mean score by tag), scores.json and radar.png.

bsuite has no seeds beside its settings: the score is computed for each seed by itself, and shown are the mean over
seeds and its standard error.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bsuite import files, radar, scores
from experiments.bsuite.columns import EpisodeLog, Rows, rows
from experiments.bsuite.tags import EXPERIMENTS, TAGS
from experiments.running import cli, process
from experiments.running.display import table
from r2i_jit import whole_files

Seeds = Mapping[str, Mapping[str, Rows]]  # seed -> id -> its rows


def report(logs: Iterable[EpisodeLog], out: Path, agent: str = "agent") -> str:
    """Write an agent's report into a folder: what the command writes, and `csv/seed_<seed>/` with its log files.

    Args:
      logs: of one agent, any seeds and settings, each of them once. Those without an episode are passed over.
      out: the folder.
      agent: its name in the report.

    Returns:
      The text of report.md.

    Raises:
      ValueError: if there is no episode at all, or a setting comes twice.
      OSError: if it cannot be written.
    """
    seeds: dict[str, dict[str, Rows]] = {}
    for log in sorted(logs, key=lambda log: log.seed):
        found = seeds.setdefault(f"seed_{log.seed}", {})
        if log.bsuite_id in found:
            raise ValueError(f"{log.bsuite_id} comes twice for seed {log.seed}: should come once")
        found[log.bsuite_id] = rows(log)
    for stale in out.glob(f"csv/seed_*/{files.PATTERN}"):  # of an earlier report: bsuite would read them as well
        stale.unlink()
    for seed, found in seeds.items():
        for bsuite_id, logged in found.items():
            if len(logged["episode"]):
                files.write(bsuite_id, logged, out / "csv" / seed)
    return write({agent: seeds}, out)


def write(agents: Mapping[str, Seeds], out: Path) -> str:
    """Write report.md, scores.json and radar.png of one or more agents into a folder; return the first one's text.

    Raises:
      ValueError: if an agent has no episode.
      OSError: if it cannot be written.
    """
    found = {name: document(name, seeds) for name, seeds in agents.items()}
    text = "\n\n".join(_section(name, about, heading=len(found) > 1) for name, about in found.items()) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    whole_files.replace(out / "report.md", text.encode())
    whole_files.replace(out / "scores.json", (json.dumps(_plain(found), indent=2) + "\n").encode())
    radar.draw({name: about["tags"] for name, about in found.items()}, out / "radar.png", _note(found))
    return text


def document(agent: str, seeds: Seeds) -> dict[str, Any]:
    """Return what scores.json says of an agent; numbers that there are not are NaN.

    Returns:
      `experiments`: name -> `score` (mean over seeds), `stderr` (of it; NaN for one seed), `seeds` (seed -> score),
      `finished` (as in the original, in every seed), `settings` (the fewest that a seed played) of `settings_all`, and
      `episodes` (the fewest logged in any of them) of `episodes_all`. `tags`: tag -> mean of the experiments' scores.

    Raises:
      ValueError: if there is no episode.
    """
    summaries = {seed: found for seed, logged in seeds.items() if (found := scores.summaries(logged))}
    if not summaries:
        raise ValueError(f"{agent}: there is no finished episode to score")
    experiments: dict[str, dict[str, Any]] = {}
    for name, about in EXPERIMENTS.items():
        played = {seed: found[name] for seed, found in summaries.items() if name in found}
        if not played:
            continue
        values = np.array([summary.score for summary in played.values()])
        error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
        experiments[name] = {
            "score": float(values.mean()),
            "stderr": error,
            "seeds": {seed: summary.score for seed, summary in played.items()},
            "finished": len(played) == len(summaries) and all(summary.finished for summary in played.values()),
            "settings": min(summary.settings for summary in played.values()),
            "settings_all": about.settings,
            "episodes": min(summary.episodes for summary in played.values()),
            "episodes_all": about.episodes,
        }
    by_tag = scores.by_tag({name: entry["score"] for name, entry in experiments.items()})
    return {"experiments": experiments, "tags": by_tag}


def is_complete(entry: Mapping[str, Any]) -> bool:
    """Return whether every setting of an experiment was played to its end."""
    return entry["finished"] and entry["settings"] == entry["settings_all"]


def _section(agent: str, about: Mapping[str, Any], heading: bool) -> str:
    experiments = about["experiments"]
    body = [
        [
            name,
            _number(entry["score"]) + ("" if math.isnan(entry["stderr"]) else f" ± {entry['stderr']:.3f}"),
            "yes" if entry["finished"] else "no",
            f"{entry['settings']} of {entry['settings_all']}",
            f"{entry['episodes']:,} of {entry['episodes_all']:,}",
            ", ".join(EXPERIMENTS[name].tags).replace("_", " "),
        ]
        for name, entry in experiments.items()
    ]
    parts = [table(["experiment", "score", "finished", "settings", "episodes scored", "tags"], body)]
    if incomplete := _incomplete(experiments):
        parts.append(f"Not complete, so that the score is one of what there is: {', '.join(incomplete)}.")
    if missing := [name for name in EXPERIMENTS if name not in experiments]:
        parts.append(f"Not played: {', '.join(missing)}.")
    counts = {tag: [name for name, about in EXPERIMENTS.items() if tag in about.tags] for tag in TAGS}
    lines = [
        [tag.replace("_", " "), _number(about["tags"][tag]), f"{len(experiments.keys() & set(names))} of {len(names)}"]
        for tag, names in counts.items()
    ]
    parts.append(table(["tag", "mean score", "experiments"], lines))
    return "\n\n".join([f"## {agent}"] * heading + parts)


def _incomplete(experiments: Mapping[str, Any]) -> list[str]:
    return [name for name, entry in experiments.items() if not is_complete(entry)]


def _note(agents: Mapping[str, Any]) -> str:
    """Return what the radar says of what is missing."""
    complete = {name: sum(map(is_complete, about["experiments"].values())) for name, about in agents.items()}
    if all(count == len(EXPERIMENTS) for count in complete.values()):
        return ""
    counts = ", ".join((f"{name}: " if len(agents) > 1 else "") + str(count) for name, count in complete.items())
    return f"experiments played to their end: {counts} of {len(EXPERIMENTS)}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _plain(value: Any) -> Any:
    """Return a document with null in the place of NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def load(folder: Path) -> Seeds:
    """Return an agent's rows: of a folder of CSV files, or of its folders that have them. Exits with 2 if none has."""
    if not folder.is_dir():
        cli.fail(f"{folder} is no folder")
    folder = folder / "csv" if (folder / "csv").is_dir() else folder
    found: dict[str, dict[str, Rows]] = {}
    if any(folder.glob("*/run.json")):  # a suite that was stopped has no report of its own yet
        from experiments.bsuite import runs

        try:
            for log in runs.logs(folder):
                found.setdefault(f"seed_{log.seed}", {})[log.bsuite_id] = rows(log)
        except (OSError, ValueError) as error:
            cli.fail(error)
        if not found:
            cli.fail(f"{folder} has runs, and none with episodes of bsuite: `suite` keeps them, `train --log-episodes`")
        return found
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        try:
            logged, unknown = files.read(place)
        except (ValueError, OSError) as error:
            cli.fail(error)
        if unknown:
            cli.note(f"{place}: {', '.join(unknown)} passed over, there is no score for them")
        if logged:
            found[place.name] = logged
    if not found:
        cli.fail(f"{folder} has no file such as {files.file_name('memory_len/17')}, and none of its folders has")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser("python -m experiments.bsuite.report", __doc__)
    parser.add_argument(
        "folders", type=cli.path, nargs="+", metavar="DIR", help="an agent's CSV files or runs; several are compared"
    )
    parser.add_argument("--out", type=cli.path, required=True, metavar="DIR", help="where to write")
    args = parser.parse_args(argv)
    folders = cli.once(args.folders)
    agents = {name: load(folder) for name, folder in zip(cli.names(folders), folders, strict=True)}
    try:
        print(write(agents, args.out), end="")
    except ValueError as error:
        cli.fail(error)
    except OSError as error:
        cli.fail(f"cannot write to {args.out}: {error.strerror or error}")
    return 0


if __name__ == "__main__":
    process.run(main)
