"""What a game shows and what it hides, side by side: which boards are drawn of which state.

`LOOKS` says it for POPGym's games, `bsuite_boards` for bsuite's. A game of your own may define `board(state, params)`,
rows of short texts, which is drawn beside what it shows; `bodies` draws bodies under physics. What has neither is drawn
as its text.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.observation import Categorical
from envs.popgym import autoencode, labyrinth
from envs.popgym.battleship import Battleship
from envs.popgym.cart_pole import ANGLE_LIMIT, POSITION_LIMIT, CartPole
from envs.popgym.concentration import Concentration
from envs.popgym.control import ControlGame
from envs.popgym.count_recall import CountRecall
from envs.popgym.deck import CARDS, RANKS, DealtGame, SuitGame
from envs.popgym.grid import unpacked
from envs.popgym.labyrinth import Labyrinth
from envs.popgym.mine_sweeper import MineSweeper
from envs.popgym.multiarmed_bandit import MultiarmedBandit
from envs.popgym.pendulum import Pendulum
from experiments.drawing import boards, bodies, bsuite_boards, scene
from experiments.drawing.boards import ASKED, NOW, SEEN, Board, Cell
from experiments.drawing.pictures import Panel

_DECK = "the deck (blue: on screen, orange: asked for)"
_ARMS_IN_A_ROW = 10
_DRAWN = 288, 160  # pixels of a drawing of the control games
_ROD, _PIVOT = "#e65100", "#263238"


class View(NamedTuple):
    """One state of a game as it is drawn.

    Attributes:
      seen: what the agent sees, or None where a text says that.
      hidden: boards or images of what it does not.
      text: a line below them, or empty.
    """

    seen: Board | None
    hidden: tuple[Board | Panel, ...]
    text: str = ""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All of it as images."""
        every = (*(() if self.seen is None else (self.seen,)), *self.hidden)
        return tuple((part.heading, boards.draw(part)) if isinstance(part, Board) else part for part in every)


# (game, its parameters, state, observation, the action that led to it or None) -> View, all on the host.
Look = Callable[[Any, Any, Any, np.ndarray, Any], View]


def look_of(env: Any, params: Any) -> Callable[[Any, np.ndarray, Any], View] | None:
    """Return what draws an environment, (state, observation, action or None) -> View; None if nothing does."""
    inner = scene.innermost(env)
    for kind, look in LOOKS.items():
        if isinstance(inner, kind):
            return lambda state, obs, action: look(inner, params, state, np.asarray(obs), action)
    game, settings = bsuite_boards.innermost(inner, params)
    for kind, shown in bsuite_boards.BOARDS.items():
        if isinstance(game, kind):
            return lambda state, obs, action: View(*shown(game, settings, state, action))
    if hasattr(inner, "shapes"):
        draw = bodies.view_of(inner)
        return lambda state, obs, action: View(None, draw(state))
    if hasattr(inner, "board"):
        rows = lambda state: [[Cell(str(label)) for label in row] for row in inner.board(state, params)]
        return lambda state, obs, action: View(None, (Board("the hidden state", rows(state)),))
    return None


def _battleship(env: Battleship, params: Any, state: Any, obs: np.ndarray, action: Any) -> View:
    hit = _classes(env, params, obs)[0] == 1
    seen = boards.said(SEEN, Cell("hit", boards.RED) if hit else Cell("no hit", boards.BLUE))
    ships, shots, last = unpacked(state.ships), unpacked(state.shots), _square(env, action)
    kinds = {
        (False, False): Cell("", boards.BLUE),
        (False, True): Cell("o", boards.BLUE),
        (True, False): Cell("", boards.DARK),
        (True, True): Cell("X", boards.RED),
    }
    cell = lambda place: kinds[bool(ships[place]), bool(shots[place])]._replace(ring=NOW if place == last else None)
    return View(seen, (_grid("the ships (X hit, o missed)", env.board_size, cell),))


