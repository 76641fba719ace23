"""Log rows as the CSV files of bsuite: one a setting, in one folder an agent.

Ref: bsuite/logging/csv_logging.py and csv_load.py (0.3.6), whose `load_bsuite(folder)` reads what is written here.
"""

import csv
from pathlib import Path

import numpy as np

from experiments.bsuite.columns import Rows
from experiments.bsuite.tags import EXPERIMENTS, experiment_of
from r2i_jit import whole_files

PREFIX = "bsuite_id_-_"
PATTERN = f"{PREFIX}*.csv"


def file_name(bsuite_id: str) -> str:
    """Return the file of an id: `bsuite_id_-_memory_len-17.csv` for `memory_len/17`."""
    return f"{PREFIX}{bsuite_id.replace('/', '-')}.csv"


def text(rows: Rows) -> str:
    """Return rows as CSV: a number is written as the shortest text that reads as the same one, whole or not."""
    lines = zip(*(column.tolist() for column in rows.values()), strict=True)
    return "\n".join([",".join(rows), *(",".join(map(repr, line)) for line in lines)]) + "\n"


def write(bsuite_id: str, rows: Rows, folder: Path) -> Path:
    """Write the file of an id and return its path."""
    path = folder / file_name(bsuite_id)
    folder.mkdir(parents=True, exist_ok=True)
    whole_files.replace(path, text(rows).encode())
    return path


def read(folder: Path) -> tuple[dict[str, Rows], list[str]]:
    """Return the rows in a folder by id, and the names of files of experiments that are not known here (mnist).

    Raises:
      ValueError: for a file that does not read, or one of a setting that there is not, naming it.
    """
    found, unknown = {}, []
    for path in sorted(folder.glob(PATTERN)):
        bsuite_id = path.name.removeprefix(PREFIX).removesuffix(".csv").replace("-", "/")
        if bsuite_id.partition("/")[0] not in EXPERIMENTS:
            unknown.append(path.name)
            continue
        try:
            experiment_of(bsuite_id)
            found[bsuite_id] = parse(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return found, unknown


def parse(content: str) -> Rows:
    """Return the rows of a CSV text.

    Raises:
      ValueError: if it is no table of numbers with a column `episode`.
    """
    header, *lines = [line for line in csv.reader(content.splitlines()) if line] or [[]]
    if "episode" not in header:
        raise ValueError("is no log of bsuite: it has no column 'episode'")
    if any(len(line) != len(header) for line in lines):
        raise ValueError(f"has a line without {len(header)} entries")
    return {name: _numbers([line[index] for line in lines]) for index, name in enumerate(header)}


def _numbers(values: list[str]) -> np.ndarray:
    try:
        return np.array([int(value) for value in values], np.int64)
    except ValueError:
        return np.array([float(value) for value in values], np.float64)
