"""`launch`: what a command line is expanded to, what runs it, and that nothing is lost when a part dies."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from experiments import status
from experiments.launching import engines, expanding, plan
from experiments.running import cli, pool, recorded, rundir
from r2i_jit import metrics, shards
from tests.host.test_cli import error_line

ROOT = Path(__file__).parents[2]
SHORT = ("--steps", "200", "--eval-every", "80")


def expanded(command, *words, parts=None):
    """Return the jobs of a command line as (name, its words), of the real presets."""
    args = expanding.parse(command, words, "r2i launch")
    return {job.name: " ".join(job.command) for job in expanding.jobs(command, args, parts)}


def test_seeds_go_into_shards():
    found = expanded("train", "popgym", "--seeds", "64", "--steps", "1000", parts=8)
    assert list(found) == [f"RepeatPreviousEasy/{shards.name(number, 8)}" for number in range(8)]
    assert found["RepeatPreviousEasy/shard-3-of-8"] == (
        "train popgym --env popgym/RepeatPreviousEasy --seeds 64 --steps 1000 --shard 3/8"
    )


def test_sizes_are_a_program_each_and_hyper_parameters_share_one():
    grid = ["--grid", "hypers.model_lr=1e-4,3e-4", "model.units=64,128", "model.deter=64,96"]
    found = expanded("sweep", "popgym", *grid, "--set", "loop.num_envs=4")
    assert list(found) == [
        f"model.units={units},model.deter={deter}/RepeatPreviousEasy" for units in (64, 128) for deter in (64, 96)
    ]
    assert found["model.units=128,model.deter=64/RepeatPreviousEasy"] == (
        "sweep popgym --env popgym/RepeatPreviousEasy --set loop.num_envs=4 model.units=128 model.deter=64 "
        "--grid hypers.model_lr=1e-4,3e-4"
    )
    alone = expanded("train", "popgym", "--grid", "model.units=64,128")
    assert all(words.startswith("train ") for words in alone.values()) and len(alone) == 2


def test_a_key_is_judged_beside_the_sizes_of_its_own_run():
    grid = ["--agent", "ppo-gru", "--set", "model.ssm_state=64", "--grid", "model.sequence=s3m"]
    assert list(expanded("train", "popgym", *grid)) == ["model.sequence=s3m/RepeatPreviousEasy"]


def test_environments_are_a_run_each_and_settings_are_one():
    assert list(expanded("suite", "popgym", "--only", "Repeat*Easy")) == ["RepeatFirstEasy", "RepeatPreviousEasy"]
    found = expanded("suite", "bsuite", "--only", "bsuite/catch/*", "bsuite/memory_len/2", "bsuite/memory_len/3")
    assert list(found) == ["catch", "memory_len-2,3"]
    assert "--env bsuite/catch --log-episodes " in found["catch"]


def test_as_many_seeds_share_a_device_as_its_memory_takes(monkeypatch):
    from experiments.presets import preset
    from experiments.running import memory
    from r2i_jit import Trainer

    config = preset("popgym", size="tiny")
    each = Trainer(config).replay_bytes_per_step * config.replay.capacity
    monkeypatch.setattr(memory, "device_bytes", lambda: int(3.5 * each / 0.3))
    assert len(expanded("train", "popgym", "--seeds", "8")) == 3  # of three, three and two
    assert len(expanded("train", "popgym", "--seeds", "8", "--agent", "ppo-gru")) == 1  # it keeps no replay
    monkeypatch.setattr(memory, "device_bytes", lambda: 1)
    assert len(expanded("train", "popgym", "--seeds", "4")) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "popgym", "--run-dir", "x"], "--run-dir is not for launch: --out-dir says where the runs lie"),
        (["train", "popgym", "--shard", "0/2"], "--shard is not for launch"),
        (["train"], "give a suite, such as popgym, or --env"),
        (["suite", "popgym", "--env", "popgym/RepeatFirstEasy"], "launch suite takes the name of a suite"),
        (["sweep", "popgym"], "at least one --grid"),
        (["train", "popgym", "--grid", "hypers.model_lr=1e-3,1e-2"], "that is a sweep"),
        (["sweep", "popgym", "--grid", "model.units"], "expected key=value,value"),
        (["sweep", "popgym", "--grid", "model.units=64,64"], "model.units is given a value twice"),
        (["train", "popgym", "--grid", "model.unit=64,128"], "model.units"),
        (
            ["sweep", "popgym", "--agent", "ppo-gru", "--grid", "hypers.actor_lr=1e-4,1e-3"],
            "--grid hypers.actor_lr has no effect: PPO has one learning rate, hypers.model_lr",
        ),
        (
            ["train", "popgym", "--agent", "ppo-gru", "--grid", "model.ssm_state=64,128"],
            "model.ssm_state has no effect: it is for model.sequence=s3m, and this is model.sequence=gru",
        ),
        (
            ["suite", "popgym", "--set", "model.stoch=8"],
            "model.stoch has no effect: the latent of popgym/ConcentrationEasy is the observation itself",
        ),
        (["train", "popgym", "--grid", "algorithm=world_model,ppo"], "algorithm is chosen by --agent"),
        (["train", "popgym", "--seeds", "2"], "--shards 3: there are 2 agents to share out"),
    ],
)
def test_mistakes_exit_2_with_a_line(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        expanded(*words, parts=3 if "--seeds" in words else None)
    assert ended.value.code == cli.USAGE and said in error_line(capsys)


# Running them -----------------------------------------------------------------------------------------------------


@pytest.fixture
def launched(fakes, monkeypatch, tmp_path):
    """Return what launches on the stand-in, in this process and in those that it starts."""
    monkeypatch.setattr(
        engines, "words", lambda found, number: ["-m", "tests.host.fake", "work", str(found.folder), str(number)]
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "xla"))  # a kill may tear an entry
    monkeypatch.setattr(pool, "shares", lambda at_once: [(core,) for core in range(at_once)])
    monkeypatch.setattr(pool, "places", lambda: 2)
    return lambda *words: fakes("launch", *words)


def kept(path: Path) -> list[dict]:
    """Return what a run recorded, but for its times."""
    found = [{key: value for key, value in row.items() if key != "wall_seconds"} for row in recorded.rows(path)]
    return sorted(found, key=lambda row: (row["env_steps"], row["seed"]))


def states(out: Path) -> list[tuple[str, int, int | None]]:
    return [
        (job["state"], job["attempt"], job["exit_code"]) for job in json.loads((out / plan.NAME).read_text())["jobs"]
    ]


@pytest.mark.heavy
def test_a_launch_is_what_one_process_would_have_made(launched, fakes, tmp_path, capsys):
    assert launched("--shards", "2", "--out-dir", "out", "train", "fake", "--seeds", "4", *SHORT) == 0
    shown = capsys.readouterr()
    assert "2 of 2 jobs to run" in shown.err and "A/shard-1-of-2: done" in shown.err and "fake/A" in shown.out
    assert fakes("fake", "--seeds", "4", "--run-dir", "whole", *SHORT) == 0
    assert kept(tmp_path / "out" / "A") == kept(tmp_path / "whole")
    assert states(tmp_path / "out") == [("done", 1, 0)] * 2
    assert "fake/A" in (tmp_path / "out" / "logs" / "A.shard-1-of-2.log").read_text()
    capsys.readouterr()
    assert launched("--shards", "2", "--out-dir", "out", "train", "fake", "--seeds", "4", *SHORT) == 0
    assert "0 of 2 jobs to run" in capsys.readouterr().err and states(tmp_path / "out") == [("done", 1, 0)] * 2
    longer = ("--steps", "280", "--eval-every", "80")
    assert launched("--shards", "2", "--out-dir", "out", "train", "fake", "--seeds", "4", *longer) == 0
    assert max(row["env_steps"] for row in kept(tmp_path / "out" / "A")) == 280
    assert [one.state for one in status.below(tmp_path / "out")] == ["done"] * 2


@pytest.mark.heavy
def test_a_part_that_is_killed_is_tried_again_and_the_rest_is_unharmed(launched, fakes, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_CHUNK_SECONDS", "0.2")
    part = tmp_path / "out" / "A" / "shard-1-of-2"

    def kill():
        while len(metrics.read(part / "metrics.jsonl")) < 2:
            time.sleep(0.02)
        os.kill(json.loads((tmp_path / "out" / "jobs" / "1.json").read_text())["pid"], signal.SIGKILL)

    threading.Thread(target=kill).start()
    assert launched("--shards", "2", "--out-dir", "out", "train", "fake", "--seeds", "4", *SHORT) == 0
    assert "A/shard-1-of-2: failed (exit 137" in capsys.readouterr().err
    assert states(tmp_path / "out") == [("done", 1, 0), ("done", 2, 0)]
    monkeypatch.delenv("FAKE_CHUNK_SECONDS")
    assert fakes("fake", "--seeds", "4", "--run-dir", "whole", *SHORT) == 0
    assert kept(tmp_path / "out" / "A") == kept(tmp_path / "whole")


@pytest.mark.heavy
def test_the_time_is_over_and_the_same_launch_goes_on(launched, tmp_path, monkeypatch, capsys):
    words = ("--out-dir", "out", "suite", "fake", *SHORT)
    with monkeypatch.context() as patch:
        patch.setenv("FAKE_CHUNK_SECONDS", "5")
        assert launched("--max-time", "0:08", *words) == cli.AGAIN
    assert "stopped; go on with: " in capsys.readouterr().err
    assert [state for state, _, _ in states(tmp_path / "out")] == ["stopped"] * 2
    assert {code for _, _, code in states(tmp_path / "out")} == {cli.AGAIN}
    assert launched(*words) == 0
    assert states(tmp_path / "out") == [("done", 2, 0)] * 2
    assert len((tmp_path / "out" / "results.md").read_text().splitlines()) == 4


@pytest.mark.heavy
def test_what_fails_is_named_and_the_others_are_done(launched, tmp_path, monkeypatch, capsys):
    whole = pool.run
    poisoned = []

    def poison(jobs, *words):
        """Let the first job's process find a run that does not read."""
        if not poisoned:
            poisoned.append((tmp_path / "out" / "A").mkdir())
            (tmp_path / "out" / "A" / "run.json").write_text("{")
        return whole(jobs, *words)

    monkeypatch.setattr(pool, "run", poison)
    assert launched("--out-dir", "out", "suite", "fake", *SHORT) == 1
    said = capsys.readouterr().err
    assert "A: failed (exit 2: " in said and said.splitlines()[-1] == "A: failed" and "B: done" in said
    assert states(tmp_path / "out") == [("failed", 1, 2), ("done", 1, 0)]


