"""The cart and pole under the three CartPole games.

Ref: gymnasium/envs/classic_control/cartpole.py (1.3.0), popgym/envs/position_only_cartpole.py (1.0.7).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments.environment import EnvParams, EnvState

from envs.popgym.control import ControlGame
from envs.spaces import as_index

GRAVITY = 9.8  # m / s^2
CART_MASS = 1.0  # kg
POLE_MASS = 0.1  # kg
HALF_LENGTH = 0.5  # of the pole, m
FORCE = 10.0  # N
STEP = 0.02  # s
POSITION_LIMIT = 2.4  # m
ANGLE_LIMIT = math.radians(12.0)
START = 0.05  # every number of a first state lies within this of 0

_TOTAL_MASS = CART_MASS + POLE_MASS
_POLE_MOMENT = POLE_MASS * HALF_LENGTH


@struct.dataclass
class CartPoleState(EnvState):
    """The physics, each number float32 ().

    Attributes:
      time: steps taken, int32 ().
      position: of the cart, m, to the right.
      velocity: of the cart, m / s.
      angle: of the pole, radians from upright, to the right.
      angular_velocity: of the pole, radians / s.
    """

    time: jax.Array
    position: jax.Array
    velocity: jax.Array
    angle: jax.Array
    angular_velocity: jax.Array


class CartPole(ControlGame):
    """A pole stands on a cart that each step is pushed to the left or to the right with the same force.

    It falls when the pole leans by more than 12 degrees or the cart is more than 2.4 m from the centre. Every step of
    an episode of L steps pays 1 / L, the one on which the pole falls included (cartpole.py:206-209); a pole that stands
    to the end returns 1. A subclass says which numbers are seen.

    Quirks kept from the original: the explicit Euler step moves with the velocities of before the push
    (cartpole.py:185-188); a fall on the last step sets both flags (position_only_cartpole.py:59-63); a step after the
    fall pays -1 (position_only_cartpole.py:52). The fallen pole is at rest from then on; the original's goes on
    accelerating.

    The original computes in float64. One step differs by about 1e-7, and that grows 50-fold in a second: the same
    pushes make the pole fall on the same step, but a pole that they balance for many seconds in one of the two does not
    stay up in the other. A player that looks balances both.

    Action: 0 left, 1 right; any other is taken as the nearer one. Ends: terminated at a fall, truncated after L steps.
    """

    @property
    def num_actions(self) -> int:
        """Left and right."""
        return 2

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, CartPoleState]:
        """Begin near the upright rest."""
        key_state, key_observe = jax.random.split(key)
        position, velocity, angle, angular_velocity = jax.random.uniform(key_state, (4,), jnp.float32, -START, START)
        state = CartPoleState(jnp.zeros((), jnp.int32), position, velocity, angle, angular_velocity)
        return self.observe(key_observe, state, None, params), state

    def step_env(
        self, key: jax.Array, state: CartPoleState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, CartPoleState, jax.Array, jax.Array, dict[str, Any]]:
        """Push the cart for one time step."""
        fell_before = self.is_terminated(state, params)
        force = jnp.where(as_index(action) >= 1, jnp.float32(FORCE), jnp.float32(-FORCE))
        acceleration, angular_acceleration = _accelerations(state, force)
        moved = state.replace(
            position=state.position + STEP * state.velocity,
            velocity=state.velocity + STEP * acceleration,
            angle=state.angle + STEP * state.angular_velocity,
            angular_velocity=state.angular_velocity + STEP * angular_acceleration,
        )
        # At rest after a fall: within a few hundred steps a pole that went on would overflow.
        state = jax.tree.map(lambda old, new: jnp.where(fell_before, old, new), state, moved)
        state = state.replace(time=state.time + 1)
        reward = jnp.where(fell_before, jnp.float32(-1), jnp.float32(1.0 / self.max_episode_steps))
        return self.observe(key, state, action, params), state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state: CartPoleState, params: EnvParams) -> jax.Array:
        """Return whether the pole has fallen or the cart has left the track, bool ()."""
        return (jnp.abs(state.position) > POSITION_LIMIT) | (jnp.abs(state.angle) > ANGLE_LIMIT)

    def _everything(self, state: CartPoleState) -> str:
        moving = f"moving at {state.velocity:+.3f} m/s and {math.degrees(state.angular_velocity):+.2f} degrees/s"
        return f"{draw(state)}\n{moving}, step {state.time}"


def _accelerations(state: CartPoleState, force: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the cart's acceleration and the pole's angular one under a force, in the original's order of operations.

    Ref: cartpole.py:175-182.
    """
    cos, sin = jnp.cos(state.angle), jnp.sin(state.angle)
    shared = (force + _POLE_MOMENT * jnp.square(state.angular_velocity) * sin) / _TOTAL_MASS
    inertia = HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * jnp.square(cos) / _TOTAL_MASS)
    angular = (GRAVITY * sin - cos * shared) / inertia
    return shared - _POLE_MOMENT * angular * cos / _TOTAL_MASS, angular


def draw(state: CartPoleState) -> str:
    """Return where cart and pole are, not how they move: the cart (#) on its track from -2.4 m to 2.4 m (|).

    The pole (o) is drawn to lean 5 times as far as it does. What lies beyond a limit is drawn at the limit.
    """
    position, angle = float(state.position), float(state.angle)
    middle, rows = 24, 4
    column = middle + round(max(-1.0, min(1.0, position / POSITION_LIMIT)) * middle) + rows
    lean = 5 * math.tan(max(-ANGLE_LIMIT, min(ANGLE_LIMIT, angle)))
    pole = [" " * (column + round(row * lean)) + "o" for row in range(rows, 0, -1)]
    track = list(" " * rows + "|" + "-" * (2 * middle - 1) + "|")
    track[column] = "#"
    return "\n".join([*pole, "".join(track), f"cart at {position:+.3f} m, pole at {math.degrees(angle):+.2f} degrees"])
