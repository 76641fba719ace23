"""Bodies under physics as pictures: MuJoCo's own where it can draw, else their parts as thick lines from the side."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from envs.adapters.foreign import silenced
from envs.adapters.physics import Physics, Shape
from experiments.drawing.pictures import Panel

_SIDE = 256  # pixels
_FLAT = 0.15  # bodies less high than this share of their width are looked at from above
_ROOM = 1.3  # how much wider the view is than the bodies
_LEAST = 0.5  # metres from the middle of a view to its edge, at least
_BODY, _WORLD, _GROUND = "#1e88e5", "#b0bec5", "#eceff1"


def view_of(env: Physics) -> Callable[[Any], tuple[Panel, ...]]:
    """Return what draws states of an episode, one after the other: (state) -> panels. Host only."""
    drawn: list[Callable[[Any], Panel]] = []

    def draw(state: Any) -> tuple[Panel, ...]:
        if not drawn:
            drawn.append(_drawer(env, state))
        return (drawn[0](state),)

    return draw


def _drawer(env: Physics, state: Any) -> Callable[[Any], Panel]:
    """Return MuJoCo's way to draw if it draws this state, else the one with lines, whose scale this state says."""
    try:
        with silenced():
            env.picture(state, _SIDE)
    except Exception:  # No display: what it raises depends on the machine's graphics library.
        across, reach = _scale(env.shapes(state))
        return lambda state: (
            "from above" if across == 1 else "from the side",
            _lines(env.shapes(state), across, reach),
        )
    return lambda state: ("MuJoCo's picture", env.picture(state, _SIDE))


def _scale(shapes: Sequence[Shape]) -> tuple[int, float]:
    """Return which axis points up in the picture, 1 or 2, and the metres from its middle to its edge."""
    places = _moving(shapes)
    width, depth, height = np.ptp(places, axis=0)
    across = 1 if height < _FLAT * max(width, depth) else 2
    return across, max(_LEAST, _ROOM * float(np.linalg.norm(np.ptp(places, axis=0))))


def _moving(shapes: Sequence[Shape]) -> np.ndarray:
    """Return the ends of all that moves, (n, 3); of everything, if nothing does."""
    chosen = [shape for shape in shapes if shape.moves] or list(shapes)
    spread = [shape.ends + side * shape.radius for shape in chosen for side in (-1, 1)]
    return np.concatenate(spread) if spread else np.zeros((1, 3))


def _lines(shapes: Sequence[Shape], across: int, reach: float) -> np.ndarray:
    """Return an image of parts, uint8 (side, side, 3), with what moves first in its middle."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (_SIDE, _SIDE), "#ffffff")
    pen = ImageDraw.Draw(picture)
    first = next((shape for shape in shapes if shape.moves), None)
    middle = np.zeros(3) if first is None else first.ends.mean(0)
    scale = _SIDE / (2 * reach)

    def pixels(place: np.ndarray) -> tuple[float, float]:
        return (
            _SIDE / 2 + scale * float(place[0] - middle[0]),
            _SIDE / 2 - scale * float(place[across] - middle[across]),
        )

    if across == 2:
        ground = pixels(np.zeros(3))[1]
        if ground < _SIDE:
            pen.rectangle((0, max(0.0, ground), _SIDE, _SIDE), _GROUND)
    for shape in sorted(shapes, key=lambda shape: shape.moves):
        radius, colour = max(1.0, scale * shape.radius), _BODY if shape.moves else _WORLD
        ends = [pixels(end) for end in shape.ends]
        pen.line(ends, colour, round(2 * radius))
        for x, y in ends:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), colour)
    return np.asarray(picture)
