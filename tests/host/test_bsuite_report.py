"""bsuite's report of recorded agents: tables, numbers, files and the radar. About 10 s."""

import json
import math

import numpy as np
import pytest

from experiments.bsuite import files, radar, report
from experiments.bsuite.columns import EpisodeLog, rows
from experiments.bsuite.tags import EXPERIMENTS, TAGS
from tests.unit.bsuite_recorded import logs, recorded


def catch(number, regret, seed=0, episodes=10_000):
    regrets = np.full(episodes, regret, np.float32)
    return EpisodeLog(
        f"catch/{number}", seed, {"return": 1 - regrets, "length": np.full(episodes, 9), "regret": regrets}
    )


def cells(text, name):
    """Return the entries of a table's row."""
    [line] = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_report_has_the_original_scores_of_every_experiment(tmp_path):
    text = report.report(logs("learner"), tmp_path, "learner")
    assert text == (tmp_path / "report.md").read_text()
    found = json.loads((tmp_path / "scores.json").read_text())["learner"]
    for name, expected in recorded()["learner"]["scores"].items():
        assert found["experiments"][name]["score"] == pytest.approx(expected["score"], abs=2e-6)
        assert cells(text, name)[1] == f"{found['experiments'][name]['score']:.3f}"
        assert found["experiments"][name]["finished"] == expected["finished"]
    assert found["tags"] == pytest.approx(recorded()["learner"]["tags"], abs=2e-6)
    assert cells(text, "memory_len")[2:] == ["no", "6 of 23", "300 of 10,000", "memory"]
    assert cells(text, "memory") == ["memory", f"{found['tags']['memory']:.3f}", "2 of 2"]
    assert (tmp_path / "radar.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_not_complete_is_said_to_be_so(tmp_path):
    text = report.report([catch(number, 0.8) for number in range(20)] + [memory_episode()], tmp_path)
    assert cells(text, "catch")[1:5] == ["0.500", "yes", "20 of 20", "10,000 of 10,000"]
    assert cells(text, "memory_len")[1:5] == ["1.000", "no", "1 of 23", "1 of 10,000"]
    assert "Not complete, so that the score is one of what there is: memory_len.\n" in text
    assert f"Not played: {', '.join(name for name in EXPERIMENTS if name not in ('catch', 'memory_len'))}.\n" in text
    assert cells(text, "exploration") == ["exploration", "-", "0 of 3"]
    found = json.loads((tmp_path / "scores.json").read_text())["agent"]
    assert found["tags"]["exploration"] is None
    assert found["experiments"]["catch"]["stderr"] is None


def memory_episode():
    one = {name: np.ones(1) for name in ("return", "length", "perfect")}
    return EpisodeLog("memory_len/17", 0, {**one, "regret": np.zeros(1)})


def test_seeds_are_scored_apart_and_averaged(tmp_path):
    seeds = [catch(0, regret, seed, episodes=100) for seed, regret in enumerate((0.4, 0.8, 1.2))]
    text = report.report(seeds, tmp_path)
    entry = json.loads((tmp_path / "scores.json").read_text())["agent"]["experiments"]["catch"]
    assert entry["seeds"] == pytest.approx({"seed_0": 0.75, "seed_1": 0.5, "seed_2": 0.25})
    assert entry["score"] == pytest.approx(0.5) and entry["stderr"] == pytest.approx(0.25 / math.sqrt(3))
    assert cells(text, "catch")[1] == "0.500 ± 0.144"
    assert sorted(path.parent.name for path in tmp_path.rglob("*.csv")) == ["seed_0", "seed_1", "seed_2"]


def test_its_files_give_the_same_report_again_and_agents_are_compared(tmp_path, capsys):
    for agent in ("random", "good"):
        report.report(logs(agent), tmp_path / agent, agent)
    assert report.main([str(tmp_path / "random"), str(tmp_path / "good"), "--out", str(tmp_path / "both")]) == 0
    text = (tmp_path / "both" / "report.md").read_text()
    assert capsys.readouterr().out == text
    both = json.loads((tmp_path / "both" / "scores.json").read_text())
    assert both == {
        agent: json.loads((tmp_path / agent / "scores.json").read_text())[agent] for agent in ("random", "good")
    }
    assert text == "\n".join(
        f"## {agent}\n\n{(tmp_path / agent / 'report.md').read_text()}" for agent in ("random", "good")
    )


def test_files_of_the_original_are_scored_as_ours_are(tmp_path, capsys):
    place = tmp_path / "learner"
    place.mkdir()
    for run in recorded()["learner"]["runs"]:
        (place / files.file_name(run["bsuite_id"])).write_text(run["csv"])
    (place / "bsuite_id_-_mnist-0.csv").write_text("episode\n1\n")
    assert report.main([str(place), "--out", str(tmp_path / "out")]) == 0
    assert "bsuite_id_-_mnist-0.csv passed over" in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "scores.json").read_text())["learner"]["experiments"]
    expected = recorded()["learner"]["scores"]
    assert {name: entry["score"] for name, entry in found.items()} == pytest.approx(
        {name: entry["score"] for name, entry in expected.items()}, abs=1e-12
    )


