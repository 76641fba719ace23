"""The real Trainer through the command line: killed, resumed, evaluated. Some minutes, and marked slow."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.host.test_kill import lines, record, wait_for

STEPS = 3000
SIZES = (
    "model.ssm_layers=1", "model.ssm_state=8", "model.ssm_blocks=1", "model.units=16", "model.deter=16",
    "model.stoch=2", "model.classes=4", "model.head_layers=1", "model.head_units=16", "behavior.actor_layers=1",
    "behavior.critic_layers=1", "behavior.actor_units=16", "behavior.critic_units=16", "behavior.horizon=3",
    "behavior.imagination_starts=16", "replay.capacity=2000", "loop.chunk_updates=4", "loop.evaluation_episodes=4",
)  # fmt: skip
COMMAND = [sys.executable, "-m", "experiments.train", "popgym", "--size", "tiny", "--seeds", "2"]
COMMAND += ["--eval-every", "500", "--checkpoint-every", "0", "--set", *SIZES]
KILLS = 20


def start(run_dir: Path, steps: int = STEPS) -> subprocess.Popen:
    command = [*COMMAND, "--steps", str(steps), "--run-dir", str(run_dir), "--resume"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_a_real_run_killed_and_resumed_is_the_run_that_never_stopped(tmp_path):
    """The replay ring wraps, so that its position counts; SIGKILL twice, SIGTERM once."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    output, _ = start(whole).communicate(timeout=600)
    assert "learning curve" in output, output
    for number, steps in ((signal.SIGKILL, 1500), (signal.SIGTERM, 2000), (signal.SIGKILL, 2500)):
        process = start(broken)
        wait_for(lambda run=process, steps=steps: run.poll() is not None or reached(broken) >= steps, 300)
        process.send_signal(number)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL), output
        assert reached(broken) < STEPS
    process = start(broken)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    last = max(row["env_steps"] for row in lines(whole))
    assert last >= STEPS
    assert lines(broken) == lines(whole)
    assert record(broken, last) == record(whole, last)
    evaluations = [json.loads((run / "evaluation.json").read_text()) for run in (broken, whole)]
    assert evaluations[0] == evaluations[1]
    for words in (["evaluate", str(broken), "--step", "best", "--episodes", "8"], ["plot", str(broken), str(whole)]):
        done = subprocess.run(
            [sys.executable, "-m", f"experiments.{words[0]}", *words[1:]],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_twenty_kills_at_random_moments_leave_no_trace(tmp_path):
    """Every chunk is followed by a save, so some of the kills fall into one: a half-written step is left behind."""
    steps, rng, during_save = 20_000, random.Random(0), 0
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    output, _ = start(whole, steps).communicate(timeout=900)
    assert "learning curve" in output, output
    for _ in range(KILLS):
        before, process = reached(broken), start(broken, steps)
        wait_for(lambda run=process, step=before: run.poll() is not None or reached(broken) > step, 300)
        time.sleep(rng.uniform(0.0, 1.0))
        process.kill()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, output
        assert before < reached(broken) < steps
        during_save += bool(list((broken / "checkpoints").glob("*.orbax-checkpoint-tmp*")))
    output, _ = start(broken, steps).communicate(timeout=900)
    assert "learning curve" in output, output
    print(f"{during_save} of {KILLS} kills fell into a save")
    assert during_save >= 1
    assert lines(broken) == lines(whole)
    last = max(row["env_steps"] for row in lines(whole))
    assert record(broken, last) == record(whole, last)


def reached(run_dir: Path) -> int:
    """Return the last environment step in the log."""
    path = run_dir / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    time.sleep(0.05)
    whole = text[: text.rfind("\n") + 1].splitlines()
    return json.loads(whole[-1])["env_steps"] if whole else 0
