"""Boards as images: rows of coloured cells with short labels, for what a game shows and what it hides."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.drawing.pictures import RED_SUITS, font

SEEN = "what the agent sees"  # the heading of a board of that

WHITE, FAINT, GREY, DARK = "#ffffff", "#eeeeee", "#b0bec5", "#37474f"
RED, GREEN, BLUE, SAND = "#c62828", "#a5d6a7", "#bbdefb", "#ffe0b2"
NOW, ASKED = "#1e88e5", "#f57c00"  # rings: what was just done or is on screen, and what is asked for

_LINE, _INK = "#78909c", "#000000"
_ROOM = 288  # pixels of a board's longer side, about
_LEAST, _MOST = 20, 56  # pixels of a square cell
_LEAST_SIDE = 136  # pixels; what is smaller would be enlarged, and its letters with it
_MARGIN_FONT = 11
_RING = 3  # pixels


class Cell(NamedTuple):
    """One cell of a board.

    Attributes:
      label: a few characters, of one or two lines.
      fill: its colour, as #rrggbb.
      ring: colour of a frame inside it, or None.
    """

    label: str = ""
    fill: str = WHITE
    ring: str | None = None


class Board(NamedTuple):
    """Rows of cells, each of the same length.

    Attributes:
      heading: what it is.
      cells: row by row; None leaves a gap.
      top, left: what stands beside columns and rows, if anything.
      shape: width and height of a cell in pixels; None for squares as large as there is room for.
    """

    heading: str
    cells: Sequence[Sequence[Cell | None]]
    top: Sequence[str] = ()
    left: Sequence[str] = ()
    shape: tuple[int, int] | None = None

    @property
    def labels(self) -> list[list[str]]:
        """The labels of all cells, row by row."""
        return [[cell.label if cell else "" for cell in row] for row in self.cells]


def said(heading: str, *cells: Cell) -> Board:
    """Return a board of few wide cells below one another, for words and numbers."""
    return Board(heading, [[cell] for cell in cells], shape=(150, 52))


def in_rows(cells: Sequence[Cell], columns: int) -> list[list[Cell | None]]:
    """Return cells in rows of so many, with gaps at the end of the last one."""
    rows: list[list[Cell | None]] = [list(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    rows[-1] += [None] * (columns - len(rows[-1]))
    return rows


def draw(board: Board) -> np.ndarray:
    """Return a board as an image, uint8 (height, width, 3)."""
    from PIL import Image, ImageDraw

    rows, columns = len(board.cells), max(map(len, board.cells))
    side = min(_MOST, max(_LEAST, _ROOM // max(rows, columns)))
    width, height = board.shape or (side, side)
    small = font(_MARGIN_FONT)
    left = round(max((small.getlength(text) for text in board.left), default=-6)) + 6
    top = sum(small.getmetrics()) + 2 if board.top else 0
    size = max(_LEAST_SIDE, left + columns * width + 1), max(1, top + rows * height + 1)
    picture = Image.new("RGB", size, WHITE)
    pen = ImageDraw.Draw(picture)
    for column, text in enumerate(board.top):
        pen.text((left + (column + 0.5) * width, top - 2), text, _LINE, small, anchor="md")
    for row, text in enumerate(board.left):
        pen.text((left - 4, top + (row + 0.5) * height), text, _LINE, small, anchor="rm")
    for row, cells in enumerate(board.cells):
        for column, cell in enumerate(cells):
            if cell is not None:
                _draw_cell(pen, cell, (left + column * width, top + row * height), (width, height))
    return np.asarray(picture)


def _draw_cell(pen: Any, cell: Cell, corner: tuple[int, int], size: tuple[int, int]) -> None:
    (x, y), (width, height) = corner, size
    pen.rectangle((x, y, x + width, y + height), cell.fill, _LINE)
    if cell.ring is not None:
        pen.rectangle((x + 1, y + 1, x + width - 1, y + height - 1), None, cell.ring, _RING)
    if cell.label:
        ink = _ink(cell.fill) if not set(cell.label) & set(RED_SUITS) else RED
        middle = (x + width / 2, y + height / 2)
        pen.multiline_text(middle, cell.label, ink, _fitting(cell.label, size), "mm", 2, "center")


@functools.lru_cache(maxsize=512)
def _fitting(label: str, size: tuple[int, int]) -> Any:
    """Return the font in which a label fills a cell."""
    lines = label.split("\n")
    width, height = (length - 2 * _RING - 2 for length in size)
    # A letter is about 0.6 as wide as its font is high.
    return font(max(7, int(min(0.8 * size[1], width / (0.61 * max(map(len, lines))), height / (1.2 * len(lines))))))


def _ink(fill: str) -> str:
    """Return black or white, whichever is easier to read on a colour."""
    red, green, blue = (int(fill[i : i + 2], 16) for i in (1, 3, 5))
    return _INK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else WHITE
