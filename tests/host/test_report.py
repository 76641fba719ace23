"""`report`: sets of runs read from folders and files, compared, written; what it refuses."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from experiments import report
from experiments.comparing import figure, returns_figure, sets
from experiments.drawing import scores
from tests.host.fake import FakeTrainer

GAMES = ("popgym/RepeatPreviousEasy", "popgym/RepeatFirstEasy")  # random play has -0.5 in both, the best 1


def scores_file(path: Path, final: dict[str, list[float | None]], before=-0.5) -> Path:
    """Write a file as `plot --save-scores` does: two evaluations a seed, at 1,000 and 2,000 steps."""
    curves = [
        {
            "name": path.stem, "env": game, "command": None, "date": "2026-11-29", "machine": None, "commit": None,
            "members": [{"seed": i} for i in range(len(ends))], "env_steps": [], "returns": [[] for _ in ends],
            "eval_steps": [1000, 2000], "evaluations": [[before, end] for end in ends],
            "final": {"env_steps": 2000, "episodes": 128, "mean": ends, "stderr": [0.0] * len(ends)},
        }
        for game, ends in final.items()
    ]  # fmt: skip
    path.write_text(json.dumps({"curves": curves}))
    return path


def error_of(words, capsys) -> str:
    with pytest.raises(SystemExit) as raised:
        report.main([str(word) for word in words])
    assert raised.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.fixture
def two(tmp_path):
    good = scores_file(tmp_path / "good.json", {GAMES[0]: [1.0, 1.0], GAMES[1]: [0.25, 1.0]})
    bad = scores_file(tmp_path / "bad.json", {GAMES[0]: [-0.5, 0.25, None], GAMES[1]: [0.25]})
    return good, bad


def test_two_sets_beside_each_other(two, tmp_path, capsys):
    out = tmp_path / "out"
    assert report.main([*map(str, two), "--out", str(out), "--names", "good", "bad"]) == 0
    text = capsys.readouterr().out
    assert text == (out / "report.md").read_text()
    assert "| popgym/RepeatFirstEasy    | 0.625 ± 0.375 (2) | 0.250 (1)" in text
    assert "-0.125 ± 0.375 (2), 1 without" in text
    found = json.loads((out / "report.json").read_text())
    assert found["scores"]["good"] == {GAMES[1]: [0.5, 1.0], GAMES[0]: [1.0, 1.0]}
    assert found["aggregates"]["good"]["mean"]["value"] == pytest.approx((0.75 + 1.0) / 2)
    assert found["improvement"][0]["value"] == pytest.approx((1.0 + 0.75) / 2)
    assert (out / "report.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_bsuites_own_report_of_a_folder_is_named(two, tmp_path, capsys):
    folder = tmp_path / "suite"
    (folder / "report").mkdir(parents=True)
    two[0].rename(folder / "good.json")
    assert report.main([str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "bsuite's own scores" not in capsys.readouterr().err
    (folder / "report" / "report.md").touch()
    assert report.main([str(folder), "--out", str(tmp_path / "out")]) == 0
    assert f"bsuite's own scores of {folder} are in {folder}/report/report.md" in capsys.readouterr().err


def test_a_seed_without_an_evaluation_is_in_no_curve(tmp_path, capsys):
    """Such as that of a run that has just begun: the table says so, and the picture is that of the others."""
    path = scores_file(tmp_path / "one.json", {GAMES[0]: [1.0, 1.0]})
    text = json.loads(path.read_text())
    text["curves"].append(text["curves"][0] | {"eval_steps": [], "evaluations": [[], []], "final": None})
    path.write_text(json.dumps(text))
    assert report.main([str(path), "--out", str(tmp_path / "out")]) == 0
    assert "1.000 ± 0.000 (2), 2 without" in capsys.readouterr().out
    assert figure.curve(sets.read(path, ""), [GAMES[0]], "steps")[1][-1] == 1.0


def test_seeds_that_diverged_later_have_what_they_had(tmp_path, capsys):
    """After so many steps there was a return of each, at the end of none: the picture has the seeds of the table."""
    path = scores_file(tmp_path / "lost.json", {GAMES[0]: [None, None]})
    assert report.main([str(path), "--steps", "1000", "--out", str(tmp_path / "out")]) == 0
    assert "-0.500 ± 0.000 (2)" in capsys.readouterr().out and (tmp_path / "out" / "report.png").exists()
    assert report.main([str(path), "--out", str(tmp_path / "out")]) == 0
    assert "-, 2 without" in capsys.readouterr().out


def test_a_folder_of_files_and_no_picture_of_before(two, tmp_path, capsys):
    out = tmp_path / "out"
    assert report.main([str(two[0].parent), "--out", str(out)]) == 0
    assert (out / "report.png").exists()
    assert report.main([str(two[0]), "--steps", "999", "--out", str(out)]) == 0
    assert "No scores" in capsys.readouterr().out and not (out / "report.png").exists()


def test_what_was_reached_after_so_many_steps(two, tmp_path, capsys):
    assert report.main([str(two[0]), "--out", str(tmp_path / "out"), "--steps", "1999"]) == 0
    assert "-0.500 ± 0.000 (2)" in capsys.readouterr().out


def test_the_curve_begins_at_random_play_and_ends_at_the_final_scores(two):
    one = sets.read(two[0], "good")
    steps, middle, low, high = figure.curve(one, list(GAMES), "steps")
    assert steps[0] == middle[0] == 0 and steps[-1] == 2000
    assert middle[-1] == pytest.approx(np.mean([1.0, 1.0]))  # the middle half of 0.5, 1, 1 and 1
    assert (low <= middle + 1e-9).all() and (middle <= high + 1e-9).all()


def test_runs_of_a_folder(fake, tmp_path, capsys):
    """Their last evaluation is evaluation.json's; the game has no known returns, so that there are no scores."""
    for seed, name in enumerate(("a", "b")):
        assert fake("fake", "--steps", "400", "--seeds", "2", "--seed", seed, "--run-dir", f"runs/{name}") == 0
    capsys.readouterr()
    one = sets.read(Path("runs"), "both")
    final = json.loads(Path("runs/a/evaluation.json").read_text())
    (members,) = one.games.values()
    assert len(members) == 4 and members[0].steps[-1] == final["env_steps"]
    assert members[0].at(None) == final["members"][0]["mean"] and np.isfinite(members[0].minutes).all()
    assert report.main(["runs", "runs/a", "--out", "out"]) == 0
    text = capsys.readouterr().out
    assert "No scores: there is no game" in text and Path("out/report.png").exists()
    assert "A run of runs is better than one of a in a game with probability 0." in text
    steps, mean, width = returns_figure.curve(members)
    assert steps[0] == members[0].steps[0] and steps[-1] == final["env_steps"]
    assert mean[-1] == pytest.approx(np.mean([member.at(None) for member in members])) and width[-1] > 0


