"""The code in the docs runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from r2i_jit.checkpoint import Checkpoints

DOCS = Path(__file__).parents[2] / "docs"


def test_plain_orbax_reads_a_checkpoint_elsewhere_as_the_docs_say(tmp_path):
    """Written on two devices, read on one by the code in docs/runs.md."""
    code = re.search(r"```python\n(from pathlib.*?)```", (DOCS / "runs.md").read_text(), re.S).group(1)
    mesh = jax.sharding.Mesh(np.array(jax.devices("cpu")[:2]), ("seed",))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("seed"))
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    state = {"seeds": {"key": jax.random.split(jax.random.key(5), 2), "numbers": numbers}}
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        checkpoints.save(8112, jax.device_put(state, spread), {})
    check = """
assert len(jax.devices()) == 1
assert state["seeds"]["numbers"].tolist() == [[0, 1, 2], [3, 4, 5]]
assert (jax.random.key_data(state["seeds"]["key"]) == jax.random.key_data(jax.random.split(jax.random.key(5), 2))).all()
try:
    checkpointer.restore(folder)
except ValueError as error:
    assert "topology" in str(error)
else:
    raise AssertionError("the page need not say anything")
"""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code + check], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
