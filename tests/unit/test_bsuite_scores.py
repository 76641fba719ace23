"""bsuite's rows, files and scores, against what the original made of the same episodes; and their rules. About 10 s."""

import dataclasses
import importlib.util
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs.bsuite
from experiments.bsuite import files, scores
from experiments.bsuite.columns import EpisodeLog, logged_episodes, needed_columns, rows
from experiments.bsuite.tags import EXPERIMENTS, TAGS, experiment_of, number_of
from tests.unit.bsuite_recorded import logs, recorded

AGENTS = ("random", "good", "learner")
ALL = (*AGENTS, "made_up")  # Of the last one there are only the original's files.
ORIGINAL = pytest.mark.skipif(importlib.util.find_spec("bsuite") is None, reason="bsuite 0.3.6 is not installed")


def runs(agent):
    return [(log, run["csv"]) for log, run in zip(logs(agent), recorded()[agent]["runs"], strict=True)]


@pytest.mark.parametrize("agent", AGENTS)
def test_rows_are_those_that_the_original_logged(agent):
    for log, text in runs(agent):
        ours, theirs = rows(log), files.parse(text)
        assert list(ours) == list(theirs), log.bsuite_id
        for name in ours:
            # Of float32 returns, where the original adds up float64.
            np.testing.assert_allclose(
                ours[name], theirs[name], rtol=1e-6, atol=1e-5, err_msg=f"{log.bsuite_id} {name}"
            )
            if theirs[name].dtype == np.int64:
                np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.parametrize("agent", AGENTS)
def test_files_are_those_of_the_original_to_the_letter(agent):
    """Where every number is whole; the original writes a column without a regret so far as 0 and not as 0.0."""
    exact = 0
    for log, text in runs(agent):
        if log.bsuite_id.partition("/")[0] in ("memory_len", "memory_size", "mountain_car", "cartpole", "catch"):
            if not all(files.parse(text)[name].any() for name in files.parse(text)):
                continue
            assert files.text(rows(log)) == text, log.bsuite_id
            exact += 1
    assert exact >= 6


def summaries_of_files(agent):
    return scores.summaries({run["bsuite_id"]: files.parse(run["csv"]) for run in recorded()[agent]["runs"]})


@pytest.mark.parametrize("agent", ALL)
def test_scores_of_the_original_files_are_those_of_the_original(agent):
    theirs = recorded()[agent]["scores"]
    assert set(theirs) == set(EXPERIMENTS)
    for name, ours in summaries_of_files(agent).items():
        assert ours.score == pytest.approx(theirs[name]["score"], abs=1e-12), name
        assert ours.finished == theirs[name]["finished"], name


@pytest.mark.parametrize("agent", AGENTS)
def test_scores_of_our_rows_are_those_of_the_original(agent):
    ours, theirs = scores.summaries({log.bsuite_id: rows(log) for log, _ in runs(agent)}), summaries_of_files(agent)
    for name in EXPERIMENTS:
        assert ours[name].score == pytest.approx(theirs[name].score, abs=2e-6), name
        assert dataclasses.replace(ours[name], score=0) == dataclasses.replace(theirs[name], score=0), name


@pytest.mark.parametrize("agent", ALL)
def test_means_by_tag_are_those_of_the_original(agent):
    ours = scores.by_tag({name: entry["score"] for name, entry in recorded()[agent]["scores"].items()})
    assert ours == pytest.approx(recorded()[agent]["tags"], abs=1e-12)
    assert list(ours) == list(TAGS)


def test_the_recorded_scores_tell_the_rules_apart():
    """Every score is strictly between 0 and 1 for some agent, finished and not."""
    for name in EXPERIMENTS:
        values = [recorded()[agent]["scores"][name]["score"] for agent in ALL]
        assert any(0.05 < value < 0.95 for value in values), name
    finished = [entry["finished"] for agent in ALL for entry in recorded()[agent]["scores"].values()]
    assert any(finished) and not all(finished)


