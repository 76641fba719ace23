"""Seconds from the command to the first update: how long a person waits before anything is learned.

    python -m benchmarks start --checkout ../before

`experiments.train` is started in this checkout and in the others, in turn, until the first row of metrics is written;
once without compiled programs in the cache, then with those of the time before.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from experiments.running.display import table

HERE = Path(__file__).parents[1]


def main() -> None:
    """Time the starts and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks start", description=__doc__)
    parser.add_argument("--checkout", type=Path, nargs="*", default=[], help="other checkouts to time in turn")
    parser.add_argument("--repeats", type=int, default=3, help="of each (default: %(default)s)")
    parser.add_argument("words", nargs="*", default=["popgym"], help="for train (default: popgym)")
    args = parser.parse_args()
    checkouts = [HERE, *(path.resolve() for path in args.checkout)]
    times: dict[tuple[Path, str], list[float]] = {}
    for _ in range(args.repeats):
        with tempfile.TemporaryDirectory() as folder:
            for cache in ("empty", "filled"):
                for number, checkout in enumerate(checkouts):
                    seconds = first_row(checkout, args.words, Path(folder) / str(number))
                    times.setdefault((checkout, cache), []).append(seconds)
    print(machine.describe())
    header = ["checkout", "cache", "seconds: median", "least", "most"]
    rows = [
        [checkout.name, cache, *(f"{value:.1f}" for value in (statistics.median(found), min(found), max(found)))]
        for (checkout, cache), found in times.items()
    ]
    print(table(header, rows))


def first_row(checkout: Path, words: list[str], folder: Path) -> float:
    """Return the seconds from the start of `train` to its first row, with a compilation cache in `folder`."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as runs:
        log = Path(runs) / "run" / "metrics.jsonl"
        variables = {"PYTHONPATH": str(checkout), "JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
        variables["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
        begin = time.monotonic()
        with open(folder / "output", "w", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "experiments.train", *words, "--run-dir", str(log.parent)],
                cwd=runs,
                env={**os.environ, **variables},
                stdout=output,
                stderr=output,
            )
        while not (log.exists() and log.stat().st_size):
            if process.poll() is not None:
                raise SystemExit((folder / "output").read_text(encoding="utf-8"))
            time.sleep(0.02)
        seconds = time.monotonic() - begin
        process.send_signal(signal.SIGKILL)
        process.wait()
    return seconds


if __name__ == "__main__":
    main()
