"""Training that starts from a trained agent's parameters, and agents in the place of run directories. About 60 s."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import jax
import numpy as np
import pytest

import r2i_jit
from experiments import evaluate, record, train
from experiments.running import cli, initial, loop, rundir, runinfo
from r2i_jit import Trainer, trained
from r2i_jit.agent import AgentState
from tests.agents import small_config
from tests.host import agents_on_disk
from tests.host.test_cli import error_line

ENV = "popgym/RepeatPreviousEasy"
INFO = runinfo.RunInfo("train", "popgym", "tiny", 0, [{"seed": 0}, {"seed": 1}], 10, 5, 0.0, {})


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    agents_on_disk.make_run(path, ENV)
    return path


@pytest.fixture
def file(run_dir, tmp_path) -> Path:
    trained.write(tmp_path / "agent", trained.read(run_dir))
    return tmp_path / "agent"


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(agents_on_disk.config_of(ENV), quick_compile=True)


def assert_equal(weights, agent, member):
    for name, found in weights._asdict().items():
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[member]), found, getattr(agent, name))


@pytest.mark.heavy
def test_every_member_starts_with_the_same_parameters_and_learns_from_there(trainer, file):
    info = initial.noted(INFO, file, trainer)
    weights = initial.weights(info, trainer)
    run = types.SimpleNamespace(trainer=trainer)
    keys = jax.random.split(jax.random.key(0), 2)
    state, _ = loop._initial(run, keys, None, weights)
    fresh = trainer.init(keys)
    for member in (0, 1):
        assert_equal(weights, state.seeds.agent, member)
    others = lambda agent: (agent.model_opt, agent.actor_opt, agent.critic_opt, agent.return_norm, agent.updates)
    jax.tree.map(np.testing.assert_array_equal, others(state.seeds.agent), others(fresh.seeds.agent))
    like = lambda state: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.sharding), state)
    assert like(state) == like(fresh)
    state, metrics = trainer.train_chunk(state)
    assert np.isfinite(metrics["model/loss"]).all() and not metrics["diverged"].any()
    assert state.seeds.agent.updates.tolist() == [trainer.updates_per_chunk] * 2


@pytest.mark.heavy
def test_what_it_starts_from_is_noted_and_must_stay_what_it_was(trainer, file, run_dir, capsys, tmp_path):
    assert initial.noted(INFO, None, trainer) is INFO and initial.weights(INFO, trainer) is None
    info = initial.noted(INFO, run_dir, trainer)
    assert info.init_from["path"] == str(run_dir) and info.init_from["step"] == 20
    taken, _, command = capsys.readouterr().err.partition("; ")
    assert taken == f"starting from agent 0 of the 2 in {run_dir}, reward_scale=2,seed0"
    assert command.count("\n") == 1 and f"export {run_dir} FILE --member I" in command
    (tmp_path / "run.json").write_text(info.to_json())
    assert runinfo.read(tmp_path / "run.json") == info
    info = initial.noted(INFO, file, trainer)
    trained.write(file, trained.read(run_dir, step="best"))
    with pytest.raises(SystemExit) as error:
        initial.weights(info, trainer)
    assert error.value.code == 2 and "holds another agent than when this run was started" in error_line(capsys)
    for bad in ({"path": "x"}, {"path": "x", "step": 1.5, "crc": 0}, []):
        (tmp_path / "run.json").write_text(json.dumps({**json.loads(INFO.to_json()), "init_from": bad}))
        with pytest.raises(runinfo.RunFileError, match="'init_from' is .*expected an object of path, step and crc"):
            runinfo.read(tmp_path / "run.json")


def test_parts_without_parameters_are_empty_in_their_own_way():
    """PPO has one module; a file has no other for its critics than an empty dictionary."""
    seeds = types.SimpleNamespace(agent=AgentState({"w": np.zeros((2, 3), np.float32)}, (), (), (), *[()] * 5))
    seeds.replace = lambda agent: types.SimpleNamespace(agent=agent)
    state = types.SimpleNamespace(seeds=seeds, replace=lambda seeds: seeds)
    started = initial.put(trained.Weights({"w": np.ones(3, np.float32)}, {}, {}, {}), state).agent
    assert started.critic == () and np.array_equal(started.model["w"], np.ones((2, 3)))


def test_another_kind_of_agent_is_refused_by_its_kind(trainer, file, capsys):
    other = dataclasses.replace(trainer.config, model=dataclasses.replace(trainer.config.model, sequence="gru"))
    with pytest.raises(SystemExit) as error:
        initial.noted(INFO, file, types.SimpleNamespace(config=other))
    assert error.value.code == 2
    assert "it is another kind of agent: model.sequence is s3m, and this run's gru" in error_line(capsys)


@pytest.mark.heavy
def test_a_resume_need_not_name_it_and_may_not_name_another(trainer, file):
    info = initial.noted(INFO, file, trainer)
    parser = cli.Parser("train", None)
    cli.add_run_arguments(parser)

    def changes(source, info):
        args = parser.parse_args(["popgym", *([] if source is None else ["--init-from", str(source)])])
        return rundir.changes(args, trainer.config, info, trainer.config)

    assert changes(None, info) == changes(file, info) == []
    assert changes(Path("example"), info) == [f"init-from: {file} -> example"]
    assert changes(file, INFO) == [f"init-from: random parameters -> {file}"]


def test_other_sizes_are_named_before_anything_is_made(file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["popgym", "--size", "tiny", "--run-dir", "new", "--init-from"]
    for source, text in (
        (file, "its sizes are not this run's: actor/"),
        ("example", "actor/MLP_0/Dense_0/kernel is float32 (48, 4); it should be float32 (96, 4)"),
        ("absent", "absent does not exist"),
    ):
        with pytest.raises(SystemExit) as error:
            train.main([*words, str(source)])
        assert error.value.code == 2 and text in error_line(capsys)
        assert not Path("new").exists()


@pytest.mark.heavy
def test_commands_take_a_file_for_a_run_and_play_the_same(file, run_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = []
    for source in (file, run_dir):
        assert evaluate.main([str(source), "--episodes", "8"]) == 0
        rows.append(next(line for line in capsys.readouterr().out.splitlines() if "reward_scale=2" in line))
        assert record.main([str(source), "--out", f"{source.name}.png"]) == 0
    assert rows[0] == rows[1]
    assert Path("agent.png").read_bytes() == Path("run.png").read_bytes()
    capsys.readouterr()
    for words in (["--member", "1"], ["--step", "best"]):
        with pytest.raises(SystemExit) as error:
            record.main([str(file), *words])
        assert error.value.code == 2
        error_line(capsys)


@pytest.mark.heavy
def test_the_example_is_evaluated_by_its_name(capsys):
    assert evaluate.main(["example", "--episodes", "16"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("popgym/RepeatPreviousEasy at step 40,768 of example\n")
    assert float(text.split("mean return ")[1].split()[0]) > 0.99


def test_an_agent_of_another_environment_than_is_registered_is_refused(file, capsys, tmp_path):
    agent = trained.read(file)
    other = dataclasses.replace(agent, config=small_config("popgym/CountRecallEasy", **{"model__ssm_layers": 1}))
    try:
        trained.write(file, dataclasses.replace(other, config=dataclasses.replace(agent.config, env=other.config.env)))
        with pytest.raises(SystemExit) as error:
            evaluate.main([str(file)])
        assert error.value.code == 2 and "does not fit popgym/CountRecallEasy as it is here" in error_line(capsys)
    finally:
        assert r2i_jit.load(file).env_id == "popgym/CountRecallEasy"  # the networks need no environment


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_starts_from_the_agent_once(tmp_path):
    """The last part goes on from a checkpoint, and the agent is not there any more."""
    sizes = ["behavior.actor_units=48", "behavior.critic_units=48", "replay.capacity=2000", "loop.chunk_updates=4"]
    agent = tmp_path / "agent"
    agent.write_bytes(trained.located("example").read_bytes())

    def start(run_dir: str, steps: int, *more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "experiments.train", "popgym", "--size", "tiny", "--eval-every", "500"]
        command += ["--steps", str(steps), "--run-dir", run_dir, *more, "--set", *sizes]
        root = str(Path(__file__).parents[2])
        return subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root})

    def rows(run_dir: str) -> list[dict]:
        lines = (tmp_path / run_dir / "metrics.jsonl").read_text().splitlines()
        return [{name: value for name, value in json.loads(line).items() if name != "wall_seconds"} for line in lines]

    assert start("whole", 2000, "--init-from", "agent").wait(300) == 0
    process, end = start("broken", 1200, "--init-from", "agent"), time.monotonic() + 200
    while not (tmp_path / "broken" / "run.json").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL and not list((tmp_path / "broken").glob("checkpoints/[0-9]*"))
    assert start("broken", 1200, "--resume").wait(300) == 0
    agent.unlink()
    assert start("broken", 2000, "--resume").wait(300) == 0
    assert rows("broken") == rows("whole")
    assert rows("whole")[0]["eval_return"] > 0.9
