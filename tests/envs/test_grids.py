"""Rules of the bandit and of the games on a board that no comparison of whole episodes singles out."""

import itertools
from collections import Counter
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from envs.popgym import grid
from envs.popgym.battleship import Battleship
from envs.popgym.mine_sweeper import MineSweeper
from envs.popgym.multiarmed_bandit import MultiarmedBandit
from experiments.oracles.mine_probabilities import LikeliestClear, mine_probabilities
from tests.envs.families.labyrinths import packed

MISS, HIT = 0, 1


def board(drawing: str) -> jax.Array:
    """Return the board with a mark for each # of a drawing, rows separated by spaces."""
    return jnp.asarray(packed(np.array([[symbol == "#" for symbol in row] for row in drawing.split()])))


def start(env, **hidden):
    """Return a fresh state with other values in some fields."""
    return env.reset_env(jax.random.key(0), env.default_params)[1].replace(**hidden)


def play(env, state, actions):
    """Return lists of what is observed, the rewards, and the (terminated, truncated) flags, and the last state."""
    step = jax.jit(lambda state, action: env.step_env(jax.random.key(0), state, action, env.default_params))
    seen, rewards, flags = [], [], []
    for action in actions:
        obs, state, reward, terminated, _ = step(state, jnp.asarray(action, jnp.int32))
        seen.append(int(obs.argmax()))
        rewards.append(float(reward))
        flags.append((bool(terminated), bool(env.is_truncated(state, env.default_params))))
    return seen, rewards, flags, state


def drawn(env, field: str, draws: int = 20_000) -> list[tuple[int, ...]]:
    """Return a field of many fresh states, as tuples of rows."""
    keys = jax.random.split(jax.random.key(1), draws)
    _, states = jax.jit(jax.vmap(env.reset_env, (0, None)))(keys, env.default_params)
    return [tuple(rows) for rows in np.asarray(getattr(states, field)).tolist()]


def assert_distributed(samples: list, probabilities: dict) -> None:
    """Check that samples have a distribution: nothing else occurs, and a chi-square test finds no difference."""
    counts = Counter(samples)
    assert set(counts) <= set(probabilities)
    observed = [counts[value] for value in probabilities]
    expected = [len(samples) * float(p) for p in probabilities.values()]
    assert min(expected) > 10
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_a_bandit_pays_if_the_number_drawn_is_below_the_arm():
    env = MultiarmedBandit(num_bandits=3, episode_length=4)
    luck = float(env.luck(jax.random.key(0)))  # The key of every step of `play`.
    state = start(env, arms=jnp.array([luck, np.nextafter(np.float32(luck), np.float32(1)), 0.0], jnp.float32))
    seen, rewards, flags, state = play(env, state, [0, 1, 2, 1])
    assert seen == [0, 1, 0, 1]
    assert rewards == [-0.25, 0.25, -0.25, 0.25]
    assert flags == [(False, False)] * 3 + [(False, True)]


def test_a_bandit_pays_at_the_rate_of_the_arm():
    env = MultiarmedBandit(num_bandits=2)
    luck = np.asarray(jax.vmap(env.luck)(jax.random.split(jax.random.key(2), 20_000)))
    assert stats.kstest(luck, "uniform").pvalue > 1e-3 and 0 <= luck.min() <= luck.max() < 1


def test_a_first_hit_pays_and_everything_else_is_a_miss():
    env = Battleship(board_size=4, ship_sizes=(2,))
    state = start(env, ships=board("##.. .... .... ...."))
    # Water, again, a hit, the same again, and the last hit.
    seen, rewards, flags, _ = play(env, state, [(3, 3), (3, 3), (0, 0), (0, 0), (0, 1)])
    assert seen == [MISS, MISS, HIT, MISS, HIT]
    np.testing.assert_allclose(rewards, [-1 / 14, -1 / 14, 1 / 2, -1 / 14, 1 / 2], rtol=1e-6)
    assert flags == [(False, False)] * 4 + [(True, False)]


def test_battleship_sets_both_flags_for_a_last_hit_on_the_last_step():
    env = Battleship(board_size=3, ship_sizes=(2,))
    state = start(env, ships=board("... ..# ..#"))
    squares = [(0, 0)] * 7 + [(1, 2), (2, 2)]
    assert play(env, state, squares)[2] == [(False, False)] * 8 + [(True, True)]
    # One more miss before, and time is up.
    assert play(env, state, [(0, 0), *squares[:-1]])[2][-1] == (False, True)


def test_every_square_once_returns_nothing():
    env = Battleship(board_size=8)
    state = start(env)
    _, rewards, _, _ = play(env, state, itertools.product(range(8), range(8)))
    assert sum(rewards) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("lengths", [(2,), (1,), (3, 2), (2, 3), (2, 2, 4)])