def test_the_settings_are_those_of_our_environments():
    assert set(EXPERIMENTS) == set(envs.bsuite.EXPERIMENTS)
    for name, (_, kwargs) in envs.bsuite._SWEEP.items():
        assert EXPERIMENTS[name].settings == len(kwargs)
        if name.endswith(("_noise", "_scale")):
            values = [entry.get("noise_scale", entry.get("factor")) for entry in kwargs]
            assert [values.index(value) // 4 for value in values] == [number // 4 for number in range(len(kwargs))]
        if name.startswith("deep_sea"):
            assert [entry["size"] for entry in kwargs] == list(scores.SIZES)


@ORIGINAL
def test_the_original_reads_our_files(tmp_path):
    from bsuite.logging import csv_load

    for log, _ in runs("learner"):
        files.write(log.bsuite_id, rows(log), tmp_path)
    frame, _ = csv_load.load_bsuite(str(tmp_path))
    assert set(frame.bsuite_id) == {log.bsuite_id for log, _ in runs("learner")}
    for log, _ in runs("learner"):
        for name, values in rows(log).items():
            np.testing.assert_array_equal(frame[frame.bsuite_id == log.bsuite_id][name], values)


@ORIGINAL
def test_settings_episodes_and_tags_are_those_of_the_original():
    from bsuite import sweep

    for name, about in EXPERIMENTS.items():
        module = importlib.import_module(f"bsuite.experiments.{name}.sweep")
        assert (about.tags, about.settings, about.episodes) == (module.TAGS, len(module.SETTINGS), module.NUM_EPISODES)
        assert {f"{name}/{number}" for number in range(about.settings)} <= set(sweep.SWEEP)


# The schedule and the sums.


@given(st.integers(0, 300_000))
@settings(deadline=None)
def test_rows_come_at_the_given_shares_of_powers_of_ten(episodes):
    found = logged_episodes(episodes)
    assert (np.diff(found) > 0).all()
    shares = (1, 1.2, 1.4, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    expected = {share * 10**power for share in shares for power in range(6)}
    assert set(found.tolist()) == {int(value) for value in expected if value == int(value) and value <= episodes}


counts = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 1)), max_size=60)


@given(counts)
@settings(deadline=None)
def test_totals_are_sums_of_the_episodes_so_far(episodes):
    lengths = np.array([length for length, _ in episodes], np.float32)
    right = np.array([bit for _, bit in episodes], np.float32)
    columns = {"return": 2 * right - 1, "length": lengths, "perfect": right, "regret": 2 - 2 * right}
    found = rows(EpisodeLog("memory_len/3", 0, columns))
    assert found["episode"].tolist() == logged_episodes(len(episodes)).tolist()
    for row, episode in enumerate(found["episode"].tolist()):
        assert found["steps"][row] == lengths[:episode].sum()
        assert found["total_perfect"][row] == right[:episode].sum() == episode - found["total_regret"][row] / 2
        assert found["total_return"][row] == (2 * right - 1)[:episode].sum()
        assert found["episode_len"][row] == lengths[episode - 1]
        assert found["episode_return"][row] == 2 * right[episode - 1] - 1


@given(st.lists(st.tuples(st.integers(0, 1001), st.integers(0, 1001)), min_size=1, max_size=60))
@settings(deadline=None)
def test_the_best_episode_is_the_greatest_return_so_far_and_never_below_zero(episodes):
    upright, pushes = np.array(episodes, np.float32).T
    returned = upright.astype(float) - 0.1 * pushes.astype(float)
    columns = {"return": returned, "length": np.full(len(episodes), 1001), "upright": upright, "pushes": pushes}
    found = rows(EpisodeLog("cartpole_swingup/0", 0, columns))
    for row, episode in enumerate(found["episode"].tolist()):
        assert found["best_episode"][row] == max(0.0, returned[:episode].max())
        assert found["raw_return"][row] == pytest.approx(returned[:episode].sum())


@given(st.integers(0, 40), st.integers(0, 400), st.data())
@settings(max_examples=50, deadline=None)
def test_a_file_reads_as_what_was_written(right, episodes, data):
    returned = np.float32(data.draw(st.lists(st.floats(-1e6, 1e6, width=32), min_size=episodes, max_size=episodes)))
    columns = {"return": returned, "length": np.full(episodes, 9), "regret": 1 - returned}
    written = rows(EpisodeLog("catch_noise/0", 0, columns))
    read = files.parse(files.text(written))
    assert list(read) == list(written)
    for name in written if len(written["episode"]) else ():
        np.testing.assert_array_equal(read[name], written[name])
        assert read[name].dtype == written[name].dtype


