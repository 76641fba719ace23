"""Linear probes and measures of memory, on numbers of which the answer is known. About 2 s."""

import numpy as np
import pytest

from experiments.remembering import measures, probes
from experiments.remembering.measures import Played


def rows(episodes=32, steps=50, seed=0):
    """Return (rng, episode of each row)."""
    return np.random.default_rng(seed), np.repeat(np.arange(episodes), steps)


def test_what_is_a_weighted_sum_is_read_off_and_what_is_not_is_not():
    rng, episode = rows()
    features = rng.normal(5, 3, (len(episode), 20))
    linear = features @ rng.normal(size=(20, 2)) - 7
    noise = rng.normal(size=(len(episode), 1))
    half = linear[:, :1] / linear[:, :1].std() + rng.normal(size=(len(episode), 1))
    fitted = probes.fit(features, np.concatenate([linear, noise, half], 1), episode, 32)
    score = lambda first, last: fitted.of(slice(first, last)).score()
    assert score(0, 2).value > 0.999 and score(0, 2).low <= score(0, 2).value <= score(0, 2).high
    assert abs(score(2, 3).value) < 0.05 and score(2, 3).low <= 0.02
    assert score(3, 4).value == pytest.approx(0.5, abs=0.07)


def test_it_is_tested_on_episodes_that_it_has_not_seen():
    """Features that name the episode say nothing of another one, however well they fit."""
    rng, episode = rows(episodes=40, steps=25)
    features = np.eye(40)[episode]
    of_episode = rng.normal(size=40)[episode][:, None]
    assert probes.fit(features, of_episode, episode, 40).score().value < 0.05


def test_more_features_than_rows_do_no_harm():
    rng, episode = rows(episodes=16, steps=10)
    features = rng.normal(size=(len(episode), 500))
    assert probes.fit(features, features[:, :1], episode, 16).score().value > 0.1
    assert probes.fit(features, rng.normal(size=(len(episode), 1)), episode, 16).score().value > -0.3


def test_what_never_varies_has_no_score():
    rng, episode = rows(episodes=8, steps=20)
    features = np.concatenate([rng.normal(size=(len(episode), 2)), np.ones((len(episode), 1))], 1)
    assert np.isnan(probes.fit(features, np.full((len(episode), 1), 3.0), episode, 8).score().value)
    assert probes.fit(features, features[:, :1], episode, 8).score().value > 0.99


def test_wide_and_narrow_are_the_same_regression():
    """With more features than rows it is solved by other matrices: adding features of nothing changes nothing."""
    rng, episode = rows(episodes=8, steps=25)
    features, target = rng.normal(size=(len(episode), 30)), rng.normal(size=(len(episode), 2))
    target[:, 0] += features[:, 0]
    narrow = probes.fit(features, target, episode, 8)
    still = np.concatenate([features, np.zeros((len(episode), 300))], 1)
    # The penalty is a share of the features' mean variance, which falls with those that have none.
    factor = np.sqrt(still.shape[1] / features.shape[1])
    wide = probes.fit(still, target, episode, 8)
    assert factor > 1 and wide.error.shape == narrow.error.shape
    assert wide.score().value == pytest.approx(narrow.score().value, abs=0.03)


def test_probes_of_other_rows_count_together():
    rng, episode = rows()
    features = rng.normal(size=(len(episode), 3))
    known, unknown = features[:, :1], rng.normal(size=(len(episode), 1))
    first, second = (probes.fit(features, target, episode, 32) for target in (known, unknown))
    assert probes.joined([first, None, second]).value == pytest.approx(0.5, abs=0.1)
    assert probes.joined([first, None]) == first.score()
    assert np.isnan(probes.joined([None]).value)
    assert probes.fit(features[:30], known[:30], episode[:30], 32) is None  # of one episode alone


def test_too_few_episodes_are_refused():
    with pytest.raises(ValueError, match="7 episodes are too few for a probe: 8 or more"):
        probes.fit(np.zeros((70, 2)), np.zeros((70, 1)), np.repeat(np.arange(7), 10), 7)