@pytest.mark.heavy
def test_a_folder_of_something_else_is_refused_and_a_damaged_run_is_the_matter_of_its_job(launched, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "A").write_text("not a folder")
    assert launched("--out-dir", "out", "suite", "fake", *SHORT) == cli.USAGE
    assert "is not empty and has no jobs.json" in error_line(capsys)
    assert launched("--out-dir", "out/A", "suite", "fake", *SHORT) == cli.USAGE
    assert "--out-dir out/A is a file" in error_line(capsys)
    (tmp_path / "out" / "A").unlink()
    assert launched("--out-dir", "out", "suite", "fake", *SHORT) == 0
    for number in range(2):
        (tmp_path / "out" / "jobs" / f"{number}.json").unlink()
    (tmp_path / "out" / "A" / "run.json").write_text("{")
    capsys.readouterr()
    assert launched("--out-dir", "out", "suite", "fake", *SHORT) == 1
    said = capsys.readouterr().err
    assert "A: failed (exit 2: " in said and "run.json is damaged" in said and "B: done" in said


def test_another_launch_is_refused(launched, tmp_path, capsys):
    out = tmp_path / "out"
    job = plan.Job("A", ("train", "fake", "--env", "fake/A", "--seeds", "2"), "A")
    out.mkdir()
    plan.refresh(plan.Plan(out, str(tmp_path), (job,)))
    assert plan.read(out).jobs == (job,)
    assert launched("--out-dir", "out", "train", "fake", "--seeds", "3") == cli.USAGE
    assert "out was launched otherwise (A: --seeds 2 -> --seeds 3)" in error_line(capsys)
    assert launched("--out-dir", "out", "suite", "fake", "--seeds", "2") == cli.USAGE
    assert "jobs: 1 -> 2, such as B" in error_line(capsys)
    (out / plan.NAME).rename(out / f"{plan.NAME}.0f.tmp")  # what a kill leaves is not in the way of the next one
    with rundir.lock(out):
        assert launched("--out-dir", "out", "train", "fake", "--seeds", "2") == cli.LOCKED
        assert "out is in use by another process" in error_line(capsys)
    (out / plan.NAME).write_text("{}")
    assert launched("--out-dir", "out", "train", "fake", "--seeds", "2") == cli.USAGE
    assert "jobs.json is damaged" in error_line(capsys)


