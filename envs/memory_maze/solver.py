"""Contact forces: MuJoCo's soft contacts by Newton's method, then its removal of slip, in fixed numbers of steps.

Ref: MuJoCo 2.3.7, src/engine/engine_solver.c (mj_solNewton, mj_solNoSlip) and engine_core_constraint.c
(mj_constraintUpdate).

With friction scaled as in `contact`, the possible forces of a contact are a circular cone that is its own dual. A
contact is then a spring that pulls what the walker does there, relative to the target (here called its slip), back into
the cone: force = stiffness * (nearest point of the cone to -slip).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.memory_maze import walker
from envs.memory_maze.contact import Contact
from envs.memory_maze.walker import Scalar, Vector, add, combine, dot, multiply

_NEWTON_STEPS = 5
_NOSLIP_SWEEPS = 5  # The original's own number: it stops there, converged or not.
_MULTIPLIER_STEPS = 3
_TINY = 1e-12

Contacts = tuple[Contact, ...]


def solve(contacts: Contacts, force: Vector) -> Vector:
    """Return the walker's acceleration.

    Against a solution to the last digit (MuJoCo's), the numbers of steps cost 0.1 mm per quarter of a second on
    average.

    Args:
      contacts: all that there may be; one without stiffness takes no part.
      force: all other forces.

    Returns:
      Acceleration of the five coordinates.
    """
    moving = tuple(jnp.zeros_like(contacts[0].stiffness) for _ in force)
    slips = tuple(_slip(contact, moving) for contact in contacts)

    def newton(_: jax.Array, state: tuple[Vector, tuple[Vector, ...]]) -> tuple[Vector, tuple[Vector, ...]]:
        acceleration, slips = state
        gradient, hessian = _derivatives(contacts, slips, acceleration, force)
        change = _solve_positive(hessian, gradient)
        acceleration = tuple(x - dx for x, dx in zip(acceleration, change, strict=True))
        # Carried along although they follow from the acceleration: what a loop carries is computed once, and not again
        # in each kernel that needs it.
        return acceleration, tuple(_slip(contact, acceleration) for contact in contacts)

    acceleration, slips = jax.lax.fori_loop(0, _NEWTON_STEPS, newton, (moving, slips))
    return _remove_slip(contacts, slips, acceleration)


def _slip(contact: Contact, acceleration: Vector) -> Vector:
    return tuple(dot(row, acceleration) - x for row, x in zip(contact.rows, contact.target, strict=True))


class _Spring(NamedTuple):
    """A contact at some slip: its force, and the stiffness of that.

    Attributes:
      force: in the contact's four directions.
      normal: stiffness along the normal, or along normal - direction while sliding.
      surface: stiffness along the surface, but for the direction of sliding.
      direction: unit vector of sliding, zero unless sliding.
    """

    force: Vector
    normal: Scalar
    surface: Scalar
    direction: Vector


def _spring(stiffness: jax.Array, slip: Vector) -> _Spring:
    normal, *surface = slip
    speed = jnp.sqrt(dot(tuple(surface), tuple(surface)))
    sticks, open_ = speed <= -normal, speed <= normal
    slides = ~sticks & ~open_
    pick = lambda sticking, sliding: jnp.where(sticks, sticking, jnp.where(slides, sliding, jnp.float32(0)))
    half, safe_speed = 0.5 * stiffness, jnp.maximum(speed, _TINY)
    push = pick(-stiffness * normal, half * (speed - normal))
    along = pick(stiffness, half * (speed - normal) / safe_speed)
    return _Spring(
        force=(push, *(-along * x for x in surface)),
        normal=pick(stiffness, half),
        surface=along,
        direction=tuple(jnp.where(slides, x / safe_speed, jnp.float32(0)) for x in surface),
    )


def _derivatives(
    contacts: Contacts, slips: tuple[Vector, ...], acceleration: Vector, force: Vector
) -> tuple[Vector, list[list[Scalar]]]:
    """Return gradient and lower triangle of the Hessian of what the acceleration minimises (Gauss's principle)."""
    gradient = tuple(add(x, multiply(-1.0, y)) for x, y in zip(walker.momentum(acceleration), force, strict=True))
    hessian = [list(row[: i + 1]) for i, row in enumerate(walker.MASS_MATRIX)]
    for contact, slip in zip(contacts, slips, strict=True):
        spring = _spring(contact.stiffness, slip)
        pull = combine(spring.force, contact.rows)
        gradient = tuple(add(x, multiply(-1.0, y)) for x, y in zip(gradient, pull, strict=True))
        sliding = combine(spring.direction, contact.rows[1:])
        along = tuple(add(x, multiply(-1.0, y)) for x, y in zip(contact.rows[0], sliding, strict=True))
        columns = tuple(zip(*contact.rows[1:], strict=True))
        for i, row in enumerate(hessian):
            for j in range(i + 1):
                surface = add(dot(columns[i], columns[j]), -multiply(sliding[i], sliding[j]))
                row[j] = add(row[j], multiply(spring.normal, multiply(along[i], along[j])))
                row[j] = add(row[j], multiply(spring.surface, surface))
    return gradient, hessian


def _solve_positive(matrix: list[list[Scalar]], right: Vector) -> Vector:
    """Solve a positive definite system, given its lower triangle, by Cholesky's decomposition.

    It divides instead of multiplying with reciprocals: XLA does not compute a division twice, so that each entry of the
    matrix is computed once.
    """
    size = len(right)
    lower: list[list[Scalar]] = [[] for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = add(matrix[i][j], -dot(tuple(lower[i][:j]), tuple(lower[j][:j])))
            lower[i].append(jnp.sqrt(rest) if i == j else rest / lower[j][j])
    solution: list[Scalar] = []
    for i in range(size):
        solution.append((right[i] - dot(tuple(lower[i][:i]), tuple(solution))) / lower[i][i])
    for i in reversed(range(size)):
        known = dot(tuple(row[i] for row in lower[i + 1 :]), tuple(solution[i + 1 :]))
        solution[i] = (solution[i] - known) / lower[i][i]
    return tuple(solution)


class _Surface(NamedTuple):
    """How a contact answers to forces along its surface, in the directions in which it answers straight.

    Attributes:
      effect: acceleration of the walker for a unit force in each direction along the surface, three vectors.
      cos, sin: rotation of the last two directions to the principal ones.
      compliance: acceleration along each principal direction for a unit force, three scalars.
    """

    effect: tuple[Vector, ...]
    cos: jax.Array
    sin: jax.Array
    compliance: Vector

    def turn(self, x: Vector) -> Vector:
        """Return the parts of a vector along the principal directions."""
        return x[0], self.cos * x[1] + self.sin * x[2], self.cos * x[2] - self.sin * x[1]

    def turn_back(self, x: Vector) -> Vector:
        """Undo `turn`."""
        return x[0], self.cos * x[1] - self.sin * x[2], self.cos * x[2] + self.sin * x[1]


def _surface(contact: Contact) -> _Surface:
    rows = contact.rows[1:]
    effect = tuple(walker.acceleration(row) for row in rows)
    # The first direction of a floor or wall contact is never coupled to the other two.
    second, mixed, third = dot(rows[1], effect[1]), dot(rows[1], effect[2]), dot(rows[2], effect[2])
    middle, half = 0.5 * (second + third), 0.5 * (second - third)
    radius = jnp.sqrt(half * half + mixed * mixed)
    cos = jnp.sqrt(jnp.maximum(0.5 + 0.5 * half / radius, 0))
    sign = jnp.where(jnp.asarray(mixed) < 0, jnp.float32(-1), jnp.float32(1))
    sin = sign * jnp.sqrt(jnp.maximum(0.5 - 0.5 * half / radius, 0))
    compliance = dot(rows[0], effect[0]), middle + radius, jnp.maximum(middle - radius, 1e-9)
    return _Surface(effect, cos, sin, compliance)


def _remove_slip(contacts: Contacts, slips: tuple[Vector, ...], acceleration: Vector) -> Vector:
    """Return the acceleration with friction as if surfaces were hard, normal forces as they are.

    Contacts are taken in turn. Each gets the friction that alone would stop it, or the nearest that its cone allows:
    then a multiplier says how much slip is left per force. It starts from what it was for the soft contact.
    """
    springs = tuple(_spring(contact.stiffness, slip) for contact, slip in zip(contacts, slips, strict=True))
    surfaces = tuple(_surface(contact) for contact in contacts)
    multipliers = tuple(1 / jnp.maximum(spring.surface, 1e-6) for spring in springs)

    def sweep(_: jax.Array, state: tuple) -> tuple:
        acceleration, frictions, multipliers = state
        results = []
        for contact, surface, spring, friction, multiplier in zip(
            contacts, surfaces, springs, frictions, multipliers, strict=True
        ):
            slip = surface.turn(_slip(contact, acceleration)[1:])
            without = tuple(x - e * f for x, e, f in zip(slip, surface.compliance, friction, strict=True))
            hard, multiplier = _friction(surface.compliance, without, spring.force[0], multiplier)
            change = surface.turn_back(tuple(x - y for x, y in zip(hard, friction, strict=True)))
            effect = combine(change, surface.effect)
            acceleration = tuple(add(x, dx) for x, dx in zip(acceleration, effect, strict=True))
            results.append((hard, multiplier))
        frictions, multipliers = zip(*results, strict=True)
        return acceleration, frictions, multipliers

    frictions = tuple(surface.turn(spring.force[1:]) for surface, spring in zip(surfaces, springs, strict=True))
    state = acceleration, frictions, multipliers
    return jax.lax.fori_loop(0, _NOSLIP_SWEEPS, sweep, state)[0]


def _friction(compliance: Vector, slip: Vector, limit: Scalar, multiplier: jax.Array) -> tuple[Vector, jax.Array]:
    """Minimise 1/2 sum(compliance * f**2) + sum(slip * f) for |f| <= limit.

    f = -slip / (compliance + multiplier), with the least multiplier >= 0 that keeps the limit. It is found by Newton's
    method on 1 / |f|, which is nearly straight in it, from the best of several lower bounds.

    Returns:
      f, and the multiplier.
    """
    inverse_limit = 1 / jnp.maximum(limit, _TINY)
    for e, x in zip(compliance, slip, strict=True):
        multiplier = jnp.maximum(multiplier, jnp.abs(x) * inverse_limit - e)
    for _ in range(_MULTIPLIER_STEPS):
        soft = tuple(1 / (e + multiplier) for e in compliance)
        friction = tuple(x * s for x, s in zip(slip, soft, strict=True))
        square = dot(friction, friction)
        slope = dot(tuple(f * f for f in friction), soft)
        excess = jnp.sqrt(square) * inverse_limit - 1
        multiplier = jnp.maximum(multiplier + excess * square / jnp.maximum(slope, 1e-30), 0)
    friction = tuple(-x / (e + multiplier) for e, x in zip(compliance, slip, strict=True))
    length = jnp.sqrt(dot(friction, friction))
    within = jnp.minimum(1, limit / jnp.maximum(length, 1e-30))
    return tuple(f * within for f in friction), multiplier