# What there is of a score before it is complete, and what is refused.


def memory(length, right, episodes):
    columns = {"return": np.zeros(episodes), "length": np.full(episodes, 3.0), "regret": np.zeros(episodes)}
    return EpisodeLog(f"memory_len/{length}", 0, {**columns, "perfect": (np.arange(episodes) < right).astype(float)})


def test_a_score_is_of_what_is_logged_until_the_last_episode_that_counts():
    score_of = lambda *found: scores.summaries({log.bsuite_id: rows(log) for log in found})["memory_len"]
    assert score_of(memory(0, 626, 1000)).score == 1.0
    assert score_of(memory(0, 625, 1000)).score == 0.0
    # The last row is that of episode 1000, then 1200; episodes after the 10,000th do not count.
    assert score_of(memory(0, 626, 1199)).score == 1.0
    assert score_of(memory(0, 626, 1200)).score == 0.0
    assert score_of(memory(0, 6251, 12_000)) == scores.Summary(1.0, True, 1, 12_000)
    assert score_of(memory(0, 6251, 10_000), memory(1, 10, 10)).finished is False
    assert scores.summaries({"memory_len/0": rows(memory(0, 0, 0))}) == {}


def test_an_episode_of_cartpole_is_good_above_500():
    """The original: cartpole/analysis.py:28, :40."""
    for best, expected in ((500, 0.5 * 0.5), (501, 0.5 * (0.501 + 1))):
        columns = dict.fromkeys(("return", "length", "raw_return"), np.full(100, best))
        log = EpisodeLog("cartpole/0", 0, columns)
        assert scores.summaries({log.bsuite_id: rows(log)})["cartpole"].score == pytest.approx(expected)


def test_a_sea_without_hundred_episodes_has_no_score_yet():
    columns = {"return": np.zeros(90), "length": np.full(90, 10.0), "bad_episode": np.zeros(90)}
    log = EpisodeLog("deep_sea_stochastic/0", 0, {**columns, "denoised_return": np.zeros(90)})
    assert math.isnan(scores.summaries({log.bsuite_id: rows(log)})["deep_sea_stochastic"].score)


@pytest.mark.parametrize(
    ("bsuite_id", "said"),
    [
        ("memory_len/23", "memory_len/0 to memory_len/22"),
        ("memory_len", "memory_len/0 to"),
        ("memory_len/01", "memory_len/0 to"),
        ("mnist/0", "should begin with one of bandit, catch"),
        ("bsuite/memory_len/3", "should begin with one of"),
    ],
)
def test_an_id_that_there_is_not_is_named(bsuite_id, said):
    with pytest.raises(ValueError, match=said):
        EpisodeLog(bsuite_id, 0, {})


def test_columns_that_are_missing_or_of_other_lengths_are_named():
    assert needed_columns("deep_sea") == ("return", "length", "bad_episode", "denoised_return")
    with pytest.raises(ValueError, match="catch/3: the episodes have no regret; should have return, length, regret"):
        EpisodeLog("catch/3", 0, {"return": np.zeros(3), "length": np.zeros(3)})
    with pytest.raises(ValueError, match="catch/3: each column should have a number an episode"):
        EpisodeLog("catch/3", 0, {"return": np.zeros(3), "length": np.zeros(2), "regret": np.zeros(3)})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("catch-0", "a,b\n1,2\n", "no column 'episode'"),
        ("catch-0", "episode,b\n1\n", "without 2 entries"),
        ("catch-0", "episode\nmany\n", "could not convert"),
        ("catch-0", "", "no column 'episode'"),
        ("catch-20", "episode\n1\n", "catch/0 to catch/19"),
    ],
)
def test_a_file_that_is_no_log_is_named(tmp_path, name, text, said):
    path = tmp_path / f"bsuite_id_-_{name}.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        files.read(tmp_path)
    assert str(path) in str(caught.value)


def test_nothing_imports_jax_before_it_draws():
    command = "import sys, experiments.bsuite.report; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def test_ids_have_an_experiment_and_a_number():
    assert (experiment_of("cartpole_noise/12"), number_of("cartpole_noise/12")) == ("cartpole_noise", 12)
    assert files.file_name("memory_len/17") == "bsuite_id_-_memory_len-17.csv"