def _mine_sweeper(env: MineSweeper, params: Any, state: Any, obs: np.ndarray, action: Any) -> View:
    count = _classes(env, params, obs)[0]
    seen = boards.said(SEEN, Cell(f"{count} near" if int(state.time) else "0 (start)"))
    mines, viewed, last = unpacked(state.mines), unpacked(state.viewed), _square(env, action)
    near = np.lib.stride_tricks.sliding_window_view(np.pad(mines, 1), (3, 3)).sum((2, 3))

    def cell(place: tuple[int, int]) -> Cell:
        if mines[place]:
            drawn = Cell("*", boards.RED if place == last else boards.DARK)
        else:
            drawn = Cell(str(near[place]), boards.WHITE) if viewed[place] else Cell("", boards.GREY)
        return drawn._replace(ring=NOW if place == last else None)

    return View(seen, (_grid("the mines (*) and what was clicked", env.board_size, cell),))


def _labyrinth(env: Labyrinth, params: Any, state: Any, obs: np.ndarray, action: Any) -> View:
    kinds = {
        labyrinth.FREE: Cell(),
        labyrinth.WALL: Cell("", boards.DARK),
        labyrinth.START: Cell("S", boards.SAND),
        labyrinth.GOAL: Cell("E", boards.GREEN),
    }
    agent = tuple(int(coordinate) for coordinate in state.position)
    *blocks, _ = _classes(env, params, obs)
    rows = np.reshape(blocks, (labyrinth.WINDOW, labyrinth.WINDOW)).tolist()
    window = [[kinds[block] for block in row] for row in rows]
    y, x = (min(coordinate, 1) for coordinate in agent)
    window[y][x] = window[y][x]._replace(label="@", ring=NOW)
    walls = unpacked(state.walls)
    explored = unpacked(getattr(state, "explored", 0 * state.walls))
    special = {tuple(np.asarray(state.start).tolist()): kinds[labyrinth.START]}
    if hasattr(state, "goal"):
        special[tuple(np.asarray(state.goal).tolist())] = kinds[labyrinth.GOAL]

    def cell(place: tuple[int, int]) -> Cell:
        plain = Cell("", boards.BLUE) if explored[place] else kinds[labyrinth.FREE]
        drawn = special.get(place, kinds[labyrinth.WALL] if walls[place] else plain)
        return drawn._replace(label="@", ring=NOW) if place == agent else drawn

    key = "S start, E exit" if hasattr(state, "goal") else "blue: where it has been"
    maze = _grid(f"the maze ({key})", env.side, cell)
    return View(Board(SEEN, window), (maze._replace(top=(), left=()),))


def _concentration(env: Concentration, params: Any, state: Any, obs: np.ndarray, action: Any) -> View:
    turned = [int(place) for place in np.asarray(state.turned) if place >= 0]
    ring = lambda place: NOW if place in turned else None
    columns, shape = _rows_of_cards(env)
    face = lambda card: Cell("", boards.GREY) if card == env.num_types else _card(env, card)
    up = np.asarray(state.face_up)
    table = [face(card)._replace(ring=ring(i)) for i, card in enumerate(_classes(env, params, obs))]
    cards = [_card(env, card)._replace(ring=ring(i)) for i, card in enumerate(np.asarray(state.cards))]
    firsts = [str(i) for i in range(0, env.num_cards, columns)]
    lying = lambda heading, cells: Board(heading, boards.in_rows(cells, columns), left=firsts, shape=shape)
    seen, every = lying(SEEN, table), lying("all cards", cards)
    return View(seen, (every,), f"{int(up.sum())} of {env.num_cards} cards stay up; blue: turned over in this turn")


def _dealt(env: DealtGame, params: Any, state: Any, obs: np.ndarray, action: Any) -> View:
    """Return a view of a game that deals a deck: on screen is one card, asked for is one of the deck."""
    time, classes = int(state.time), _classes(env, params, obs)
    said = [_card(env, classes[-1])]
    if isinstance(env, autoencode.Autoencode):
        said.insert(0, Cell("watch" if classes[0] == autoencode.WATCH else "play", boards.FAINT))
    asked = time + 1
    if isinstance(env, SuitGame):
        position, paid = env.asked(state.time)
        asked = int(position) if bool(paid) else -1
    asked = -1 if bool(env.is_terminated(state, params)) else asked
    return View(boards.said(SEEN, *said), (_deck(env, _DECK, state.cards, time, asked),), _right(env, params, state))


