"""JAX's strict settings: the same dtypes, and the same bits, with them and without. About two minutes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.equivalence.strict_runs import configs

ALONE = {
    "x64": {"JAX_ENABLE_X64": "1"},
    "ranks": {"JAX_NUMPY_RANK_PROMOTION": "raise"},
    "dtypes": {"JAX_NUMPY_DTYPE_PROMOTION": "strict"},
}
TOGETHER = {"JAX_DEBUG_NANS": "1"} | ALONE["x64"] | ALONE["ranks"] | ALONE["dtypes"]
FEW, ALL = ("one-hot", "continuous", "patches"), tuple(configs())


def saved(settings, path, run):
    """Return what `strict_runs.py` makes under these settings, name -> array; it runs some and traces the others."""
    environment = {name: value for name, value in os.environ.items() if name not in TOGETHER} | settings
    program = [sys.executable, "-m", "tests.equivalence.strict_runs", str(path), *run]
    done = subprocess.run(
        program, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(path) as file:
        return dict(file)


def kinds(arrays):
    return {name: (array.dtype, array.shape) for name, array in arrays.items()}


@pytest.mark.parametrize("run", [FEW, pytest.param(ALL, marks=pytest.mark.slow)], ids=["few", "all"])
def test_all_settings_at_once_change_no_bit(run, tmp_path):
    usual, strict = saved({}, tmp_path / "usual.npz", run), saved(TOGETHER, tmp_path / "strict.npz", run)
    assert kinds(strict) == kinds(usual)
    for name, array in usual.items():
        np.testing.assert_array_equal(strict[name], array, err_msg=name)


@pytest.mark.slow
def test_each_setting_alone_leaves_shapes_and_dtypes(tmp_path):
    """Traced and not run: promotion is refused while tracing, and what is traced has all dtypes."""
    usual = kinds(saved({}, tmp_path / "usual.npz", ()))
    for name, setting in ALONE.items():
        assert kinds(saved(setting, tmp_path / f"{name}.npz", ())) == usual, name
