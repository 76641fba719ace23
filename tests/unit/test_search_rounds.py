"""Successive halving as bookkeeping: no trial twice, none lost, as many rows as there are, and the best go on."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.searching import rounds
from experiments.searching.rounds import Plan

PLANS = st.builds(
    Plan, trials=st.integers(1, 60), batch=st.integers(1, 9), rounds=st.integers(1, 4), halve=st.integers(2, 4)
)
# Few values, so that there are equals, and some that diverged.
VALUES = st.lists(st.sampled_from([-math.inf, -2.0, 0.0, 0.5, 0.75, 3.0]), min_size=1, max_size=40)


def played(plan: Plan, values: list[float]) -> list[tuple[rounds.Leg, tuple[int, ...], rounds.Stand]]:
    """Return every leg that is trained, with its trials and where the search stood, of scores from a list."""
    scores: dict[tuple[int, int], float] = {}
    found = []
    while (now := rounds.stand(plan, scores)).leg is not None:
        assert now.trials and len(found) < 1000
        for trial in now.trials:
            assert (trial, now.leg.round) not in scores, "it was trained already"
            scores[trial, now.leg.round] = values[(7 * trial + 3 * now.leg.round) % len(values)]
        found.append((now.leg, now.trials, now))
    return [*found, (now.leg, now.trials, now)]


@settings(max_examples=150, deadline=None)
@given(plan=PLANS, values=VALUES)
def test_no_trial_is_trained_twice_and_none_is_lost(plan, values):
    *legs, (_, _, end) = played(plan, values)
    for round_ in range(plan.rounds):
        trained = [trial for leg, trials, _ in legs if leg.round == round_ for trial in trials]
        assert len(trained) == len(set(trained))
        if round_ == 0:
            assert sorted(trained) == list(range(plan.trials))
    assert end.dropped | end.finished == set(range(plan.trials)) and not end.dropped & end.finished


@settings(max_examples=150, deadline=None)
@given(plan=PLANS, values=VALUES)
def test_batches_are_full_wherever_there_are_enough_sound_trials(plan, values):
    for leg, trials, now in played(plan, values)[:-1]:
        if not leg.sources:
            left = plan.trials - leg.batch * plan.batch
            assert len(trials) == min(plan.batch, left)
            continue
        before = [trial for source in leg.sources for trial in now.trained[source]]
        sound = set(before) - _lost(plan, values, before, leg.round - 1)
        assert len(trials) == min(plan.batch, len(sound)) and set(trials) <= sound
        assert list(trials) == sorted(trials)


@settings(max_examples=150, deadline=None)
@given(plan=PLANS, values=VALUES)
def test_who_goes_on_is_no_worse_than_who_does_not(plan, values):
    for leg, trials, now in played(plan, values)[:-1]:
        before = [trial for source in leg.sources for trial in now.trained[source]]
        score = lambda trial, round_=leg.round - 1: values[(7 * trial + 3 * round_) % len(values)]
        others = [score(trial) for trial in before if trial not in trials]
        assert min(map(score, trials)) >= max(others, default=-math.inf) if leg.sources else True


@settings(max_examples=150, deadline=None)
@given(plan=PLANS, values=VALUES)
def test_states_are_kept_from_when_they_are_made_until_they_are_used(plan, values):
    """And of each round there wait fewer than `halve` states, or those that a leg is being made of."""
    for leg, _, now in played(plan, values)[:-1]:
        kept = rounds.waiting(plan, now)
        assert set(leg.sources) <= kept
        assert kept <= now.trained.keys()
        whole = rounds.legs(plan)
        for round_ in range(plan.rounds):
            assert sum(whole[number].round == round_ for number in kept) <= plan.halve
    assert rounds.waiting(plan, played(plan, values)[-1][2]) == set()


def _lost(plan: Plan, values: list[float], trials: list[int], round_: int) -> set[int]:
    return {trial for trial in trials if values[(7 * trial + 3 * round_) % len(values)] == -math.inf}


def test_the_order_is_depth_first():
    """64 trials, 16 at a time, in three rounds."""
    found = rounds.legs(Plan(64, 16, 3, 2))
    assert [(leg.round, leg.batch) for leg in found] == [(0, 0), (0, 1), (1, 0), (0, 2), (0, 3), (1, 1), (2, 0)]
    assert [leg.sources for leg in found] == [(), (), (0, 1), (), (), (3, 4), (2, 5)]
    ends = [1000, 2000, 4000]
    assert sum(steps for _, steps in rounds.program_steps(Plan(64, 16, 3, 2), ends)) == 2 * 4000  # and not 4 * 4000


def test_the_best_of_both_batches_go_on_whatever_batch_they_are_of():
    scores = {(0, 0): 1.0, (1, 0): 2.0, (2, 0): 5.0, (3, 0): 4.0}
    now = rounds.stand(Plan(4, 2, 2, 2), scores)
    assert now.leg.round == 1 and now.trials == (2, 3) and now.dropped == {0, 1} and not now.finished


def test_where_all_have_diverged_nothing_is_trained_further():
    scores = {(trial, 0): -math.inf for trial in range(4)}
    now = rounds.stand(Plan(4, 2, 3, 2), scores)
    assert now.leg is None and now.dropped == {0, 1, 2, 3} and not now.finished


@settings(max_examples=200, deadline=None)
@given(
    plan=PLANS, steps=st.integers(1, 10**5), prefill=st.integers(0, 10**4), chunk=st.integers(1, 3000)
)  # fmt: skip
def test_rounds_end_where_whole_chunks_have_done_what_is_asked(plan, steps, prefill, chunk):
    try:
        found = rounds.ends(plan, steps, prefill, chunk)
    except ValueError as error:
        least = int(str(error).partition("give at least ")[2].partition(",")[0])
        assert least > steps or plan.rounds > 1
        assert rounds.ends(plan, max(least, steps + 1), prefill, chunk)
        return
    assert len(found) == plan.rounds and found == sorted(set(found)) and found[0] > prefill
    for round_, end in enumerate(found):
        asked = steps / plan.halve ** (plan.rounds - 1 - round_)
        assert (end - prefill) % chunk == 0 and asked <= end < max(asked + 1, prefill) + chunk


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (300, "round 1 of 3 would end within the 100 steps of random play"),
        (450, "round 2 of 3 would end where round 1"),
    ],
)
def test_rounds_that_learn_nothing_are_said_with_what_would_be_right(steps, said):
    with pytest.raises(ValueError, match=said):
        rounds.ends(Plan(4, 2, 3, 2), steps, 100, 1000)
