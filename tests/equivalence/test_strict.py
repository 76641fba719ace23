"""JAX's strict settings: the same dtypes, and the same bits, with them and without. About three minutes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ALONE = {
    "x64": {"JAX_ENABLE_X64": "1"},
    "ranks": {"JAX_NUMPY_RANK_PROMOTION": "raise"},
    "dtypes": {"JAX_NUMPY_DTYPE_PROMOTION": "strict"},
}
NAN = {"JAX_DEBUG_NANS": "1"}
TOGETHER = NAN | ALONE["x64"] | ALONE["ranks"] | ALONE["dtypes"]


def saved(mode, settings, path):
    """Return what `strict_runs.py` makes under these settings, name -> array."""
    environment = {name: value for name, value in os.environ.items() if name not in TOGETHER} | settings
    program = [sys.executable, "-m", "tests.equivalence.strict_runs", mode, str(path)]
    done = subprocess.run(
        program, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(path) as file:
        return dict(file)


def kinds(arrays):
    return {name: (array.dtype, array.shape) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return saved("run", {}, tmp_path_factory.mktemp("usual") / "usual.npz")


def test_all_settings_at_once_change_no_bit(usual, tmp_path):
    strict = saved("run", TOGETHER, tmp_path / "strict.npz")
    assert kinds(strict) == kinds(usual)
    for name, array in usual.items():
        np.testing.assert_array_equal(strict[name], array, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ALONE)
def test_each_setting_alone_leaves_shapes_and_dtypes(usual, setting, tmp_path):
    """Traced and not run: promotion is refused while tracing, and what is traced has all dtypes."""
    alone = kinds(saved("trace", ALONE[setting], tmp_path / "alone.npz"))
    keys = {name for name in alone if name.endswith(".key")}  # a key has no dtype on the host
    assert len(keys) == 10 and alone.keys() <= usual.keys()
    for name in alone.keys() - keys:
        assert alone[name] == (usual[name].dtype, usual[name].shape), name
