"""Count what the original POPGym draws at its resets and write popgym_resets.json beside this file.

What is counted is said by `statistics` in tests/envs/families. Needs the development extra (popgym 1.0.7). Takes
about ten minutes:

    python -m tests.golden.make_popgym_resets [--resets 20000] [--seed 1] [--games GAME ...]
"""

import argparse
import importlib.metadata
import json
import pathlib
import sys

import numpy as np

from tests.envs import originals
from tests.envs.families import LEVELS, families


def counts(columns: np.ndarray) -> list[list[int]]:
    """Return how often each category occurs, per column of (n,) or (n, k)."""
    return [np.bincount(column).tolist() for column in columns.reshape(len(columns), -1).T]


def main() -> None:
    """Count and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resets", type=int, default=20_000, help="per game and level")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--games", nargs="*", help="only these; the others keep what the file says")
    args = parser.parse_args()
    path = pathlib.Path(__file__).with_name("popgym_resets.json")
    known = json.loads(path.read_text())["counts"] if path.exists() else {}
    for game, family in families().items():
        if args.games and game not in args.games:
            continue
        for level in LEVELS:
            hidden = originals.resets(family, level, args.resets, args.seed)
            known[f"popgym/{game}{level}"] = {
                name: counts(values) for name, values in family.statistics(hidden).items()
            }
            print(game, level, file=sys.stderr)
    source = {name: importlib.metadata.version(name) for name in ("popgym", "gymnasium", "mazelib", "numpy")}
    result = {"source": source, "resets": args.resets, "seed": args.seed, "counts": dict(sorted(known.items()))}
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
