"""Where the walker's ball touches the floor and the walls, and what each contact asks for.

The ball touches at most the floor, one wall to the east or west and one to the north or south; or, where neither of
these is a wall, the corner between them.

Ref: MuJoCo 2.3.7, chapter "Computation" of its documentation (constraint model, contacts): soft contacts with elliptic
friction cones and torsional friction. Parameters: dm_control/locomotion/walkers/assets/jumping_ball/
jumping_ball_with_head.xml:42, :53 (1.0.14).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.memory_maze import walker
from envs.memory_maze.walker import RADIUS, Scalar, Vector, add, dot, multiply

CELL = 2.0  # Width of a cell, metres.

# The coefficient of sliding friction is 1, between the ball and everything.
_TORSIONAL_FRICTION = 0.02  # metres

_LEAST_IMPEDANCE = 0.9
_GREATEST_IMPEDANCE = 0.95
_IMPEDANCE_DEPTH = 0.001  # Depth at which the impedance is greatest, metres.
_TIME_CONSTANT = 0.02  # Of a contact's spring and damper, seconds.
_DAMPING = 2 / (_GREATEST_IMPEDANCE * _TIME_CONSTANT)
_SPRING = 1 / (_GREATEST_IMPEDANCE * _TIME_CONSTANT) ** 2
# MuJoCo's `body_invweight0` of the ball: the mean inverse mass that its centre shows along the three axes.
_INVERSE_WEIGHT = (2 / walker.MASS + float(walker.acceleration((0.0, 1.0, 0.0, 0.0, 0.0))[1])) / 3

_WINDOW = 5  # Cells in a row of a neighbourhood.


class Contact(NamedTuple):
    """One contact.

    It has four directions: along its normal, two along the surface, and rotation about the normal. Friction is scaled
    so that the cone of possible forces is |other three| <= normal.

    Attributes:
      rows: for each direction, how the five velocities of the walker move the ball's surface there.
      stiffness: of the contact, kg; 0 if there is none.
      target: acceleration in each direction that the contact would like best.
    """

    rows: tuple[Vector, Vector, Vector, Vector]
    stiffness: jax.Array
    target: Vector


def floor(height: Scalar, velocity: Vector) -> Contact:
    """Return the contact with the floor.

    Args:
      height: of the ball above the floor, metres.
      velocity: of the walker.
    """
    arm = _arm(height)
    rows = (
        (0.0, 0.0, 1.0, 0.0, 0.0),
        (1.0, 0.0, 0.0, 0.0, -arm),
        (0.0, 1.0, 0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, _TORSIONAL_FRICTION, 0.0),
    )
    return _contact(rows, height, velocity)


def wall(forward: Scalar, left: Scalar, distance: Scalar, velocity: Vector) -> Contact:
    """Return the contact with a wall.

    Args:
      forward: part of the wall's normal that points along the walker's heading.
      left: part of it that points to the walker's left.
      distance: between the ball and the wall, metres.
      velocity: of the walker.
    """
    arm = _arm(distance)
    rows = (
        (forward, left, 0.0, 0.0, 0.0),
        (-left, forward, 0.0, -arm, 0.0),
        (0.0, 0.0, 1.0, 0.0, arm * forward),
        (0.0, 0.0, 0.0, 0.0, _TORSIONAL_FRICTION * left),
    )
    return _contact(rows, distance, velocity)


def _arm(distance: Scalar) -> Scalar:
    """Return the distance from the ball's centre to the point of contact, half way into what overlaps."""
    return RADIUS + 0.5 * distance


def _contact(rows: tuple[Vector, Vector, Vector, Vector], distance: Scalar, velocity: Vector) -> Contact:
    depth = jnp.clip(-distance / _IMPEDANCE_DEPTH, 0, 1)
    rise = jnp.where(depth <= 0.5, 2 * depth * depth, 1 - 2 * (1 - depth) * (1 - depth))
    impedance = _LEAST_IMPEDANCE + (_GREATEST_IMPEDANCE - _LEAST_IMPEDANCE) * rise
    stiffness = jnp.where(distance <= 0, impedance / ((1 - impedance) * _INVERSE_WEIGHT), jnp.float32(0))
    normal, *surface = (-_DAMPING * dot(row, velocity) for row in rows)
    return Contact(rows, stiffness, (normal - _SPRING * impedance * distance, *surface))


