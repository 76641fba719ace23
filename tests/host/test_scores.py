"""What is kept of a figure's learning curves: written, read and drawn again. About 10 s."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import plot
from experiments.drawing import curves, scores
from tests.host.test_plot import make_run, size

SEEDS = [{"seed": 0}, {"seed": 1}]
FINAL = {
    "env": "popgym/RepeatPreviousEasy", "env_steps": 400, "episodes": 128, "mean": 0.25, "stderr": 0.05,
    "members": [{"seed": 0, "mean": 0.2, "stderr": 0.01}, {"seed": 1, "mean": None, "stderr": None}],
}  # fmt: skip


def keep(*words: object) -> list[dict]:
    """Run `r2i plot … --save-scores scores.json` and return what is in the file."""
    assert plot.main([*map(str, words), "--save-scores", "scores.json"]) == 0
    return json.loads(Path("scores.json").read_text())["curves"]


def drawn(monkeypatch, *words: object) -> list[curves.Curve]:
    """Return what `r2i plot` draws."""
    seen: list[curves.Curve] = []
    with monkeypatch.context() as patch:
        patch.setattr(curves, "_style", lambda axes, drawn, envs: seen.extend(drawn))
        assert plot.main([*map(str, words), "--out", "seen.png"]) == 0
    return seen


def assert_same(first: curves.Curve, second: curves.Curve) -> None:
    assert first.label == second.label and first.members == second.members
    for name in ("steps", "returns", "eval_steps", "evaluations"):
        a, b = getattr(first, name), getattr(second, name)
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, err_msg=name)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_file_says_who_made_the_curve_and_how(capsys):
    run = make_run(Path("runs/mine"), SEEDS)
    (run / "evaluation.json").write_text(json.dumps(FINAL))
    (kept,) = keep(run, "--machine", "one core of something", "--commit", "abc1234")
    assert capsys.readouterr().out == "runs/mine/plots/learning_curve.png\nscores.json\n"
    assert (kept["name"], kept["env"]) == ("mine", "popgym/RepeatPreviousEasy")
    assert (kept["machine"], kept["commit"], kept["date"]) == ("one core of something", "abc1234", "1970-01-01")
    assert kept["command"].startswith(
        "just train popgym --env popgym/RepeatPreviousEasy --size tiny --seeds 2 --steps 400 --eval-every 100 --set "
    )  # the made-up run has another config than the preset
    assert "hypers.reward_scale=1.0" in kept["command"] and "env=" not in kept["command"]
    assert kept["members"] == SEEDS and kept["env_steps"] == list(range(10, 401, 10))
    assert kept["returns"][1][:4] == [None, 0.15, 0.175, None]
    assert kept["eval_steps"] == [100, 200, 300, 400] and kept["evaluations"] == [[0.5] * 4, [0.6] * 4]
    assert kept["final"] == {"env_steps": 400, "episodes": 128, "mean": [0.2, None], "stderr": [0.01, None]}


@pytest.mark.parametrize("members", [None, "x", [7], [{"seed": 1, "mean": "high"}]])
def test_a_damaged_evaluation_says_nothing_of_a_seed(members, capsys):
    run = make_run(Path("run"), SEEDS)
    (run / "evaluation.json").write_text(json.dumps({**FINAL, "members": members}))
    (kept,) = keep(run)
    if members == [{"seed": 1, "mean": "high"}]:  # members can be told apart, and one of them has no number
        assert kept["final"] == {"env_steps": 400, "episodes": 128, "mean": [None, None], "stderr": [None, None]}
    else:
        assert kept["final"] is None and "run/evaluation.json is damaged" in capsys.readouterr().err


def test_a_figure_from_a_file_is_the_figure_from_the_run(monkeypatch, capsys):
    run = make_run(Path("runs/mine"), SEEDS)
    keep(run)
    for original, kept in zip(drawn(monkeypatch, run), drawn(monkeypatch, "--from", "scores.json"), strict=True):
        assert_same(original, kept)
    capsys.readouterr()
    assert plot.main(["--from", "scores.json"]) == 0
    assert capsys.readouterr().out == "scores.png\n" and size(Path("scores.png")) == (1200, 704)


def test_runs_and_settings_of_a_sweep_keep_their_names(monkeypatch):
    runs = [make_run(Path("runs/a"), SEEDS), make_run(Path("runs/b"), SEEDS)]
    sweep = [{"hypers.model_lr": lr, "seed": 0} for lr in (1e-4, 1e-3)]
    runs.append(make_run(Path("runs/c"), sweep))
    keep(*runs)
    kept = drawn(monkeypatch, "--from", "scores.json")
    assert [curve.label for curve in kept] == ["a", "b", "c, model_lr=0.0001", "c, model_lr=0.001"]
    for original, same in zip(drawn(monkeypatch, *runs), kept, strict=True):
        assert_same(original, same)
    keep(runs[-1])
    assert [curve.label for curve in drawn(monkeypatch, "--from", "scores.json")] == [
        "model_lr=0.0001",
        "model_lr=0.001",
    ]
    labels = [curve.label for curve in drawn(monkeypatch, runs[0], "--from", "scores.json")]
    assert labels == ["a", "c, model_lr=0.0001", "c, model_lr=0.001"]


def test_the_command_of_a_sweep_names_its_grid():
    grid = [
        {"hypers.model_lr": a, "hypers.discount": b, "seed": s}
        for a in (1e-4, 1e-3)
        for b in (0.9, 0.95)
        for s in (0, 1)
    ]
    run = make_run(Path("runs/sweep"), grid)
    (run / "run.json").write_text((run / "run.json").read_text().replace('"train"', '"sweep"'))
    kept = keep(run)
    assert len(kept) == 4 and len(kept[0]["members"]) == 2
    assert "just sweep popgym " in kept[0]["command"] and " --seeds 2 " in kept[0]["command"]
    assert "--grid hypers.model_lr=0.0001,0.001 hypers.discount=0.9,0.95 --set " in kept[0]["command"]


def test_a_run_of_the_command_line_is_kept_with_its_command(fake, capsys):
    assert fake("fake", "--seeds", 2, "--steps", 800, "--set", "hypers.actor_lr=0.5", "--run-dir", "run") == 0
    assert fake("plot", "run", "--save-scores", "kept/scores.json") == 0
    (kept,) = json.loads(Path("kept/scores.json").read_text())["curves"]
    shown = "just train fake --env fake/A --size tiny --seeds 2 --steps 800 --eval-every 40 --set hypers.actor_lr=0.5"
    assert kept["command"] == shown
    assert kept["date"] == time.strftime("%Y-%m-%d", time.gmtime())
    assert "cores" in kept["machine"] and "jax" in kept["machine"]
    assert kept["final"]["env_steps"] == 800 and kept["final"]["episodes"] == 128
    assert len(kept["final"]["mean"]) == 2
    assert fake("plot", "--from", "kept/scores.json") == 0 and size(Path("scores.png"))


def test_a_run_before_its_first_evaluation_or_row(monkeypatch):
    run = make_run(Path("runs/new"), SEEDS, steps=10)
    (run / "metrics.jsonl").unlink()
    (kept,) = keep(run)
    assert kept["env_steps"] == [] and kept["returns"] == [[], []] and kept["final"] is None
    assert drawn(monkeypatch, "--from", "scores.json")[0].returns.shape == (2, 0)


def test_a_commit_newer_than_the_run_is_not_said_to_have_trained_it(capsys):
    (kept,) = keep(make_run(Path("run"), SEEDS))  # of 1970
    assert kept["commit"] is None
    assert "name" in capsys.readouterr().err


def test_long_curves_are_kept_short():
    rows = [{"env_steps": i, "episode_return": float(i), "episodes": 1, "eval_return": 1.0} for i in range(5000)]
    entry = scores._entry(curves._curve("x", [rows]), None)
    assert len(entry["env_steps"]) <= 200 and len(entry["eval_steps"]) == 200 and entry["eval_steps"][-1] == 4999
    assert scores._short([1 / 3, 123456.7, float("nan"), None, 2.0]) == [0.33333, 123457, None, None, 2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda curve: curve.pop("env"), "key 'env' is missing or no text"),
        (lambda curve: curve.update(commit=7), "key 'commit' is missing or no text"),
        (lambda curve: curve.update(members=[]), "key 'members' is no list"),
        (lambda curve: curve.update(env_steps="all"), "key 'env_steps' is no list of numbers"),
        (lambda curve: curve["returns"].pop(), "key 'returns' is no list of 40 numbers or nulls for every seed"),
        (lambda curve: curve["evaluations"][0].pop(), "key 'evaluations' is no list of 4 numbers"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(change, said, capsys):
    kept = keep(make_run(Path("run"), SEEDS))
    change(kept[0])
    Path("scores.json").write_text(json.dumps({"curves": kept}))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        plot.main(["--from", "scores.json"])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.startswith(f"error: scores.json: {said}") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a run directory, or a file with --from"),
        (("--from", "a.json", "--save-scores", "b.json"), "--save-scores keeps the curves of runs"),
        (("--from", "absent.json"), "absent.json cannot be read"),
        (("absent",), "absent is no run directory"),
    ],
)
def test_mistakes_are_answered_in_one_line(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        plot.main(list(words))
    assert ended.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.heavy
def test_the_files_of_the_docs_can_be_drawn():
    for path in sorted((Path(plot.__file__).parents[1] / "docs" / "scores").glob("*.json")):
        assert plot.main(["--from", str(path)]) == 0
        for curve in json.loads(path.read_text())["curves"]:
            assert curve["command"] and curve["machine"] and curve["commit"], path
