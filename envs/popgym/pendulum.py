"""The driven pendulum under the two Pendulum games.

Ref: gymnasium/envs/classic_control/pendulum.py (1.3.0), popgym/envs/position_only_pendulum.py (1.0.7).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.popgym.control import ControlGame
from envs.spaces import contained

GRAVITY = 10.0  # m / s^2
MASS = 1.0  # kg
LENGTH = 1.0  # m
STEP = 0.05  # s
SPEED_LIMIT = 8.0  # radians / s
TORQUE_LIMIT = 2.0  # N m
START_SPEED = 1.0  # radians / s
HALF_COST = 16.2736044 / 2  # half the highest cost of a step


@struct.dataclass
class PendulumState(EnvState):
    """The physics.

    Attributes:
      time: steps taken, int32 ().
      angle: radians from upright, counter-clockwise, in [-pi, pi), float32 ().
      angular_velocity: radians / s, float32 ().
    """

    time: jax.Array
    angle: jax.Array
    angular_velocity: jax.Array


def move(angle: jax.Array, velocity: jax.Array, torque: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return angle and angular velocity one time step later.

    The original adds up the angle without end (pendulum.py:140), and only its sine, cosine and remainder are ever used.
    In float32 a growing angle would lose digits, so here it is kept in [-pi, pi).

    Args:
      angle: radians in [-pi, pi).
      velocity: radians / s.
      torque: N m, within its limit.
    """
    gravity = 3 * GRAVITY / (2 * LENGTH) * jnp.sin(angle)
    velocity = velocity + (gravity + 3.0 / (MASS * LENGTH**2) * torque) * STEP
    velocity = jnp.clip(velocity, -SPEED_LIMIT, SPEED_LIMIT)
    angle = angle + velocity * STEP
    turns = (angle >= math.pi).astype(jnp.float32) - (angle < -math.pi).astype(jnp.float32)
    return angle - 2 * math.pi * turns, velocity


def pay(angle: jax.Array, velocity: jax.Array, torque: jax.Array) -> jax.Array:
    """Return what a step from there pays before it is divided by the length of the episode, -1 to 1.

    Ref: pendulum.py:136, position_only_pendulum.py:40-45.
    """
    cost = jnp.square(angle) + 0.1 * jnp.square(velocity) + 0.001 * jnp.square(torque)
    return (HALF_COST - cost) / HALF_COST


class Pendulum(ControlGame):
    """A pendulum that hangs or turns from any angle is to be swung up and held upright by a torque too weak to lift it.

    With cost c = angle^2 + 0.1 velocity^2 + 0.001 torque^2 a step of an episode of L steps pays (1 - 2 c / C) / L,
    where C is the highest cost there is. A subclass says which numbers are seen.

    Quirk kept from the original: the cost is that of the state before the step (pendulum.py:136), so the last state of
    an episode is not paid.

    The original computes in float64. Readings differ by less than 1e-6 after one step and in most episodes by less than
    1e-5 at the end, but by more where the pendulum was near upright: there the error grows 50-fold in a second.

    Action: torque in N m, float32 (1,), clipped to [-2, 2], NaN is 0. Ends: truncated after L steps, never terminated.
    """

    def action_space(self, params: EnvParams) -> spaces.Box:
        """A torque, float32 (1,)."""
        return spaces.Box(-TORQUE_LIMIT, TORQUE_LIMIT, (1,), jnp.float32)

    @property
    def limits(self) -> np.ndarray:
        """Those of a cosine and a sine."""
        return np.ones(2, np.float32)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, PendulumState]:
        """Begin at any angle, moving slowly."""
        key_state, key_observe = jax.random.split(key)
        angle, velocity = jax.random.uniform(key_state, (2,), jnp.float32, -1.0, 1.0)
        state = PendulumState(jnp.zeros((), jnp.int32), math.pi * angle, START_SPEED * velocity)
        return self.observe(key_observe, state, None, params), state

    def step_env(
        self, key: jax.Array, state: PendulumState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, PendulumState, jax.Array, jax.Array, dict[str, Any]]:
        """Apply a torque for one time step."""
        torque = contained(self.action_space(params), jnp.reshape(jnp.asarray(action), (1,)))[0]
        reward = pay(state.angle, state.angular_velocity, torque) / self.max_episode_steps
        angle, velocity = move(state.angle, state.angular_velocity, torque)
        state = PendulumState(state.time + 1, angle, velocity)
        return self.observe(key, state, action, params), state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state: PendulumState, params: EnvParams) -> jax.Array:
        """Return False: nothing but the time ends an episode."""
        return jnp.zeros((), bool)

    def _everything(self, state: PendulumState) -> str:
        return f"{draw(state)}\nturning at {state.angular_velocity:+.3f} radians/s, step {state.time}"


def draw(state: PendulumState) -> str:
    """Return where the pendulum is, not how it turns: pivot (+), rod (.) and end (O), upright at angle 0."""
    angle, rows = float(state.angle), 4
    grid = [[" "] * (4 * rows + 1) for _ in range(2 * rows + 1)]
    for distance in range(rows + 1):
        # A line of text is twice as high as a letter is wide.
        row, column = rows - round(distance * math.cos(angle)), 2 * rows - round(2 * distance * math.sin(angle))
        grid[row][column] = "+" if distance == 0 else "O" if distance == rows else "."
    lines = ["".join(line).rstrip() for line in grid]
    return "\n".join([*lines, f"{math.degrees(angle):+.1f} degrees from upright, counter-clockwise"])
