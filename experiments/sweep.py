"""Sweep hyper-parameters: `python -m experiments.sweep popgym --grid hypers.model_lr=1e-4,3e-4 --seeds 2`.

Every combination of the given values times every seed is one row of one vmapped program: it compiles once and runs
together. Only `hypers.*` keys can be swept so; a key that shapes the program needs a run of its own. Seed s has the
same PRNG key under every combination, and is evaluated on the same episodes, so settings are compared on equal draws.
"""

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.drawing.filming import filmer
from experiments.running import cli, process, signals
from experiments.running.starting import start


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("sweep"), __doc__)
    cli.add_run_arguments(parser)
    parser.add_argument(
        "--grid", nargs="+", action="extend", default=[], metavar="KEY=V1,V2,...", help="values of a hypers.* key"
    )
    args = cli.parse_run(parser, argv)
    if not args.grid and not args.resume:
        parser.error("give at least one --grid hypers.KEY=V1,V2,...")
    with signals.StopSignal(args.max_time) as stop:
        code, path, result = start(args, stop, "sweep", lambda config, seeds: members(config, args.grid, seeds), filmer)
    if result is not None:
        from experiments.drawing.curves import show_run

        show_run(path)
        print(_write_results(path, result))
    return code


def members(config: Any, grid: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    """Return every combination of the grid's values times every seed, seeds innermost; exit 2 on a bad grid."""
    from experiments.running import asking
    from r2i_jit.config import ConfigError, flatten

    axes: dict[str, list[float]] = {}
    for text in grid:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            cli.fail(f"--grid {text!r}: expected key=value,value such as hypers.model_lr=1e-4,3e-4")
        try:
            settings = [flatten(config.override([f"{key}={value}"]).to_dict())[key] for value in values.split(",")]
        except ConfigError as error:
            cli.fail(f"--grid: {error}")
        asking.refuse_unread(config, [key], "--grid")
        if not key.startswith("hypers."):
            cli.fail(f"--grid {key}: it shapes the compiled program; start separate runs with --set {key}=... instead")
        if key in axes or len(set(settings)) < len(settings):
            cli.fail(f"--grid {text!r}: {key} is given a value twice")
        axes[key] = settings
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return [{**combination, "seed": seed} for combination in combinations for seed in range(seeds)]


def results(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one entry per combination, best mean return first, those with a diverged seed last, without a mean."""
    import numpy as np

    groups: dict[tuple[tuple[str, float], ...], list[float | None]] = {}
    for row in evaluation["members"]:
        setting = tuple((key, row[key]) for key in row if key.startswith("hypers."))
        groups.setdefault(setting, []).append(row["mean"])
    entries = []
    for setting, seeds in groups.items():
        means = [mean for mean in seeds if mean is not None]
        # Where a seed has diverged, the mean of the others would flatter the setting.
        mean = float(np.mean(means)) if len(means) == len(seeds) else None
        stderr = float(np.std(means, ddof=1) / len(means) ** 0.5) if mean is not None and len(means) > 1 else None
        entries.append({**dict(setting), "mean": mean, "stderr": stderr, "seeds": seeds})
    return sorted(entries, key=lambda entry: math.inf if entry["mean"] is None else -entry["mean"])


def _write_results(path: Path, evaluation: dict[str, Any]) -> str:
    """Write sweep.json and sweep.md into the run directory and return the table."""
    from experiments.running.display import table
    from experiments.running.evaluation import shown
    from experiments.running.rundir import replace_text

    entries = results(evaluation)
    keys = [key for key in entries[0] if key.startswith("hypers.")]
    body = [
        [f"{entry[key]:.10g}" for key in keys]
        + ["-" if entry["mean"] is None else shown(entry["mean"], entry["stderr"])]
        + [" ".join("diverged" if mean is None else f"{mean:.3f}" for mean in entry["seeds"])]
        for entry in entries
    ]
    text = table([*keys, "return (mean ± s.e. over seeds)", "per seed"], body)
    replace_text(path / "sweep.json", json.dumps(entries, indent=2) + "\n")
    replace_text(path / "sweep.md", text + "\n")
    return text


if __name__ == "__main__":
    process.run(main)
