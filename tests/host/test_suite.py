"""Training a whole suite into one table, on the stand-in; and the real agent on environments of every kind."""

import json
import signal

import pytest

import envs
import r2i_jit
from envs.bsuite import ALIASES
from experiments import environments, smoke, suite
from experiments.bsuite import report as bsuite_report
from experiments.launching import results
from tests.host.fake import FakeTrainer
from tests.host.test_cli import error_line


@pytest.mark.heavy
def test_a_suite_becomes_one_table_and_goes_on_where_it_was_stopped(fakes, tmp_path, capsys):
    words = ["suite", "fake", "--out-dir", "out", "--steps", "200", "--seeds", "2", "--set", "model.deter=8"]
    assert fakes(*words, "--only", "A") == 0
    first = (tmp_path / "out" / "A" / "metrics.jsonl").read_bytes()
    assert not (tmp_path / "out" / "B").exists()
    assert fakes(*words) == 0
    assert "[2/2] fake/B" in (text := capsys.readouterr().err) and "[1/2] fake/A" not in text.split("[2/2]")[1]
    assert (tmp_path / "out" / "A" / "metrics.jsonl").read_bytes() == first
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [found["env"] for found in results] == ["fake/A", "fake/B"]
    assert all(found["env_steps"] >= 200 and -1 <= found["mean"] <= 1 for found in results)
    table = (tmp_path / "out" / "results.md").read_text()
    assert table.count("\n") == 4 and f"{results[1]['mean']:.3f} ± {results[1]['stderr']:.3f}" in table
    assert json.loads((tmp_path / "out" / "B" / "config.json").read_text())["model"]["deter"] == 8


