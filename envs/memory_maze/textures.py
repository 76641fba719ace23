"""The pictures on walls and floors: labmaze's, as drawings with palettes, filtered as a graphics card does.

A texture is a drawing, one number 0..255 a texel, and palettes that make colours of the numbers (bake_textures.py
says why that is enough). Filtering reads little: a word of the table holds the 2 by 2 texels that a bilinear filter
needs, so that a trilinear one, between two mip levels, reads two words and one palette entry.

The images are DeepMind's, under the Apache License 2.0; see NOTICE beside this file.
"""

import functools
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.memory_maze.stages import once

PATH = pathlib.Path(__file__).with_name("textures.npz")
NAMES = ("blue", "cerise", "green_bright", "green", "purple", "red_bright", "red", "yellow")  # Walls, 0..7.
CORRIDOR, ROOM = 8, 9  # Floors.
WALL_SIDE = 512  # Texels of a wall's drawing, which is 1 m wide and high.
FLOOR_SIDE = 256  # Texels of the floor's drawing, which is one cell, 2 m.
LEVELS = 10  # Mip levels of the greater of the two, 1 to 512 texels.


class Table(NamedTuple):
    """What `colour` reads.

    Attributes:
      quads: uint32; the texel in the lowest byte, then the ones to its right, below, and below to the right.
      palettes: red, green and blue from the lowest byte on, uint32 (10 * LEVELS * 256,).
      start: where the drawing of each texture starts in `quads`, int32 (10,).
    """

    quads: np.ndarray
    palettes: np.ndarray
    start: np.ndarray


def _pyramid(drawing: np.ndarray) -> np.ndarray:
    """Return the quads of all mip levels of (n, n), uint32; the level of side m starts at m * m // 2."""
    level = drawing.astype(np.float32)
    words = np.zeros(len(level) ** 2 * 3 // 2, np.uint32)
    while True:
        side = len(level)
        texel = np.round(level).astype(np.uint32)
        below = np.roll(texel, -1, 0)
        quad = texel | np.roll(texel, -1, 1) << 8 | below << 16 | np.roll(below, -1, 1) << 24
        words[side * side // 2 :][: side * side] = quad.ravel()
        if side == 1:
            return words
        level = level.reshape(side // 2, 2, side // 2, 2).mean((1, 3))


@functools.cache
def table() -> Table:
    """Return the table, made on the first call."""
    with np.load(PATH) as file:
        walls, floor, drawing, palettes = (file[name] for name in ("walls", "floor", "drawing", "palettes"))
    pyramids = [_pyramid(image) for image in (*walls, floor)]
    starts = np.cumsum([0, *map(len, pyramids)])
    start = starts[[*drawing, len(walls), len(walls)]].astype(np.int32)
    return Table(np.concatenate(pyramids), pack(palettes).ravel(), start)


def pack(colours: np.ndarray) -> np.ndarray:
    """Return red | green << 8 | blue << 16, uint32 (...), of integers 0..255, (..., 3)."""
    return colours.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)


def look_up(words: jax.Array | np.ndarray, index: jax.Array | np.ndarray) -> jax.Array:
    """Return `words[index]`; every index must be in range."""
    return jnp.asarray(words).at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _bilinear(start: jax.Array, side: jax.Array, u: jax.Array, v: jax.Array) -> jax.Array:
    """Return the filtered number 0..255 at (u, v) of the mip level with `side` texels."""
    scale = side.astype(jnp.float32)
    x, y = u * scale - 0.5, v * scale - 0.5
    left, top = jnp.floor(x), jnp.floor(y)
    x, y = x - left, y - top
    column, row = left.astype(jnp.int32) & (side - 1), top.astype(jnp.int32) & (side - 1)
    word = look_up(table().quads, start + side * side // 2 + row * side + column)
    texels = [((word >> shift) & 255).astype(jnp.float32) for shift in (0, 8, 16, 24)]
    above = texels[0] + (texels[1] - texels[0]) * x
    below = texels[2] + (texels[3] - texels[2]) * x
    return above + (below - above) * y


def colour(texture: jax.Array, u: jax.Array, v: jax.Array, footprint: jax.Array) -> jax.Array:
    """Return the trilinearly filtered colour of textures at given points.

    Args:
      texture: its number 0..9, int32, any shape.
      u: to the right, in periods of the drawing (1 m on walls, 2 m on floors), float32, of the same shape.
      v: downwards, likewise.
      footprint: width that one pixel covers, in periods, float32, of the same shape.

    Returns:
      red | green << 8 | blue << 16, uint32, of the same shape.
    """
    return once(lambda: _colour(texture, u, v, footprint))


def _colour(texture: jax.Array, u: jax.Array, v: jax.Array, footprint: jax.Array) -> jax.Array:
    """Return `colour`."""
    is_wall = texture < CORRIDOR
    finest = jnp.where(is_wall, jnp.int32(WALL_SIDE), jnp.int32(FLOOR_SIDE))
    # The level is the binary logarithm of the footprint: a float's exponent and, nearly, a parabola of its mantissa.
    texels = jnp.clip(footprint * finest.astype(jnp.float32), 1.0, finest.astype(jnp.float32))
    bits = jax.lax.bitcast_convert_type(texels, jnp.int32)
    exponent = (bits >> 23) - 127
    mantissa = jax.lax.bitcast_convert_type((bits & 0x7FFFFF) | 0x3F800000, jnp.float32) - 1.0
    blend = mantissa * (4.0 - mantissa) / 3.0
    start, side = look_up(table().start, texture), finest >> exponent
    fine = _bilinear(start, side, u, v)
    value = fine + (_bilinear(start, jnp.maximum(side >> 1, 1), u, v) - fine) * blend
    coarsest = jnp.where(is_wall, jnp.int32(LEVELS - 1), jnp.int32(LEVELS - 2))
    level = coarsest - exponent - (blend > 0.5).astype(jnp.int32)
    entry = (texture * LEVELS + level) * 256 + jnp.round(value).astype(jnp.int32)
    return look_up(table().palettes, entry)
