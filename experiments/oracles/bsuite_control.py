"""Players of bsuite's cartpoles and mountain cars: what they need is in the observation."""

from typing import Any

import jax
import jax.numpy as jnp

from envs.bsuite import cartpole, mountain_car
from experiments.oracles import Oracle, no_memory

# Cartpole


def _balance(env: Any, params: Any, memory: tuple[()], obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Push under the falling pole, and so that the cart comes back to the middle; do nothing where little is wrong."""
    position, velocity, sin, cos, spin = _physics(obs)
    force = 0.6 * position + 1.2 * velocity + 20.0 * jnp.arctan2(sin, cos) + 4.0 * spin
    return _push(force, 0.05), memory


def _swing_up(env: Any, params: Any, memory: tuple[()], obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Give a hanging pole energy near the middle of the track, then balance it with few pushes.

    The numbers are what a random search found for the mean return over thresholds.
    """
    position, velocity, sin, cos, spin = _physics(obs)
    # What is missing to stand upright at rest, in units of gravity times the distance of the centre of mass.
    energy = 0.5 * spin * spin * (4 / 3) * cartpole.HALF_LENGTH / cartpole.GRAVITY + cos - 1.0
    more = -jnp.sign(spin * cos + 1e-9) * (energy < _ENOUGH).astype(jnp.float32)
    swing = _push(more - _HOME * position - _BRAKE * velocity, 0.5)
    outwards = (jnp.abs(position) > _EDGE) & ((swing - 1).astype(jnp.float32) * position > 0)
    swing = jnp.where(outwards, 1 - jnp.sign(position).astype(jnp.int32), swing)
    force = _GAINS[0] * position + _GAINS[1] * velocity + _GAINS[2] * jnp.arctan2(sin, cos) + _GAINS[3] * spin
    return jnp.where(cos > _CAUGHT, _push(force, _DEAD_ZONE), swing), memory


def _physics(obs: jax.Array) -> tuple[jax.Array, ...]:
    """Return position and velocity of the cart in m and m/s, sine, cosine and angular velocity of the pole."""
    return obs[0] * cartpole.TRACK, obs[1] * cartpole.TRACK, obs[2], obs[3], obs[4]


def _push(force: jax.Array, dead_zone: float) -> jax.Array:
    """Return the action that pushes to a force's side, int32 (); none for one that is small."""
    return jnp.where(jnp.abs(force) > dead_zone, jnp.sign(force), 0.0).astype(jnp.int32) + 1


_GAINS = 1.9664, 1.5241, 6.3953, 1.8289  # of position, velocity, angle and angular velocity
_DEAD_ZONE = 0.1049
_CAUGHT = 0.7391  # the cosine from which on the pole is balanced
_ENOUGH = -0.1093  # energy: a pole that has it gets there by itself, or nearly
_HOME, _BRAKE = 0.1605, 0.193  # per m and per m/s
_EDGE = 2.6968  # m

# Mountain car

POSITIONS, SPEEDS, SWEEPS = 681, 281, 150  # No way to the goal is longer than about 112 steps.


def _pump(env: Any, params: Any, memory: tuple[()], obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Push the way the car rolls."""
    return jnp.where(obs[1] >= 0, 2, 0), memory


def _steps_to_go(env: Any, params: Any) -> jax.Array:
    """Compute how many steps it takes to the goal from each node, float32 (POSITIONS, SPEEDS)."""
    position, velocity = jnp.meshgrid(
        jnp.linspace(mountain_car.LEFT, mountain_car.GOAL, POSITIONS),
        jnp.linspace(-mountain_car.SPEED, mountain_car.SPEED, SPEEDS),
        indexing="ij",
    )
    where = [_rolled(env, position, velocity, action) for action in (0, 2)]  # Not to push is never faster.

    def sweep(values, _):
        return 1.0 + jnp.minimum(*(_interpolated(values, *after) for after in where)), None

    return jax.lax.scan(sweep, jnp.zeros((POSITIONS, SPEEDS)), length=SWEEPS)[0]


def _rolled(env: Any, position: jax.Array, velocity: jax.Array, action: int) -> tuple[jax.Array, jax.Array]:
    """Return positions and velocities one step later, by the rules of the game."""
    state = mountain_car.MountainCarState(jnp.zeros((), jnp.int32), position, velocity)
    after = env.transition(state, jnp.full((), action, jnp.int32), None, env.default_params)[0]
    return after.position, after.velocity


def _interpolated(values: jax.Array, position: jax.Array, velocity: jax.Array) -> jax.Array:
    """Return steps to go between nodes, bilinear; 0 at the goal."""
    column = (position - mountain_car.LEFT) * ((POSITIONS - 1) / (mountain_car.GOAL - mountain_car.LEFT))
    row = (velocity + mountain_car.SPEED) * ((SPEEDS - 1) / (2 * mountain_car.SPEED))
    left = jnp.clip(column.astype(jnp.int32), 0, POSITIONS - 2)
    below = jnp.clip(row.astype(jnp.int32), 0, SPEEDS - 2)
    across, up = jnp.clip(column - left, 0.0, 1.0), jnp.clip(row - below, 0.0, 1.0)
    low = (1 - across) * values[left, below] + across * values[left + 1, below]
    high = (1 - across) * values[left, below + 1] + across * values[left + 1, below + 1]
    return jnp.where(position >= mountain_car.GOAL, 0.0, (1 - up) * low + up * high)


def _fastest(env: Any, params: Any, values: jax.Array, obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Push to the side from which the goal is fewer steps away."""
    left, right = (_interpolated(values, *_rolled(env, obs[0], obs[1], action)) for action in (0, 2))
    return jnp.where(left < right, 0, 2), values


BALANCE = Oracle("optimal (linear controller)", "history", no_memory, _balance, "balance", exact=True)
SWING_UP = Oracle("energy and linear controller", "history", no_memory, _swing_up, "swing_up")
PLANNED = Oracle("value iteration", "history", _steps_to_go, _fastest, "value_iteration")
PUMPING = Oracle("pushing the way it rolls", "history", no_memory, _pump, "pumping")
