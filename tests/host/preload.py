"""Imported once by the server that the killed processes are forked from.

A fork is safe only before JAX has started its threads, and importing gymnax starts them. The stand-in needs no
environment, so the module that would import one is replaced first.
"""

import importlib
import os
import sys
import types

stand_in = types.ModuleType("r2i_jit.trainer")
stand_in.Trainer = stand_in.TrainState = object
sys.modules["r2i_jit.trainer"] = stand_in

for name in ("experiments.loop", "experiments.plot", "experiments.train", "tensorboardX", "tests.host.fake"):
    importlib.import_module(name)

if os.path.isdir("/proc/self/task"):
    assert len(os.listdir("/proc/self/task")) == 1, "something started a thread: a fork would hang"
