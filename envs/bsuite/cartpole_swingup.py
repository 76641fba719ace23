"""CartpoleSwingup: bring a hanging pole up, where to push costs (cartpole_swingup).

Ref: bsuite/experiments/cartpole_swingup/cartpole_swingup.py (0.3.6).
"""

import math

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams

from envs.bsuite.cartpole import STEPS, TRACK, CartAndPole, CartpoleState
from envs.spaces import nearest

SLOW = 1.0  # radians / s: a pole that is faster is not upright
MOVE_COST = 0.1


@struct.dataclass
class CartpoleSwingupParams(EnvParams):
    """Setting.

    Attributes:
      height_threshold: least cosine of an upright pole.
      x_reward_threshold: how far from the middle the cart may be, m.
    """

    height_threshold: float = 0.5
    x_reward_threshold: float = 1.0


class CartpoleSwingup(CartAndPole):
    """The pole hangs at first; a step after which it is upright, slow and near the middle pays 1; to push costs 0.1.

    Quirks: those of `CartAndPole`; a pole that falls does not end the episode (cartpole_swingup.py:116-117).

    Observation: that of `Cartpole`, whether the cart is near the middle and whether the pole is slow, each +1 or -1,
    float32 (8,). Action: 0 left, 1 nothing, 2 right; any other is taken as the nearest one. Ends: terminated, beyond
    the track (3 m) or after 1,001 steps.
    """

    _middle = math.pi

    def __init__(self, height_threshold: float = 0.5, x_reward_threshold: float = 1.0):
        """Set how high the pole and how central the cart has to be."""
        self.height_threshold = height_threshold
        self.x_reward_threshold = x_reward_threshold

    @property
    def default_params(self) -> CartpoleSwingupParams:
        """The thresholds of the constructor."""
        return CartpoleSwingupParams(STEPS, self.height_threshold, self.x_reward_threshold)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Eight numbers, the velocities without a bound, float32."""
        return spaces.Box(*self._bounds(1.0, 1.0), (8,), jnp.float32)

    def transition(
        self, state: CartpoleState, action: jax.Array, drawn: None, params: CartpoleSwingupParams
    ) -> tuple[CartpoleState, jax.Array]:
        """Push the cart; pay if the pole is upright."""
        state = self._moved(state, action)
        cost = jnp.where(nearest(action, 3) == 1, jnp.float32(0), jnp.float32(MOVE_COST))
        return state, self._upright(state, params).astype(jnp.float32) - cost

    def show(self, state: CartpoleState, drawn: None, params: CartpoleSwingupParams) -> jax.Array:
        """Return cart, pole, clock and the two flags, float32 (8,)."""
        flags = jnp.where(jnp.stack(self._flags(state, params)), jnp.float32(1), jnp.float32(-1))
        return jnp.concatenate([self._six(state), flags])

    def is_terminated(self, state: CartpoleState, params: CartpoleSwingupParams) -> jax.Array:
        """Return whether the cart is off the track or the time is over, bool ()."""
        return (jnp.abs(state.position) > TRACK) | (state.time >= STEPS)

    def tally(
        self, state: CartpoleState, action: jax.Array, after: CartpoleState, params: CartpoleSwingupParams
    ) -> dict[str, jax.Array]:
        """Return `upright`, 1 where that is paid, and `pushes`, 1 where one is: the return is upright - pushes / 10."""
        pushed = nearest(action, 3) != 1
        return {"upright": self._upright(after, params).astype(jnp.float32), "pushes": pushed.astype(jnp.float32)}

    def _upright(self, state: CartpoleState, params: CartpoleSwingupParams) -> jax.Array:
        high = jnp.cos(state.angle) > jnp.asarray(params.height_threshold, jnp.float32)
        central, slow = self._flags(state, params)
        return high & central & slow

    def _flags(self, state: CartpoleState, params: CartpoleSwingupParams) -> tuple[jax.Array, jax.Array]:
        central = jnp.abs(state.position) < jnp.asarray(params.x_reward_threshold, jnp.float32)
        return central, jnp.abs(state.angular_velocity) < SLOW
