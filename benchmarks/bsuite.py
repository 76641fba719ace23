"""Steps per second of each bsuite experiment, next to the original in the same run. Prints a markdown table.

    python -m benchmarks bsuite --original ~/bsuite/bin/python --seconds 0.3

Ours: as in `python -m benchmarks envs`. The original: one environment as `bsuite.load_from_id` makes it, without a
logger, in one process of a Python that has bsuite 0.3.6; actions drawn beforehand, resets included.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import jax

import envs
from benchmarks.envs import steps_per_second
from benchmarks.machine import describe
from envs.bsuite import EXPERIMENTS

SCRIPT = Path(__file__).with_name("original_bsuite.py")


def original_rate(python: str, env_id: str, seconds: float) -> float | None:
    """Time the original of one of our ids in another process; None if it cannot be, which is said on stderr."""
    words = [python, "-I", "-W", "ignore", str(SCRIPT), env_id.removeprefix("bsuite/"), str(seconds)]
    try:
        found = subprocess.run(words, capture_output=True, text=True)
    except OSError as error:
        raise SystemExit(f"--original {python}: {error.strerror}; it should be a Python that has bsuite") from error
    if found.returncode:
        reason = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{env_id}: the original was not measured: {reason}", file=sys.stderr)
        return None
    return float(found.stdout.split()[-1])


def row(env_id: str, original: float | None, ours: list[float]) -> list[str]:
    """Return the table's cells of one environment: rates, then the best of ours by the original's."""
    times = f"{max(ours) / original:,.0f}" if original else "-"
    return [env_id, *(f"{rate:,.0f}" if rate else "-" for rate in (original, *ours)), times]


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks bsuite", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    first = [f"bsuite/{experiment}/0" for experiment in EXPERIMENTS]
    parser.add_argument("--ids", nargs="+", default=first, metavar="ID", help="default: the first of each experiment")
    parser.add_argument("--original", default=sys.executable, metavar="PYTHON", help="default: the one that runs this")
    parser.add_argument(
        "--num-envs", nargs="+", type=int, default=[1, 64, 4096], metavar="N", help="default: 1 64 4096"
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="least time per figure; default: 0.5")
    args = parser.parse_args(argv)
    known = [env_id for env_id in envs.registered() if env_id.startswith("bsuite/")]
    if unknown := [env_id for env_id in args.ids if env_id not in known]:
        parser.error(f"unknown environment {unknown[0]!r}; they are called as in bsuite/catch/0")
    if min(args.num_envs) < 1 or args.seconds <= 0:
        parser.error("--num-envs and --seconds should be positive")

    print(f"Environment steps per second. {describe()}.\n")
    headings = ["environment", "original", *(f"{count:,}" for count in args.num_envs), "best / original"]
    print("| " + " | ".join(headings) + " |")
    print("|---" + "|--:" * (len(headings) - 1) + "|")
    for env_id in args.ids:
        original = original_rate(args.original, env_id, args.seconds)
        ours = [steps_per_second(env_id, count, "whole", args.seconds) for count in args.num_envs]
        print("| " + " | ".join(row(env_id, original, ours)) + " |", flush=True)
        jax.clear_caches()


if __name__ == "__main__":
    main()
