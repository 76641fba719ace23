"""Learning curves and reference returns. About 10 s."""

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest

from envs import registry
from experiments import plot
from experiments.drawing import curves
from experiments.running import references, rundir, runinfo
from r2i_jit import metrics
from r2i_jit.config import Config


def make_run(path: Path, members: list[dict], steps: int = 400, env: str = "popgym/RepeatPreviousEasy") -> Path:
    """Write a run with a made-up log: seed i's return rises from i / 10; every third chunk ends no episode."""
    path.mkdir(parents=True)
    rundir.write(path, Config(env=env), runinfo.RunInfo("train", "popgym", "tiny", 0, members, steps, 100, 0.0, {}))
    sink = metrics.JsonLines(path / "metrics.jsonl")
    offset = np.array([member["seed"] / 10 for member in members])
    for index, step in enumerate(range(10, steps + 1, 10)):
        ended = index % 3 > 0
        chunk = {
            "env_steps": np.full(len(members), step),
            "episode_return": offset + step / steps if ended else np.full(len(members), math.nan),
            "episodes": np.full(len(members), 2 if ended else 0),
        }
        extra = {"eval_return": offset + 0.5} if step % 100 == 0 else {}
        sink.write(metrics.rows(chunk, members, **extra))
    sink.close()
    return path


def size(png: Path) -> tuple[int, int]:
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
    return struct.unpack(">II", data[16:24])


def test_one_run_several_runs_and_a_sweep_give_pictures(tmp_path, capsys):
    seeds = [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    first = make_run(tmp_path / "first", seeds)
    second = make_run(tmp_path / "second", [{"seed": 0}], env="popgym/RepeatFirstEasy")
    sweep = make_run(tmp_path / "sweep", [{"hypers.model_lr": lr, "seed": 0} for lr in (1e-4, 1e-3)])
    assert plot.main([str(first)]) == 0
    out = Path(capsys.readouterr().out.strip())
    assert out == first / "plots" / "learning_curve.png"
    assert size(out) == (1200, 704)
    for runs in ([first, second], [sweep]):
        figure = curves.plot_runs(runs, tmp_path / "out.png")
        assert size(figure) == (1200, 704)
        assert len(set(figure.read_bytes())) > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "out.png", "second", "sweep"]


def test_a_run_without_an_episode_or_without_a_log_gives_an_empty_picture(tmp_path):
    run = make_run(tmp_path / "run", [{"seed": 0}], steps=10)
    assert size(curves.plot_runs([run], tmp_path / "a.png"))
    (run / "metrics.jsonl").unlink()
    assert size(curves.plot_runs([run], tmp_path / "b.png"))


