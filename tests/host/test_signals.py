"""A signal that comes while nothing can be interrupted: the run stops at the next safe point and says what it did."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.running import signals
from r2i_jit.checkpoint import Checkpoints
from tests.host.test_kill import lines, wait_for

ROOT = Path(__file__).parents[2]
STEPS = 200


def start(cwd: Path, *words: object, prefix: tuple[str, ...] = (), **environment: object) -> subprocess.Popen:
    """Start the stand-in as a user's process would run."""
    command = [*prefix, sys.executable, "-m", "tests.host.fake", "fake", "--steps", str(STEPS), "--run-dir", "run"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **{name: str(value) for name, value in environment.items()}}
    with open(cwd / "stderr", "w") as errors:
        return subprocess.Popen(
            [*command, *map(str, words)], cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=errors, text=True
        )


PHASES = {
    "COMPILE": ("compiling", "stopping; nothing is learned yet", "stopped before anything was learned"),
    "INIT": ("playing at random", "stopping; nothing is learned yet", "stopped before anything was learned"),
    "EVALUATE": ("final evaluation", "stopping; the state is saved", "stopped at step 200 before the final evaluation"),
}


@pytest.mark.heavy
@pytest.mark.parametrize(("phase", "texts"), PHASES.items(), ids=list(PHASES))
def test_what_cannot_be_interrupted_is_left_and_taken_up_again(tmp_path, phase, texts):
    doing, answer, outcome = texts
    said = lambda: (tmp_path / "stderr").read_text()
    process = start(tmp_path, **{f"FAKE_{phase}_SECONDS": 60})
    wait_for(lambda: f"{doing}: " in said())
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert time.monotonic() - begin < 10, "it waited for what it should have left"
    text = said()
    assert f"SIGTERM: {answer}; again to stop at once\n" in text
    assert text.splitlines()[-1].startswith(outcome) and text.splitlines()[-1].endswith("fake --run-dir run --resume")
    assert "Traceback" not in text and process.stdout.read() == ""
    assert bool(Checkpoints(tmp_path / "run" / "checkpoints", read_only=True).steps()) == (phase == "EVALUATE")
    process = start(tmp_path, "--resume")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "mean return" in output, said()
    assert max(row["env_steps"] for row in lines(tmp_path / "run")) == STEPS


@pytest.mark.heavy
def test_under_nohup_a_lost_terminal_is_no_reason_to_stop(tmp_path):
    process = start(tmp_path, prefix=("nohup",), FAKE_CHUNK_SECONDS=0.5)
    wait_for(lambda: "step 120/" in (tmp_path / "stderr").read_text())
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "mean return" in output


@pytest.mark.heavy
def test_a_reader_that_leaves_does_not_stop_a_run(tmp_path):
    """`just train … | head -3`, `2>&1 | head`: the run goes on to its end, and its state is saved."""
    for name, merged in (("out", False), ("both", True)):
        folder = tmp_path / name
        folder.mkdir()
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "tests.host.fake", "fake", "--steps", str(STEPS), "--run-dir", "run"]
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), "FAKE_CHUNK_SECONDS": "0.3"},
            stdout=writing, stderr=writing if merged else subprocess.PIPE, text=True,
        )  # fmt: skip
        os.close(writing)
        if merged:
            assert os.read(reading, 10)
        os.close(reading)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert (folder / "run" / "evaluation.json").is_file()
        assert merged or "Broken pipe" not in errors


@pytest.mark.heavy
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
def test_a_full_disk_under_a_redirected_output_does_not_stop_a_run(tmp_path):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "tests.host.fake", "fake", "--steps", str(STEPS), "--run-dir", "run"]
        variables = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=variables, stdout=full, stderr=full, timeout=60, check=False)
    assert done.returncode == 0 and (tmp_path / "run" / "evaluation.json").is_file()


def test_a_ctrl_c_that_was_lost_in_a_callback_counts_where_it_can_be_answered(capsys):
    """What a callback of the garbage collector raises is printed and forgotten, as while JAX is imported."""
    before = signal.signal(signal.SIGINT, signals.interrupt)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with signals.StopSignal() as stop:
            assert stop.number == signal.SIGINT and stop.exit_code == 130
        with signals.StopSignal() as stop:
            assert stop.number is None
    finally:
        signal.signal(signal.SIGINT, before)
    assert "SIGINT: stopping" in capsys.readouterr().err
    code = "from experiments.running import process, signals as s; from signal import getsignal; "
    code += "process.run(lambda: int(getsignal(2) is not s.interrupt))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0  # every command does so
