"""The command lines: mistakes are said in one line with nothing created; runs resume and refuse. About 60 s."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import sweep, train
from experiments.presets import preset
from experiments.running import cli, display, memory, starting
from r2i_jit import Trainer, relevance
from r2i_jit.config import Config
from r2i_jit.schedule import least_prefill
from tests.host.fake import FakeTrainer

ENTRY_POINTS = ("train", "sweep", "search", "suite", "launch", "compare", "evaluate", "plot", "play", "record", "smoke")


def error_line(capsys: pytest.CaptureFixture) -> str:
    """Return stderr, which must be one line that begins with `error: `."""
    text = capsys.readouterr().err
    assert text.startswith("error: ") and text.count("\n") == 1 and text.endswith("\n"), text
    return text


def last_error(capsys: pytest.CaptureFixture) -> str:
    """Return the last line on stderr, the only one that is an error."""
    *notes, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and not any(note.startswith("error: ") for note in notes), (notes, line)
    return line


def read(run_dir: Path | str) -> list[dict]:
    """Return the rows of a run's metrics."""
    return [json.loads(line) for line in (Path(run_dir) / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_and_mistyped_options_do_not_wait_for_jax(name):
    code = f"""
import sys
from experiments import {name}
for words, wanted in ((["--help"], 0), (["--verson"], 2), ([], 2)):
    try:
        {name}.main(words)
    except SystemExit as error:
        assert error.code == wanted, (words, error.code)
    else:
        raise AssertionError(words)
assert not {{"jax", "flax", "matplotlib", "orbax"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"usage: python -m experiments.{name}" in done.stdout
    assert [line[:7] for line in done.stderr.splitlines()] == ["error: "] * 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fak"], "did you mean fake"),
        (["fake", "--env", "fake/C"], "unknown environment 'fake/C'"),
        (["fake", "--sed", "1"], "did you mean --seed?"),
        (["fake", "--size", "tinny"], "choose from"),
        (["fake", "--seeds", "0"], "0 is not between 1"),
        (["fake", "--seeds", "two"], "'two' is no whole number"),
        (["fake", "--devices-per-seed", "0"], "0 is not between 1"),
        (["fake", "--devices-per-seed", "3"], "loop.num_envs=8 cannot be shared by 3 devices a seed"),
        (["fake", "--distributed", "2/2@here:1"], "'2/2@here:1' is neither auto nor I/N@HOST:PORT"),
        (["--distributed", "fake"], "'fake' is neither auto nor I/N@HOST:PORT"),
        (["fake", "--distributed", "0/2@here"], "such as 0/2@node1:7000"),
        (["fake", "--seed", "4294967296"], "not between 0 and 4294967295"),
        (["fake", "--steps", "1.5"], "'1.5' is no whole number"),
        (["fake", "--steps", "nan"], "'nan' is no whole number"),
        (["fake", "--steps", "inf"], "'inf' is no whole number"),
        (["fake", "--checkpoint-every", "-1"], "from 0 up"),
        (["fake", "--set", "model.unit=3"], "did you mean model.units"),
        (["fake", "--set", "model.units=x"], "expected a whole number"),
        (["fake", "--set", "loop.num_envs=0"], "loop.num_envs=0"),
        (
            ["fake", "--set", "ppo.steps=64"],
            "ppo.steps has no effect: it is PPO's, and this agent learns from its replay",
        ),
        (
            ["fake", "--set", "model.deter=8", "model.block=bare"],
            "model.deter has no effect: with model.block=bare h is",
        ),
        (["fake", "--set", "algorithm=ppo", "ppo.minibatches=3"], "algorithm is chosen by --agent: ppo-gru and ppo-s5"),
        (["fake", "--resume"], "there is no train run of fake/A under runs/"),
        (["fake", "--run-dir", "/dev/null/run"], "cannot write to run directory /dev/null/run"),
        (["fake", "--run-dir", "/dev/null"], "run directory /dev/null is a file"),
        (["sweep", "fake"], "give at least one --grid"),
        (["sweep", "fake", "--grid", "model.units=32,64"], "start separate runs with --set model.units=..."),
        (
            ["sweep", "fake", "--grid", "hypers.clip_range=0.1,0.2"],
            "--grid hypers.clip_range has no effect: it is PPO's",
        ),
        (["sweep", "fake", "--grid", "algorithm=ppo"], "algorithm is chosen by --agent"),
        (["fake", "--set", "env=fake/B"], "error: env is chosen by --env"),
        (["sweep", "fake", "--grid", "hypers.model_l=1"], "did you mean hypers.model_lr"),
        (["sweep", "fake", "--grid", "hypers.model_lr"], "expected key=value,value"),
        (["sweep", "fake", "--grid", "hypers.model_lr=1,x"], "expected a finite number"),
        (["sweep", "fake", "--grid", "hypers.model_lr=1,1.0"], "twice"),
        (["evaluate", "nowhere"], "nowhere is no run directory"),
        (["evaluate", "nowhere", "--step", "last"], "neither a step nor 'best'"),
    ],
)
def test_mistakes_exit_2_with_one_line_and_create_nothing(fake, capsys, words, expected):
    assert fake(*words) == 2
    assert expected in error_line(capsys)
    assert os.listdir() == []


def test_sizes_that_give_no_program_exit_2(fake, capsys, monkeypatch):
    """A trace that fails is the fault of what was set by hand only if there is a program without it."""
    from tests.host.fake import FakeTrainer

    whole, fails = FakeTrainer.state_shapes, {3}

    def fail(self, num_seeds):
        if self.config.model.units in fails:
            raise TypeError("shapes (3,) and (4,)\nare not compatible")
        return whole(self, num_seeds)

    monkeypatch.setattr(FakeTrainer, "state_shapes", fail)
    assert fake("fake", "--set", "model.deter=7", "model.units=3") == 2
    assert "--set model.units=3: no program has these sizes (TypeError: shapes (3,) and (4,))" in error_line(capsys)
    fails.add(64)  # the preset's: then it is ours, whatever was set
    for words in ([], ["--set", "model.deter=7"], ["--set", "model.units=3"]):
        with pytest.raises(TypeError):
            fake("fake", *words)
    assert os.listdir() == []


def test_a_state_that_does_not_fit_is_refused_before_anything_is_allocated(fake, capsys, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: 8)
    assert fake("fake") == 2
    assert "lower the sizes in model and behavior or --seeds" in error_line(capsys)
    assert os.listdir() == []


def test_the_replay_is_as_large_as_the_device_allows_unless_it_was_set_by_hand(fake, capsys, monkeypatch):
    monkeypatch.setattr(memory, "device_bytes", lambda: 10**7)
    arguments = ("fake", "--steps", "40", "--seeds", "2", "--run-dir")
    assert fake(*arguments, "chosen") == 0
    fitting = int(0.3 * 10**7 / (2 * 8))  # 30 % on a CPU; the stand-in stores 8 bytes a step
    assert f"replay.capacity={fitting} for 1000000: 30% of the device's 0.0 GB" in capsys.readouterr().err
    assert json.loads(Path("chosen/config.json").read_text())["replay"]["capacity"] == fitting
    assert fake(*arguments, "chosen", "--resume") == 0
    assert fake(*arguments, "typed", "--set", "replay.capacity=4000000") == 0
    assert "replay.capacity" not in capsys.readouterr().err
    assert json.loads(Path("typed/config.json").read_text())["replay"]["capacity"] == 4_000_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Return a finished run of two seeds, made in a process of its own, with what it printed beside it."""
    run_dir = tmp_path_factory.mktemp("finished") / "runs" / "a run"
    words = ["fake", "--seeds", "2", "--steps", "800", "--set", "hypers.actor_lr=0.5", "--run-dir", str(run_dir)]
    command = [sys.executable, "-m", "tests.host.fake", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    run_dir.with_name("stdout").write_text(done.stdout)
    run_dir.with_name("stderr").write_text(done.stderr)
    return run_dir


def test_a_run_directory_holds_what_is_promised(finished):
    config = Config.from_json((finished / "config.json").read_text())
    assert config.env == "fake/A" and config.model.units == 64 and config.hypers.actor_lr == 0.5
    rows = read(finished)
    assert [(row["env_steps"], row["seed"]) for row in rows] == [(s, i) for s in range(120, 801, 40) for i in (0, 1)]
    assert {row["env_steps"] for row in rows if "eval_return" in row} == set(range(120, 801, 40))  # every 40 steps
    evaluation = json.loads((finished / "evaluation.json").read_text())
    assert evaluation["env_steps"] == 800 and evaluation["episodes"] == 128
    assert [row["seed"] for row in evaluation["members"]] == [0, 1]
    assert evaluation["mean"] == pytest.approx(np.mean([row["mean"] for row in evaluation["members"]]))
    assert (finished / "plots" / "learning_curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(os.listdir(finished / "tensorboard")) == ["seed0", "seed1"]
    assert "800" in os.listdir(finished / "checkpoints")
    output = (finished.with_name("stdout")).read_text()
    assert "| seed1 |" in output and "learning curve: " in output
    notes = (finished.with_name("stderr")).read_text()
    assert "compiled in" in notes and "step 800/800" in notes and "\x1b" not in output + notes


def test_a_run_directory_in_use_is_left_alone(finished, fake, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert fake("fake", "--run-dir", finished) == 2
    assert "add --resume" in error_line(capsys)
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("")
    assert fake("fake", "--run-dir", "mine") == 2
    assert "is not empty (it holds thesis.tex)" in error_line(capsys)
    assert fake("fake", "--run-dir", "mine", "--resume") == 2
    assert "is not empty" in error_line(capsys)
    assert os.listdir("mine") == ["thesis.tex"]
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "hypers.model_lr=5", "model.units=32"], "model.units: 64 -> 32; hypers.model_lr: 0.0001 -> 5.0"),
        (["--size", "small", "--set", "model.units=32"], "model.units: 64 -> 32; size: tiny -> small"),
        (["--env", "fake/B"], "env: 'fake/A' -> 'fake/B'"),
        (["--seeds", "3", "--seed", "1"], "seeds: 2 -> 3; seed: 0 -> 1"),
        (["--steps", "400"], "steps: 800 -> 400, which is fewer"),
        (["--agent", "dreamerv3"], "agent: r2i -> dreamerv3"),
    ],
)
def test_resuming_with_another_config_names_every_difference(finished, fake, capsys, words, expected):
    assert fake("fake", "--run-dir", finished, "--resume", *words) == 2
    assert f"was started otherwise ({expected})" in error_line(capsys)


def test_a_run_that_was_started_with_what_it_does_not_read_goes_on(fake, capsys, monkeypatch):
    """With the words that it was started with, as a queue has them; another value is refused."""
    words = ("fake", "--run-dir", "old", "--set", "ppo.steps=64")
    with monkeypatch.context() as before:
        before.setattr(relevance, "unread", lambda config: {})
        assert fake(*words, "--steps", 200) == 0
    assert fake(*words, "--steps", 240, "--resume") == 0
    assert read("old")[-1]["env_steps"] == 240
    capsys.readouterr()
    assert fake("fake", "--run-dir", "old", "--resume", "--set", "ppo.steps=32") == 2
    assert "ppo.steps has no effect" in error_line(capsys)


def test_keys_of_a_run_that_is_looked_for_are_its_agents(fake, capsys, monkeypatch):
    """Not those of R2I, which a command line without --agent stands for otherwise."""
    with monkeypatch.context() as ppo:
        ppo.setattr("tests.host.fake.preset", lambda *_, **__: Config(env="fake/A", algorithm="ppo"))
        assert fake("fake", "--agent", "ppo-s5", "--set", "ppo.steps=64", "--steps", 200, "--run-dir", "runs/ppo") == 0
    assert fake("fake", "--resume", "--set", "ppo.steps=64", "--steps", 240) == 0
    assert os.listdir("runs") == ["ppo"] and read("runs/ppo")[-1]["env_steps"] == 240
    assert fake("fake", "--resume", "--set", "ppo.steps=64", "--run-dir", "runs/new") == 2  # nothing is to be resumed
    assert "ppo.steps has no effect" in last_error(capsys)


def test_resuming_as_another_kind_is_refused(finished, fake, capsys):
    assert fake("sweep", "fake", "--run-dir", finished, "--resume") == 2
    assert f"experiments.train --run-dir {shlex.quote(str(finished))} --resume" in error_line(capsys)


def test_a_longer_run_equals_one_that_was_extended(finished, fake, tmp_path, capsys):
    """The evaluation interval stays the first run's, so it is given to the run that is long from the start."""
    extended = Path("runs/extended")
    assert fake("fake", "--seeds", 2, "--set", "hypers.actor_lr=0.5", "--steps", 400, "--run-dir", extended) == 0
    assert fake("fake", "--resume", "--steps", 600) == 0  # finds the run, and needs neither --set nor --seeds
    assert "resumed runs/extended at step 400" in capsys.readouterr().err
    assert fake("fake", "--resume", "--set", "hypers.actor_lr=0.5", "--steps", 800) == 0
    rows, whole = (read(run) for run in (extended, finished))
    assert len(rows) == len(whole)
    for row, want in zip(rows, whole, strict=True):
        del row["wall_seconds"], want["wall_seconds"]
        row.pop("eval_return", None), want.pop("eval_return", None)
        assert row == want


def test_wandb_that_is_not_installed_is_said_at_once(fake, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert fake("fake", "--wandb") == 2
    assert "pip install 'r2i-jit[wandb]'" in error_line(capsys)
    assert os.listdir() == []


def test_a_terminal_gets_a_bar_with_rates_returns_and_time_left(fake, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert fake("fake", "--seeds", 2, "--steps", 400, "--run-dir", "run") == 0
    output = capsys.readouterr().err
    assert "400/400" in output and "100%" in output
    assert all(word in output for word in ("return 0.", "eval 0.", "env steps/s", "updates/s", "ETA 0:00"))


def test_times_and_tables_are_shown_as_people_read_them():
    assert [display.clock(seconds) for seconds in (0, 59.6, 3599, 3661)] == ["0:00", "1:00", "59:59", "1:01:01"]
    assert display.table(["a", "long"], [[1, 2.5]]) == "| a   | long |\n|-----|------|\n| 1   | 2.5  |"


@pytest.mark.parametrize(("steps", "said"), [(60, True), (80, True), (120, False)])
def test_a_run_that_learns_nothing_says_so_at_the_start(fake, capsys, steps, said):
    assert fake("fake", "--run-dir", "run", "--steps", steps) == 0
    lines = capsys.readouterr().err.splitlines()
    text = f"nothing will be learned in {steps} steps: the first 80 are random play, which make one batch; "
    text += "give more --steps"
    assert (lines[1] == text) is said and (text in lines) is said


def test_the_least_random_play_is_named_and_is_right():
    """A short try of a preset that begins with long strolls: what is said can be typed."""
    config = preset("memory_maze", "tiny", "memory_maze/9x9-rays")
    least = least_prefill(config)
    assert least < config.replay.prefill / 10
    assert Trainer(config.override([f"replay.prefill={least}"])).prefill_steps == least
    assert Trainer(config.override(["replay.prefill=1"])).prefill_steps == least


def test_a_full_run_that_is_too_long_is_refused_before_anything_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        train.main(["bsuite", "--env", "bsuite/umbrella_length_999999999", "--size", "tiny", "--run-dir", "run"])
    assert ended.value.code == 2 and not list(tmp_path.iterdir())
    assert "has 10,000,000,000,000 steps, more than 2,000,000,000: give --steps" in error_line(capsys)


@pytest.mark.parametrize(("longest", "said"), [(200, False), (201, True), (999_999_999, True), (None, False)])
def test_a_run_shorter_than_an_episode_says_so_at_the_start(fake, capsys, monkeypatch, longest, said):
    monkeypatch.setattr(FakeTrainer, "settings", SimpleNamespace(longest=longest))
    assert fake("fake", "--run-dir", "run", "--steps", 200) == 0
    text = f"an episode takes up to {longest or 0:,} steps, more than the whole run: "
    assert (text in capsys.readouterr().err) is said


def test_resuming_what_was_never_started_starts_it(fake, capsys):
    assert fake("fake", "--run-dir", "new", "--resume", "--steps", 200) == 0
    assert "nothing to resume in new: starting the run there" in capsys.readouterr().err
    assert fake("fake", "--run-dir", "new", "--resume") == 0  # finished: evaluates again and ends
    assert "resumed new at step 200" in capsys.readouterr().err


def test_a_run_that_another_process_begins_meanwhile_is_in_use(fake, capsys, monkeypatch):
    new_run = starting._new_run

    def late(*asked):
        monkeypatch.setattr(starting, "_new_run", new_run)
        assert fake("fake", "--run-dir", "new", "--steps", 200) == 0
        return new_run(*asked)

    monkeypatch.setattr(starting, "_new_run", late)
    assert fake("fake", "--run-dir", "new", "--resume", "--steps", 200) == cli.LOCKED
    assert "another process has just begun new; the same command goes on with it" in capsys.readouterr().err


def test_a_name_that_no_file_can_have_is_said_in_one_line(fake, capsys):
    assert fake("fake", "--run-dir", "a" * 300) == 2
    assert f"argument --run-dir: {'a' * 60}… (300 letters): File name too long" in error_line(capsys)
    sources = [file.read_text(encoding="utf-8") for file in Path(sweep.__file__).parent.rglob("*.py")]
    assert len(sources) > 50 and not any("type=Path" in source for source in sources)  # so is every command's


@pytest.mark.heavy
def test_a_run_of_which_every_member_diverges_stops_with_5_and_keeps_the_last_checkpoint(fake, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_NAN_AT", "400")
    monkeypatch.setenv("FAKE_NAN_MEMBERS", "2")
    assert fake("fake", "--seeds", 2, "--steps", 800, "--run-dir", "run", "--checkpoint-every", 0) == 5
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: training diverged at step 400: seed0 (loss/model is nan), seed1 (")
    assert "the last finite checkpoint is step 360" in line
    rows = read("run")
    assert rows[-1]["env_steps"] == 360 and all(row["loss/model"] is not None for row in rows)
    monkeypatch.delenv("FAKE_NAN_AT")
    assert fake("fake", "--run-dir", "run", "--resume") == 0


def test_a_member_that_diverges_is_marked_and_left_out_and_the_others_go_on_to_the_bit(fake, capsys, monkeypatch):
    words = ("sweep", "fake", "--grid", "hypers.model_lr=0.1,0.5", "--steps", 800, "--run-dir")
    assert fake(*words, "sound") == 0
    monkeypatch.setenv("FAKE_NAN_AT", "400")
    monkeypatch.setattr("experiments.running.loop.evaluation.FINAL_EPISODES", 128)
    capsys.readouterr()
    assert fake(*words, "lame") == 0
    captured = capsys.readouterr()
    assert "diverged at step 400: model_lr=0.5,seed0 (loss/model is nan); kept as of step 360" in captured.err
    assert captured.err.count("diverged") == 1
    assert "| diverged " in captured.out
    sound, lame = ([row | {"wall_seconds": 0} for row in read(name)] for name in ("sound", "lame"))
    assert [row for row in lame if row["hypers.model_lr"] == 0.1] == [
        row for row in sound if row["hypers.model_lr"] == 0.1
    ]
    lost = [row for row in lame if row["hypers.model_lr"] == 0.5 and row["env_steps"] >= 400]
    assert lost and all(row["diverged"] is True and row["loss/model"] is None for row in lost)
    assert {row["eval_return"] for row in lost if "eval_return" in row} == {None}
    entries = json.loads(Path("lame/sweep.json").read_text())
    assert [(entry["hypers.model_lr"], entry["mean"] is None) for entry in entries] == [(0.1, False), (0.5, True)]
    document = json.loads(Path("lame/evaluation.json").read_text())
    assert document["mean"] == document["members"][0]["mean"] and document["members"][1]["mean"] is None
    # It goes on from there as often as one likes, and can be looked at.
    assert fake("sweep", "fake", "--run-dir", "lame", "--resume", "--steps", 880) == 0
    assert fake("evaluate", "lame", "--step", "best") == 0
    assert fake("plot", "lame") == 0
    assert "| diverged " in capsys.readouterr().out


def test_a_run_whose_checkpoints_are_all_damaged_exits_3(fake, capsys):
    assert fake("fake", "--steps", 200, "--run-dir", "run") == 0
    for record in Path("run/checkpoints").glob("*/record/metadata"):
        record.write_text("{")
    capsys.readouterr()
    metrics = Path("run/metrics.jsonl").read_bytes()
    assert fake("fake", "--run-dir", "run", "--resume") == 3
    assert "no checkpoint in" in last_error(capsys)
    shutil.move("run/checkpoints", "elsewhere")
    assert fake("fake", "--run-dir", "run", "--resume") == 3
    assert "run has rows in metrics.jsonl and no checkpoint to go on from" in last_error(capsys)
    assert Path("run/metrics.jsonl").read_bytes() == metrics
    assert fake("evaluate", "run") == 3
    assert "has no checkpoint yet" in error_line(capsys)


def test_evaluate_prints_each_seed_and_writes_nothing(finished, fake, capsys):
    before = sorted(finished.rglob("*"))
    assert fake("evaluate", finished, "--episodes", 16) == 0
    first = capsys.readouterr().out
    assert "fake/A at step 800" in first and "| seed1 |" in first and "16 episodes each" in first
    assert fake("evaluate", finished, "--episodes", 16, "--step", "best", "--seed", 1) == 0
    assert capsys.readouterr().out != first
    assert fake("evaluate", finished, "--episodes", 16, "--forget", 5) == 0
    emptied = capsys.readouterr().out
    assert "emptied every 5 steps" in emptied and emptied.splitlines()[1:] != first.splitlines()[1:]
    assert fake("evaluate", finished, "--step", 3) == 2
    assert "has no checkpoint at step 3; it has steps" in error_line(capsys)
    assert sorted(finished.rglob("*")) == before


def test_evaluation_statistics_on_known_returns():
    from experiments.running import evaluation

    class Known:
        config = Config()

        def evaluate(self, state, key, episodes, greedy=None, forget=None, max_steps=None, rows=None):
            returns = np.array([[0.0, 1.0, 2.0, 3.0], [5.0, 5.0, 5.0, 5.0]]) - (0 if greedy else 1)
            cut = np.zeros(returns.shape, bool)
            return {"episode_return": returns, "episode_length": np.full(returns.shape, 7), "episode_cut": cut}

    sound = SimpleNamespace(seeds=SimpleNamespace(diverged=np.zeros(2, bool)))
    result = evaluation.evaluate(Known(), sound, None, [{"seed": 0}, {"seed": 1}], 4)
    first, second = result["members"]
    assert (first["mean"], second["mean"], second["stderr"], first["length"]) == (1.5, 5.0, 0.0, 7.0)
    assert first["stderr"] == pytest.approx(np.sqrt(5 / 3) / 2)
    assert first["quantiles"] == pytest.approx([0.3, 1.5, 2.7])
    assert result["mean"] == 3.25 and result["stderr"] == pytest.approx(1.75)
    assert result["greedy"] and result["other_mean"] == 2.25 and result["other_stderr"] == pytest.approx(1.75)
    assert (second["other_mean"], second["other_stderr"]) == (4.0, 0.0)
    text = evaluation.report("popgym/RepeatPreviousEasy", result)
    assert "| 1.500 ± 0.645                | 0.30      | 1.50      | 2.70      |" in text
    assert (
        "3.250 ± 1.750 greedy, 2.250 ± 1.750 sampled (s.e. over seeds" in text
        and "random play -0.500" in text
        and "R2I 0.82" in text
    )


def test_a_run_remembers_over_how_many_devices_an_agent_is_and_goes_on_on_any_number(fake, capsys):
    held = lambda: json.loads(Path("run/run.json").read_text())["devices_per_seed"]
    for words, number, note in (
        (("--devices-per-seed", 2, "--steps", 200), 2, None),
        (("--resume", "--steps", 400), 2, None),
        (("--resume", "--steps", 600, "--devices-per-seed", 1), 1, "not bit-exact: devices per seed 2 -> 1"),
        (("--resume", "--steps", 800), 1, None),
    ):
        assert fake("fake", *words, "--run-dir", "run") == 0
        assert held() == number
        said = capsys.readouterr().err
        assert (note is None and "bit-exact" not in said) or (note is not None and note in said), said
    assert fake("fake", "--resume", "--devices-per-seed", 5, "--run-dir", "run") == 2
    assert "loop.num_envs=8 cannot be shared by 5 devices a seed" in last_error(capsys) and held() == 1


def test_a_sweep_is_every_combination_times_every_seed(fake, capsys):
    grid = ("--grid", "hypers.model_lr=1e-4,0.5", "hypers.discount=0.9,0.99")
    assert fake("sweep", "fake", *grid, "--seeds", 2, "--steps", 200, "--run-dir", "sweep") == 0
    rows = read("sweep")
    last = {(row["hypers.model_lr"], row["hypers.discount"], row["seed"]): row for row in rows[-8:]}
    assert len(last) == 8
    losses = {key: row["loss/model"] for key, row in last.items()}
    assert losses[1e-4, 0.9, 0] == losses[1e-4, 0.99, 0]  # the stand-in uses model_lr alone, and keys are per seed
    assert losses[1e-4, 0.9, 0] != losses[0.5, 0.9, 0] and losses[1e-4, 0.9, 0] != losses[1e-4, 0.9, 1]
    entries = json.loads(Path("sweep/sweep.json").read_text())
    assert [entry["mean"] for entry in entries] == sorted((entry["mean"] for entry in entries), reverse=True)
    assert [len(entry["seeds"]) for entry in entries] == [2] * 4
    assert entries[-1]["stderr"] == pytest.approx(abs(np.subtract(*entries[-1]["seeds"])) / 2)
    table = Path("sweep/sweep.md").read_text()
    output = capsys.readouterr().out
    assert table.count("\n") == 6 and table in output and "mean return" not in output
    assert sorted(os.listdir("sweep/tensorboard"))[0] == "model_lr=0.0001,discount=0.9,seed0"
    assert fake("sweep", "fake", "--run-dir", "sweep", "--resume", "--steps", 240) == 0
    capsys.readouterr()
    assert fake("sweep", "fake", "--run-dir", "sweep", "--resume", "--grid", "hypers.model_lr=1,2") == 2
    assert "was started with another --grid" in error_line(capsys)


def test_a_sweeps_member_equals_a_run_of_its_own(fake):
    assert fake("sweep", "fake", "--grid", "hypers.model_lr=0.1,0.5", "--steps", 200, "--run-dir", "sweep") == 0
    assert fake("fake", "--set", "hypers.model_lr=0.5", "--steps", 200, "--run-dir", "alone") == 0
    rows = read("sweep")
    swept = [row["loss/model"] for row in rows if row["hypers.model_lr"] == 0.5]
    alone = [row["loss/model"] for row in read("alone")]
    np.testing.assert_allclose(swept, alone, rtol=1e-5)


def test_a_seed_is_evaluated_on_the_same_episodes_under_every_setting(fake, capsys):
    """The stand-in makes no use of `critic_lr`: its agents are the same, and so is what they do where they play."""
    grid = ("--grid", "hypers.critic_lr=0.1,0.5", "--seeds", 2)
    assert fake("sweep", "fake", *grid, "--steps", 200, "--run-dir", "sweep") == 0
    one, other = json.loads(Path("sweep/sweep.json").read_text())
    assert one["seeds"] == other["seeds"] and len(set(one["seeds"])) == 2
    evaluated: dict[int, list[float]] = {}
    for row in read("sweep"):
        evaluated.setdefault(row["env_steps"], []).append(row["eval_return"])
    assert all(returns[:2] == returns[2:] for returns in evaluated.values())
    capsys.readouterr()
    assert fake("evaluate", "sweep", "--episodes", 5) == 0
    found = {line.split("|")[1].strip(): line.split("|")[2:] for line in capsys.readouterr().out.splitlines()[3:]}
    one, two, three, four = found.values()
    assert one == three != two == four and "critic_lr=0.5,seed1" in found


def test_grid_order_puts_seeds_innermost():
    found = sweep.members(Config(), ["hypers.model_lr=1,2"], 2)
    assert [(row["hypers.model_lr"], row["seed"]) for row in found] == [(1.0, 0), (1.0, 1), (2.0, 0), (2.0, 1)]


def test_whole_numbers_are_read_as_people_write_them():
    assert [cli.whole(1)(text) for text in ("7", "2e5", "200_000", "3.0")] == [7, 200_000, 200_000, 3]


@pytest.mark.parametrize(
    ("memories", "each", "takes"),
    [
        (1, 1, "the state of 2 seeds takes 12.0 GB"),
        (2, 2, "a device's share of the state of 2 seeds takes 7.0 GB"),  # both agents, half of each replay
        (4, 2, "a device's share of the state of 1 seeds takes 3.5 GB"),
        (1, 2, "the state of 2 seeds takes 14.0 GB"),  # one memory for all, and each agent twice
    ],
)
def test_a_state_that_does_not_fit_is_refused_with_what_a_device_has_of_it(capsys, monkeypatch, memories, each, takes):
    import jax

    monkeypatch.setattr(memory, "device_bytes", lambda: 1e9)
    agent, replay = (jax.ShapeDtypeStruct((2, size), np.uint8) for size in (10**9, 5 * 10**9))
    shapes = SimpleNamespace(seeds=SimpleNamespace(agent=agent, replay=replay))
    monkeypatch.setattr(memory, "state_bytes", lambda tree: 12e9 if tree is shapes else tree.size)
    with pytest.raises(SystemExit, match="2"):
        memory.refuse_too_large(shapes, 2, memories, each)
    assert takes in error_line(capsys)
