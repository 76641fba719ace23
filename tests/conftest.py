"""How all tests run."""

import os

import jax

from r2i_jit.compiling import EMITTERS_ARE_OPTIONAL

os.environ.pop("R2I_COMMAND", None)  # `just test` sets it, and texts of help would differ
os.environ.pop("R2I_MNIST", None)  # or there would be more environments
# Tests compile more than they run (docs/decisions/011). Read when the first program is compiled, which is later than
# this; whoever sets XLA_FLAGS decides.
FLAGS = ["--xla_backend_optimization_level=1", *["--xla_cpu_use_fusion_emitters=false"] * EMITTERS_ARE_OPTIONAL]
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))
# For seeds and agents to be spread over (tests/equivalence/test_devices.py, test_data_parallel.py); all else is on the
# first.
jax.config.update("jax_num_cpu_devices", 4)
# A GPU multiplies float32 matrices in TF32 unless told otherwise: no test of values means that.
if jax.default_backend() != "cpu":
    jax.config.update("jax_default_matmul_precision", "highest")
