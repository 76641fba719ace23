"""The walker as a mechanism: its size, its inertia and its motors, in the five coordinates that it can move in.

The walker is a ball of radius 0.2 m that carries a heavy head. It slides along x, y and z, turns about the vertical
(yaw), and its ball rolls about the axle that points to the walker's left (roll). The ball does not roll sideways: it is
a wheel with a round rim. Everything here and in `contact` and `solver` is seen from the walker: vectors have the five
entries (forward, left, up, yaw, roll), with yaw counter-clockwise and roll positive when rolling forward.

Vectors are plain tuples of scalars, so that under `vmap` each entry is one array over the batch and the arithmetic
fuses. An entry that is the Python number 0.0 is known to vanish, and nothing is computed for it.

Ref: dm_control/locomotion/walkers/assets/jumping_ball/jumping_ball_with_head.xml:20, :42, :53 (1.0.14),
memory_maze/maze.py:29 (1.0.3).
"""

import jax

Scalar = jax.Array | float
Vector = tuple[Scalar, ...]

RADIUS = 0.2  # Of the ball, metres.
MASS = 22.0000099  # Of everything, kg.
GRAVITY = 9.81

# The eye weighs 1 kg and sits 0.15 m ahead of the axis of rotation, which ties the left and yaw coordinates together.
_EYE_MOMENT = 0.15  # kg m
_YAW_INERTIA = 1.18533229  # kg m^2
_ROLL_INERTIA = 0.016

_YAW_TORQUE = 30.0  # Of the motors at full power, N m.
_ROLL_TORQUE = 50.0
_YAW_DAMPING = 20.0  # N m s
_ROLL_DAMPING = 5.0

MASS_MATRIX: tuple[Vector, ...] = (
    (MASS, 0.0, 0.0, 0.0, 0.0),
    (0.0, MASS, 0.0, _EYE_MOMENT, 0.0),
    (0.0, 0.0, MASS, 0.0, 0.0),
    (0.0, _EYE_MOMENT, 0.0, _YAW_INERTIA, 0.0),
    (0.0, 0.0, 0.0, 0.0, _ROLL_INERTIA),
)


def add(x: Scalar, y: Scalar) -> Scalar:
    """Return x + y."""
    return y if vanishes(x) else x if vanishes(y) else x + y


def multiply(x: Scalar, y: Scalar) -> Scalar:
    """Return x * y."""
    return 0.0 if vanishes(x) or vanishes(y) else x * y


def dot(x: Vector, y: Vector) -> Scalar:
    """Return the sum of the products of the entries."""
    total: Scalar = 0.0
    for a, b in zip(x, y, strict=True):
        total = add(total, multiply(a, b))
    return total


def combine(weights: Vector, vectors: tuple[Vector, ...]) -> Vector:
    """Return the sum of `vectors`, each times its weight."""
    return tuple(dot(weights, entries) for entries in zip(*vectors, strict=True))


def vanishes(x: Scalar) -> bool:
    """Return whether an entry is known to be zero."""
    return isinstance(x, float) and x == 0.0


def momentum(velocity: Vector) -> Vector:
    """Return the mass matrix times a velocity (or an acceleration: then it is a force)."""
    return combine(velocity, MASS_MATRIX)


def acceleration(force: Vector, damping_time: float = 0.0) -> Vector:
    """Return what a force does to the walker.

    Args:
      force: N, and N m for yaw and roll.
      damping_time: seconds over which the change of speed is damped while it happens. With the time step, this is an
        implicit Euler step for the damping.

    Returns:
      m/s^2, and rad/s^2 for yaw and roll.
    """
    yaw_inertia = _YAW_INERTIA + damping_time * _YAW_DAMPING
    roll_inertia = _ROLL_INERTIA + damping_time * _ROLL_DAMPING
    determinant = MASS * yaw_inertia - _EYE_MOMENT**2
    forward, left, up, yaw, roll = force
    return (
        multiply(forward, 1 / MASS),
        add(multiply(left, yaw_inertia / determinant), multiply(yaw, -_EYE_MOMENT / determinant)),
        multiply(up, 1 / MASS),
        add(multiply(left, -_EYE_MOMENT / determinant), multiply(yaw, MASS / determinant)),
        multiply(roll, 1 / roll_inertia),
    )


def applied_force(velocity: Vector, drive: jax.Array, turn: jax.Array) -> Vector:
    """Return all forces but those of contacts: motors, damping, weight, and the eye's pull away from the axis.

    Args:
      velocity: of the walker.
      drive: power of the roll motor, 1 for forward, float32 ().
      turn: power of the yaw motor, 1 for left, -1 for right, float32 ().
    """
    yaw_rate, roll_rate = velocity[3], velocity[4]
    return (
        _EYE_MOMENT * yaw_rate * yaw_rate,
        0.0,
        -MASS * GRAVITY,
        _YAW_TORQUE * turn - _YAW_DAMPING * yaw_rate,
        _ROLL_TORQUE * drive - _ROLL_DAMPING * roll_rate,
    )
