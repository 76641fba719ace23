"""Agents compared on the same games: trained side by side, gone on with, reported; on the stand-in."""

import json
import signal

import pytest

from experiments import compare
from r2i_jit import metrics
from tests.host.fake import FakeTrainer
from tests.host.test_cli import error_line

WORDS = ("compare", "fake", "--out-dir", "out", "--agents", "r2i", "ppo-gru", "--seeds", "2", "--eval-every", "80")


@pytest.mark.heavy
def test_agents_are_compared_on_the_same_games_and_more_is_added(fakes, tmp_path, capsys):
    assert fakes(*WORDS, "--steps", "200", "--only", "A") == 0
    out = tmp_path / "out"
    capsys.readouterr()
    first = {agent: (out / agent / "A" / "metrics.jsonl").read_bytes() for agent in ("r2i", "ppo-gru")}
    assert fakes(*WORDS, "--steps", "200") == 0
    started = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
    assert started == ["[2/2] fake/B, r2i", "[2/2] fake/B, ppo-gru"]
    assert first == {agent: (out / agent / "A" / "metrics.jsonl").read_bytes() for agent in first}
    for agent in first:
        assert json.loads((out / agent / "B" / "run.json").read_text())["agent"] == agent
        assert [row["env"] for row in json.loads((out / agent / "results.json").read_text())] == ["fake/A", "fake/B"]
    found = json.loads((out / "report" / "report.json").read_text())
    assert found["sets"] == list(first)
    assert {name: [len(own[game]) for game in own] for name, own in found["returns"].items()} == {
        name: [2, 2] for name in first
    }
    assert "200 steps" in (out / "report" / "report.md").read_text()


@pytest.mark.heavy
def test_one_that_fails_is_named_and_the_others_go_on(fakes, tmp_path, capsys):
    (tmp_path / "out" / "ppo-gru" / "A").mkdir(parents=True)
    (tmp_path / "out" / "ppo-gru" / "A" / "notes.txt").write_text("not a run")
    assert fakes(*WORDS, "--steps", "200") == 1
    assert capsys.readouterr().err.splitlines()[-1] == "fake/A, ppo-gru: failed (exit 2)"
    assert list(json.loads((tmp_path / "out" / "report" / "report.json").read_text())["returns"]["ppo-gru"]) == [
        "fake/B"
    ]


def test_mistakes_exit_2_before_anything_runs(fakes, tmp_path, capsys):
    assert fakes("compare", "fake", "--agents", "ppo") == 2
    assert "invalid choice: 'ppo'" in error_line(capsys)
    assert fakes("compare", "fake", "--set", "model.unit=3") == 2
    assert "did you mean model.units" in error_line(capsys)
    assert fakes("compare", "fake", "--minutes", "0") == 2
    assert "0 is no number of minutes above 0" in error_line(capsys)
    assert not list(tmp_path.iterdir())
    assert fakes(*WORDS, "--steps", "200", "--only", "A") == 0
    capsys.readouterr()
    assert fakes(*WORDS, "--steps", "200", "--set", "model.deter=8") == 2
    assert "model.deter" in error_line(capsys)


@pytest.mark.heavy
def test_what_is_stopped_says_how_it_goes_on(fakes, tmp_path, capsys, monkeypatch):
    train = FakeTrainer.train_chunk
    with monkeypatch.context() as patch:
        patch.setattr(FakeTrainer, "train_chunk", lambda *asked: signal.raise_signal(signal.SIGINT) or train(*asked))
        assert fakes(*WORDS, "--steps", "200") == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "stopped at step 120; go on with: python -m experiments.compare " + " ".join(WORDS[1:]) + " --steps 200"
    )
    assert fakes(*WORDS, "--steps", "200") == 0


@pytest.mark.heavy
def test_minutes_end_a_run_and_more_of_them_go_on(fakes, tmp_path, capsys, monkeypatch):
    """A chunk takes a tenth of a second here: half a second is some five of them, far from 2,000 steps."""
    monkeypatch.setenv("FAKE_CHUNK_SECONDS", "0.1")
    words = ("compare", "fake", "--out-dir", "out", "--agents", "r2i", "--only", "A")
    log = tmp_path / "out" / "r2i" / "A" / "metrics.jsonl"

    def reached():
        row = metrics.read(log)[-1]
        return row["env_steps"], row["wall_seconds"]

    assert fakes(*words, "--minutes", "0.01") == 0
    assert "2,000 steps each or 0.01 minutes" in capsys.readouterr().err
    steps, seconds = reached()
    assert seconds >= 0.6 and steps < 2000
    assert json.loads((log.parent / "evaluation.json").read_text())["env_steps"] == steps
    assert fakes(*words, "--minutes", "0.01") == 0 and fakes(*words) == 0
    assert reached() == (steps, seconds)  # it is done
    assert fakes(*words, "--minutes", "0.005") == 2
    assert "minutes: 0.01 -> 0.005, which is fewer" in error_line(capsys)
    more = seconds / 60 + 0.01
    assert fakes(*words, "--minutes", more) == 0
    assert reached()[0] > steps and reached()[1] >= 60 * more
    assert fakes(*words, "--minutes", more, "--steps", "80") == 2  # it was to have 2,000
    assert fakes("--run-dir", str(log.parent), "--resume", "--minutes", "9") == 0  # `train` itself
    assert reached()[0] == 2000


def test_nothing_compares_nothing(tmp_path):
    assert compare._report(["r2i"], tmp_path) == ""
