"""PositionOnlyCartPole: balance a pole without being told how fast anything moves.

Ref: popgym/envs/position_only_cartpole.py (1.0.7).
"""

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.environment import EnvParams

from envs.popgym.cart_pole import ANGLE_LIMIT, POSITION_LIMIT, CartPole, CartPoleState, draw


class PositionOnlyCartPole(CartPole):
    """Cart and pole (see `CartPole`), seen by position and angle only.

    Observation: position of the cart in m and angle of the pole in radians, float32 (2,).
    """

    @property
    def limits(self) -> np.ndarray:
        """Twice the position and the angle at which the pole counts as fallen."""
        return np.array([2 * POSITION_LIMIT, 2 * ANGLE_LIMIT], np.float32)

    def observe(self, key: jax.Array, state: CartPoleState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return position and angle, float32 (2,)."""
        return jnp.stack([state.position, state.angle])

    def _seen(self, state: CartPoleState) -> str:
        return draw(state)
