"""How all tests run."""

import importlib.metadata
import os

# Tests compile more than they run: without XLA's fusion emitters the programs of one take half the time on CPU, and
# are slower only where they run for long. XLA ends the process over a flag that it does not know, and this one is known
# to exist up to JAX 0.10. Whoever sets XLA_FLAGS decides.
if importlib.metadata.version("jax") < "0.11":
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
