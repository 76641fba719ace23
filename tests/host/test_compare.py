"""Agents compared on the same games: trained side by side, gone on with, reported; on the stand-in."""

import json
import re
import shutil
import signal

import pytest

from experiments import compare, report
from r2i_jit import metrics
from tests.host.fake import FakeTrainer
from tests.host.test_cli import error_line, last_error

WORDS = ("compare", "fake", "--out-dir", "out", "--agents", "r2i", "ppo-gru", "--seeds", "2", "--eval-every", "80")


@pytest.mark.heavy
def test_agents_are_compared_on_the_same_games_and_more_is_added(fakes, tmp_path, capsys):
    assert fakes(*WORDS, "--steps", "200", "--only", "A") == 0
    out = tmp_path / "out"
    capsys.readouterr()
    first = {agent: (out / agent / "A" / "metrics.jsonl").read_bytes() for agent in ("r2i", "ppo-gru")}
    assert fakes(*WORDS, "--steps", "200", "--only", "*") == 0
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
    capsys.readouterr()
    words = [word if word != "r2i" else "ppo-s5" for word in WORDS[:-4] if word != "ppo-gru"]
    assert fakes(*words, "--only", "A") == 0  # one agent more, as long as the others, and with as many seeds
    assert "as before: --seeds 2 --eval-every 80 --steps 200" in capsys.readouterr().err
    added = json.loads((out / "ppo-s5" / "A" / "run.json").read_text())
    assert (added["steps"], added["eval_every"], len(added["members"])) == (200, 80, 2)
    assert json.loads((out / "report" / "report.json").read_text())["sets"] == ["r2i", "ppo-gru", "ppo-s5"]
    for more, said in (
        (["--seeds", "3"], "--seeds: 2 -> 3"),
        (["--set", "hypers.discount=0.9"], "--set: none -> hypers.discount=0.9"),
    ):
        assert fakes(*words, *more) == 2
        assert f"out was started otherwise ({said}); choose another --out-dir" in error_line(capsys)
    assert fakes("compare", "fake", "--out-dir", "out", "--seed", "0", "--steps", "240") == 0  # all, and no others
    said = capsys.readouterr().err
    assert "as before: --seeds 2 --eval-every 80 3 agents 2 games" in said and "[2/2] fake/B, ppo-s5" in said
    assert not (out / "dreamerv3").exists()
    assert fakes("compare", "fake", "--out-dir", "out", "--agents", "r2i", "--steps", "280") == 0
    table = (out / "report" / "report.md").read_text()
    assert "280 steps, 0.0 min |" in table and "240 steps, 0.0 min, shorter |" in table
    assert fakes("suite", "fake", "--only", "A", "--out-dir", "out", "--steps", "120") == 0
    assert (
        report.main(["out", "--out", "again"]) == 0
    )  # the folder of a comparison is as many sets, and what else is there
    assert json.loads((tmp_path / "again" / "report.json").read_text())["sets"] == ["r2i", "ppo-gru", "ppo-s5", "out"]
    shutil.rmtree(out / "A")
    assert report.main(["out", "--out", "again"]) == 0
    assert json.loads((tmp_path / "again" / "report.json").read_text())["sets"] == ["r2i", "ppo-gru", "ppo-s5"]


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
    assert fakes("compare", "fake", "--set", "model.units=8") == 2
    assert "model.units: one value for all would make the agents unequal in size (r2i " in error_line(capsys)
    assert fakes("compare", "--env", "fake/A", "--only", "B") == 2
    assert "--only is for a suite" in error_line(capsys)
    assert fakes("compare") == 2
    assert "give a suite, such as popgym, or environments by --env" in error_line(capsys)
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
        "fake/A (tiny): stopped at step 120; go on with: python -m experiments.compare "
        + " ".join(WORDS[1:])
        + " --steps 200"
    )
    assert fakes(*WORDS, "--steps", "200") == 0


