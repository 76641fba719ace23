"""Players of gymnax's CartPole, Pendulum, Acrobot and MountainCars, and of those whose velocities are masked.

One rule a game, of positions and velocities. Where these are shown it plays what it sees; where they are masked it
takes differences of what it saw, and 0 for the velocities of the first step.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.classic_control.pendulum import angle_normalize

from experiments.oracles import Oracle


class Game(NamedTuple):
    """How one game is read and played.

    Attributes:
      label: what the player is called.
      positions: observation -> positions or angles (n,).
      velocities: entries of the observation that hold their velocities.
      step: seconds, or 1 where a velocity is that of a step.
      prepare: (env, params) -> what the rule looks up, or ().
      rule: (env, params, prepared, time, positions, velocities) -> action.
      exact: whether the return is the same in every episode.
    """

    label: str
    positions: Callable[[jax.Array], jax.Array]
    velocities: tuple[int, ...]
    step: float
    prepare: Callable[[Any, Any], Any]
    rule: Callable[..., jax.Array]
    exact: bool = False


class _Memory(NamedTuple):
    """What a player keeps."""

    prepared: Any
    time: jax.Array  # () int32, steps taken
    before: jax.Array  # (n,) float32, the positions one step before


def _player(game: Game, masked: bool) -> Oracle:
    def start(env, params):
        count = len(game.velocities)
        return _Memory(game.prepare(env, params), jnp.zeros((), jnp.int32), jnp.zeros(count, jnp.float32))

    def act(env, params, memory, obs, state, key):
        positions = game.positions(obs)
        if masked:
            moved = angle_normalize(positions - memory.before)
            velocities = jnp.where(memory.time == 0, 0.0, moved / game.step)
        else:
            velocities = obs[jnp.array(game.velocities)]
        action = game.rule(env, params, memory.prepared, memory.time, positions, velocities)
        return action, _Memory(memory.prepared, memory.time + 1, positions)

    label = f"{game.label} with differences" if masked else game.label
    return Oracle(label, "history", start, act, exact=game.exact)


def _nothing(env: Any, params: Any) -> tuple:
    return ()


def _balance(env, params, prepared, time, positions, velocities):
    """Push under the falling pole, and bring the cart back to the middle."""
    (position, angle), (velocity, turning) = positions, velocities
    return (0.05 * position + 0.1 * velocity + angle + 0.25 * turning > 0).astype(jnp.int32)


def _pump_links(env, params, prepared, time, positions, velocities):
    """Turn the joint the way it turns."""
    return jnp.where(velocities[1] < 0, 0, 2)


FORCE = 0.2  # of the continuous car: a weaker push does not get there, a stronger one costs more


def _push_gently(env, params, prepared, time, positions, velocities):
    """Push the way the car rolls."""
    return jnp.where(velocities < 0, -FORCE, FORCE)


# Value iteration: the state is a node (row, column) of a grid of positions and velocities.

ROWS, COLUMNS = 181, 121


class System(NamedTuple):
    """What value iteration has to know of a game.

    Attributes:
      actions: (A,) of the rule; all of them.
      bounds: (lowest, highest) position and velocity.
      turns: whether the position is an angle.
      move: (params, positions, velocities, actions) -> (pay, positions, velocities, over) one step later.
    """

    actions: jax.Array
    bounds: tuple[tuple[float, float], tuple[float, float]]
    turns: bool
    move: Callable[..., tuple[jax.Array, ...]]


def _car(params, position, velocity, action):
    push = (action - 1) * params.force - jnp.cos(3 * position) * params.gravity
    velocity = jnp.clip(velocity + push, -params.max_speed, params.max_speed)
    position = jnp.clip(position + velocity, params.min_position, params.max_position)
    velocity = jnp.where(position <= params.min_position, jnp.maximum(velocity, 0), velocity)
    return jnp.full_like(position, -1.0), position, velocity, position >= params.goal_position


def _pendulum(params, angle, velocity, torque):
    pay = -(angle_normalize(angle) ** 2 + 0.1 * velocity**2 + 0.001 * torque**2)
    velocity = velocity + (3 * params.g / 2 * jnp.sin(angle) + 3 * torque) * params.dt
    velocity = jnp.clip(velocity, -params.max_speed, params.max_speed)
    return pay, angle_normalize(angle + velocity * params.dt), velocity, jnp.zeros_like(angle, bool)


CAR = System(jnp.arange(3.0), ((-1.2, 0.6), (-0.07, 0.07)), False, _car)
PENDULUM = System(jnp.linspace(-2.0, 2.0, 9), ((-math.pi, math.pi), (-8.0, 8.0)), True, _pendulum)


def _planned(system: System) -> Callable[[Any, Any], jax.Array]:
    """Return what computes each node's value with 0, 1, ... steps to go, float32 (L, ROWS, COLUMNS)."""

    def prepare(env, params):
        axes = (jnp.linspace(*bounds, count) for bounds, count in zip(system.bounds, (ROWS, COLUMNS), strict=True))
        nodes = jnp.meshgrid(*axes, indexing="ij")

        def longer(values, _):
            return jnp.max(_outcomes(system, params, values, *nodes), 0), values

        return jax.lax.scan(longer, jnp.zeros((ROWS, COLUMNS)), length=env.max_episode_steps)[1]

    return prepare


