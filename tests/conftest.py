"""How all tests run."""

import contextlib
import os

import jax
import pytest

from r2i_jit.compiling import EMITTERS_ARE_OPTIONAL

# Tests compile more than they run (docs/decisions/011). Read when the first program is compiled, which is later than
# this; whoever sets XLA_FLAGS decides.
FLAGS = ["--xla_backend_optimization_level=1", *["--xla_cpu_use_fusion_emitters=false"] * EMITTERS_ARE_OPTIONAL]
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))
# For seeds to be spread over (tests/equivalence/test_devices.py); everything else is on the first.
with contextlib.suppress(RuntimeError):  # JAX runs already
    jax.config.update("jax_num_cpu_devices", 2)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for `pytest -n` by environment or else by file, so that one worker compiles what they share."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        env_id = parameters and parameters.params.get("env_id")
        item.add_marker(pytest.mark.xdist_group(str(env_id or item.path.stem)))