@pytest.mark.heavy
def test_minutes_end_a_run_and_more_of_them_go_on(fakes, tmp_path, capsys, monkeypatch):
    """A chunk takes a tenth of a second here. Nothing else ends it: the preset's 2,000 steps do not."""
    monkeypatch.setenv("FAKE_CHUNK_SECONDS", "0.1")
    words = ("compare", "fake", "--out-dir", "out", "--agents", "r2i", "--only", "A")
    log = tmp_path / "out" / "r2i" / "A" / "metrics.jsonl"

    def reached():
        row = metrics.read(log)[-1]
        return row["env_steps"], row["wall_seconds"]

    assert fakes(*words, "--minutes", "0.01") == 0
    said = capsys.readouterr().err
    assert "0.01 minutes ->" in said and "steps each" not in said and "/" not in said[said.index("step ") :].split()[1]
    steps, seconds = reached()
    assert seconds >= 0.6 and steps < 2000
    assert json.loads((log.parent / "evaluation.json").read_text())["env_steps"] == steps
    assert fakes(*words, "--minutes", "0.01") == 0 and fakes(*words) == 0
    assert reached() == (steps, seconds)  # it is done
    assert fakes(*words, "--minutes", "0.005") == 2
    assert "minutes: 0.01 -> 0.005, which is fewer" in last_error(capsys)
    more = seconds / 60 + 0.01
    assert fakes(*words, "--minutes", more) == 0
    assert reached()[0] > steps and reached()[1] >= 60 * more
    assert fakes(*words, "--minutes", more, "--steps", "80") == 2
    assert "steps: no limit -> 80, which is fewer" in last_error(capsys)
    monkeypatch.setenv("FAKE_CHUNK_SECONDS", "0")
    train = ("--run-dir", str(log.parent), "--resume", "--minutes")
    while (before := reached())[0] <= 2000:  # however slow the machine is
        assert fakes(*train, before[1] / 60 + 0.02) == 0
        assert reached()[0] > before[0]


def test_what_it_has_in_common_does_not_read(fakes, tmp_path, capsys):
    words = ("compare", "fake", "--out-dir", "out", "--agents", "r2i", "--only", "A")
    assert fakes(*words, "--steps", "120") == 0
    path = tmp_path / "out" / "compare.json"
    kept = json.loads(path.read_text())
    assert (kept["seeds"], kept["agents"], kept["games"]) == (1, ["r2i"], ["fake/A"])
    wrong = {
        "steps": "many",
        "minutes": [1],
        "assignments": "model.units=3",
        "seeds": "x",
        "size": "huge",
        "agents": ["x"],
    }
    for key, value in wrong.items():
        path.write_text(json.dumps(kept | {key: value}))
        capsys.readouterr()
        assert fakes(*words) == 2
        assert f"out/compare.json: key '{key}' is " in error_line(capsys)
    path.write_text(json.dumps({key: value for key, value in kept.items() if key != "seed"}))
    assert fakes(*words) == 2
    assert "out/compare.json: key 'seed' is missing" in error_line(capsys)


def test_fewer_minutes_than_it_has_are_refused(fakes, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_CHUNK_SECONDS", "0.3")
    words = ("compare", "fake", "--out-dir", "out", "--agents", "r2i", "--only", "A")
    assert fakes(*words, "--steps", "160") == 0
    capsys.readouterr()
    assert fakes(*words, "--minutes", "0.001") == 2
    assert re.search(r"out/r2i/A was started otherwise \(minutes: trained for 0\.0\d+ -> 0\.001", error_line(capsys))
    assert fakes("--run-dir", "out/r2i/A", "--resume", "--minutes", "0.001") == 2
    assert re.search(r"minutes: trained for 0\.0\d+ -> 0\.001", error_line(capsys))


def test_with_steps_the_first_limit_ends_it(fakes, tmp_path, capsys):
    words = ("compare", "fake", "--out-dir", "out", "--agents", "r2i", "--only", "A", "--minutes", "9")
    assert fakes(*words, "--steps", "120") == 0
    assert "120 steps each or 9 minutes" in capsys.readouterr().err
    assert metrics.read(tmp_path / "out" / "r2i" / "A" / "metrics.jsonl")[-1]["env_steps"] == 120


def test_nothing_compares_nothing(tmp_path):
    assert compare._report(tmp_path) == ""
