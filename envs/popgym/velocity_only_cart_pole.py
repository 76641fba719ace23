"""VelocityOnlyCartPole: balance a pole without being told where anything is.

Ref: popgym/envs/velocity_only_cartpole.py (1.0.7), registered as popgym-VelocityOnlyCartpole{Easy,Medium,Hard}-v0.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.environment import EnvParams

from envs.popgym.cart_pole import CartPole, CartPoleState, draw


class VelocityOnlyCartPole(CartPole):
    """Cart and pole (see `CartPole`), seen by their velocities only.

    Quirk kept from the original: the first observation of an episode is position and angle, not the velocities
    (velocity_only_cartpole.py:75), so the whole state can be worked out from the history.

    Observation: velocity of the cart in m / s and of the pole in radians / s, float32 (2,), without limits.
    """

    @property
    def limits(self) -> np.ndarray:
        """Infinite."""
        return np.full(2, np.inf, np.float32)

    def observe(self, key: jax.Array, state: CartPoleState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the velocities, float32 (2,), or at a reset position and angle."""
        positions = jnp.stack([state.position, state.angle])
        return jnp.where(state.time == 0, positions, jnp.stack([state.velocity, state.angular_velocity]))

    def _seen(self, state: CartPoleState) -> str:
        if state.time == 0:
            return draw(state)
        return f"cart at {state.velocity:+.3f} m/s, pole at {math.degrees(state.angular_velocity):+.2f} degrees/s"
