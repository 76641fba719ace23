"""MountainCar: a car too weak for the hill (mountain_car, mountain_car_noise, mountain_car_scale).

Ref: bsuite/environments/mountain_car.py (0.3.6).
"""

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.bsuite.game import Game, at_least, share
from envs.observation import Continuous, Part
from envs.spaces import nearest

LEFT, RIGHT = -1.2, 0.6
GOAL = 0.5
SPEED = 0.07  # at most
FORCE = 0.001
GRAVITY = 0.0025
START = (-0.6, -0.4)


@struct.dataclass
class MountainCarParams(EnvParams):
    """Setting.

    Attributes:
      max_steps: after which an episode ends.
    """

    max_steps: int = 1000


@struct.dataclass
class MountainCarState(EnvState):
    """The car.

    Attributes:
      time: steps taken, int32 ().
      position: float32 ().
      velocity: per step, float32 ().
    """

    time: jax.Array
    position: jax.Array
    velocity: jax.Array


class MountainCar(Game):
    """Every step costs 1 until the car is on the hill; it has to swing in the valley to get there.

    Quirks kept from the original: running out of time ends an episode with discount 0, as the goal does
    (mountain_car.py:88); only the left wall stops the car (mountain_car.py:84-85). The original computes in float64:
    one step differs by about 1e-7.

    Observation: position, velocity, share of the time that has passed, float32 (3,). Action: 0 left, 1 nothing, 2
    right; any other is taken as the nearest one. Ends: terminated, at the goal or after `max_steps` steps.
    """

    def __init__(self, max_steps: int = 1000):
        """Set the number of steps after which an episode ends.

        Raises:
          ValueError: if there is no step.
        """
        at_least(self.name, 1, max_steps=max_steps)
        self.max_steps = max_steps

    @property
    def num_actions(self) -> int:
        """Left, nothing and right."""
        return 3

    @property
    def action_names(self) -> tuple[str, ...]:
        """To which side the car is pushed."""
        return "left", "nothing", "right"

    @property
    def max_episode_steps(self) -> int:
        """The steps of an episode that misses the goal."""
        return self.max_steps

    @property
    def default_params(self) -> MountainCarParams:
        """The length of the constructor."""
        return MountainCarParams(self.max_steps, self.max_steps)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Three numbers."""
        return (Continuous(3),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Position, velocity and time, float32."""
        low, high = jnp.array([LEFT, -SPEED, 0.0], jnp.float32), jnp.array([RIGHT, SPEED, 1.0], jnp.float32)
        return spaces.Box(low, high, (3,), jnp.float32)

    def begin(self, key: jax.Array, params: EnvParams) -> MountainCarState:
        """Begin at rest in the valley."""
        position = jax.random.uniform(key, (), jnp.float32, *START)
        return MountainCarState(jnp.zeros((), jnp.int32), position, jnp.zeros((), jnp.float32))

    def transition(
        self, state: MountainCarState, action: jax.Array, drawn: None, params: MountainCarParams
    ) -> tuple[MountainCarState, jax.Array]:
        """Push the car, let it roll, and stop it at the wall."""
        push = (nearest(action, 3) - 1).astype(jnp.float32) * FORCE
        velocity = jnp.clip(state.velocity + push - jnp.cos(3 * state.position) * GRAVITY, -SPEED, SPEED)
        position = jnp.clip(state.position + velocity, LEFT, RIGHT)
        velocity = jnp.where(position <= jnp.float32(LEFT), jnp.maximum(velocity, 0), velocity)
        return MountainCarState(state.time + 1, position, velocity), jnp.full((), -1, jnp.float32)

    def show(self, state: MountainCarState, drawn: None, params: MountainCarParams) -> jax.Array:
        """Return position, velocity and time, float32 (3,)."""
        steps = jnp.asarray(params.max_steps, jnp.int32)
        return jnp.stack([state.position, state.velocity, share(jnp.minimum(state.time, steps), steps)])

    def is_terminated(self, state: MountainCarState, params: MountainCarParams) -> jax.Array:
        """Return whether the car is at the goal or out of time, bool ()."""
        return (state.position >= GOAL) | (state.time >= jnp.asarray(params.max_steps, jnp.int32))

    def tally(
        self, state: MountainCarState, action: jax.Array, after: MountainCarState, params: MountainCarParams
    ) -> dict[str, jax.Array]:
        """Return `raw_return`: -1."""
        return {"raw_return": jnp.full((), -1, jnp.float32)}

    def render(self, state: MountainCarState, params: MountainCarParams, hidden: bool = False) -> str:
        """Return where the car is between wall and goal. Nothing is hidden. Host only."""
        position, width = float(state.position), 36
        track = list("-" * (width + 1))
        track[round((GOAL - LEFT) / (RIGHT - LEFT) * width)] = "|"
        track[round((position - LEFT) / (RIGHT - LEFT) * width)] = "#"
        moving = f"at {position:+.3f}, moving at {float(state.velocity):+.4f}"
        return f"{''.join(track)}\n{moving}, step {int(state.time)} of {int(params.max_steps)}"