def test_mistakes_are_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "bsuite_id_-_catch-0.csv").write_text("steps\n1\n")
    short = tmp_path / "short"
    short.mkdir()
    (short / "bsuite_id_-_catch-0.csv").write_text("episode\n1\n")
    for name, said in (
        ("none", "none is no folder"),
        ("empty", "has no file such as bsuite_id_-_memory_len-17.csv"),
        ("broken", "bsuite_id_-_catch-0.csv: is no log of bsuite: it has no column 'episode'"),
        ("short", "catch: the log has no column 'total_regret'"),
    ):
        with pytest.raises(SystemExit) as caught:
            report.main([str(tmp_path / name), "--out", str(tmp_path / "out")])
        error = capsys.readouterr().err
        assert caught.value.code == 2 and error.count("\n") == 1 and said in error
    (tmp_path / "file").write_text("")
    files.write("catch/0", rows(catch(0, 1.0)), tmp_path / "fine")
    with pytest.raises(SystemExit) as caught:
        report.main([str(tmp_path / "fine"), "--out", str(tmp_path / "file")])
    assert caught.value.code == 2 and "cannot write to" in capsys.readouterr().err


def test_a_report_refuses_what_it_cannot_tell_apart(tmp_path):
    with pytest.raises(ValueError, match="catch/3 comes twice for seed 1: should come once"):
        report.report([catch(3, 0.0, 1), catch(3, 1.0, 1)], tmp_path)
    with pytest.raises(ValueError, match="there is no finished episode"):
        report.report([catch(3, 0.0, 1, episodes=0)], tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_radar_has_a_polygon_an_agent_over_all_tags():
    agents = {name: dict(recorded()[name]["tags"]) for name in ("random", "good")}
    figure = radar.radar(agents, "a note")
    [axes] = figure.axes
    assert [line.get_label() for line in axes.lines] == list(agents)
    for line, scores in zip(axes.lines, agents.values(), strict=True):
        assert line.get_ydata() == pytest.approx([*scores.values(), scores[TAGS[0]]])
        assert line.get_xdata()[:-1] == pytest.approx(np.arange(len(TAGS)) * 2 * np.pi / len(TAGS))
    assert [label.get_text() for label in axes.get_xticklabels()] == [tag.replace("_", " ") for tag in TAGS]
    assert axes.get_ylim() == (0, 1)
    assert figure.get_supxlabel() == "a note"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(agents)


def test_a_long_note_keeps_to_the_figure():
    note = "experiments played to their end: " + ", ".join(f"an agent with a long name {i}: {i}" for i in range(9))
    lines = radar.radar({"one": dict.fromkeys(TAGS, 0.5)}, note).get_supxlabel().split("\n")
    assert len(lines) > 2 and all(len(line) <= 100 for line in lines) and " ".join(lines) == note


def test_agents_with_equal_scores_are_all_seen():
    axes = radar.radar({str(i): dict.fromkeys(TAGS, 0.5) for i in range(9)}).axes[0]
    sizes, widths = ([getattr(line, f"get_{what}")() for line in axes.lines] for what in ("markersize", "linewidth"))
    for values in (sizes, widths):
        assert values == sorted(set(values), reverse=True)
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 9


def test_an_agent_that_is_named_twice_is_shown_once(tmp_path, capsys):
    report.report(logs("random"), tmp_path / "random", "random")
    folder = str(tmp_path / "random")
    assert report.main([folder, folder, "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"{folder} is given twice: taken once\n"
    assert captured.out == (tmp_path / "random" / "report.md").read_text()


def test_an_axis_without_a_score_says_so():
    scores = {**dict.fromkeys(TAGS, 0.5), "memory": math.nan}
    alone = radar.radar({"one": scores}).axes[0]
    assert [label.get_text() for label in alone.get_xticklabels()][TAGS.index("memory")] == "memory\n(not played)"
    assert alone.lines[0].get_ydata()[TAGS.index("memory")] == 0
    beside = radar.radar({"one": scores, "two": dict.fromkeys(TAGS, 1.0)}).axes[0]
    assert beside.get_xticklabels()[TAGS.index("memory")].get_text() == "memory\n(not played by one)"


def test_a_radar_says_how_much_is_complete(tmp_path, monkeypatch):
    notes = []
    monkeypatch.setattr(radar, "draw", lambda agents, out, note="": notes.append(note))
    report.report([catch(number, 0.8) for number in range(20)], tmp_path)
    report.write({"a": {"s": {"catch/0": rows(catch(0, 1))}}, "b": {"s": {"catch/0": rows(catch(0, 0))}}}, tmp_path)
    assert notes == [
        "experiments played to their end: 1 of 20",
        "experiments played to their end: a: 0, b: 0 of 20",
    ]


def test_lengths_beyond_the_sweep_have_the_returns_of_the_others():
    from experiments.running.references import references

    for env_id in ("bsuite/memory_len_11", "bsuite/memory_len_300", "bsuite/umbrella_length_7"):
        known = references(env_id)
        assert (known["random"]["mean"], known["best"]["mean"]) == (0, 1) and "players" not in known
    assert "random" not in references("bsuite/deep_sea_60")  # it costs other steps
    assert references("bsuite/memory_len_100")["best"]["mean"] == 1 and references("bsuite/nosuch_3") == {}
