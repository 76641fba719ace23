"""One agent over two processes, which exchange by gloo, learns what it does over two devices of one. Some minutes."""

import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.equivalence.test_data_parallel import assert_equal_up_to_rounding, trained
from tests.host import little_games
from tests.trees import leaves


@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_two_devices(tmp_path, monkeypatch):
    little_games.register(monkeypatch)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = tmp_path / "state.npz"
    command = [sys.executable, "-m", "tests.equivalence.one_of_several"]
    root = Path(__file__).parents[2]
    processes = [subprocess.Popen([*command, str(i), "2", str(port), str(file)], cwd=root) for i in range(2)]
    assert [process.wait(timeout=900) for process in processes] == [0, 0]
    with np.load(file) as found:
        arrays = [jax.numpy.asarray(found[name]) for name in found.files]
    assert_equal_up_to_rounding(arrays, [jax.numpy.asarray(leaf) for leaf in leaves(trained("discrete", 2)[1])])
