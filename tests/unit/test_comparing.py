"""The statistics of few seeds over many games, against numbers by hand and what must always hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.comparing.statistics import aggregates, improvement, interquartile_mean, median, optimality_gap

scores = st.dictionaries(
    st.sampled_from("abcde"),
    st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=1, max_size=6).map(np.array),
    min_size=1,
)


def test_aggregates_by_hand():
    games = [np.array([0.0, 1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0, 7.0])]
    assert interquartile_mean(games) == np.mean([2, 3, 4, 5])
    assert median([*games, np.array([9.0])]) == 5.5  # the games' means are 1.5, 5.5 and 9
    assert optimality_gap([np.array([0.25, 1.5]), np.array([-1.0, 1.0])]) == (0.75 + 0 + 2 + 0) / 4


def test_improvement_by_hand():
    ours, theirs = {"a": np.array([1.0, 3.0]), "b": np.array([0.0])}, {"a": np.array([2.0, 1.0]), "b": np.array([1.0])}
    assert improvement(ours, theirs).value == ((0 + 0.5 + 1 + 1) / 4 + 0.0) / 2
    with pytest.raises(ValueError, match="no game in common"):
        improvement(ours, {"c": np.array([1.0])})


def test_one_seed_has_no_interval_and_several_have_one_that_holds_the_number():
    assert np.isnan(aggregates({"a": np.array([0.3])})["mean"].low)
    rng = np.random.default_rng(0)
    found = aggregates({game: rng.normal(0.5, 0.1, 5) for game in "abcd"})
    for estimate in found.values():
        assert estimate.low < estimate.value < estimate.high


def test_the_interval_of_a_mean_is_that_of_theory_where_there_are_many_seeds():
    values = np.random.default_rng(1).normal(size=400)
    estimate = aggregates({"a": values})["mean"]
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert np.allclose([estimate.low, estimate.high], [values.mean() - half, values.mean() + half], atol=0.1 * half)


@given(scores)
def test_aggregates_lie_between_the_runs(found):
    every = np.concatenate(list(found.values()))
    for name, estimate in aggregates(found, repeats=20).items():
        ends = (0.0, max(0.0, 1.0 - every.min())) if name == "optimality gap" else (every.min(), every.max())
        assert ends[0] - 1e-9 <= estimate.value <= ends[1] + 1e-9
        assert not estimate.low > estimate.high


@given(scores, scores)
def test_one_of_two_is_better_with_certainty(ours, theirs):
    if set(ours) & set(theirs):
        there, back = improvement(ours, theirs, repeats=20), improvement(theirs, ours, repeats=20)
        assert there.value + back.value == pytest.approx(1)
        assert improvement(ours, ours, repeats=20).value == pytest.approx(0.5)


def test_the_order_of_games_and_the_number_of_calls_change_nothing():
    found = {game: np.random.default_rng(ord(game)).normal(size=3) for game in "ab"}
    assert aggregates(found) == aggregates(dict(reversed(found.items())))
