"""Imported once by the server that the killed processes are forked from.

A fork is safe only before JAX has started its threads, and importing gymnax starts them. The stand-in needs no
environment, and `r2i_jit` imports its trainer, which does, only when asked.
"""

import importlib
import os
import sys

for name in ("experiments.loop", "experiments.plot", "experiments.train", "tensorboardX", "tests.host.fake"):
    importlib.import_module(name)

assert not {"gymnax", "r2i_jit.trainer"} & set(sys.modules)
if os.path.isdir("/proc/self/task"):
    assert len(os.listdir("/proc/self/task")) == 1, "something started a thread: a fork would hang"
