"""What a recording shows beside what the agent sees: that every POPGym game has it, and that it is the game's state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.episodes import TimeStep
from envs.popgym.grid import unpacked
from envs.wrappers import FlattenActions, PreviousActionAndStart
from experiments.drawing import boards, film, hidden, pictures, scene
from r2i_jit.recording import Recording
from tests.host import little_games

GAMES = sorted(
    {name.removesuffix("Easy") for name in envs.registered() if name.startswith("popgym/") and "Easy" in name}
)


def started(game: str, seed: int = 3):
    """Return (env, params, observation, state) at the start of an episode, on the host."""
    env, params = envs.make(game)
    obs, state = jax.jit(env.reset_env)(jax.random.key(seed), params)
    return env, params, np.asarray(obs), scene.on_host(state)


def looked(game: str, *actions, seed: int = 3):
    """Return (env, state, View) after some actions."""
    env, params, obs, state = started(game, seed)
    step, action = jax.jit(env.step_env), None
    for action in actions:
        obs, state, *_ = step(jax.random.key(9), state, jnp.asarray(action), params)
    state = scene.on_host(state)
    return env, state, hidden.look_of(env, params)(state, np.asarray(obs), action)


def fills(board: boards.Board) -> np.ndarray:
    """Return the colour of each cell."""
    return np.array([[cell.fill if cell else "" for cell in row] for row in board.cells])


def rings(board: boards.Board, ring: str) -> list[tuple[int, int]]:
    """Return the cells with a ring of a colour."""
    return [(y, x) for y, row in enumerate(board.cells) for x, cell in enumerate(row) if cell and cell.ring == ring]


def flat(board: boards.Board) -> list[str]:
    """Return all labels in order, without gaps at the end."""
    return [cell.label for row in board.cells for cell in row if cell]


def test_all_games_are_looked_at():
    assert len(GAMES) == 16


@pytest.mark.parametrize("game", GAMES)
def test_the_first_frame_shows_what_is_hidden_beside_what_is_seen(game):
    env, params, obs, state = started(f"{game}Easy")
    flag = np.zeros((), bool)
    row = Recording(TimeStep(obs, np.float32(0), ~flag, flag, flag), state, np.zeros((), np.int32))
    episode = jax.tree.map(lambda leaf: np.asarray(leaf)[None], row)
    (frame,) = film.episode_frames(game, env, params, episode, film.Style())
    assert len(frame.panels) >= 2 and frame.panels[0][0] == hidden.SEEN
    for heading, image in frame.panels:
        assert heading and image.dtype == np.uint8 and image.shape[2] == 3 and image.std() > 0
        assert max(image.shape[:2]) > 128, "it would be enlarged, and its letters with it"
    (picture,) = pictures.draw([frame])
    assert picture.width < 1600 and frame.caption == "step 0 | return 0"


def test_the_ships_are_where_the_state_has_them():
    env, state, view = looked("popgym/BattleshipEasy", [2, 5], [7, 7])
    ships, shots = unpacked(state.ships), unpacked(state.shots)
    (board,) = view.hidden
    found, labels = fills(board), np.array(board.labels)
    np.testing.assert_array_equal(np.isin(found, [boards.DARK, boards.RED]), ships)
    np.testing.assert_array_equal(labels == "X", ships & shots)
    np.testing.assert_array_equal(labels == "o", ~ships & shots)
    assert rings(board, boards.NOW) == [(7, 7)] and shots.sum() == 2
    square = tuple(int(index) for index in np.argwhere(ships)[0])
    assert flat(looked("popgym/BattleshipEasy", square)[2].seen) == ["hit"]
    assert flat(looked("popgym/BattleshipEasy")[2].seen) == ["no hit"]


def test_numbered_actions_and_longer_observations_are_understood():
    inner, params = envs.make("popgym/BattleshipEasy")
    env = PreviousActionAndStart(FlattenActions(inner))
    obs, state = jax.jit(env.reset_env)(jax.random.key(3), params)
    obs, state, *_ = jax.jit(env.step_env)(jax.random.key(9), state, jnp.int32(8 * 2 + 5), params)
    view = hidden.look_of(env, params)(scene.on_host(state), np.asarray(obs), np.int32(8 * 2 + 5))
    assert rings(view.hidden[0], boards.NOW) == [(2, 5)]


def test_the_mines_are_where_the_state_has_them():
    env, state, view = looked("popgym/MineSweeperEasy")
    mines = unpacked(state.mines)
    np.testing.assert_array_equal(np.array(view.hidden[0].labels) == "*", mines)
    square = tuple(int(index) for index in np.argwhere(~mines)[0])
    _, state, view = looked("popgym/MineSweeperEasy", square)
    assert view.hidden[0].labels[square[0]][square[1]] == str(int(state.count))
    assert flat(view.seen) == [f"{int(state.count)} near"] and rings(view.hidden[0], boards.NOW) == [square]


@pytest.mark.parametrize("game", ["LabyrinthEscapeEasy", "LabyrinthExploreEasy"])
def test_the_maze_is_the_states(game):
    for actions in ((), (0, 1, 2, 3)):
        _, state, view = looked(f"popgym/{game}", *actions)
        (board,) = view.hidden
        np.testing.assert_array_equal(fills(board) == boards.DARK, unpacked(state.walls))
        place = tuple(int(coordinate) for coordinate in state.position)
        assert rings(board, boards.NOW) == [place] and board.labels[place[0]][place[1]] == "@"
        if hasattr(state, "goal"):
            assert board.labels[state.goal[0]][state.goal[1]] == "E"
        (y, x), window = place, view.seen
        seen, top, left = fills(window), max(y - 1, 0), max(x - 1, 0)
        walls = (seen == boards.DARK)[: min(y + 2, 11) - top, : min(x + 2, 11) - left]
        np.testing.assert_array_equal(walls, unpacked(state.walls)[top : y + 2, left : x + 2])


def test_the_cards_on_the_table_are_the_states():
    env, state, view = looked("popgym/ConcentrationHard", 5, 40)
    (board,) = view.hidden
    assert flat(board) == [env.symbols[card] for card in state.cards]
    shown = flat(view.seen)
    assert [i for i, label in enumerate(shown) if label] == [5, 40]
    assert all(shown[i] == env.symbols[state.cards[i]] for i in (5, 40))
    assert rings(board, boards.NOW) == [(0, 5), (3, 1)]


@pytest.mark.parametrize("game", ["RepeatFirst", "RepeatPrevious", "Autoencode", "HigherLower", "CountRecall"])
def test_the_deck_is_the_states_and_the_card_on_screen_is_marked(game):
    env, state, view = looked(f"popgym/{game}Easy", *[0] * 15)
    deck = view.hidden[1 if game == "CountRecall" else 0]
    assert flat(deck) == [env.symbols[card] for card in state.cards] and len(deck.left) == 4
    assert rings(deck, boards.NOW) == [(1, 2)]
    asked = {"RepeatFirst": [(0, 0)], "RepeatPrevious": [(0, 12)], "HigherLower": [(1, 3)]}.get(game, [])
    assert rings(deck, boards.ASKED) == asked
    assert env.symbols[state.cards[15]] in flat(view.seen)
    if game == "CountRecall":
        assert view.hidden[0].labels[1] == [str(count) for count in state.counts]
        assert flat(view.hidden[2]) == [env.symbols[card] for card in state.queries]
        assert rings(view.hidden[0], boards.ASKED) == [(0, int(state.queries[15]))]


def test_a_deck_that_is_recited_marks_the_card_that_is_asked_for():
    env, state, view = looked("popgym/AutoencodeEasy", *[0] * 53)
    assert rings(view.hidden[0], boards.ASKED) == [(3, 10)] and rings(view.hidden[0], boards.NOW) == []
    assert flat(view.seen)[0] == "play" and view.text == f"right: {env.symbols[state.cards[49]]}, card 50 of the deck"


def test_the_arms_are_the_states():
    _, state, view = looked("popgym/MultiarmedBanditMedium", 13)
    assert flat(view.hidden[0]) == [f"{chance:.2f}" for chance in state.arms]
    assert rings(view.hidden[0], boards.NOW) == [(1, 3)] and view.text == f"best arm: {state.arms.argmax()}"


def test_control_games_show_the_readings_and_the_system():
    env, params, obs, state = started("popgym/NoisyPositionOnlyCartPoleHard")
    look = hidden.look_of(env, params)
    view = look(state, obs, None)
    assert flat(view.seen) == [f"{number:+.3f}" for number in obs] and "degrees/s" in view.text
    images = [look(state.replace(position=np.float32(x)), obs, None).panels[1][1] for x in (-2.0, 2.0)]
    dark = [np.nonzero(np.all(image == (0x26, 0x32, 0x38), -1))[1].mean() for image in images]
    assert dark[0] < 60 < 220 < dark[1]


class Own(little_games.Drawn):
    """A game with a board of its own."""

    def board(self, state, params):
        return [["a", state.secret], ["", state.time]]


def test_a_game_may_bring_its_board(monkeypatch):
    little_games.register(monkeypatch)
    envs.register("little/Own", Own)
    env, params, obs, state = started("little/Own")
    view = hidden.look_of(env, params)(state, obs, None)
    assert view.hidden[0].labels == [["a", str(state.secret)], ["", "0"]] and view.seen is None
    assert hidden.look_of(*envs.make("little/Drawn")) is None


def test_labels_fit_their_cells_and_are_easy_to_read():
    for side in (20, 56):
        for label in ("X", "0.73", "how many", "two\nlines"):
            font = boards._fitting(label, (side, side))
            assert font.size == 7 or max(font.getlength(line) for line in label.split("\n")) <= side
    dark, light = (
        np.asarray(boards.draw(boards.Board("", [[boards.Cell("█", fill)]]))) for fill in ("#000000", "#ffffff")
    )
    assert np.all(dark == 255, -1).any() and np.all(light == 0, -1).any()