@pytest.mark.heavy
def test_a_suite_goes_on_only_with_what_it_was_started_with(fakes, tmp_path, capsys):
    """Done is what has been evaluated at the steps asked for; other seeds or settings are another table."""
    words = ["suite", "fake", "--out-dir", "out", "--only", "A"]
    start = ["--steps", "200", "--seeds", "2", "--set", "model.deter=8"]
    assert fakes(*words, *start) == 0
    log = tmp_path / "out" / "A" / "metrics.jsonl"
    before = log.read_bytes()
    for others, named in (
        (["--seeds", "3"], "seeds: 2 -> 3"),
        (["--seed", "1"], "seed: 0 -> 1"),
        (["--steps", "120"], "steps: 200 -> 120, which is fewer"),
        (["--size", "small"], "size: tiny -> small"),
        (["--set", "model.deter=9"], "model.deter: 8 -> 9"),
        (["--set", "model.units=9", "--seeds", "1"], "model.units: 64 -> 9; seeds: 2 -> 1"),
    ):
        capsys.readouterr()
        assert fakes(*words, *others) == 2
        assert f"was started otherwise ({named}); choose another --out-dir" in error_line(capsys)
    assert log.read_bytes() == before
    assert fakes(*words) == 0 and log.read_bytes() == before  # nothing typed, nothing compared, nothing done
    assert fakes(*words, "--steps", "400") == 0
    assert log.read_bytes().startswith(before) and len(log.read_bytes()) > len(before)
    (found,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["env_steps"] == 400


@pytest.mark.heavy
def test_an_evaluation_that_is_damaged_or_anothers_is_made_again(fakes, tmp_path):
    words = ["suite", "fake", "--out-dir", "out", "--only", "A", "--steps", "200"]
    assert fakes(*words) == 0
    path = tmp_path / "out" / "A" / "evaluation.json"
    before = path.read_text()
    sound = json.loads(before)
    damaged = [
        sound | {"env": "fake/B"},
        [],
        sound | {"members": []},
        sound | {"members": [1]},
        sound | {"members": [{}]},
    ]
    damaged += [{name: value for name, value in sound.items() if name != lost} for lost in ("members", "mean")]
    for damage in ("{", *map(json.dumps, damaged)):
        path.write_text(damage)
        assert fakes(*words) == 0
        assert path.read_text() == before


@pytest.mark.heavy
def test_the_table_has_every_run_in_the_folder(fakes, tmp_path):
    words = ["suite", "fake", "--out-dir", "out", "--steps", "200"]
    assert fakes(*words, "--only", "A") == 0
    assert fakes(*words, "--only", "B") == 0
    assert [found["env"] for found in json.loads((tmp_path / "out" / "results.json").read_text())] == [
        "fake/A",
        "fake/B",
    ]


def test_one_that_fails_is_named_and_the_others_go_on(fakes, tmp_path, capsys):
    (tmp_path / "out" / "A").mkdir(parents=True)
    (tmp_path / "out" / "A" / "notes.txt").write_text("not a run")
    assert fakes("suite", "fake", "--out-dir", "out", "--steps", "200") == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "is not empty" in errors[0]
    failed, trained = json.loads((tmp_path / "out" / "results.json").read_text())
    assert failed["failure"] == 2 and "mean" not in failed and trained["failure"] is None
    assert "failed (exit 2)" in (tmp_path / "out" / "results.md").read_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fak"], "unknown suite 'fak'"),
        (["fake", "--only", "C*"], "'C*' matches no environment of fake"),
        (["fake", "--set", "model.unit=3"], "did you mean model.units"),
    ],
)
def test_mistakes_exit_2_before_anything_runs(fakes, tmp_path, capsys, words, expected):
    assert fakes("suite", *words) == 2
    assert expected in error_line(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("bsuite/catch", "--only 'bsuite/catch' matches no environment of bsuite; did you mean 'bsuite/catch/*'?"),
        ("memory_len", "did you mean 'memory_len/*'?"),
        ("catch/99", "--only 'catch/99' matches no environment of bsuite, such as bsuite/bandit/0"),
        (
            "bsuite/mnist/*",
            "--only 'bsuite/mnist/*': bsuite's mnist reads its pictures from a folder of yours: set R2I_",
        ),
        ("mnist_noise/3", "set R2I_MNIST to one that holds"),
    ],
)
def test_a_pattern_that_matches_nothing_is_answered_with_what_is_missing_or_meant(
    tmp_path, capsys, monkeypatch, pattern, expected
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("R2I_MNIST", raising=False)
    with pytest.raises(SystemExit) as ended:
        suite.main(["bsuite", "--only", "bsuite/catch/*", pattern])
    assert ended.value.code == 2 and expected in error_line(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.heavy
def test_a_suite_that_is_stopped_says_how_the_suite_goes_on(fakes, capsys, monkeypatch):
    words = ["suite", "fake", "--out-dir", "a folder", "--steps", "200"]
    train = FakeTrainer.train_chunk
    with monkeypatch.context() as patch:
        patch.setattr(FakeTrainer, "train_chunk", lambda *asked: signal.raise_signal(signal.SIGINT) or train(*asked))
        assert fakes(*words) == 130
    command = "python -m experiments.suite fake --out-dir 'a folder' --steps 200"
    assert capsys.readouterr().err.splitlines()[-1] == f"fake/A (tiny): stopped at step 120; go on with: {command}"
    assert fakes(*words) == 0


def test_scores_lie_between_random_and_best_play(tmp_path):
    folder = suite.folder(tmp_path, "popgym/RepeatFirstEasy")
    folder.mkdir()
    values = {"mean": 0.25, "stderr": None, "env_steps": 1000, "members": [{"mean": 0.25}]}
    (folder / "evaluation.json").write_text(json.dumps({"env": "popgym/RepeatFirstEasy"} | values))
    (found,) = results.of_run(tmp_path, "popgym/RepeatFirstEasy", None)
    assert found["score"] == pytest.approx(0.5)
    assert list(map(results.show, results.row(found)))[1:] == ["0.250", "-", "0.500", "1,000", "-0.500", "1.000"]
    assert results.show(results.row(results.of_run(tmp_path, "popgym/RepeatFirstHard", None)[0])[1]) == "-"
    measured = {"mean": 0.25, "stderr": None, "env_steps": 1000, "greedy": True, "other_mean": 0.2, "other_stderr": 0.1}
    found = results.entry("popgym/RepeatFirstEasy", None, measured)
    assert results.row(found)[1:3] == ["0.250", "sampled 0.200 ± 0.100"]


def test_the_page_of_environments_is_up_to_date():
    """Made anew by `python -m experiments.environments > docs/environments.md`, where all suites are installed."""
    pytest.importorskip("xminigrid")
    page = (environments.PAGE).read_text(encoding="utf-8")
    assert page == environments.document()
    tabled = [
        env_id for env_id in envs.registered() if env_id.startswith(tuple(f"{suite}/" for suite in environments.SUITES))
    ]
    rows = environments.grouped(envs.registered())
    assert all(f"| {name} " in page for name in rows)
    assert sum(map(len, rows.values())) == len(tabled) - len(ALIASES)


@pytest.mark.heavy
def test_the_agent_runs_on_a_game(capsys):
    """`just smoke popgym` does so on all of them; tests/equivalence/test_spaces.py on every kind of space."""
    env_id = "popgym/MineSweeperEasy"
    assert smoke.main(["popgym", "--only", env_id]) == 0
    assert f"ok     {env_id}" in capsys.readouterr().out


@pytest.mark.heavy
def test_bsuite_is_trained_and_scored_by_one_command_and_goes_on(tmp_path, capsys, monkeypatch):
    """Two settings in one program, of a small agent that hardly learns; done is done."""
    whole = r2i_jit.Trainer
    monkeypatch.setattr(r2i_jit, "Trainer", lambda config, **options: whole(config, **options, quick_compile=True))
    words = ["bsuite", "--only", "bsuite/bandit/0", "bsuite/bandit/7", "--out-dir", str(tmp_path / "o")]
    words += ["--steps", "1500", "--seeds", "2", "--set", "model.units=8", "model.deter=8", "model.ssm_layers=1"]
    words += ["model.ssm_state=8", "model.ssm_blocks=1", "model.head_units=8", "behavior.actor_units=8"]
    words += ["behavior.critic_units=8", "behavior.horizon=2", "replay.prefill=100", "loop.chunk_updates=8"]
    assert suite.main(words) == 0
    text = capsys.readouterr().out
    assert "bsuite's own scores" in text and "2 of 20" in text
    report = tmp_path / "o" / "report"
    found = json.loads((report / "scores.json").read_text())["o"]["experiments"]
    assert found.keys() == {"bandit"} and found["bandit"]["seeds"].keys() == {"seed_0", "seed_1"}
    assert (report / "radar.png").stat().st_size > 1000
    names = sorted(path.name for path in (report / "csv" / "seed_1").iterdir())
    assert names == [f"bsuite_id_-_{name}.csv" for name in ("bandit-0", "bandit-7")]
    rows = (report / "csv" / "seed_0" / names[0]).read_text().splitlines()
    assert rows[0].startswith("steps,episode,total_return,episode_len,episode_return,total_regret")
    assert [found["env"] for found in json.loads((tmp_path / "o" / "results.json").read_text())] == [
        "bsuite/bandit/0", "bsuite/bandit/7"
    ]  # fmt: skip
    # Whatever is asked for next, what is there is gone on with, and nothing is trained twice.
    bandits = [f"bsuite/bandit/{number}" for number in range(9)]
    assert results.units("bsuite", tmp_path / "o", bandits[:1]) == ["bsuite/bandit/0,7"]
    assert results.units("bsuite", tmp_path / "o", bandits) == ["bsuite/bandit/0,7", "bsuite/bandit/1,2,3,4,5,6,8"]
    assert results.units("bsuite", tmp_path / "o", bandits[2:4]) == ["bsuite/bandit/2,3"]
    logs = {path: path.read_bytes() for path in (tmp_path / "o").glob("*/episodes.jsonl")}
    assert len(logs) == 1 and suite.main(words) == 0
    assert {path: path.read_bytes() for path in logs} == logs
    # A folder of runs is scored as it is, before there is a report; and what has lost its end is said.
    scored = lambda folder: next(iter(json.loads((folder / "scores.json").read_text()).values()))["experiments"]
    assert bsuite_report.main([str(tmp_path / "o"), "--out", str(tmp_path / "again")]) == 0
    assert scored(tmp_path / "again") == scored(report)
    (path,) = logs
    path.write_bytes(b"".join(logs[path].splitlines(True)[:-5]))
    capsys.readouterr()
    assert suite.main(words) == 0
    assert "episodes.jsonl ends at step" in capsys.readouterr().err
