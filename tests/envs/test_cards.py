"""Rules of the card games on decks made by hand, and how the games are drawn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.popgym import deck
from envs.popgym.autoencode import Autoencode
from envs.popgym.concentration import Concentration
from envs.popgym.count_recall import CountRecall
from envs.popgym.higher_lower import HigherLower
from envs.popgym.repeat_first import RepeatFirst
from envs.popgym.repeat_previous import RepeatPrevious
from experiments.oracles.cards import ORACLES

HIGHER, LOWER = 0, 1
SPADE, DIAMOND, CLUB, HEART = range(4)
GAMES = (RepeatFirst(), RepeatPrevious(), Autoencode(), CountRecall(), HigherLower(), Concentration())
JUDGED = GAMES[:4]
named = functools.partial(pytest.mark.parametrize, ids=lambda game: game.name if hasattr(game, "name") else str(game))


def fresh(game, **fields):
    """Return the state after a reset, with some fields replaced."""
    _, state = game.reset_env(jax.random.key(0), game.default_params)
    return state.replace(**{name: jnp.asarray(value, getattr(state, name).dtype) for name, value in fields.items()})


@functools.partial(jax.jit, static_argnums=0)
def compiled_step(game, state, action):
    return game.step_env(jax.random.key(1), state, action, game.default_params)[1:4]


def step(game, state, action):
    """Return (classes of the observation's groups, state, reward in units of the reward scale, terminated)."""
    state, reward, terminated = compiled_step(game, state, action)
    return game._classes(state, game.default_params), state, float(reward) * game.reward_scale, bool(terminated)


def beginning_with(first, ordered):
    """Return a deck that begins with the given cards, and goes on with those of `ordered` that are left."""
    rest = list(ordered)
    for card in first:
        rest.remove(card)
    return np.array([*first, *rest])


def test_higher_lower_by_hand():
    game = HigherLower()
    ace, king = 0, 12
    cards = beginning_with([4, 4, 2, king, ace, 1], deck.ranks(1))
    for right in (True, False):
        state = fresh(game, cards=cards)
        for following, answer in ((4, None), (2, LOWER), (king, HIGHER), (ace, LOWER), (1, HIGHER)):
            guess = HIGHER if answer is None else answer if right else 1 - answer
            shown, state, paid, terminated = step(game, state, guess)
            assert (shown, terminated) == ([following], False)
            assert paid == pytest.approx(0 if answer is None else 1 if right else -1)
    assert step(game, fresh(game, cards=cards), LOWER)[2] == 0  # The tie, guessed the other way.


@pytest.mark.parametrize(("action", "valid"), [(-1, HIGHER), (-1000, HIGHER), (2, LOWER), (2**31 - 1, LOWER)])
def test_a_guess_outside_the_actions_is_the_nearest_one(action, valid):
    game = HigherLower()
    rising = fresh(game, cards=beginning_with([3, 9], deck.ranks(1)))
    for given in (action, jnp.asarray(action)):
        assert step(game, rising, given)[2] == pytest.approx(1 if valid == HIGHER else -1)


def test_count_recall_counts_the_card_on_screen():
    game = CountRecall(num_decks=2, count="suits")
    cards = beginning_with([HEART, CLUB, HEART, SPADE], deck.suits(2))
    queries = beginning_with([HEART, HEART, HEART, DIAMOND], deck.suits(2))
    state = fresh(game, cards=cards, queries=queries, counts=[0, 0, 0, 1])
    for shown, answer in zip(([CLUB, HEART], [HEART, HEART], [SPADE, DIAMOND]), (1, 1, 2), strict=True):
        for wrong in {0, 1, 2, 3} - {answer}:
            assert step(game, state, wrong)[2] == pytest.approx(-1)
        seen, state, paid, _ = step(game, state, answer)
        assert (seen, paid) == (shown, pytest.approx(1))
    assert step(game, state, 0)[2] == pytest.approx(1)  # No diamond yet.


@pytest.mark.parametrize(("decks", "count", "most"), [(1, "colors", 26), (2, "suits", 26), (4, "ranks", 16)])
def test_all_cards_of_a_type_are_an_answer(decks, count, most):
    game = CountRecall(decks, count)
    ordered = np.sort(deck.PROPERTIES[count].of_decks(decks))
    state = fresh(game, cards=ordered, queries=ordered, counts=np.bincount([0], minlength=game.num_types))
    for _ in range(most - 1):
        state = step(game, state, 0)[1]
    assert step(game, state, most)[2] == pytest.approx(1)
    assert game.action_space(game.default_params).contains(most)
    assert game.num_actions == most + 1


def test_counts_are_those_of_the_cards_dealt_and_stop_with_the_deck():
    game = CountRecall(num_decks=1, count="ranks")
    state = fresh(game)
    for dealt in range(1, game.num_cards + 3):
        counts = np.bincount(np.asarray(state.cards)[:dealt], minlength=game.num_types)
        np.testing.assert_array_equal(state.counts, counts)
        state, _, terminated = compiled_step(game, state, 0)
        assert bool(terminated) == (dealt >= game.num_cards - 1)


def test_questions_are_independent_of_the_cards():
    game = CountRecall(num_decks=4, count="ranks")
    keys = jax.random.split(jax.random.key(0), 2000)
    _, states = jax.jit(jax.vmap(lambda key: game.reset_env(key, game.default_params)))(keys)
    for cards in (states.cards, states.queries):
        np.testing.assert_array_equal(np.sort(cards, axis=1), np.tile(np.sort(deck.ranks(4)), (2000, 1)))
    # The number of positions where they agree has mean 16 and, for rows of 208 draws of 13, a variance near 14.8.
    agreeing = np.asarray(states.cards == states.queries).sum(1)
    assert abs(agreeing.mean() - 16) < 5 * (14.8 / 2000) ** 0.5


@named("game", JUDGED)
@pytest.mark.parametrize("action", [-1, 27, 256, 2**31 - 1])
def test_an_invalid_answer_is_a_wrong_one(game, action):
    # The answer to the last question is 0, which a byte cannot tell from 256.
    last = game.max_episode_steps - 1
    state = fresh(game, time=last, cards=np.zeros(game.num_cards))
    if isinstance(game, CountRecall):
        state = state.replace(queries=jnp.ones_like(state.queries), counts=jnp.array([26, 0]))
    assert step(game, state, 0)[2] == pytest.approx(1)
    for given in (action, jnp.asarray(action)):  # A Python number is weakly typed.
        assert step(game, state, given)[2] == pytest.approx(-1)


@pytest.mark.parametrize(
    ("construct", "message"),
    [
        (lambda: CountRecall(count="cards"), "CountRecall: count='cards' should be one of colors, suits, ranks"),
        (lambda: CountRecall(num_decks=0), "CountRecall: num_decks=0 should be at least 1"),
        (lambda: HigherLower(num_decks=-1), "HigherLower: num_decks=-1 should be at least 1"),
    ],
)
def test_impossible_games_are_refused(construct, message):
    with pytest.raises(ValueError, match=message):
        construct()


def test_card_counting_by_hand():
    """The player sees no state, and prefers what is left in the deck to what is likely at first sight."""
    game, counting = HigherLower(), ORACLES["HigherLower"][0]
    guess = functools.partial(counting.act, game, game.default_params, state=None, key=None)
    eight = jax.nn.one_hot(7, 13, dtype=jnp.uint8)
    action, counts = guess(counting.start(game, game.default_params), eight)
    assert action == LOWER  # 28 cards are lower, 20 higher.
    np.testing.assert_array_equal(counts, np.eye(13)[7])
    gone = jnp.array([4, 3] + [0] * 11)
    assert guess(gone, eight)[0] == LOWER  # 21 are lower, 20 higher.
    assert guess(gone.at[2].set(2), eight)[0] == HIGHER  # 19 are lower.


def with_another_future(game, state):
    """Return a state with the same observation and other hidden cards."""
    cards, time = np.array(state.cards), int(state.time)
    if isinstance(game, Concentration):
        hidden = np.setdiff1d(np.arange(game.num_cards), np.asarray(state.turned))
    else:
        hidden = np.setdiff1d(np.arange(game.num_cards), [time])
    cards[hidden] = np.sort(cards[hidden])
    return state.replace(cards=jnp.asarray(cards))


@named("game", GAMES)
def test_a_drawing_shows_the_hidden_state_on_request_only(game):
    params = game.default_params
    state = fresh(game)
    for action in (3, 1):
        _, state, _, _ = step(game, state, action)
    other = with_another_future(game, state)
    assert game.render(state, params) == game.render(other, params)
    assert game.render(state, params, hidden=True) != game.render(other, params, hidden=True)
    assert game.render(jax.device_get(state), params, hidden=True) == game.render(state, params, hidden=True)


def test_drawings_by_hand():
    params = GAMES[0].default_params
    suits = beginning_with([HEART, CLUB, CLUB, SPADE], deck.suits(1))
    rest = "".join("♠♦♣♥"[suit] for suit in suits[4:])
    first = fresh(RepeatFirst(), cards=suits, time=2)
    assert RepeatFirst().render(first, params) == "card ♣"
    drawn = f"card ♣\nright: ♥, card 1 of the deck\ndeck:\n♥♣♣|♠{rest}"
    assert RepeatFirst().render(first, params, hidden=True) == drawn
    over = fresh(Autoencode(), cards=suits, time=103)
    assert Autoencode().render(over, params, hidden=True) == f"play, card ♠\ndeck:\n♥♣♣♠{rest}"
    assert "no answer is paid yet" in Autoencode().render(fresh(Autoencode()), params, hidden=True)

    ranks = fresh(HigherLower(), cards=beginning_with([0, 9, 9], deck.ranks(1)))
    assert HigherLower().render(ranks, params) == "card A"
    assert "right: higher\ndeck:\nA|TTA" in HigherLower().render(ranks, params, hidden=True)
    assert "any, it is a tie\ndeck:\nAT|T" in HigherLower().render(ranks.replace(time=1), params, hidden=True)

    count = CountRecall(1, "colors")
    counted = fresh(count, cards=[0, 1] * 26, queries=[1, 0] * 26, counts=[2, 1], time=2)
    assert count.render(counted, params) == "card B, how many R were there?"
    drawn = count.render(counted, params, hidden=True)
    assert "right: 1 (counts: B 2, R 1)\ndeck:\nBRB|RB" in drawn and "questions:\nRBR|BR" in drawn

    table = fresh(Concentration(), cards=deck.ranks(1), turned=[14, -1])
    lines = Concentration().render(table, params, hidden=True).split("\n")
    assert lines[:2] == ["  0  " + " ".join("·" * 13), " 13  · 4 " + " ".join("·" * 11)]
    assert lines[4:6] == ["all cards:", "  0  A A A A 2 2 2 2 3 3 3 3 4"]
