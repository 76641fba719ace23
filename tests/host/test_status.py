"""How runs stand, from their files."""

import json
import shutil
import signal

import pytest

from experiments import status
from experiments.running import folders, rundir, runinfo
from r2i_jit.config import Config
from tests.host.fake import FakeTrainer
from tests.host.test_cli import error_line

WORDS = ["suite", "fake", "--out-dir", "out", "--steps", "200", "--seeds", "2"]


def stand(capsys, *words):
    """Return (exit code, run -> cells, the last line)."""
    capsys.readouterr()
    code = status.main(list(words))
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:] if line.startswith("|")]
    return code, {row[0]: row[1:] for row in rows}, lines[-1]


@pytest.mark.heavy
def test_a_suite_from_its_first_run_to_its_last(fakes, tmp_path, capsys, monkeypatch):
    train = FakeTrainer.train_chunk
    with monkeypatch.context() as patch:
        patch.setattr(FakeTrainer, "train_chunk", lambda *asked: signal.raise_signal(signal.SIGINT) or train(*asked))
        assert fakes(*WORDS) == 130
    code, found, last = stand(capsys, "out")
    assert code == 0 and last == "2 runs: 1 stopped, 1 waiting"
    assert found["out/A"][:3] == ["stopped", "2", "120 of 200"] and found["out/B"] == ["waiting", "-", "-", "-"]
    (tmp_path / "out" / "B").mkdir()
    (tmp_path / "out" / "B" / "notes.txt").write_text("not a run")
    assert fakes(*WORDS) == 1
    code, found, last = stand(capsys, "out")
    mean = json.loads((tmp_path / "out" / "A" / "evaluation.json").read_text())["mean"]
    assert code == 1 and found["out/A"] == ["done", "2", "200 of 200", f"{mean:.3f}"]
    assert found["out/B"][0] == "failed (exit 2)"
    shutil.rmtree(tmp_path / "out" / "B")
    assert fakes(*WORDS) == 0
    assert stand(capsys, "out")[2] == "2 runs: 2 done"
    with rundir.lock(tmp_path / "out" / "A"):
        assert stand(capsys, "out")[1]["out/A"][0] == "running"
    assert stand(capsys, "out/A")[2] == "1 run: 1 done"
    assert fakes(*WORDS[:5], "400", "--only", "B") == 0  # longer than it was: done anew
    assert stand(capsys, "out/B")[1]["out/B"][2] == "400 of 400"


@pytest.mark.heavy
def test_members_that_diverged_are_counted_and_all_of_them_are_a_failure(fakes, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_NAN_AT", "160")
    assert fakes(*WORDS, "--only", "A") == 0
    assert stand(capsys, "out")[1]["out/A"][:2] == ["done", "2, 1 diverged"]
    monkeypatch.setenv("FAKE_NAN_MEMBERS", "2")
    assert fakes(*WORDS) == 1
    code, found, last = stand(capsys, "out")
    assert code == 1 and found["out/B"][:3] == ["diverged", "2", "120 of 200"] and last == "2 runs: 1 done, 1 diverged"


@pytest.mark.heavy
def test_a_comparison_and_minutes(fakes, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_CHUNK_SECONDS", "0.1")
    words = ["compare", "fake", "--out-dir", "out", "--agents", "r2i", "ppo-s5", "--only", "A", "--minutes", "0.01"]
    assert fakes(*words) == 0
    found = stand(capsys, "out")[1]
    assert found.keys() == {"out/r2i/A", "out/ppo-s5/A"}
    assert all(cells[0] == "done" and cells[2].endswith("of 0.01 min") for cells in found.values())


def test_a_log_that_lost_its_end_and_a_run_that_lost_steps(fakes, tmp_path, capsys):
    """The evaluation says how far a run got; of one that was killed the newest checkpoint says what is kept."""
    assert fakes(*WORDS) == 0
    log = tmp_path / "out" / "A" / "metrics.jsonl"
    whole = log.read_text()
    log.write_text("".join(whole.splitlines(True)[:-2]))
    capsys.readouterr()
    assert status.main(["out"]) == 0
    said = capsys.readouterr()
    assert "out/A/metrics.jsonl ends at step 160, before the evaluation at 200" in said.err and "200 of 200" in said.out
    log.write_text(whole)
    (tmp_path / "out" / "A" / "evaluation.json").unlink()
    newest = max((tmp_path / "out" / "A" / "checkpoints").iterdir(), key=lambda path: int(path.name))
    newest.rename(newest.with_name("160"))
    assert stand(capsys, "out")[1]["out/A"][:3] == ["stopped", "2", "200 of 200, saved at 160"]


def test_what_does_not_read_is_named_and_the_rest_is_shown(fakes, tmp_path, capsys):
    assert fakes(*WORDS) == 0
    (tmp_path / "out" / "A" / "run.json").write_text("{")
    code, found, _ = stand(capsys, "out")
    assert code == 1 and found["out/A"][0] == "failed (out/A/run.json is damaged: it is no JSON (line 1))"
    assert found["out/B"][0] == "done"
    (tmp_path / "out" / "results.json").write_text("[")
    assert stand(capsys, "out")[1]["out/B"][0] == "done"


@pytest.mark.parametrize(("words", "said"), [(["nowhere"], "nowhere is no folder"), (["."], "there is no run in .")])
def test_where_there_is_nothing(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        status.main(words)
    assert said in error_line(capsys)


def test_settings_that_are_one_run_stand_as_that_run(tmp_path):
    """In the table a row each, of which that run's failure is."""
    run = tmp_path / "memory_len-0,1"
    run.mkdir()
    info = runinfo.RunInfo(
        "train", "bsuite", "tiny", 0, [{"env": f"bsuite/memory_len/{i}", "seed": 0} for i in (0, 1)], 9, 5, 0.0, {}
    )
    rundir.write(run, Config(env="bsuite/memory_len/0,1"), info)
    rows = [{"env": f"bsuite/memory_len/{i}", "failure": 4 if i < 2 else None} for i in range(3)]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    assert [(one.path.name, one.state) for one in status.below(tmp_path)] == [
        ("memory_len-0,1", "failed (exit 4)"),
        ("memory_len-2", "waiting"),
    ]


def test_done_is_what_was_evaluated_after_the_minutes():
    """Not what has only been trained for them since."""
    rows = [{"env_steps": 10, "wall_seconds": 30.0}, {"env_steps": 20, "wall_seconds": 90.0}]
    assert not folders.is_over({"env_steps": 10}, rows, 99, 1.0) and folders.is_over({"env_steps": 20}, rows, 99, 1.0)
    assert folders.is_over({"env_steps": 10}, rows, 10, None) and not folders.is_over({"env_steps": 10}, rows, 11, None)
    assert not folders.is_over(None, rows, 1, 0.1)