def played(steps=21, episodes=32, **fields) -> Played:
    """Return episodes of noise in which nothing is hidden."""
    rng = np.random.default_rng(1)
    usual = {
        "reward": rng.normal(size=(steps, episodes)).astype(np.float32),
        "running": np.ones((steps, episodes), bool),
        "truth": {},
        "in_view": None,
        "kept": {"memory": rng.normal(size=(steps, episodes, 4)).astype(np.float32)},
    }
    return Played(**(usual | fields))


def test_parts_add_up_to_the_return():
    """Of episodes that are equally long; the first row, of the reset, is no step."""
    one = played(steps=48, reward=np.random.default_rng(2).normal(size=(48, 32)).astype(np.float32))
    parts = measures.by_part(one, 47)
    assert [(row["first"], row["last"]) for row in parts][:2] == [(1, 5), (6, 10)] and parts[-1]["last"] == 47
    assert sum(row["mean"] for row in parts) == pytest.approx(one.reward[1:].sum(0).mean(), rel=1e-4)


def test_a_part_is_of_those_who_lasted_into_it():
    running = np.ones((21, 4), bool)
    running[11:, 2:] = False
    one = played(episodes=4, running=running, reward=np.ones((21, 4), np.float32))
    parts = measures.by_part(one, 20)
    assert [row["mean"] for row in parts] == [2.0] * 10
    running[5:] = False
    parts = measures.by_part(played(episodes=4, running=running, reward=np.ones((21, 4), np.float32)), 20)
    assert [row["mean"] for row in parts] == [2.0, 2.0]  # nobody was there later


def test_steps_since_something_was_in_view():
    in_view = np.array([[0, 1], [1, 0], [0, 0], [0, 1]], bool)[:, None]
    expected = np.array([[-1, 0], [0, 1], [1, 2], [2, 0]])[:, None]
    np.testing.assert_array_equal(measures.since_seen(in_view), expected)


def test_spans_divide_all_steps():
    spans = measures.spans()
    assert [name for name, *_ in spans] == [
        "in view", "1 to 5", "6 to 20", "21 to 100", "101 to 300", "301 and more", "never seen"
    ]  # fmt: skip
    for since in (-1, 0, 1, 5, 6, 20, 21, 100, 101, 300, 301, 5000):
        assert sum(first <= since <= last for _, first, last in spans) == 1, since


def test_cells_are_counted_once():
    place = np.zeros((21, 2, 2), np.float32)
    place[:, 0, 0] = np.arange(21) / 2  # a new cell every second step
    rows = measures.explored(played(episodes=2, truth={"agent_pos": place}), 20)
    assert [row["step"] for row in rows] == list(range(2, 21, 2))
    assert [row["mean"] for row in rows] == [(2 + number + 1) / 2 for number in range(10)]
    assert measures.explored(played(), 20) is None


def test_a_memory_that_fades_is_found_out():
    """Objects' places are remembered for five steps after they were seen, and not longer."""
    rng = np.random.default_rng(3)
    steps, episodes = 60, 48
    places = np.repeat(rng.normal(size=(1, episodes, 4)), steps, 0)  # two objects
    in_view = rng.random((steps, episodes, 2)) < 0.03
    since = np.repeat(measures.since_seen(in_view), 2, -1)
    memory = np.where((since >= 0) & (since <= 5), places, rng.normal(size=places.shape))
    one = played(
        steps=steps,
        episodes=episodes,
        running=np.ones((steps, episodes), bool),
        truth={"targets_vec": places.astype(np.float32)},
        in_view=in_view,
        kept={"memory": memory.astype(np.float32), "noise": rng.normal(size=places.shape).astype(np.float32)},
    )
    found = measures.probed(one)
    share = lambda span, kind="memory": found[f"targets_vec, {span}"][kind].value
    assert share("in view") > 0.99 and share("1 to 5") > 0.99
    assert share("6 to 20") < 0.1 and share("21 to 100") < 0.1 and share("never seen") < 0.1
    assert abs(share("in view", "noise")) < 0.1 and 0 < found["targets_vec"]["memory"].value < 0.5
    assert np.isnan(share("101 to 300"))  # no episode is so long