def test_ships_are_placed_one_after_the_other_uniformly_where_there_is_room(lengths):
    """Against the probability of each board, by enumeration of the places of each ship."""
    boards = {frozenset(): Fraction(1)}
    for length in lengths:
        line = [[(y, x + i) for i in range(length)] for y in range(4) for x in range(5 - length)]
        places = {frozenset(place) for place in [*line, *([(x, y) for y, x in place] for place in line)]}
        following: Counter = Counter()
        for taken, probability in boards.items():
            free = [place for place in places if not place & taken]
            for place in free:
                following[taken | place] += probability / len(free)
        boards = following
    assert sum(boards.values()) == 1
    as_rows = lambda squares: tuple(sum(1 << x for y, x in squares if y == row) for row in range(4))
    probabilities = {as_rows(squares): probability for squares, probability in boards.items()}
    assert_distributed(drawn(Battleship(4, lengths), "ships"), probabilities)


@pytest.mark.parametrize(("size", "mines"), [(3, 1), (3, 2), (3, 4), (4, 2)])
def test_every_set_of_mines_is_as_likely(size, mines):
    sets = itertools.combinations(range(size**2), mines)
    rows = [tuple(sum(1 << s % size for s in squares if s // size == row) for row in range(size)) for squares in sets]
    assert_distributed(drawn(MineSweeper(size, mines), "mines"), dict.fromkeys(rows, Fraction(1, len(rows))))


def test_random_words_become_integers_below_a_limit():
    words = jnp.array([0, 2**31 - 1, 2**31, 2**32 - 1], jnp.uint32)
    assert grid.below(words, 1).tolist() == [0, 0, 0, 0]
    for limit in (2, 7, 264, 2**16):
        assert grid.below(words, limit).tolist() == [int(word) * limit // 2**32 for word in words.tolist()]


def test_a_count_includes_the_clicked_square_and_stops_at_the_border():
    env = MineSweeper(board_size=4, num_mines=4)
    state = start(env, mines=board("##.. #... .... ...#"))
    seen, rewards, flags, _ = play(env, state, [(1, 1), (0, 3), (2, 3), (1, 1), (0, 0)])
    assert seen == [3, 0, 1, 3, 3]
    np.testing.assert_allclose(rewards, [1 / 12, 1 / 12, 1 / 12, -0.5 / 10, -0.5 - 1 / 12], rtol=1e-6)
    assert flags == [(False, False)] * 4 + [(True, False)]


def test_a_win_or_a_mine_on_the_last_step_is_no_truncation():
    env = MineSweeper(board_size=3, num_mines=5)
    state = start(env, mines=board("#.# .#. #.#"))
    clear = [(0, 1), (1, 0), (1, 2), (2, 1)]
    seen, rewards, flags, _ = play(env, state, clear)
    assert (seen, sum(rewards)) == ([3, 3, 3, 3], 1.0)
    assert flags == [(False, False)] * 3 + [(True, False)]
    assert play(env, state, [*clear[:3], (1, 1)])[2][-1] == (True, False)
    # A single repetition, and there is no time left to win.
    assert play(env, state, [clear[0], *clear[:3]])[2][-1] == (False, True)


def test_nine_mines_are_the_largest_count():
    env = MineSweeper(board_size=4, num_mines=12)
    assert env.observation_space(env.default_params).shape == (10,)
    assert play(env, start(env, mines=board("###. ###. ###. ###.")), [(1, 1)])[0] == [9]


def test_the_largest_board_uses_every_bit_of_a_row():
    env = MineSweeper(board_size=32, num_mines=3)
    corner = jnp.zeros(32, jnp.uint32).at[30].set(1 << 31).at[31].set(3 << 30)
    seen, _, flags, _ = play(env, start(env, mines=corner), [(30, 30), (0, 0), (31, 31)])
    assert seen == [3, 0, 3] and flags[-1] == (True, False)
    ships = np.array(drawn(Battleship(32, (32, 32)), "ships", draws=100), np.uint32)
    assert (np.bitwise_count(ships).sum(1) == 64).all()


@pytest.mark.parametrize(
    ("env", "hidden", "invalid", "valid"),
    [
        (MultiarmedBandit(3), {"arms": jnp.array([1.0, 0.0, 1.0])}, [-1, 3, 2**31 - 1], [0, 2, 2]),
        (Battleship(4, (2,)), {"ships": board("#..# .... .... ....")}, [(-1, -9), (-5, 4)], [(0, 0), (0, 3)]),
        (MineSweeper(4, 2), {"mines": board("#... .... .... ...#")}, [(9, 2), (4, 2**31 - 1)], [(3, 2), (3, 3)]),
    ],
)
def test_an_action_outside_is_the_nearest_one_inside(env, hidden, invalid, valid):
    got, want = (play(env, start(env, **hidden), actions) for actions in (invalid, valid))
    assert got[:3] == want[:3]
    for one, other in zip(jax.tree.leaves(got[3]), jax.tree.leaves(want[3]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_more_is_drawn_than_is_observed():
    for env, one, other in (
        (MultiarmedBandit(2), {"arms": jnp.array([0.9, 0.1])}, {"arms": jnp.array([0.1, 0.9])}),
        (Battleship(4, (2,)), {"ships": board("##.. .... .... ....")}, {"ships": board(".... .... .... ..##")}),
        (MineSweeper(4, 2), {"mines": board("##.. .... .... ....")}, {"mines": board(".... .... .... ..##")}),
    ):
        states = start(env, **one), start(env, **other)
        texts = {env.render(state, env.default_params) for state in states}
        assert len(texts) == 1 and env.render(states[0], env.default_params, hidden=True) not in texts


def test_drawings():
    battleship, sweeper, bandit = Battleship(3, (2,)), MineSweeper(3, 2), MultiarmedBandit(2)
    state = play(battleship, start(battleship, ships=board("##. ... ...")), [(2, 2), (0, 1)])[3]
    assert battleship.render(state, None) == "hit"
    assert battleship.render(state, None, hidden=True) == "hit\n■ X ·\n· · ·\n· · o"
    state = start(sweeper, mines=board("##. ... ..."))
    assert sweeper.render(state, None) == "no click yet"
    state = play(sweeper, state, [(2, 2), (1, 1)])[3]
    assert sweeper.render(state, None) == "mines near the last click: 2"
    assert sweeper.render(state, None, hidden=True).splitlines()[1:] == ["* * ·", "· 2 ·", "· · 0"]
    lines = bandit.render(start(bandit, arms=jnp.array([0.5, 1.0])), None, hidden=True).splitlines()
    assert lines == ["no payout", "  0  0.50 " + 10 * "█", "  1  1.00 " + 20 * "█"]


@pytest.mark.parametrize(
    ("construct", "message"),
    [
        (lambda: MultiarmedBandit(num_bandits=0), "num_bandits=0 should be at least 1"),
        (lambda: MultiarmedBandit(episode_length=0), "episode_length=0 should be at least 1"),
        (lambda: Battleship(board_size=0), "board_size=0 should be from 1 to 32"),
        (lambda: Battleship(board_size=33), "board_size=33 should be from 1 to 32"),
        (lambda: Battleship(ship_sizes=()), r"ship_sizes=\(\) should be numbers from 1 to 10"),
        (lambda: Battleship(4, (5,)), r"ship_sizes=\(5,\) should be numbers from 1 to 4"),
        (lambda: Battleship(4, (0,)), r"ship_sizes=\(0,\) should be numbers from 1 to 4"),
        (lambda: Battleship(1, (1,)), "may not fit on a board of size 1"),
        (lambda: Battleship(4, (2, 2, 2, 4)), "may not fit on a board of size 4"),
        (lambda: MineSweeper(4, 0), "num_mines=0 should be from 1 to 13"),
        (lambda: MineSweeper(4, 14), "num_mines=14 should be from 1 to 13"),
        (lambda: MineSweeper(0, 1), "board_size=0 should be from 1 to 32"),
    ],
)
def test_impossible_games_are_refused(construct, message):
    with pytest.raises(ValueError, match=message):
        construct()


def _near(mines: tuple[int, ...], square: int, size: int) -> int:
    return sum(max(abs(m // size - square // size), abs(m % size - square % size)) <= 1 for m in mines)


def test_probabilities_of_mines_are_those_of_all_boards_that_agree_with_the_counts():
    rng = np.random.default_rng(0)
    for size, number in ((4, 2), (4, 4), (5, 3)):
        boards = list(itertools.combinations(range(size**2), number))
        for _ in range(10):
            mines = boards[rng.integers(len(boards))]
            clear = np.setdiff1d(np.arange(size**2), mines)
            clicked = rng.choice(clear, rng.integers(len(clear)), replace=False).tolist()
            counts = tuple(sorted((square, _near(mines, square, size)) for square in clicked))
            agreeing = [
                other
                for other in boards
                if not set(other) & set(clicked) and all(_near(other, s, size) == count for s, count in counts)
            ]
            hidden = [square for square in range(size**2) if square not in clicked]
            want = {square: sum(square in other for other in agreeing) / len(agreeing) for square in hidden}
            assert mine_probabilities(size, number, counts) == want


def test_counts_that_no_board_has_are_refused():
    with pytest.raises(ValueError, match="no board of size 4 with 2 mines"):
        mine_probabilities(4, 2, ((0, 2), (3, 2)))


def test_the_player_by_mine_probabilities_wins_as_often_as_measured_on_the_original():
    returns, lengths = LikeliestClear().play("popgym/MineSweeperEasy", jax.random.key(0), 200)
    won = np.isclose(returns, 1.0)
    assert (lengths[won] == 14).all()
    np.testing.assert_allclose(returns[~won], (lengths[~won] - 1) / 14 - 0.5 - 1 / 14, atol=1e-5)
    assert abs(won.mean() - 0.81) < 4 * (0.81 * 0.19 * (1 / 200 + 1 / 1500)) ** 0.5