def _count_recall(env: CountRecall, params: Any, state: Any, obs: np.ndarray, action: Any) -> View:
    time, (card, query) = int(state.time), _classes(env, params, obs)
    question = _card(env, query)
    seen = boards.said(SEEN, _card(env, card), question._replace(label=f"how many {question.label}?"))
    counts = [
        [_card(env, kind)._replace(ring=ASKED if kind == query else None) for kind in range(env.num_types)],
        [Cell(str(int(count)), boards.FAINT) for count in np.asarray(state.counts)],
    ]
    decks = (
        _deck(env, "the cards (blue: on screen)", state.cards, time, -1),
        _deck(env, "the questions", state.queries, time, -1),
    )
    return View(seen, (Board("dealt so far", counts), *decks), _right(env, params, state))


def _bandit(env: MultiarmedBandit, params: Any, state: Any, obs: np.ndarray, action: Any) -> View:
    paid = _classes(env, params, obs)[0] == 1
    seen = boards.said(SEEN, Cell("payout", boards.GREEN) if paid else Cell("no payout", boards.FAINT))
    pulled = None if action is None else min(max(int(action), 0), env.num_actions - 1)
    arms = [
        Cell(f"{chance:.2f}", _shade(float(chance)), NOW if i == pulled else None)
        for i, chance in enumerate(np.asarray(state.arms))
    ]
    rows = boards.in_rows(arms, _ARMS_IN_A_ROW)
    top, left = [str(i) for i in range(len(rows[0]))], [str(_ARMS_IN_A_ROW * i) for i in range(len(rows))]
    heading = "how often each arm pays (blue: pulled)"
    return View(seen, (Board(heading, rows, top, left, shape=(44, 36)),), f"best arm: {int(np.argmax(state.arms))}")


def _control(env: ControlGame, params: Any, state: Any, obs: np.ndarray, action: Any) -> View:
    readings = [Cell(f"{number:+.3f}", boards.FAINT) for number in obs[:2]]
    image = _cart_pole(state) if isinstance(env, CartPole) else _pendulum(state)
    numbers = env.render(state, params, hidden=True).split("\n")[-2:]
    return View(boards.said(SEEN, *readings), (("the system, and all of its state", image),), "\n".join(numbers))


LOOKS: dict[type, Look] = {
    Battleship: _battleship,
    MineSweeper: _mine_sweeper,
    Labyrinth: _labyrinth,
    Concentration: _concentration,
    CountRecall: _count_recall,
    DealtGame: _dealt,
    MultiarmedBandit: _bandit,
    CartPole: _control,
    Pendulum: _control,
}


def _classes(env: Any, params: Any, obs: np.ndarray) -> list[int]:
    """Return the classes of the game's own one-hot groups; what wrappers add comes after them."""
    classes, start = list[int](), 0
    for part in env.observation_parts(params):
        assert isinstance(part, Categorical)
        classes += obs[start : start + part.size].reshape(part.count, part.classes).argmax(1).tolist()
        start += part.size
    return classes


def _square(env: Any, action: Any) -> tuple[int, int] | None:
    """Return the square that an action means: a row and a column, or their number where a wrapper counts them."""
    if action is None:
        return None
    last = env.board_size - 1
    number = np.ravel(action)
    row, column = divmod(int(number[0]), env.board_size) if len(number) == 1 else (int(n) for n in number)
    return min(max(row, 0), last), min(max(column, 0), last)


def _grid(heading: str, side: int, cell: Callable[[tuple[int, int]], Cell]) -> Board:
    """Return a square board with its rows and columns numbered."""
    numbers = [str(i) for i in range(side)]
    return Board(heading, [[cell((row, column)) for column in range(side)] for row in range(side)], numbers, numbers)