def test_a_job_s_state_is_told_from_its_files(tmp_path):
    jobs = tuple(plan.Job(name, ("train", "fake"), name) for name in "abcdefg")
    found = plan.Plan(tmp_path, str(tmp_path), jobs)
    began = plan.begin(found, 1)
    for number, code in ((2, 0), (3, cli.AGAIN), (4, cli.NOT_FINITE), (5, 1), (6, 143)):
        plan.end(found, number, plan.begin(found, number), code)
    assert [state for _, state in plan.refresh(found)] == [
        "waiting", "running", "done", "stopped", "diverged", "failed", "stopped",
    ]  # fmt: skip
    plan._note(found, 1, plan.Attempt(**{**vars(began), "pid": 2**22 + 1}))  # no such process
    assert plan.standings(found)[1][1] == "stopped"
    plan._note(found, 1, plan.Attempt(**{**vars(began), "host": "elsewhere", "began": time.time() - 600}))
    assert plan.standings(found)[1][1] == "stopped"
    (tmp_path / "b").mkdir()
    with rundir.lock(tmp_path / "b"):
        assert plan.standings(found)[1][1] == "running"
    assert plan.left(found, plan.standings(found)) == [0, 1, 3, 4, 5, 6]
    assert plan.begin(found, 5).attempt == 2
