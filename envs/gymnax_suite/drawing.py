"""Pictures in characters, for a terminal. On the host only."""

import math
from collections.abc import Sequence

import numpy as np


class Canvas:
    """Rows of characters, the first one at the top."""

    def __init__(self, rows: int, columns: int, blank: str = " "):
        """Begin with `blank` everywhere."""
        self._cells = [[blank] * columns for _ in range(rows)]

    def put(self, row: float, column: float, text: str) -> None:
        """Write `text` from the nearest cell on; what lies outside is left out."""
        for offset, character in enumerate(text):
            at = round(row), round(column) + offset
            if 0 <= at[0] < len(self._cells) and 0 <= at[1] < len(self._cells[0]):
                self._cells[at[0]][at[1]] = character

    def rod(self, row: float, column: float, angle: float, length: float, character: str) -> tuple[float, float]:
        """Draw a line and return its end; lengths are in rows, the angle in radians from straight up, clockwise.

        A character is about twice as high as it is wide.
        """
        for part in np.linspace(0, 1, math.ceil(2 * length) + 1):
            at = row - part * length * math.cos(angle), column + 2 * part * length * math.sin(angle)
            self.put(*at, character)
        return at

    def __str__(self) -> str:
        """Return the picture."""
        return "\n".join("".join(row).rstrip() for row in self._cells)


def board(layers: np.ndarray, characters: str, blank: str = ".") -> str:
    """Return a board as text, the ones of each layer as its character; earlier layers lie above later ones.

    Args:
      layers: (rows, columns, layers), 0 or 1.
      characters: one for each layer.
      blank: where there is nothing.
    """
    rows, columns, _ = layers.shape
    canvas = Canvas(rows, columns, blank)
    for layer in reversed(range(len(characters))):
        for row, column in np.argwhere(layers[..., layer] > 0):
            canvas.put(row, column, characters[layer])
    return str(canvas)


def maze(free: np.ndarray, marks: Sequence[tuple[Sequence[int], str]]) -> str:
    """Return a map as text with marks on it, later ones above earlier ones.

    Args:
      free: (rows, columns), whether there is no wall.
      marks: pairs of (row, column) and a character.
    """
    canvas = Canvas(*free.shape)
    for row, column in np.argwhere(~free.astype(bool)):
        canvas.put(row, column, "#")
    for (row, column), character in marks:
        canvas.put(int(row), int(column), character)
    return str(canvas)
