"""How the agent moves: the walker between walls, a quarter of a second at a time.

Ref: memory_maze/maze.py:29, tasks.py:106, :143 (1.0.3), on dm_control 1.0.14 and MuJoCo 2.3.7: a control step is 50
physics steps of 5 ms, semi-implicit Euler with implicit damping of the joints.

Friction makes walls sticky: who drives against one hardly slides along it and is turned towards it.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from envs.memory_maze import contact, fused, solver, walker
from envs.memory_maze.walker import Scalar, Vector

SUBSTEPS = 50
TIME_STEP = 0.005  # Of the physics, seconds.

NUM_ACTIONS = 6  # noop, forward, left, right, forward and left, forward and right.


class Body(struct.PyTreeNode):
    """Where the agent is and how it moves.

    Attributes:
      position: x (east), y (north), z from where it stands on the middle of the maze, metres, float32 (3,).
      yaw: heading counter-clockwise from east, radians within +-pi after a step, float32 ().
      roll: how far the ball has rolled forward, radians within +-pi, float32 (). It changes nothing.
      velocity: of x, y, z, m/s, of yaw and of roll, rad/s, float32 (5,).
    """

    position: jax.Array
    yaw: jax.Array
    roll: jax.Array
    velocity: jax.Array


def at_rest(place: jax.Array, yaw: jax.Array) -> Body:
    """Return a body that stands still.

    Args:
      place: x, y, metres from the middle of the maze, float32 (2,).
      yaw: heading, radians, float32 ().
    """
    return Body(
        position=jnp.append(place, 0.0).astype(jnp.float32),
        yaw=jnp.asarray(yaw, jnp.float32),
        roll=jnp.zeros((), jnp.float32),
        velocity=jnp.zeros(5, jnp.float32),
    )


def step(body: Body, walls: jax.Array, action: jax.Array, substeps: int = SUBSTEPS) -> tuple[Body, jax.Array]:
    """Let the agent act for one control step.

    Args:
      body: at the start.
      walls: bool (side, side), indexed [y, x] with y from south to north.
      action: 0 noop, 1 forward, 2 left, 3 right, 4 forward and left, 5 forward and right, int32 (). Any other id is
        taken as the nearest of these.
      substeps: number of physics steps, static.

    Returns:
      The body afterwards, and where it was after each physics step: x, y, float32 (substeps, 2).
    """
    action = jnp.clip(action, 0, NUM_ACTIONS - 1)
    drive = ((action == 1) | (action >= 4)).astype(jnp.float32)
    turn = ((action == 2) | (action == 4)).astype(jnp.float32) - ((action == 3) | (action == 5)).astype(jnp.float32)
    around = contact.neighbourhood(walls, body.position[0], body.position[1])

    heading = jnp.cos(body.yaw), jnp.sin(body.yaw)
    state = _State((*body.position, body.yaw, body.roll), heading, tuple(body.velocity))
    (place, _, velocity), trail = fused.scan(_substep, state, _Circumstances(drive, turn, around), substeps)
    moved = Body(position=jnp.stack(place[:3]), yaw=_wrap(place[3]), roll=_wrap(place[4]), velocity=jnp.stack(velocity))
    return moved, jnp.stack(trail, axis=-1)


class _State(NamedTuple):
    """x, y, z, yaw and roll, the heading as a unit vector (cos, sin), and the five velocities."""

    place: Vector
    heading: Vector
    velocity: Vector


class _Circumstances(NamedTuple):
    """What stays as it is during a control step: the two controls, and the walls around."""

    drive: jax.Array
    turn: jax.Array
    around: contact.Neighbourhood


def _substep(state: _State, circumstances: _Circumstances) -> tuple[_State, Vector]:
    """Let one physics step pass; also returns x and y after it."""
    place, (cos, sin), velocity = state
    drive, turn, around = circumstances
    own = (cos * velocity[0] + sin * velocity[1], cos * velocity[1] - sin * velocity[0], *velocity[2:])

    contacts = [contact.floor(place[2], own)]
    for near in contact.nearest_walls(around, *place[:2]):
        contacts.append(contact.wall(*contact.heading_part(near, cos, sin), near.distance, own))
    acceleration = solver.solve(tuple(contacts), walker.applied_force(own, drive, turn))

    forward, left, *rest = walker.acceleration(walker.momentum(acceleration), damping_time=TIME_STEP)
    change = (cos * forward - sin * left, cos * left + sin * forward, *rest)
    velocity = tuple(v + TIME_STEP * dv for v, dv in zip(velocity, change, strict=True))
    place = tuple(p + TIME_STEP * v for p, v in zip(place, velocity, strict=True))
    return _State(place, _turned(cos, sin, TIME_STEP * velocity[3]), velocity), place[:2]


def _turned(cos: Scalar, sin: Scalar, angle: Scalar) -> Vector:
    """Return a unit vector turned by a small angle.

    A quarter of the physics' time would go into sines and cosines on CPU. This takes tan(angle / 2) for angle / 2,
    which is off by 4e-8 rad at full speed of turning, and keeps the vector's length whatever the angle.
    """
    half = 0.5 * angle
    scale = 1 / (1 + half * half)
    along, across = (1 - half * half) * scale, 2 * half * scale
    return cos * along - sin * across, sin * along + cos * across


def _wrap(angle: Scalar) -> jax.Array:
    """Return the same angle within +-pi, where float32 is fine enough to add small turns to."""
    return angle - 2 * math.pi * jnp.round(angle / (2 * math.pi))
