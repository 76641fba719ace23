"""Imported once by the server that the killed processes are forked from.

A fork is safe only before any thread has started. Importing gymnax starts JAX's, so nothing here may import it (the
stand-in needs no environment); importing NumPy starts OpenBLAS's, unless it is told that one is enough.
"""

import importlib
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"

for name in ("experiments.running.loop", "experiments.plot", "experiments.train", "tensorboardX", "tests.host.fake"):
    importlib.import_module(name)

assert not {"gymnax", "r2i_jit.trainer"} & set(sys.modules), "nobody has asked for the trainer"
if os.path.isdir("/proc/self/task"):
    assert len(os.listdir("/proc/self/task")) == 1, "something started a thread: a fork would hang"