def test_a_curve_averages_its_seeds_and_ignores_a_torn_end(tmp_path):
    run = make_run(tmp_path / "run", [{"seed": 0}, {"seed": 1}])
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"env_steps": 410, "seed": 0, "episode_return": 99.0}\n{"env_steps": 410, "se')
    (curve,) = curves.of_run(run, rundir.load(run)[1])
    assert curve.returns.shape == (2, 40) and curve.steps[0] == 10 and curve.steps[-1] == 400
    np.testing.assert_array_equal(np.isnan(curve.returns[0]), np.arange(40) % 3 == 0)
    np.testing.assert_allclose(np.nanmax(curve.returns, 1), [39 / 40, 39 / 40 + 0.1])
    np.testing.assert_array_equal(curve.eval_steps, [100, 200, 300, 400])
    np.testing.assert_allclose(curve.evaluations, [[0.5] * 4, [0.6] * 4])
    mean, width = curves.interval(curve.returns)
    np.testing.assert_allclose(mean[1], 0.1)


def test_long_curves_are_averaged_by_episodes():
    rows = [[{"env_steps": i, "episode_return": float(i % 2), "episodes": 1 + 2 * (i % 2)} for i in range(600)]]
    curve = curves._curve("x", rows)
    assert curve.steps.shape == (curves.POINTS,)
    np.testing.assert_allclose(curve.returns, 0.75)  # 3 of 4 episodes returned 1


def test_a_seed_whose_episodes_end_seldom_stays_in_the_mean(tmp_path, monkeypatch):
    nan = np.nan
    returns = np.array([[0.0, nan, 2.0, nan, nan, 5.0, nan], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]])
    steps = np.array([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
    drawn = []
    monkeypatch.setattr(curves, "save", lambda figure, out: drawn.append(figure.axes[0]) or out)
    curves.draw([curves.Curve("both", steps, returns, np.array([]), np.empty((2, 0)))], ["x/y"], tmp_path / "x.png")
    (line,) = (line for line in drawn[0].lines if line.get_label() == "both")
    assert line.get_ydata().tolist() == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 1.0]  # nothing is made up behind the last
    gone = np.full(3, nan)
    assert np.isnan(curves.between(np.arange(3.0), gone)).all()


def test_the_interval_is_students_t():
    mean, width = curves.interval(np.array([[1.0, np.nan, 1.0], [2.0, 5.0, 1.0], [3.0, np.nan, np.nan]]))
    np.testing.assert_allclose(mean, [2.0, 5.0, 1.0])
    np.testing.assert_allclose(width, [4.302653 / math.sqrt(3), 0.0, 0.0], rtol=1e-6)
    mean, width = curves.interval(np.full((2, 1), np.nan))
    assert np.isnan(mean[0]) and width[0] == 0


def test_a_published_curve_is_drawn_as_far_as_the_run_went():
    from matplotlib.figure import Figure

    def points(steps):
        axes = Figure().add_subplot()
        curves._draw_references(axes, ["memory_maze/9x9"], steps)
        return [line.get_xydata().tolist() for line in axes.lines if line.get_label() == "R2I, published"]

    assert points(2.5e7) == [[[1e7, 20.4], [2.5e7, 29.2]]]
    assert points(9.9e6) == []


def drawn_axes(monkeypatch, tmp_path, *runs: Path):
    """Return the axes of a figure of runs, drawn."""
    found = []
    with monkeypatch.context() as patch:
        patch.setattr(
            curves, "_style", lambda axes, *rest, style=curves._style: found.append(axes) or style(axes, *rest)
        )
        curves.plot_runs(runs, tmp_path / "out.png")
    return found[0]


def test_every_setting_has_a_line_of_its_own_and_the_legend_stands_beside_many(tmp_path, monkeypatch):
    run = make_run(
        tmp_path / "run", [{"env": f"bsuite/memory_len/{i}", "seed": 0} for i in range(23)], env="bsuite/memory_len"
    )
    axes = drawn_axes(monkeypatch, tmp_path, run)
    lines = [line for line in axes.lines if len(line.get_xdata()) > 20]
    # What a dash pattern is like, not its length in pixels.
    assert len({(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines}) == 23
    assert axes.get_legend() is None and len(axes.figure.legends[0].get_texts()) == 24


def test_texts_stay_within_the_picture(tmp_path, monkeypatch):
    envs = [
        "bsuite/cartpole_swingup/" + ",".join(map(str, range(20))),
        "a.package:" + "Wide" * 22,
        "popgym/RepeatFirstEasy",
    ]
    runs = [make_run(tmp_path / f"{'long-' * 30}{i}", [{"seed": 0}], env=env) for i, env in enumerate(envs)]
    axes = drawn_axes(monkeypatch, tmp_path, *runs)
    assert axes.get_title(loc="left").endswith(" …") and "12,\n13" not in axes.get_title(loc="left")
    edges = axes.figure.bbox
    for text in (axes._left_title, *axes.get_legend().get_texts()):
        extent = text.get_window_extent()
        assert edges.x0 <= extent.x0 and extent.x1 <= edges.x1 and extent.y1 <= edges.y1, text


def test_few_steps_are_whole_ones_and_one_point_is_seen(tmp_path, monkeypatch):
    none, one = (make_run(tmp_path / name, [{"seed": 0}], steps=steps) for name, steps in (("a", 10), ("b", 20)))
    (none / "metrics.jsonl").unlink()
    for run, last in ((none, 1), (one, 20)):
        axes = drawn_axes(monkeypatch, tmp_path, run)
        inside = [tick for tick in axes.get_xticks() if tick <= axes.get_xlim()[1]]
        assert inside == [int(tick) for tick in inside] and axes.get_xlim()[1] >= last
        assert not any("m" in label.get_text() for label in axes.get_xticklabels())
    (point,) = (line for line in axes.lines if line.get_label() == "1 seed")
    assert point.get_xdata().tolist() == [20] and point.get_marker() == "D"


def test_settings_have_reference_lines_too(tmp_path, monkeypatch):
    """One where they are paid alike, a band where they are not, none where one of them has none."""
    members = lambda env: [{"env": setting, "seed": 0} for setting in registry.settings(env)]
    lines = {}
    for i, env in enumerate(("bsuite/memory_len/0,22", "bsuite/cartpole_swingup/0,19")):
        axes = drawn_axes(monkeypatch, tmp_path, make_run(tmp_path / str(i), members(env), env=env))
        lines[env] = sorted({line.get_ydata()[0] for line in axes.lines if line.get_color() == "0.45"})
        texts = [text.get_text() for text in axes.texts]
    assert lines == {
        "bsuite/memory_len/0,22": [0, 1],
        "bsuite/cartpole_swingup/0,19": [-36.228, -35.463, 790.998, 846.506],
    }
    assert texts == ["random play -36.23 .. -35.46", "energy and linear controller 791.00 .. 846.51"]
    assert references.summary("bsuite/memory_len/0,22") == "random play 0.000; optimal (perfect memory) 1.000"
    assert references.lines("bsuite/memory_len_300") == references.lines("bsuite/memory_len/0")
    assert references.lines("bsuite/memory_len/0,99") == references.lines("bsuite/discounting_chain_delay_300") == []


def test_a_run_that_is_named_twice_is_drawn_once_and_two_of_one_name_are_told_apart(tmp_path, monkeypatch, capsys):
    first, second = (make_run(tmp_path / name / "run", [{"seed": 0}]) for name in "ab")
    drawn = []
    monkeypatch.setattr(curves, "draw", lambda found, envs, out: drawn.append([curve.label for curve in found]) or out)
    assert plot.main([str(first), str(second), f"{first}/../run"]) == 0
    assert drawn == [[str(first), str(second)]]
    assert capsys.readouterr().err == f"{first}/../run is given twice, once as {first}: taken once\n"
    assert plot.main([str(first), str(first)]) == 0
    assert drawn[1:] == [["1 seed"]]
    captured = capsys.readouterr()
    assert captured.err == f"{first} is given twice: taken once\n"
    assert captured.out == f"{first / 'plots' / 'learning_curve.png'}\n"


def test_references_are_complete_and_sourced():
    table = json.loads(Path(references.__file__).with_name("reference_returns.json").read_text())
    popgym = [env for env in table["envs"] if env.startswith("popgym/")]
    assert len(popgym) == 48
    for env, known in table["envs"].items():
        if "best" not in known:  # of MinAtar's games, which nobody here plays well
            assert env.endswith("-MinAtar")
            continue
        assert known["random"]["mean"] < known["best"]["mean"], env
        for name in ("random", "best"):
            assert known[name]["source"] in table["sources"]
        for points in known.get("curves", {}).values():
            steps, returns = zip(*points, strict=True)
            assert list(steps) == sorted(steps) and max(returns) < known["best"]["mean"]
        if "published" in known:
            assert all(source.split(": ")[-1] in table["sources"] for source in known["published_source"].split("; "))
    assert references.lines("popgym/RepeatPreviousEasy") == [
        ("random play", -0.5, -0.5),
        ("optimal (perfect memory)", 1.0, 1.0),
    ]
    assert references.summary("popgym/NoSuchGame") == ""
    assert references.references("popgym/RepeatPreviousHard")["published"]["R2I"] == pytest.approx(0.75)
