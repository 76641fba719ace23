"""What a fan of rays meets in place of a picture: in each of 32 directions a wall or an object, and how far away it is.

A direction is a column of the picture of 64 by 64 pixels, every other one of them, and its rays go through the centres
of six pixels in it. An object is a half ball on the floor, lower than the eye: a single ray goes over the near ones and
ends before the far ones. These six meet it wherever it is, up to 24 metres; beyond, it may be between two directions.
"""

import jax
import jax.numpy as jnp
import numpy as np

from envs.memory_maze.sight import LEVEL, TARGET, WALL, Rays, Scene, find_surfaces, make_eye, rays

PIXELS = 64  # along a side of the picture whose pixels the rays go through
COLUMNS = range(0, PIXELS, 2)
# The first one is all but level and meets walls at any distance. From one to the next an object's image, which is the
# broader from top to bottom the nearer it is, leaves no gap (`tests/envs/memory_maze/test_ranges.py`).
ROWS = (28, 29, 31, 37, 45, 63)
NOTHING, A_WALL, FIRST_TARGET = range(3)


def _view() -> Rays:
    """Return the rays, row by row."""
    pixels = (np.array(ROWS)[:, None] * PIXELS + np.array(COLUMNS)).ravel()
    return Rays(*(values[pixels] for values in rays(PIXELS)))


def find(scene: Scene, position: jax.Array, yaw: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return what is seen in each direction, from left to right, and how far away.

    It is the nearest target that one of a direction's rays meets, else what the highest ray meets that ends at a wall;
    where walls are low and far, nothing.

    Args:
      scene: of `render.make_scene`.
      position: of the body, metres, float32 (3,).
      yaw: its heading, radians, float32 ().

    Returns:
      int32 (32,): 0 nothing, 1 a wall, 2 + i target i; and float32 (32,): metres along the camera's axis, as
      `render.survey` has them, 0 where there is nothing.
    """
    eye, view = make_eye(position, yaw), _view()
    number, distance = find_surfaces(eye, scene, None, view, PIXELS)
    shape = len(ROWS), len(COLUMNS)
    number, depth = number.reshape(shape), (distance * view.depth).reshape(shape)
    kind = number & 3
    is_target, is_wall = kind == TARGET, (kind == WALL) | (number & 7 == LEVEL | 1 << 2)
    nearest = jnp.argmin(jnp.where(is_target, depth, jnp.inf), 0)
    highest = jnp.argmax(is_wall, 0)
    row = jnp.where(is_target.any(0), nearest, highest)[None]
    number, depth = (jnp.take_along_axis(values, row, 0)[0] for values in (number, depth))
    seen = is_target.any(0) | is_wall.any(0)
    found = jnp.where(is_target.any(0), FIRST_TARGET + (number >> 2 & 63), A_WALL)
    return jnp.where(seen, found, NOTHING), jnp.where(seen, depth, 0.0)
