"""JAX's strict settings: the same dtypes and the same values with them and without. Some minutes: `-m slow`.

What is quick is elsewhere: these tests run under strict promotion (conftest.py), and once more with 64-bit types.
"""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.equivalence.strict_runs import configs

SAME_PROGRAM = {"JAX_DEBUG_NANS": "1", "JAX_NUMPY_RANK_PROMOTION": "raise", "JAX_NUMPY_DTYPE_PROMOTION": "strict"}
TOGETHER = SAME_PROGRAM | {"JAX_ENABLE_X64": "1"}
FEW, ALL = ("continuous",), tuple(configs())

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(jax.config.jax_enable_x64, reason="sets the settings for itself"),
]


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


def test_all_settings_at_once_change_nothing_but_the_rounding(tmp_path):
    """Wider indices are another program to the compiler, which may then round a sum otherwise in its last bit."""
    usual, strict = saved({}, tmp_path / "usual.npz", FEW), saved(TOGETHER, tmp_path / "strict.npz", FEW)
    assert not any(strict.pop(f"{name}: 64-bit floats") for name in ALL)
    assert kinds(strict) == kinds(usual)
    for name, array in usual.items():
        if np.issubdtype(array.dtype, np.floating):
            np.testing.assert_allclose(strict[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(strict[name], array, err_msg=name)


def test_the_settings_that_leave_the_program_change_no_bit(tmp_path):
    usual, strict = saved({}, tmp_path / "usual.npz", ALL), saved(SAME_PROGRAM, tmp_path / "strict.npz", ALL)
    assert kinds(strict) == kinds(usual)
    for name, array in usual.items():
        np.testing.assert_array_equal(strict[name], array, err_msg=name)


def test_each_setting_alone_leaves_shapes_and_dtypes(tmp_path):
    """Traced and not run: promotion is refused while tracing, and what is traced has all dtypes."""
    usual = kinds(saved({}, tmp_path / "usual.npz", ()))
    for name, value in TOGETHER.items():
        alone = saved({name: value}, tmp_path / f"{name}.npz", ())
        assert kinds({key: array for key, array in alone.items() if "64-bit" not in key}) == usual, name