def _outcomes(system: System, params: Any, values: jax.Array, position: jax.Array, velocity: jax.Array) -> jax.Array:
    """Return pay now plus value of the next state for each action, (A, ...)."""
    actions = system.actions.reshape(-1, *[1] * position.ndim)
    position, velocity, actions = jnp.broadcast_arrays(position, velocity, actions)
    pay, position, velocity, over = system.move(params, position, velocity, actions)
    return pay + jnp.where(over, 0.0, _interpolated(system, values, position, velocity))


def _interpolated(system: System, values: jax.Array, position: jax.Array, velocity: jax.Array) -> jax.Array:
    places = []
    for place, (low, high), count in zip((position, velocity), system.bounds, values.shape, strict=True):
        places.append(jnp.clip((place - low) / (high - low) * (count - 1), 0, count - 1))
    return jax.scipy.ndimage.map_coordinates(values, places, order=1, mode="nearest")


def _best(system: System) -> Callable[..., jax.Array]:
    def rule(env, params, values, time, positions, velocities):
        to_go = jnp.clip(env.max_episode_steps - 1 - time, 0, env.max_episode_steps - 1)
        worth = _outcomes(system, params, values[to_go], positions[0], velocities[0])
        action = system.actions[jnp.argmax(worth)]
        return action[None] if system.turns else action.astype(jnp.int32)

    return rule


_GAMES = {
    "CartPole-v1": Game(
        "linear controller", lambda obs: obs[jnp.array([0, obs.size // 2])], (1, 3), 0.02, _nothing, _balance, True
    ),
    "Pendulum-v1": Game(
        "value iteration",
        lambda obs: jnp.arctan2(obs[1], obs[0])[None],
        (2,),
        0.05,
        _planned(PENDULUM),
        _best(PENDULUM),
    ),
    "Acrobot-v1": Game(
        "turning the joint the way it turns",
        lambda obs: jnp.arctan2(obs[jnp.array([1, 3])], obs[jnp.array([0, 2])]),
        (4, 5),
        0.2,
        _nothing,
        _pump_links,
    ),
    "MountainCar-v0": Game("value iteration", lambda obs: obs[:1], (1,), 1.0, _planned(CAR), _best(CAR)),
    "MountainCarContinuous-v0": Game(
        "pushing the way the car rolls", lambda obs: obs[:1], (1,), 1.0, _nothing, _push_gently
    ),
}

SUITE = "gymnax"
ORACLES = {
    f"{env_id}{'-Masked' * masked}": (_player(game, masked),)
    for env_id, game in _GAMES.items()
    for masked in (False, True)
}
