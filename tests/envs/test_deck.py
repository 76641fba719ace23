"""Decks, and rules of the card games that no comparison of whole episodes singles out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.popgym import deck
from envs.popgym.autoencode import Autoencode
from envs.popgym.concentration import Concentration
from envs.popgym.repeat_previous import RepeatPrevious
from tests.envs.playing import make


def test_shuffled_decks_are_uniform():
    # 20 000 decks: shares of a suit at a position have a standard error of .0031, of equal neighbours .003 / deck slot.
    decks = np.asarray(jax.vmap(deck.shuffle, (0, None))(jax.random.split(jax.random.key(0), 20_000), deck.suits(1)))
    assert (np.sort(decks) == np.sort(deck.suits(1))).all()
    for suit in range(4):
        assert np.abs((decks == suit).mean(0) - 0.25).max() < 5 * 0.0031
    equal_neighbours = (decks[:, 1:] == decks[:, :-1]).mean(0)
    assert np.abs(equal_neighbours - 12 / 51).max() < 5 * 0.003
    first_by_last = np.histogram2d(decks[:, 0], decks[:, -1], bins=4)[0] / len(decks)
    expected = np.where(np.eye(4, dtype=bool), 13 * 12, 13 * 13) / (52 * 51)
    assert np.abs(first_by_last - expected).max() < 5 * 0.0017


def test_cards_have_the_original_ranks_suits_and_colours():
    original = pytest.importorskip("popgym.core.deck").Deck(3)
    np.testing.assert_array_equal(deck.ranks(3), original.ranks_idx)
    np.testing.assert_array_equal(deck.suits(3), original.suits_idx)
    np.testing.assert_array_equal(deck.colors(3), original.colors_idx)


def test_an_invalid_position_is_the_nearest_valid_one():
    env, params = make("popgym/ConcentrationEasy")
    _, state = env.reset(jax.random.key(0), params)
    for invalid, valid in ((-1, 0), (-1000, 0), (52, 51), (2**31 - 1, 51)):
        got, want = (
            jax.tree.leaves(env.step(jax.random.key(1), state, jnp.int32(a), params)) for a in (invalid, valid)
        )
        for one, other in zip(got, want, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_shorter_limit_truncates_concentration_and_no_recall_game():
    for env_id, truncated in (("popgym/ConcentrationEasy", True), ("popgym/RepeatPreviousEasy", False)):
        env, params = make(env_id)
        params = params.replace(max_steps_in_episode=1)
        _, state = env.reset(jax.random.key(0), params)
        assert [bool(flag) for flag in env.step(jax.random.key(1), state, 0, params)[3:5]] == [False, truncated]


@pytest.mark.parametrize(
    ("construct", "message"),
    [
        (lambda: RepeatPrevious(num_decks=1, k=52), "k=52 should be at least 1 and below the number of cards, 52"),
        (lambda: RepeatPrevious(num_decks=1, k=0), "k=0 should be"),
        (lambda: Autoencode(num_decks=0), "num_decks=0 should be at least 1"),
        (lambda: Concentration(match="suits"), "match='suits' should be one of colors, ranks"),
    ],
)
def test_impossible_games_are_refused(construct, message):
    with pytest.raises(ValueError, match=message):
        construct()


def test_concentration_optimum_by_hand_and_beside_the_greedy_player():
    """Two cards of each colour; and the measured return of a greedy player of perfect memory on the original."""
    from experiments.oracles.concentration_optimum import optimum

    # Turn two unseen cards: a match (1/3) leaves the other pair known to match; otherwise (2/3) all four are found.
    first = 1 / 3 * (0.5 + 0.5) + 2 / 3 * (-2 / 8 + 0.5 + 0.5)
    assert optimum(4, 8) == pytest.approx(first)
    assert optimum(52, 104) == pytest.approx(0.8137, abs=1e-4)
    assert abs(optimum(52, 104) - 0.814) < 3 * 0.036 / np.sqrt(500)
