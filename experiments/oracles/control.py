"""Players of the control games: balancing by a linear rule, and swinging up by dynamic programming.

Where positions are seen without noise the history tells the whole state, up to the velocities of the first step: they
are the differences of positions. In VelocityOnlyCartPole the positions are the sum of the velocities. So the same rules
are played once on the state and once on what was worked out from the observations.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.popgym import cart_pole, pendulum
from experiments.oracles import Oracle, no_memory

# CartPole


def _balance(position: jax.Array, velocity: jax.Array, angle: jax.Array, angular_velocity: jax.Array) -> jax.Array:
    """Return a push under the falling pole that also brings the cart back to the middle."""
    return (0.05 * position + 0.1 * velocity + angle + 0.25 * angular_velocity > 0).astype(jnp.int32)


def _balance_state(env, params, memory, obs, state, key):
    return _balance(state.position, state.velocity, state.angle, state.angular_velocity), memory


def _push_to_the_side_it_leans(env, params, memory, obs, state, key):
    return (obs[1] > 0).astype(jnp.int32), memory


class _Seen(NamedTuple):
    """What a player keeps of the history."""

    time: jax.Array  # () int32, steps taken
    numbers: jax.Array  # (2,) float32, the observation before or a sum of all


def _nothing_seen(env: Any, params: Any) -> _Seen:
    return _Seen(jnp.zeros((), jnp.int32), jnp.zeros(2))


def _balance_differences(env, params, memory, obs, state, key):
    rates = jnp.where(memory.time == 0, 0.0, (obs - memory.numbers) / cart_pole.STEP)
    return _balance(obs[0], rates[0], obs[1], rates[1]), _Seen(memory.time + 1, obs)


def _balance_sums(env, params, memory, obs, state, key):
    # The first observation is the positions themselves; the velocities of that moment stay unknown.
    positions = jnp.where(memory.time == 0, obs, memory.numbers)
    rates = jnp.where(memory.time == 0, 0.0, obs)
    action = _balance(positions[0], rates[0], positions[1], rates[1])
    return action, _Seen(memory.time + 1, positions + cart_pole.STEP * rates)


# Pendulum

ANGLES, SPEEDS, TORQUES = 180, 121, 9


class _Plan(NamedTuple):
    """What each node (angle, speed) is worth with 0, 1, ... steps to go, and what was seen."""

    values: jax.Array  # (L, ANGLES, SPEEDS) float32
    seen: _Seen


def _plan(env: Any, params: Any) -> _Plan:
    """Compute what each node is worth for every number of steps to go."""
    angle, speed = jnp.meshgrid(
        2 * math.pi / ANGLES * jnp.arange(ANGLES) - math.pi,
        jnp.linspace(-pendulum.SPEED_LIMIT, pendulum.SPEED_LIMIT, SPEEDS),
        indexing="ij",
    )

    def longer(values, _):
        return jnp.max(_outcomes(values, angle, speed), 0), values

    values = jax.lax.scan(longer, jnp.zeros((ANGLES, SPEEDS)), length=env.max_episode_steps)[1]
    return _Plan(values, _nothing_seen(env, params))


def _torques() -> jax.Array:
    return jnp.linspace(-pendulum.TORQUE_LIMIT, pendulum.TORQUE_LIMIT, TORQUES)


def _outcomes(values: jax.Array, angle: jax.Array, speed: jax.Array) -> jax.Array:
    """Return pay now plus value of the next state for each torque, (TORQUES, ...) for angles and speeds (...)."""
    torque = _torques().reshape(-1, *[1] * angle.ndim)
    pay = pendulum.pay(angle, speed, torque)
    return pay + _interpolate(values, *pendulum.move(angle, speed, torque))


def _interpolate(values: jax.Array, angle: jax.Array, speed: jax.Array) -> jax.Array:
    """Return bilinear interpolation between nodes; the angle is periodic."""
    column = (angle + math.pi) * (ANGLES / (2 * math.pi))
    row = (speed + pendulum.SPEED_LIMIT) * ((SPEEDS - 1) / (2 * pendulum.SPEED_LIMIT))
    left = jnp.clip(column.astype(jnp.int32), 0, ANGLES - 1)
    below = jnp.clip(row.astype(jnp.int32), 0, SPEEDS - 2)
    right, across, up = (left + 1) % ANGLES, column - left, row - below
    low = (1 - across) * values[left, below] + across * values[right, below]
    high = (1 - across) * values[left, below + 1] + across * values[right, below + 1]
    return (1 - up) * low + up * high


def _best_torque(env, plan: _Plan, time: jax.Array, angle: jax.Array, speed: jax.Array) -> jax.Array:
    # Past the end of an episode, as at its last step, nothing is left to come.
    to_go = jnp.clip(env.max_episode_steps - 1 - time, 0, env.max_episode_steps - 1)
    return _torques()[jnp.argmax(_outcomes(plan.values[to_go], angle, speed))][None]


def _swing_state(env, params, memory, obs, state, key):
    return _best_torque(env, memory, state.time, state.angle, state.angular_velocity), memory


def _swing_differences(env, params, memory, obs, state, key):
    (cos, sin), seen = obs, memory.seen
    cos_before, sin_before = seen.numbers
    turn = jnp.arctan2(sin * cos_before - cos * sin_before, cos * cos_before + sin * sin_before)
    limit = pendulum.SPEED_LIMIT
    speed = jnp.where(seen.time == 0, 0.0, jnp.clip(turn / pendulum.STEP, -limit, limit))
    action = _best_torque(env, memory, seen.time, jnp.arctan2(sin, cos), speed)
    return action, memory._replace(seen=_Seen(seen.time + 1, obs))


_LINEAR = Oracle("linear controller", "state", no_memory, _balance_state, "full_state_linear_controller", exact=True)
_PLANNED = Oracle("value iteration", "state", _plan, _swing_state, "full_state_value_iteration_near_optimal")

ORACLES = {
    "PositionOnlyCartPole": (
        Oracle("linear controller with differences", "history", _nothing_seen, _balance_differences, exact=True),
        Oracle(
            "pushing to the side the pole leans to",
            "history",
            no_memory,
            _push_to_the_side_it_leans,
            "memoryless_sign_theta",
        ),
        _LINEAR,
    ),
    "VelocityOnlyCartPole": (
        Oracle("linear controller with sums", "history", _nothing_seen, _balance_sums, exact=True),
        _LINEAR,
    ),
    "NoisyPositionOnlyCartPole": (_LINEAR,),
    "PositionOnlyPendulum": (
        Oracle("value iteration with differences", "history", _plan, _swing_differences),
        _PLANNED,
    ),
    "NoisyPositionOnlyPendulum": (_PLANNED,),
}
