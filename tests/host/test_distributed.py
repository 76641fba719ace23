"""One run over two processes on this machine: the run of one process with as many devices, whatever happens to it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.running import cli
from r2i_jit import compiling
from tests.host.test_kill import lines, record

ROOT = Path(__file__).parents[2]
STEPS = 480
ARGUMENTS = [
    "--env", "popgym/RepeatFirstEasy", "--size", "tiny", "--steps", str(STEPS), "--eval-every", "240",
    "--checkpoint-every", "0", "--log-episodes", "20", "--devices-per-seed", "2", "--set", "model.units=16",
    "model.ssm_layers=1", "loop.num_envs=8", "loop.chunk_updates=2",
    "loop.evaluation_episodes=2", "replay.batch_size=4", "replay.sequence_length=8", "replay.prefill=64",
    "replay.train_ratio=1", "behavior.imagination_starts=8", "behavior.horizon=4",
]  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A folder for compiled programs."""
    return tmp_path_factory.mktemp("cache")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(run_dir: Path, cache: Path, devices: int, *more: str) -> subprocess.Popen:
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = " ".join(f"--{name}={value}".lower() for name, value in compiling.quick().items())
    environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.train", *ARGUMENTS, "--run-dir", str(run_dir), *more],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT,
    )  # fmt: skip


def start_two(run_dir: Path, cache: Path, *more: str) -> list[subprocess.Popen]:
    """Return two processes that meet, the first of them first."""
    port = free_port()
    return [start(run_dir, cache, 1, "--distributed", f"{i}/2@127.0.0.1:{port}", *more) for i in range(2)]


def outputs(processes: list[subprocess.Popen], code: int) -> list[str]:
    texts = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [code] * len(processes), texts
    return texts


def test_the_first_of_two_reads_puts_and_saves_arrays_of_both_to_the_bit(tmp_path):
    port, folder = free_port(), tmp_path / "checkpoints"
    command = [sys.executable, "-m", "tests.host.one_of_two"]
    processes = [
        subprocess.Popen(
            [*command, str(i), str(port), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}, cwd=ROOT,
        )
        for i in range(2)
    ]  # fmt: skip
    assert "the same" in outputs(processes, 0)[0]


@pytest.mark.parametrize("number", [0, 1])
def test_one_that_waits_for_the_others_hears_a_signal(cache, tmp_path, number):
    process = start(tmp_path / "run", cache, 1, "--distributed", f"{number}/2@127.0.0.1:{free_port()}")
    assert process.stdout is not None
    assert "waiting for the other processes at 127.0.0.1:" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert "SIGTERM: stopping; nothing has begun yet" in outputs([process], 143)[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--devices-per-seed", "1"], "2 processes have 2 devices and this run takes 1; give --devices-per-seed 2"),
        (["--set", "model.unit=3"], "did you mean model.units"),
    ],
)
def test_a_mistake_is_said_once_and_all_leave(cache, tmp_path, more, said):
    first, second = outputs(start_two(tmp_path / "run", cache, *more), 2)
    waited = r"waiting for the other processes at .*\n"  # if one takes long to come
    first, second = (re.sub(waited, "", words) for words in (first, second))
    assert first.startswith("error: ") and said in first and first.count("\n") == 1 and second == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.heavy
def test_two_processes_write_the_run_of_one(cache, tmp_path):
    """The second one gets a signal halfway: the first one saves, both leave, and both go on to the same end."""
    outputs([start(tmp_path / "one", cache, 2)], 0)
    processes = start_two(tmp_path / "two", cache)
    log = tmp_path / "two" / "metrics.jsonl"
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGUSR1)
    first, second = outputs(processes, cli.AGAIN)
    assert re.search(r"stopped at step \d+; go on with: .* --resume --distributed", first)
    assert "SIGUSR1: told to the first process" in second and "compiled" not in second
    stopped = len(lines(tmp_path / "two"))
    first, _ = outputs(start_two(tmp_path / "two", cache, "--resume"), 0)
    assert "mean return" in first

    assert 3 <= stopped < len(lines(tmp_path / "two"))
    assert lines(tmp_path / "two") == lines(tmp_path / "one")
    last = lines(tmp_path / "one")[-1]["env_steps"]
    assert record(tmp_path / "two", last) == record(tmp_path / "one", last)
    for name in ("evaluation.json", "episodes.jsonl"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    # What two processes have saved one goes on with, on one device.
    arguments = ("--resume", "--steps", str(last + 1), "--devices-per-seed", "1")
    outputs([start(tmp_path / "two", cache, 1, *arguments)], 0)
    assert lines(tmp_path / "two")[-1]["env_steps"] > last
