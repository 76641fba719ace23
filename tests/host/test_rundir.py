"""Run directories that are damaged, edited, foreign or cannot be written: one line that names the file and the key."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.running import asking, rundir, runinfo
from r2i_jit.config import Config
from tests.host import fake as stand_in
from tests.host.test_cli import error_line, last_error, read


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A finished run of two seeds."""
    import sys

    path = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        import r2i_jit

        patch.setattr(r2i_jit, "Trainer", r2i_jit.Trainer)
        patch.setitem(sys.modules, "experiments.presets", sys.modules.get("experiments.presets"))
        words = ["fake", "--seeds", "2", "--steps", "200", "--checkpoint-every", "0", "--run-dir", str(path)]
        assert stand_in.main(words) == 0
    return path


@pytest.fixture
def run(whole, tmp_path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit the JSON object in a file."""
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


BAD_INFO = {
    "kind": ("evaluate", "expected one of train, sweep"),
    "suite": (3, "expected a text"),
    "size": (None, "expected a text"),
    "seed": (-1, "expected a whole number from 0"),
    "members": ([], "expected a list such as"),
    "steps": ("200", "expected a whole number from 1 to 2147483647"),
    "eval_every": (0, "expected a whole number from 1 to 2147483647"),
    "created": ([1], "expected a number of seconds"),
    "versions": ({"jax": 1}, "expected an object of texts"),
    "devices_per_seed": (0, "expected a whole number of at least 1"),
    "id": (7, "expected a text"),
    "record_every": (0, "expected a whole number from 1 to 2147483647, or null"),
}


@pytest.mark.parametrize("key", BAD_INFO)
def test_a_value_of_another_type_in_run_json_is_named(run, fake, capsys, key):
    value, expected = BAD_INFO[key]
    change(run / "run.json", lambda info: info.update({key: value}))
    for words in (["fake", "--run-dir", "run", "--resume"], ["evaluate", "run"], ["plot", "run"]):
        assert fake(*words) == 2
        line = error_line(capsys)
        assert f"run/run.json: key {key!r} is {json.dumps(value)}" in line and expected in line


MEMBERS = {
    "no seed": [{}], "no object": [0], "a text": [{"seed": "0"}], "true": [{"seed": True}],
    "twice the same": [{"seed": 0}, {"seed": 0}], "a foreign key": [{"seed": 0, "foreign": 1}],
    "an unknown hyper": [{"seed": 0, "hypers.model_rl": 1.0}], "a hyper as text": [{"seed": 0, "hypers.model_lr": "1"}],
    "unlike keys": [{"seed": 0, "hypers.model_lr": 1.0}, {"seed": 1}],
}  # fmt: skip


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_members_that_are_none_are_refused(run, fake, capsys, members):
    change(run / "run.json", lambda info: info.update(members=members))
    assert fake("evaluate", "run") == 2
    assert "run/run.json: key 'members' is [" in error_line(capsys)


def test_a_key_that_is_missing_or_unknown_in_run_json_is_named(run, fake, capsys):
    change(run / "run.json", lambda info: info.update(stepps=info.pop("steps")))
    assert fake("evaluate", "run") == 2
    assert "run/run.json: key 'steps' is missing" in error_line(capsys)
    change(run / "run.json", lambda info: info.update(steps=200))
    assert fake("evaluate", "run") == 2
    assert "run/run.json: unknown key 'stepps'" in error_line(capsys)


@pytest.mark.parametrize("name", ["run.json", "config.json"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged: it is no JSON (line 1)"),
        (b'{"env": ', "is damaged: it is no JSON (line 1)"),
        (b"\xff\xfe{", "is damaged: it is no text"),
        (b"[1]", "is damaged: it holds no JSON object"),
        (b"[" * 100_000, "is damaged: it is nested without end"),
    ],
)
def test_a_file_that_does_not_read_is_named(run, fake, capsys, name, content, said):
    (run / name).write_bytes(content)
    for words in (["fake", "--run-dir", "run", "--resume"], ["evaluate", "run"], ["plot", "run"]):
        assert fake(*words) == 2
        line = error_line(capsys)
        assert f"run/{name} {said}" in line and "Expecting value" not in line


def test_a_config_that_was_edited_to_another_game_is_not_evaluated_as_that(run, fake, capsys):
    """Its shapes are the same, so nothing else would tell; the checkpoint has a copy of its own."""
    change(run / "config.json", lambda config: config.update(env="fake/B"))
    assert fake("evaluate", "run") == 2
    assert "run was edited since checkpoint 200 was saved (config.json env: 'fake/A' -> 'fake/B')" in error_line(capsys)
    change(run / "config.json", lambda config: config["hypers"].update(model_lr=0.5))
    assert fake("fake", "--run-dir", "run", "--resume") == 2
    assert "config.json env: 'fake/A' -> 'fake/B'; config.json hypers.model_lr: 0.0001 -> 0.5" in last_error(capsys)
    assert len(read("run")) == 6


def test_a_refused_resume_leaves_the_files_as_they_were(run, fake, capsys):
    change(run / "config.json", lambda config: config["hypers"].update(model_lr=0.5))
    before = {name: (run / name).read_bytes() for name in ("config.json", "run.json", "metrics.jsonl")}
    assert before["config.json"].count(b"\n") == 0  # not as it would be written
    for words in (["--steps", 400], ["--steps", 400, "--eval-every", 7], ["--seeds", 3]):
        assert fake("fake", "--run-dir", "run", "--resume", *words) == 2
        assert {name: (run / name).read_bytes() for name in before} == before
    shutil.rmtree(run / "checkpoints")
    assert fake("fake", "--run-dir", "run", "--resume", "--steps", 400) == 3
    assert {name: (run / name).read_bytes() for name in before} == before


def test_a_run_is_found_and_resumed_by_another_name_of_its_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    info = runinfo.RunInfo("train", "bsuite", "tiny", 0, [{"seed": 0}], 10, 5, 1.5, {})
    names = {"bsuite/memory_len_100": "bsuite/memory_len/22", "bsuite/memory_len/1,2": "bsuite/memory_len/1,2"}
    for i, env in enumerate(names):
        (tmp_path / "runs" / str(i)).mkdir(parents=True)
        rundir.write(Path("runs", str(i)), Config(env=env), info)
    for i, (env, other) in enumerate(names.items()):
        saved = Config(env=env)
        for asked in (env, other):
            assert rundir.newest(asked, "train") == Path("runs", str(i))
            assert asking.typed_config(SimpleNamespace(env=asked, assignments=[]), saved, info) == saved
    for asked in ("bsuite/memory_len/21", "bsuite/memory_len/2,1"):
        assert asking.typed_config(SimpleNamespace(env=asked, assignments=[]), saved, info).env == asked
        with pytest.raises(SystemExit):
            rundir.newest(asked, "train")


def test_an_edit_that_changes_the_states_shapes_is_named_as_well(run, fake, capsys, monkeypatch):
    change(run / "config.json", lambda config: config["replay"].update(capacity=96))
    monkeypatch.setattr(stand_in, "RING", 96)
    for words in (["evaluate", "run"], ["fake", "--run-dir", "run", "--resume"]):
        assert fake(*words) == 2
        assert "run was edited since checkpoint 200 was saved (config.json replay.capacity: " in last_error(capsys)
    assert len(read("run")) == 6


def test_a_state_of_other_shapes_that_nobody_edited_is_of_another_program(run, fake, capsys, monkeypatch):
    monkeypatch.setattr(stand_in, "RING", 96)
    for words in (["evaluate", "run"], ["fake", "--run-dir", "run", "--resume"]):
        assert fake(*words) == 3
        assert "holds .seeds.replay['is_first'] as bool[2, 64], this run needs bool[2, 96]" in last_error(capsys)


def test_members_or_a_seed_that_were_edited_are_named(run, fake, capsys):
    change(run / "run.json", lambda info: info.update(seed=5, members=[{"seed": 0}, {"seed": 2}]))
    assert fake("evaluate", "run") == 2
    line = error_line(capsys)
    assert 'run.json members: {"seed": 1} -> {"seed": 2}' in line
    assert "run.json seed: 0 -> 5" in line


@pytest.mark.heavy
def test_a_checkpoint_that_does_not_fit_is_found_before_the_compilation(run, fake, capsys, monkeypatch):
    shutil.copytree(run / "checkpoints", "checkpoints")
    assert fake("fake", "--seeds", 3, "--steps", 200, "--run-dir", "other") == 0
    shutil.rmtree("other/checkpoints")
    shutil.move("checkpoints", "other/checkpoints")
    capsys.readouterr()
    monkeypatch.setattr(stand_in.FakeTrainer, "compile", lambda *_, **__: pytest.fail("it was compiled"))
    assert fake("fake", "--run-dir", "other", "--resume") == 2
    assert 'run.json members: [{"seed": 0}, {"seed": 1}] -> ' in last_error(capsys)


def test_damaged_lines_of_the_log_do_not_stand_between_a_user_and_a_checkpoint(run, fake, caplog):
    path = run / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = [b"not json\n", b'{"env_steps": 160}\n', b"\xff\n", b'{"env_steps": 160, "seed": 0, "loss/model": "x"}\n']
    path.write_bytes(b"".join([*lines[:3], *damaged, *lines[3:]]))
    assert fake("plot", "run") == 0
    assert "metrics.jsonl" in caplog.text
    assert fake("fake", "--run-dir", "run", "--resume", "--steps", 240) == 0
    assert path.read_bytes().startswith(b"".join(lines))
    assert (run / "metrics.jsonl.damaged").read_bytes() == b"".join(damaged)
    assert read(run)[-1]["env_steps"] == 240


@pytest.mark.parametrize("name", ["run.lock", "config.json.tmp", "run.json.tmp"])
def test_what_cannot_be_written_at_the_start_is_one_line(fake, capsys, name):
    Path("run", name).mkdir(parents=True)
    code = fake("fake", "--run-dir", "run")
    assert code in (2, 4)
    line = last_error(capsys)
    assert "run" in line and "Is a directory" in line


def test_a_full_disk_at_the_start_is_one_line(fake, capsys, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert fake("fake", "--run-dir", "run") == 4
    assert error_line(capsys) == "error: cannot write run/config.json: No space left on device\n"


def test_every_run_has_an_id_of_its_own_that_it_keeps(fake):
    ids = []
    for path in ("lr1e-3/run", "lr1e-4/run", "lr1e-3/run"):
        shutil.rmtree(path, ignore_errors=True)
        assert fake("fake", "--steps", 120, "--run-dir", path) == 0
        ids.append(json.loads(Path(path, "run.json").read_text())["id"])
    assert len(set(ids)) == 3
    assert fake("fake", "--steps", 160, "--run-dir", path, "--resume") == 0
    assert json.loads(Path(path, "run.json").read_text())["id"] == ids[-1]


def test_a_run_of_before_has_none_and_gets_one(run, fake):
    change(run / "run.json", lambda info: info.pop("id"))
    assert fake("fake", "--run-dir", "run", "--resume") == 0
    assert len(json.loads((run / "run.json").read_text())["id"]) == 32


def test_what_is_written_reads_back(tmp_path):
    info = runinfo.RunInfo("sweep", "popgym", "tiny", 3, [{"hypers.model_lr": 1e-3, "seed": 0}], 10, 5, 1.5, {"a": "b"})
    rundir.replace_text(tmp_path / "run.json", info.to_json())
    assert runinfo.read(tmp_path / "run.json") == info
