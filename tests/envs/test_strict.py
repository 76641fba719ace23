"""Environments under JAX's strict settings: the same dtypes, and the same episodes for the same keys.

The settings are read when JAX is imported, so each has a process of its own. About two minutes.
"""

import functools
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
WIDE = {"JAX_ENABLE_X64": "1"}
RANK = {"JAX_NUMPY_RANK_PROMOTION": "raise"}
STRICT = {"JAX_NUMPY_DTYPE_PROMOTION": "strict"}
SETTINGS = {"wide": WIDE, "rank": RANK, "strict": STRICT, "all": {**WIDE, **RANK, **STRICT}}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a function that plays (or traces) in a process with some settings, once for each."""

    @functools.cache
    def run(setting: str, what: str) -> dict[str, np.ndarray]:
        out = tmp_path_factory.mktemp("strict") / "results.npz"
        plain = {name: value for name, value in os.environ.items() if name not in SETTINGS["all"]}
        env = {**plain, "PYTHONPATH": str(ROOT), **SETTINGS.get(setting, {})}
        command = [sys.executable, "-m", "tests.envs.strictly", str(out), what]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(out) as file:
            return dict(file)

    return run


@pytest.mark.heavy
@pytest.mark.parametrize(
    "setting", [*(pytest.param(one, marks=pytest.mark.slow) for one in SETTINGS if one != "all"), "all"]
)
def test_every_leaf_has_the_dtype_it_has_without_the_setting(results, setting):
    plain, found = results("none", "all"), results(setting, "all" if setting == "all" else "few")
    assert found.keys() == plain.keys() if setting == "all" else found.keys() < plain.keys()
    for name, value in found.items():
        assert str(value) == str(plain[name]), name
        assert not str(value).startswith(("float64", "int64", "uint64")), name


@pytest.mark.heavy
def test_the_same_key_plays_the_same_episodes(results):
    plain, found = results("none", "play"), results("all", "play")
    assert plain.keys() == found.keys()
    for name, value in plain.items():
        assert value.dtype == found[name].dtype, name
        # Physics in float32 may be compiled in another order; a picture of it may round another way.
        physics = any(part in name for part in ("CartPole", "Pendulum", "torque", "maze"))
        if physics and value.dtype in (np.float32, np.uint8):
            np.testing.assert_allclose(
                found[name].astype(float), value.astype(float), rtol=1e-5, atol=1e-5, err_msg=name
            )
        else:
            np.testing.assert_array_equal(found[name], value, err_msg=name)
