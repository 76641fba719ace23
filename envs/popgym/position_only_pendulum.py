"""PositionOnlyPendulum: swing up a pendulum without being told how fast it turns.

Ref: popgym/envs/position_only_pendulum.py (1.0.7).
"""

import jax
import jax.numpy as jnp
from gymnax.environments.environment import EnvParams

from envs.popgym.pendulum import Pendulum, PendulumState, draw


class PositionOnlyPendulum(Pendulum):
    """A pendulum (see `Pendulum`), seen by its angle only.

    Observation: cosine and sine of the angle, float32 (2,).
    """

    def observe(self, key: jax.Array, state: PendulumState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return cosine and sine, float32 (2,)."""
        return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle)])

    def _seen(self, state: PendulumState) -> str:
        return draw(state)
