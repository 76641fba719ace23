"""Cartpole: keep a pole upright (cartpole, cartpole_noise, cartpole_scale), and the physics of the swing-up too.

Ref: bsuite/environments/cartpole.py (0.3.6).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.bsuite.game import Game
from envs.observation import Continuous, Part
from envs.spaces import nearest

GRAVITY = 9.8  # m / s^2
CART_MASS = 1.0  # kg
POLE_MASS = 0.1  # kg
HALF_LENGTH = 0.5  # of the pole, m
FORCE = 10.0  # N
STEP = 0.01  # s
TRACK = 3.0  # m, to each side
SECONDS = 10.0
START = 0.05  # every number of a first state lies within this of its middle
HEIGHT = 0.8  # the least cosine of a pole that stands

# The original adds the steps up in float64 (cartpole.py:63), which is 10 + 1.8e-13 at last: 1,001 steps and not 1,000.
CLOCK = np.concatenate([[0.0], np.cumsum(np.full(1100, STEP))])
STEPS = int(np.argmax(CLOCK > SECONDS))
_SHARES = (CLOCK[: STEPS + 1] / SECONDS).astype(np.float32)


@struct.dataclass
class CartpoleState(EnvState):
    """The physics, each number float32 ().

    Attributes:
      time: steps taken, int32 ().
      position: of the cart, m, to the right.
      velocity: of the cart, m / s.
      angle: of the pole, radians from upright, 0 to 2 pi but at the start.
      angular_velocity: of the pole, radians / s.
    """

    time: jax.Array
    position: jax.Array
    velocity: jax.Array
    angle: jax.Array
    angular_velocity: jax.Array


class CartAndPole(Game):
    """What the balance and the swing-up have in common.

    Quirks kept from the original: the explicit Euler step moves with the velocities of before the push
    (cartpole.py:58-62); the clock is a sum of 0.01 in float64, so that an episode has 1,001 steps (cartpole.py:63,
    :149), the last observation says 1.001, and running out of time ends it with discount 0 (cartpole.py:152).

    The original computes in float64. One step differs by about 1e-6, which grows while a pole falls.
    """

    _middle = 0.0  # of the first angles

    @property
    def num_actions(self) -> int:
        """Left, nothing and right."""
        return 3

    @property
    def action_names(self) -> tuple[str, ...]:
        """To which side the cart is pushed."""
        return "left", "nothing", "right"

    @property
    def max_episode_steps(self) -> int:
        """The steps of ten seconds, and one."""
        return STEPS

    @property
    def default_params(self) -> EnvParams:
        """The length of an episode."""
        return EnvParams(STEPS)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Numbers."""
        return (Continuous(self.observation_space(params).shape[0]),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Six numbers, the velocities without a bound, float32."""
        return spaces.Box(*self._bounds(), (6,), jnp.float32)

    def _bounds(self, *more: float) -> tuple[jax.Array, jax.Array]:
        """Return the lowest and the highest observation; `more` are sizes of further entries."""
        high = [jnp.inf, jnp.inf, 1.0, 1.0, jnp.inf, float(_SHARES[-1]), *more]
        low = [0.0 if index == 5 else -value for index, value in enumerate(high)]
        return jnp.array(low, jnp.float32), jnp.array(high, jnp.float32)

    def begin(self, key: jax.Array, params: EnvParams) -> CartpoleState:
        """Begin near a rest."""
        numbers = jax.random.uniform(key, (4,), jnp.float32, -START, START)
        position, velocity, angle, angular_velocity = numbers
        return CartpoleState(jnp.zeros((), jnp.int32), position, velocity, angle + self._middle, angular_velocity)

    def _moved(self, state: CartpoleState, action: jax.Array) -> CartpoleState:
        """Return the state one time step later, in the original's order of operations (cartpole.py:43-63)."""
        force = (nearest(action, 3) - 1).astype(jnp.float32) * FORCE
        cos, sin = jnp.cos(state.angle), jnp.sin(state.angle)
        total, moment = CART_MASS + POLE_MASS, POLE_MASS * HALF_LENGTH
        shared = (force + moment * jnp.square(state.angular_velocity) * sin) / total
        inertia = HALF_LENGTH * (4 / 3 - POLE_MASS * jnp.square(cos) / total)
        angular = (GRAVITY * sin - cos * shared) / inertia
        acceleration = shared - moment * angular * cos / total
        return CartpoleState(
            time=state.time + 1,
            position=state.position + STEP * state.velocity,
            velocity=state.velocity + STEP * acceleration,
            angle=jnp.remainder(state.angle + STEP * state.angular_velocity, jnp.float32(2 * np.pi)),
            angular_velocity=state.angular_velocity + STEP * angular,
        )

    def _six(self, state: CartpoleState) -> jax.Array:
        """Return what both show: cart, pole and clock, float32 (6,)."""
        return jnp.stack(
            [
                state.position / TRACK,
                state.velocity / TRACK,
                jnp.sin(state.angle),
                jnp.cos(state.angle),
                state.angular_velocity,
                jnp.asarray(_SHARES)[jnp.minimum(state.time, STEPS)],
            ]
        )

    def render(self, state: CartpoleState, params: Any, hidden: bool = False) -> str:
        """Return the cart on its track and how the pole stands. Nothing is hidden. Host only."""
        middle = 24
        track = list("|" + "-" * (2 * middle - 1) + "|")
        track[middle + round(max(-1.0, min(1.0, float(state.position) / TRACK)) * middle)] = "#"
        angle = (math.degrees(float(state.angle)) + 180) % 360 - 180
        pole = f"pole at {angle:+.1f} degrees, moving at {math.degrees(float(state.angular_velocity)):+.1f} a second"
        cart = f"cart at {float(state.position):+.3f} m, moving at {float(state.velocity):+.3f} m/s"
        return f"{''.join(track)}\n{cart}\n{pole}\nstep {int(state.time)} of {STEPS}"


class Cartpole(CartAndPole):
    """A pole stands on a cart that each step is pushed to the left, to the right, or not at all.

    A step after which it stands (its cosine above 0.8) on the track (within 3 m) pays 1, the one on which it falls 0.
    Quirks: those of `CartAndPole`.

    Observation: position / 3, velocity / 3, sine and cosine of the angle, angular velocity, time / 10 s, float32 (6,).
    Action: 0 left, 1 nothing, 2 right; any other is taken as the nearest one. Ends: terminated, at a fall or after
    1,001 steps.
    """

    def transition(
        self, state: CartpoleState, action: jax.Array, drawn: None, params: EnvParams
    ) -> tuple[CartpoleState, jax.Array]:
        """Push the cart; pay if the pole stands."""
        state = self._moved(state, action)
        return state, self._stands(state).astype(jnp.float32)

    def show(self, state: CartpoleState, drawn: None, params: EnvParams) -> jax.Array:
        """Return cart, pole and clock, float32 (6,)."""
        return self._six(state)

    def is_terminated(self, state: CartpoleState, params: EnvParams) -> jax.Array:
        """Return whether the pole has fallen or the time is over, bool ()."""
        return ~self._stands(state) | (state.time >= STEPS)

    def tally(
        self, state: CartpoleState, action: jax.Array, after: CartpoleState, params: EnvParams
    ) -> dict[str, jax.Array]:
        """Return `raw_return`: 1 while the pole stands."""
        return {"raw_return": self._stands(after).astype(jnp.float32)}

    def _stands(self, state: CartpoleState) -> jax.Array:
        return (jnp.cos(state.angle) > HEIGHT) & (jnp.abs(state.position) < TRACK)
