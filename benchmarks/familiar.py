"""Which pixels of a picture of Memory Maze show something that was in view before: what a memory could tell of it."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from envs.memory_maze import render, sight, task

_WALL, _OBJECT = 2, 3  # From these kinds on, `render.survey` says wall or object, and object.
_NEAR = 0.1  # Two distances along nearly the same ray are of one surface if they differ by less than this share.


def _surveys(states: Any, size: int, pixels: int) -> tuple[Array, Array]:
    """Return what the pictures of an episode show.

    Args:
      states: of a `MemoryMaze` environment, leading axis T, all of one episode.
      size: cells along a side of the maze.
      pixels: along a side of the picture.

    Returns:
      `render.survey`'s kinds and depths, each (T, pixels, pixels).
    """
    first = jax.tree.map(lambda leaf: leaf[0], states)
    maze = first.maze
    colours = jnp.asarray(task.COLORS, jnp.float32)[first.colors]
    places = task.centres(maze.targets, size)
    scene = render.make_scene(maze.walls, maze.rooms, maze.wall_textures, places, colours)
    return jax.lax.map(lambda body: render.survey(scene, body.position, body.yaw, size=pixels), states.body)


def objects(states: Any, size: int, pixels: int = 64) -> Array:
    """Return which pixels show an object, bool (B, T, pixels, pixels), for states as `familiar` takes them."""
    one = lambda states: _surveys(states, size, pixels)[0] >= _OBJECT
    return jax.lax.map(one, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), states))


def familiar(states: Any, size: int, context: int, ahead: tuple[int, ...], pixels: int = 64) -> tuple[Array, Array]:
    """Return what is to be told apart in the pictures after a context, and which of it the context has shown.

    Args:
      states: of `MemoryMaze` environments, leading axes (T, B), all of a column of one episode.
      size: cells along a side of the maze.
      context: steps that count as seen.
      ahead: K numbers of steps after the last one of these.
      pixels: along a side of the picture.

    Returns:
      bool (B, K, pixels, pixels), twice: whether the pixel shows a wall or an object (sky and floor look alike
      everywhere); and whether it does and some picture of the context showed the same spot.
    """

    def one(states: Any) -> tuple[Array, Array]:
        """Do the same for one episode, states (T, ...)."""
        kinds, depths = _surveys(states, size, pixels)
        position, yaw = states.body.position, states.body.yaw
        distances = depths.reshape(len(depths), -1) / sight.rays(pixels).depth

        def later(step: int) -> tuple[Array, Array]:
            index = context - 1 + step
            told_apart = kinds[index].reshape(-1) >= _WALL
            spots = _spots(sight.make_eye(position[index], yaw[index]), distances[index], pixels)
            looks = lambda p, y, d: _shows(sight.make_eye(p, y), d, spots, pixels)
            shown = jax.lax.map(lambda seen: looks(*seen), (position[:context], yaw[:context], distances[:context]))
            return told_apart, told_apart & shown.any(0)

        pairs = [later(step) for step in ahead]
        told_apart, shown = (jnp.stack(parts).reshape(-1, pixels, pixels) for parts in zip(*pairs, strict=True))
        return told_apart, shown

    return jax.lax.map(one, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), states))


def _spots(eye: sight.Eye, distance: Array, pixels: int) -> tuple[Array, Array, Array]:
    """Return x, y and height of what each pixel shows."""
    view = sight.rays(pixels)
    x, y = (eye.place[axis] + distance * (eye.ahead[axis] + view.across * eye.right[axis]) for axis in (0, 1))
    return x, y, eye.height + view.slope * distance


def _shows(eye: sight.Eye, distance: Array, spots: tuple[Array, Array, Array], pixels: int) -> Array:
    """Return which spots a picture shows, given how far ahead its pixels look."""
    x, y, up = spots[0] - eye.place[0], spots[1] - eye.place[1], spots[2] - eye.height
    ahead = x * eye.ahead[0] + y * eye.ahead[1]
    across, slope = ((x * eye.right[0] + y * eye.right[1]) / ahead, up / ahead)
    cos, sin = math.cos(sight.PITCH), math.sin(sight.PITCH)
    v = (sin + slope * cos) / (cos - slope * sin)
    u = across * (cos + v * sin)
    column, row = (jnp.floor((1 + part / sight.HALF_VIEW) / 2 * pixels) for part in (u, -v))
    inside = (ahead > 0) & (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
    pixel = jnp.where(inside, row * pixels + column, 0).astype(jnp.int32)
    return inside & (jnp.abs(distance[pixel] - ahead) < _NEAR * ahead)
