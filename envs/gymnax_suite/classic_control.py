"""CartPole, Pendulum, Acrobot and both MountainCars: Gymnasium's games (gymnax/environments/classic_control).

Observations are said in full; where a game is masked, the velocities are left out.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from gymnax.environments.classic_control import acrobot, cartpole, continuous_mountain_car, mountain_car, pendulum
from gymnax.environments.environment import EnvParams, EnvState

from envs.gymnax_suite.drawing import Canvas
from envs.gymnax_suite.game import Game

_TRACK = 49  # characters


class Moving(Game):
    """A game whose observation holds positions and velocities; or, masked, the positions alone.

    Masked, an agent has to remember where it was to know how fast it is. All else stays the same: the same keys and
    actions bring the same states, rewards and ends.

    Attributes:
      positions: which entries of gymnax's observation are no velocities.
    """

    positions: tuple[int, ...] = ()

    def __init__(self, masked: bool = False):
        """Build gymnax's environment."""
        super().__init__()
        self.masked = masked

    @property
    def name(self) -> str:
        """Gymnax's id, and whether it is masked."""
        return super().name + "-Masked" * self.masked

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Gymnax's space, or that of the positions."""
        space = super().observation_space(params)
        if not self.masked:
            return space
        low, high = self._left(space.low), self._left(space.high)
        return spaces.Box(low, high, low.shape, space.dtype)

    def _shown(self, obs: jax.Array, params: EnvParams) -> jax.Array:
        return self._left(super()._shown(obs, params)) if self.masked else super()._shown(obs, params)

    def _left(self, entries: jax.Array) -> jax.Array:
        return entries[np.array(self.positions)]

    def drawn(self, state: EnvState, params: EnvParams, velocities: bool) -> str:
        """Return a picture and the numbers of a state, with its velocities or without."""
        raise NotImplementedError

    def render(self, state: EnvState, params: EnvParams, hidden: bool = False) -> str:
        """Return a picture and the numbers of a state; masked velocities with `hidden` only. Host only."""
        return self.drawn(state, params, velocities=hidden or not self.masked)


class CartPole(Moving):
    """A pole on a cart has to be kept upright by pushing the cart.

    Gymnasium's CartPole-v1. Observation: position in metres, velocity, angle in radians, angular velocity, float32
    (4,). Action: 0 pushes left, 1 right. Reward: 1 a step. Ends: terminated, when the pole leans by more than 12
    degrees or the cart is more than 2.4 m away; truncated, after 500 steps.
    """

    raw_type = cartpole.CartPole
    action_names = ("left", "right")
    positions = (0, 2)

    def drawn(self, state: EnvState, params: EnvParams, velocities: bool) -> str:
        """Return track, cart and pole."""
        x, angle = float(state.x), float(state.theta)
        metre = (_TRACK - 1) / (2 * params.x_threshold)
        middle = (x + params.x_threshold) * metre
        canvas = Canvas(8, _TRACK)
        canvas.rod(5, middle, angle, 5, "|" if abs(angle) < 0.05 else "/" if angle > 0 else "\\")
        canvas.put(6, middle - 2, "[===]")
        canvas.put(7, 0, "+" + "-" * (_TRACK - 2) + "+")
        moving = f", moving at {float(state.x_dot):+.3f} m/s, {float(state.theta_dot):+.3f} rad/s" * velocities
        return f"{canvas}\nat {x:+.3f} m, leaning by {math.degrees(angle):+.2f} degrees{moving}"


class Pendulum(Moving):
    """A pendulum has to be swung up and held by a torque that is too weak to lift it.

    Gymnasium's Pendulum-v1. Observation: cosine and sine of the angle from upright, angular velocity, float32 (3,).
    Action: torque from -2 to 2, float32 (1,). Reward: -(angle^2 + 0.1 velocity^2 + 0.001 torque^2). Ends: truncated,
    after 200 steps.
    """

    raw_type = pendulum.Pendulum
    reward_scale = 0.125
    positions = (0, 1)

    def drawn(self, state: EnvState, params: EnvParams, velocities: bool) -> str:
        """Return the rod on its pivot; an angle that grows turns it to the left."""
        canvas = Canvas(11, 23)
        canvas.rod(5, 11, -float(state.theta), 5, "*")
        canvas.put(5, 11, "o")
        angle = math.degrees(math.remainder(float(state.theta), 2 * math.pi))
        moving = f", turning at {float(state.theta_dot):+.3f} rad/s" * velocities
        return f"{canvas}\n{angle:+.1f} degrees from upright{moving}"