class Neighbourhood(NamedTuple):
    """The walls around a cell.

    Attributes:
      x, y: where the cell's south-west corner is, metres.
      walls: 5 x 5 bits, from the south-west corner of the square of cells around it, row by row, uint32 ().
    """

    x: jax.Array
    y: jax.Array
    walls: jax.Array


def neighbourhood(walls: jax.Array, x: jax.Array, y: jax.Array) -> Neighbourhood:
    """Return the walls that the walker can touch within a step that starts at x, y.

    Two cells in each direction are enough: the walker drives 0.5 m in a step and has a radius of 0.2 m.

    Args:
      walls: bool (side, side), indexed [y, x] with y from south to north.
      x, y: metres from the middle of the maze, float32 ().
    """
    side = walls.shape[0]
    edge = -0.5 * CELL * side
    column, row = (jnp.clip(jnp.floor((place - edge) / CELL).astype(jnp.int32), 0, side - 1) for place in (x, y))
    around = jnp.pad(walls, _WINDOW // 2, constant_values=True)
    window = jax.lax.dynamic_slice(around, (row, column), (_WINDOW, _WINDOW)).ravel()
    bits = jnp.sum(window.astype(jnp.uint32) << jnp.arange(_WINDOW**2, dtype=jnp.uint32), dtype=jnp.uint32)
    x, y = (edge + CELL * index.astype(jnp.float32) for index in (column, row))
    return Neighbourhood(x, y, bits)


class Wall(NamedTuple):
    """A wall near the ball: the normal of its surface, towards the ball, and the distance between both, metres."""

    x: Scalar
    y: Scalar
    distance: jax.Array


def nearest_walls(around: Neighbourhood, x: Scalar, y: Scalar) -> tuple[Wall, Wall]:
    """Return the wall or corner nearest in x, and the wall nearest in y. One out of reach is `CELL` away."""
    (column, east, to_x), (row, north, to_y) = _side(x - around.x), _side(y - around.y)
    here = _WINDOW * (row + _WINDOW // 2) + column + _WINDOW // 2
    is_wall = lambda cell: (around.walls >> cell.astype(jnp.uint32)) & 1 == 1
    wall_x, wall_y = is_wall(here + east), is_wall(here + _WINDOW * north)
    corner = is_wall(here + east + _WINDOW * north) & ~wall_x & ~wall_y
    east, north = east.astype(jnp.float32), north.astype(jnp.float32)

    to_corner = jnp.sqrt(to_x * to_x + to_y * to_y)
    scale = 1 / jnp.maximum(to_corner, 1e-6)
    reach = jnp.where(corner, to_corner, to_x)
    first = Wall(
        x=jnp.where(corner, -east * to_x * scale, -east),
        y=jnp.where(corner, -north * to_y * scale, jnp.float32(0)),
        distance=jnp.where(wall_x | corner, reach - RADIUS, CELL),
    )
    return first, Wall(x=0.0, y=-north, distance=jnp.where(wall_y, to_y - RADIUS, CELL))


def _side(place: Scalar) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the cell (-1, 0 or 1), to which side its nearer edge is (-1 or 1), and the way to that edge in metres."""
    cell = jnp.clip(jnp.floor(place / CELL), -1, 1)
    along = jnp.clip(place - CELL * cell, 0, CELL)  # Whatever the place, nothing overlaps more than a radius.
    upper = along >= 0.5 * CELL
    return cell.astype(jnp.int32), jnp.where(upper, jnp.int32(1), jnp.int32(-1)), jnp.where(upper, CELL - along, along)


def heading_part(normal: Wall, cos: Scalar, sin: Scalar) -> tuple[Scalar, Scalar]:
    """Return the parts of a wall's normal along the walker's heading and to its left."""
    forward = add(multiply(normal.x, cos), multiply(normal.y, sin))
    return forward, add(multiply(normal.y, cos), multiply(normal.x, -sin))
