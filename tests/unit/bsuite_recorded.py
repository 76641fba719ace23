"""The agents that tests/golden/record_bsuite_scores.py let play the original, as our modules take them."""

import functools
import gzip
import json
import pathlib
from typing import Any

import numpy as np

from experiments.bsuite.columns import EpisodeLog

# Written here and not imported: that module needs the original.
FILE = pathlib.Path(__file__).parents[1] / "golden" / "bsuite_scores.json.gz"


@functools.cache
def recorded() -> dict[str, dict[str, Any]]:
    """Return name of the agent -> `runs`, `scores`, `tags`."""
    return json.loads(gzip.decompress(FILE.read_bytes()))


def logs(agent: str, seed: int = 0) -> list[EpisodeLog]:
    """Return the agent's episodes, float32 as the device has them."""
    return [
        EpisodeLog(run["bsuite_id"], seed, {name: np.float32(values) for name, values in run["episodes"].items()})
        for run in recorded()[agent]["runs"]
    ]
