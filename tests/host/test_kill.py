"""A run that is killed anywhere and resumed leaves what a run leaves that never stopped. About 40 s."""

import json
import multiprocessing.process
import os
import random
import signal
import time
from pathlib import Path

import pytest

from r2i_jit.checkpoint import Checkpoints

STEPS = 1600  # 38 chunks
KILLS = 10
ARGUMENTS = ("fake", "--seeds", 2, "--steps", STEPS, "--checkpoint-every", 0, "--log-episodes", 150)


def lines(run_dir: Path) -> list[dict]:
    """Return the metrics without what the clock decides."""
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        assert row.pop("wall_seconds") >= 0
    return rows


def record(run_dir: Path, step: int) -> dict:
    """Return the shapes, dtypes and checksums of every leaf of a checkpoint."""
    return json.loads((run_dir / "checkpoints" / str(step) / "record" / "metadata").read_text())["leaves"]


@pytest.fixture(scope="module")
def uninterrupted(launch, tmp_path_factory) -> Path:
    """A run that never stopped."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    process = launch(*ARGUMENTS, "--run-dir", run_dir)
    process.join(120)
    assert process.exitcode == 0
    return run_dir


@pytest.mark.heavy
def test_killed_runs_end_as_if_they_had_not_been(launch, uninterrupted, tmp_path):
    """Ten SIGKILLs at random moments; every chunk is followed by a save, so most of them fall into one.

    The slow test of test_train.py kills the real trainer twenty times.
    """

    def begin(run_dir: Path) -> multiprocessing.process.BaseProcess:
        return launch(*ARGUMENTS, "--run-dir", run_dir, "--resume", FAKE_CHUNK_SECONDS=0.02)

    began = time.monotonic()
    begin(tmp_path / "timed").join(120)
    takes = time.monotonic() - began
    rng = random.Random(0)
    kills, resumed, run_dirs = 0, 0, []
    while kills < KILLS:
        run_dir = tmp_path / f"ünï run {len(run_dirs)}"
        run_dirs.append(run_dir)
        exit_code = None
        while exit_code is None:
            process = begin(run_dir)
            process.join(rng.uniform(0.1, 0.9) * takes if kills < KILLS else 120)
            if process.exitcode is None and kills < KILLS:
                process.kill()
                process.join()
                kills += 1
                resumed += bool(Checkpoints(run_dir / "checkpoints", read_only=True).steps())
            else:
                exit_code = process.exitcode
        assert exit_code == 0
    assert resumed >= 3, "the kills came too early to test anything"
    for run_dir in run_dirs:
        assert lines(run_dir) == lines(uninterrupted)
        assert (run_dir / "episodes.jsonl").read_bytes() == (uninterrupted / "episodes.jsonl").read_bytes()
        assert record(run_dir, STEPS) == record(uninterrupted, STEPS)
        evaluations = [json.loads((path / "evaluation.json").read_text()) for path in (run_dir, uninterrupted)]
        assert evaluations[0] == evaluations[1]
        assert not list((run_dir / "checkpoints").glob("*.corrupt*"))


STOPPING = {
    signal.SIGTERM: 143,
    signal.SIGINT: 130,
    signal.SIGHUP: 129,  # the terminal is lost
    signal.SIGUSR1: 75,  # Slurm and its like, ahead of a time limit: run me again
    signal.SIGUSR2: 75,
}


@pytest.mark.parametrize(("number", "code"), STOPPING.items(), ids=[number.name for number in STOPPING])
def test_signals_save_and_say_how_to_resume(launch, uninterrupted, tmp_path, number, code):
    """The save of a signal is of the current step: nothing is done twice after a resume."""
    run_dir = tmp_path / "run"
    # Only the signal saves: the interval is an hour and the first evaluation comes late.
    arguments = ("fake", "--seeds", 2, "--steps", STEPS, "--eval-every", STEPS // 20, "--checkpoint-every", 3600)
    process = launch(*arguments, "--run-dir", run_dir, FAKE_CHUNK_SECONDS=0.1)
    wait_for(lambda: (run_dir / "metrics.jsonl").exists() and len(lines(run_dir)) >= 6)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == code
    logged = max(row["env_steps"] for row in lines(run_dir))
    assert Checkpoints(run_dir / "checkpoints", read_only=True).steps()[-1] == logged < STEPS
    process = launch(*arguments, "--run-dir", run_dir, "--resume")
    process.join(120)
    assert process.exitcode == 0
    assert lines(run_dir) == lines(uninterrupted)


def test_second_signal_stops_at_once(launch, tmp_path):
    """A chunk that takes too long can be left, and what was saved before is there."""
    run_dir = tmp_path / "run"
    process = launch(*ARGUMENTS, "--run-dir", run_dir, FAKE_CHUNK_SECONDS=30)
    wait_for(lambda: (run_dir / "checkpoints").exists() and os.listdir(run_dir / "checkpoints"))
    time.sleep(2)  # the first save ends, the long chunk begins
    begin = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    assert process.exitcode is None
    os.kill(process.pid, signal.SIGTERM)
    process.join(10)
    assert process.exitcode == 143
    assert time.monotonic() - begin < 10
    assert Checkpoints(run_dir / "checkpoints", read_only=True).steps()


def test_two_processes_cannot_share_a_run(launch, tmp_path):
    """The second one to come leaves with 6 and writes nothing."""
    run_dir = tmp_path / "run"
    first = launch(*ARGUMENTS, "--run-dir", run_dir, FAKE_CHUNK_SECONDS=0.2)
    wait_for(lambda: (run_dir / "run.json").exists())
    second = launch(*ARGUMENTS, "--run-dir", run_dir, "--resume")
    second.join(60)
    assert second.exitcode == 6
    assert first.is_alive()
    first.kill()
    first.join()


def wait_for(condition, seconds: float = 60.0) -> None:
    """Wait until `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
