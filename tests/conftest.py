"""How all tests run."""

import os

from r2i_jit.compiling import EMITTERS_ARE_OPTIONAL

# Tests compile more than they run (docs/decisions/011). Read when the first program is compiled, which is later than
# this; whoever sets XLA_FLAGS decides.
if EMITTERS_ARE_OPTIONAL:
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
