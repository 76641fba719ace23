"""Steps per second of an environment of the original bsuite, for example of `catch/0`. Needs nothing of ours.

    ~/bsuite/bin/python benchmarks/original_bsuite.py catch/0 0.5

`benchmarks.bsuite` runs this with a Python that has bsuite 0.3.6. No logger is wrapped around the environment. Actions
are drawn beforehand; the time of resets is included, and a reset is no step.
"""

import contextlib
import io
import sys
import time

import numpy as np


def main() -> None:
    """Measure and print."""
    import bsuite

    name, seconds = sys.argv[1], float(sys.argv[2])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        env = bsuite.load_from_id(name)
    actions = np.random.default_rng(0).integers(env.action_spec().num_values, size=1000).tolist()
    env.reset()
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for action in actions:
            if env.step(action).last():
                env.reset()
        steps += len(actions)
    print(steps / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