class Acrobot(Moving):
    """The tip of two links has to be swung above a line by a torque on the joint between them.

    Gymnasium's Acrobot-v1. Observation: cosine and sine of the first angle, from hanging down, and of the second, from
    the first link on, both angular velocities, float32 (6,). Action: torque -1, 0 or 1 (0, 1, 2). Reward: -1 a step, 0
    for the one that gets there. Ends: terminated, when the tip is a link's length above the pivot; truncated, after 500
    steps.
    """

    raw_type = acrobot.Acrobot
    action_names = ("left", "nothing", "right")
    positions = (0, 1, 2, 3)

    def drawn(self, state: EnvState, params: EnvParams, velocities: bool) -> str:
        """Return both links, and the line."""
        first, second = float(state.joint_angle1), float(state.joint_angle2)
        canvas = Canvas(13, 25)
        canvas.put(3, 0, "-" * 25)
        elbow = canvas.rod(6, 12, math.pi - first, 3, "*")
        canvas.rod(*elbow, math.pi - first - second, 3, "+")
        canvas.put(6, 12, "o")
        text = f"angles {math.degrees(first):+.1f} and {math.degrees(second):+.1f} degrees"
        speeds = f", turning at {float(state.velocity_1):+.3f} and {float(state.velocity_2):+.3f} rad/s"
        return f"{canvas}\n{text}{speeds * velocities}"


class MountainCar(Moving):
    """A car that is too weak for the hill has to swing up in the valley.

    Gymnasium's MountainCar-v0. Observation: position and velocity, float32 (2,). Action: 0 left, 1 nothing, 2 right.
    Reward: -1 a step. Ends: terminated, at 0.5; truncated, after 200 steps.
    """

    raw_type = mountain_car.MountainCar
    action_names: tuple[str, ...] = ("left", "nothing", "right")
    positions = (0,)

    def drawn(self, state: EnvState, params: EnvParams, velocities: bool) -> str:
        """Return valley, car and goal."""
        low, high = params.min_position, params.max_position
        place = lambda position: (6 - 3 * math.sin(3 * position) - 3, (position - low) / (high - low) * (_TRACK - 1))
        canvas = Canvas(8, _TRACK)
        for column in range(_TRACK):
            row, _ = place(low + column / (_TRACK - 1) * (high - low))
            canvas.put(row + 1, column, ".")
        for position, mark in ((params.goal_position, "|"), (float(state.position), "#")):
            canvas.put(*place(position), mark)
        moving = f", moving at {float(state.velocity):+.4f}" * velocities
        return f"{canvas}\nat {float(state.position):+.3f}{moving}"


class MountainCarContinuous(MountainCar):
    """A car that is too weak for the hill has to swing up in the valley, with as little force as it can.

    Gymnasium's MountainCarContinuous-v0. Observation: position and velocity, float32 (2,). Action: force from -1 to 1,
    float32 (1,). Reward: 100 at the goal, less 0.1 force^2 a step. Ends: terminated, at 0.45; truncated, after 999
    steps.

    Mended: gymnax takes away a negative velocity at the goal instead of at the left wall
    (continuous_mountain_car.py:65). So the wall did not stop the car, and one that rolls back over the goal was paid.
    Here it is Gymnasium's rule.
    """

    raw_type = continuous_mountain_car.ContinuousMountainCar
    action_names = ()
    reward_scale = 0.1  # between the goal's 100 and the cost of a step

    def _raw_step(self, key: jax.Array, state: Any, action: jax.Array, params: Any) -> tuple[Any, ...]:
        force = action[0]
        push = force * params.power - jnp.cos(3 * state.position) * params.gravity
        velocity = jnp.clip(state.velocity + push, -params.max_speed, params.max_speed)
        position = jnp.clip(state.position + velocity, params.min_position, params.max_position)
        velocity = jnp.where(position <= jnp.float32(params.min_position), jnp.maximum(velocity, 0), velocity)
        state = state.replace(position=position, velocity=velocity, time=state.time + 1)
        terminated = self.is_terminated(state, params)
        reward = 100 * terminated - 0.1 * force**2
        return self.raw.observe(key, state, None, params), state, reward, terminated, {}