def _card(env: Any, card: int) -> Cell:
    """Return a card face up; where colours are all that counts, they are what is seen of it."""
    symbol = env.symbols[int(card)]
    if env.symbols == "BR":
        return Cell(symbol, "#212121" if symbol == "B" else boards.RED)
    return Cell(symbol)


def _deck(env: DealtGame, heading: str, cards: Sequence[int], shown: int, asked: int) -> Board:
    """Return a deck in dealing order; what was not dealt yet is on grey."""
    columns, shape = _rows_of_cards(env)
    cells = []
    for i, card in enumerate(np.asarray(cards)):
        cell = _card(env, card)
        if i > shown and cell.fill == boards.WHITE:
            cell = cell._replace(fill="#dcdcdc")
        cells.append(cell._replace(ring=ASKED if i == asked else NOW if i == shown else None))
    firsts = [str(i + 1) for i in range(0, env.num_cards, columns)]
    return Board(heading, boards.in_rows(cells, columns), left=firsts, shape=shape)


def _rows_of_cards(env: Any) -> tuple[int, tuple[int, int]]:
    """Return the cards in a row, and the width and height of one in pixels."""
    return (RANKS, (28, 32)) if env.num_cards <= CARDS else (2 * RANKS, (22, 26))


def _right(env: DealtGame, params: Any, state: Any) -> str:
    """Return what the right answer is, in the game's own words; empty when it is over."""
    line = env.render(state, params, hidden=True).split("\n")[1]
    return "" if line == "deck:" else line


def _shade(share: float) -> str:
    """Return a colour from white for 0 to green for 1."""
    start, end = (255, 255, 255), (67, 160, 71)
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(start, end, strict=True))


def _cart_pole(state: Any) -> np.ndarray:
    """Return the cart on its track and the pole, which leans as far as it does; red lines are the limits of both."""
    from PIL import Image, ImageDraw

    width, height = _DRAWN
    picture = Image.new("RGB", _DRAWN, boards.WHITE)
    pen = ImageDraw.Draw(picture)
    scale, floor, length = (width - 40) / (2 * POSITION_LIMIT), height - 30, height - 60
    place = lambda metres: width / 2 + scale * max(-POSITION_LIMIT, min(POSITION_LIMIT, metres))
    pen.line((place(-POSITION_LIMIT), floor + 9, place(POSITION_LIMIT), floor + 9), boards.GREY, 2)
    for metres in (-POSITION_LIMIT, POSITION_LIMIT):
        pen.line((place(metres), floor - 12, place(metres), floor + 18), boards.RED, 2)
    x, angle = place(float(state.position)), float(state.angle)
    end = lambda angle: (x + length * math.sin(angle), floor - 8 - length * math.cos(angle))
    for limit in (-ANGLE_LIMIT, ANGLE_LIMIT):
        pen.line(((x, floor - 8), end(limit)), "#ef9a9a", 1)
    pen.rectangle((x - 20, floor - 8, x + 20, floor + 8), _PIVOT)
    pen.line(((x, floor - 8), end(angle)), _ROD, 5)
    return np.asarray(picture)


def _pendulum(state: Any) -> np.ndarray:
    """Return the pendulum; upright is up, and angles go counter-clockwise."""
    from PIL import Image, ImageDraw

    side = _DRAWN[1]
    picture = Image.new("RGB", (side, side), boards.WHITE)
    pen = ImageDraw.Draw(picture)
    middle, length, angle = side / 2, side / 2 - 16, float(state.angle)
    x, y = middle - length * math.sin(angle), middle - length * math.cos(angle)
    pen.ellipse((16, 16, side - 16, side - 16), None, boards.FAINT)
    pen.line((middle, middle, x, y), _ROD, 6)
    pen.ellipse((middle - 5, middle - 5, middle + 5, middle + 5), _PIVOT)
    pen.ellipse((x - 8, y - 8, x + 8, y + 8), _ROD)
    return np.asarray(picture)