def test_what_is_not_trained_to_its_end_is_said(fake, capsys, monkeypatch):
    words = ("fake", "--run-dir", "runs/a", "--steps", "400", "--eval-every", "40")
    assert fake("fake", "--steps", "200", "--run-dir", "runs/b") == 0
    train = FakeTrainer.train_chunk
    with monkeypatch.context() as patch:
        patch.setattr(FakeTrainer, "train_chunk", lambda *asked: signal.raise_signal(signal.SIGINT) or train(*asked))
        assert fake(*words) == 130
    capsys.readouterr()
    assert report.main(["runs/a", "runs/b", "--out", "out"]) == 0
    text = capsys.readouterr().out
    (row,) = [line for line in text.splitlines() if line.startswith("| fake") and "steps" in line]
    assert ", unfinished" in row.split("|")[2] and "unfinished" not in row.split("|")[3]
    assert "unfinished: not trained to its end yet;" in text
    assert fake(*words, "--resume") == 0  # it is to be longer than the other, and is
    capsys.readouterr()
    assert report.main(["runs/a", "runs/b", "--out", "out"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| fake") and "steps" in line]
    assert "shorter" not in row.split("|")[2] and "200 steps" in row.split("|")[3] and ", shorter" in row.split("|")[3]
    assert report.main(["runs/a", "runs/b", "--out", "out", "--steps", "130"]) == 0
    text = capsys.readouterr().out
    assert "Last evaluation within 130 steps:" in text and "120 steps" in text
    assert not any(mark in text for mark in ("unfinished", "shorter", "early"))  # both have been trained for so long
    assert report.main(["runs/a", "--out", "out", "--steps", "155"]) == 0
    assert "120 steps, 0.0 min, early |" in capsys.readouterr().out
    assert report.main(["runs/b", "--out", "out", "--steps", "201"]) == 0
    assert "200 steps, 0.0 min, shorter |" in capsys.readouterr().out
    assert report.main(["runs/b", "--out", "out", "--steps", "1"]) == 0
    assert "No scores: nothing has been evaluated within 1 steps." in capsys.readouterr().out


def test_a_set_without_an_evaluation_takes_nothing_from_the_others(two, tmp_path, capsys):
    none = scores_file(tmp_path / "none.json", {GAMES[0]: [None]}, before=None)
    one = scores_file(tmp_path / "one.json", {GAMES[1]: [1.0, 1.0]})
    words = [str(path) for path in (*two, none, one)]
    assert report.main([*words, "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "Without any evaluation, and in nothing that follows: none." in text
    assert "Scores over 1 game of 2, which all of them have" in text
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["games"] == [GAMES[1]] and list(found["aggregates"]) == ["good", "bad", "one"]
    better = {(row["of"], row["over"]): row["value"] for row in found["improvement"]}
    assert better.keys() == {("good", "bad"), ("good", "one"), ("bad", "one")}
    assert better["good", "bad"] == pytest.approx((1.0 + 0.75) / 2)  # over both games


def test_a_set_is_one_agent(fake, tmp_path, capsys):
    for name, more in (("a", ()), ("b", ("--set", "hypers.discount=0.9")), ("c", ())):
        assert fake("fake", "--steps", "120", "--run-dir", f"runs/{name}", *more) == 0
    capsys.readouterr()
    assert "runs/a and runs/b are of the same game and of unlike agents (hypers.discount" in error_of(["runs"], capsys)
    (tmp_path / "runs" / "b").rename(tmp_path / "b")
    assert "runs/a and runs/c have the same seeds (0) in the same game" in error_of(["runs"], capsys)
    path = scores_file(tmp_path / "many.json", {GAMES[0]: [1.0]})
    text = json.loads(path.read_text())
    text["curves"] = [
        text["curves"][0] | {"command": f"just train popgym --seed 1{agent} --steps {steps}"}
        for agent, steps in (("", 100), ("", 200), (" --agent ppo-gru", 100))
    ]
    path.write_text(json.dumps(text))
    assert "has curves of unlike agents in popgym/RepeatPreviousEasy" in error_of([path], capsys)
    text["curves"].pop()
    path.write_text(json.dumps(text))
    assert len(sets.read(path, "").games[GAMES[0]]) == 2


def test_names_are_no_two_alike(two, capsys):
    assert error_of([*two, "--names", "a", "a"], capsys).startswith("error: --names: expected no two alike")


def test_shards_of_which_one_has_not_begun(fake, capsys):
    words = ("fake", "--seeds", "4", "--run-dir", "parts")
    assert fake(*words, "--steps", "200", "--shard", "0/3") == fake(*words, "--steps", "400", "--shard", "2/3") == 0
    capsys.readouterr()
    assert report.main(["parts", "--out", "out"]) == 0
    shown = capsys.readouterr()
    scores.save([Path("parts")], Path("scores.json"))
    assert "ended at 200 and 400 steps" in capsys.readouterr().err
    assert json.loads(Path("scores.json").read_text())["curves"][0]["final"] is None
    assert "200 to 400 steps" in shown.out and "parts: shard-1-of-3 not begun" in shown.err


def test_what_is_no_set_of_runs_is_named(fake, two, tmp_path, capsys):
    Path("empty").mkdir()
    assert "empty is neither a run nor a folder of runs or of scores files" in error_of(["empty"], capsys)
    assert "nowhere does not exist" in error_of(["nowhere"], capsys)
    assert fake("sweep", "fake", "--steps", "200", "--grid", "hypers.actor_lr=0.5,1", "--run-dir", "swept") == 0
    capsys.readouterr()
    assert "swept is a sweep: its agents differ" in error_of(["swept"], capsys)
    Path("no.json").write_text("{}")
    assert "no.json: key 'curves' is missing" in error_of(["no.json"], capsys)
    Path("torn.json").write_text(two[0].read_text()[:100])
    assert "torn.json is damaged" in error_of(["torn.json"], capsys)
    text = json.loads(two[0].read_text())
    text["curves"][0]["members"] = [{"seed": 0, "hypers.actor_lr": 0.5}]
    Path("swept.json").write_text(json.dumps(text))
    line = error_of(["swept.json"], capsys)
    assert line == "error: swept.json is of a sweep: its agents differ; a set of runs is of `train` or `suite`"
    text["curves"][0]["members"] = [{"seed": 0}]
    del text["curves"][0]["eval_steps"]
    Path("lacks.json").write_text(json.dumps(text))
    assert "lacks.json" in error_of(["lacks.json"], capsys)
    assert "--names: expected 2" in error_of([*two, "--names", "a"], capsys)


def test_an_experiment_is_shown_over_its_settings(tmp_path, capsys):
    """The seeds of ids of the same number are one point, whichever of its names an environment has."""
    chain = "bsuite/discounting_chain"
    ours = {"bsuite/memory_len/9": [1.0], "bsuite/memory_len_10": [0.5], "bsuite/memory_len_150": [0.25, 0.75]}
    ours |= {f"{chain}/{number}": [1.0, 1.1] for number in (0, 2, 4)}
    theirs = {f"{chain}/{number}": [1.1] for number in (7, 9)}  # the third and the fifth choice again
    files = [scores_file(tmp_path / "ours.json", ours), scores_file(tmp_path / "theirs.json", theirs)]
    assert report.main([*map(str, files), "--out", str(tmp_path / "out")]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    at = lines.index("| steps to the largest reward | ours | theirs |")
    assert lines[at + 2 : at + 5] == [
        "| 1 | 1.050 ± 0.050 | - |",
        "| 10 | 1.050 ± 0.050 | 1.100 |",
        "| 100 | 1.050 ± 0.050 | 1.100 |",
    ]
    assert (tmp_path / "out" / "discounting_chain.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert not (tmp_path / "out" / "memory_len.png").exists()  # of two numbers there is no curve

    files[0] = scores_file(tmp_path / "ours.json", {**ours, "bsuite/memory_len/0": [1.0]})
    assert report.main([*map(str, files), "--out", str(tmp_path / "out"), "--steps", "1500"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    at = lines.index("| steps to remember | ours |")  # the other set has none
    assert lines[at + 2 : at + 5] == ["| 1 | -0.500 |", "| 10 | -0.500 ± 0.000 |", "| 150 | -0.500 ± 0.000 |"]
    assert (tmp_path / "out" / "memory_len.png").exists()
