"""Players of gymnax's grids, chains, bandits and simple robots."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.oracles import Oracle, no_memory

# Walking


def _distances(free: jax.Array, goal: jax.Array, directions: jax.Array) -> jax.Array:
    """Return how many steps each cell of a map is from the goal, float32 (rows, columns)."""
    far = jnp.float32(free.size)
    cells = jnp.full(free.shape, far).at[goal[0], goal[1]].set(0)

    def nearer(_, cells):
        neighbours = [jnp.roll(cells, tuple(-direction), (0, 1)) for direction in np.asarray(directions)]
        return jnp.where(free, jnp.minimum(cells, jnp.min(jnp.stack(neighbours), 0) + 1), far)

    return jax.lax.fori_loop(0, free.size // 2, nearer, cells)


def _step_nearer(env, params, distances, place):
    places = place + env.raw.directions
    return jnp.argmin(distances[places[:, 0], places[:, 1]]).astype(jnp.int32)


def _rooms(env, params):
    return _distances(env.raw.env_map, env.raw.goal_fixed, env.raw.directions)


def _walk_rooms(env, params, distances, obs, state, key):
    return _step_nearer(env, params, distances, obs[:2].astype(jnp.int32)), distances


def _walk_maze(env, params, memory, obs, state, key):
    distances = _distances(env.raw.env_map, state.goal, env.raw.directions)
    return _step_nearer(env, params, distances, state.pos), memory


def _lake(env: Any, params: Any) -> jax.Array:
    """Return the best action in each cell with 0, 1, ... steps to go, int32 (L, 16): value iteration."""
    tiles = np.asarray(env.raw.desc).reshape(-1)
    moves = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]])
    cells = np.stack(np.unravel_index(np.arange(16), (4, 4)), -1)
    landing = np.ravel_multi_index(np.moveaxis(np.clip(cells[:, None] + moves, 0, 3), -1, 0), (4, 4))  # (16, 4)
    slipping = np.stack([np.roll(landing, shift, 1) for shift in (-1, 0, 1)])  # each with the same chance
    goal, over = tiles == 3, tiles >= 2
    value, actions = np.zeros(16), []
    for _ in range(env.max_episode_steps):
        worth = np.where(over[slipping], goal[slipping], value[slipping]).mean(0)
        actions.append(worth.argmax(-1))
        value = worth.max(-1)
    return jnp.asarray(np.stack(actions), jnp.int32)


def _cross(env, params, actions, obs, state, key):
    return actions[jnp.clip(env.max_episode_steps - 1 - state.time, 0), state.position], actions


# Chains and bandits


def _catch(env, params, memory, obs, state, key):
    """Go below the ball; in the last row, where both are, no step is left."""
    ball = jnp.argmax(jnp.max(obs[:-1], 0))
    return 1 + jnp.sign(ball - jnp.argmax(obs[-1])).astype(jnp.int32), memory


def _dive(env, params, memory, obs, state, key):
    return state.action_mapping[state.row, state.column], memory


def _unseen(env: Any, params: Any) -> jax.Array:
    return jnp.zeros((), jnp.float32)


def _recall(env, params, shown, obs, state, key):
    shown = jnp.where(obs[2] == 0, shown, obs[2])
    return (shown > 0).astype(jnp.int32), shown


def _take_if_needed(env, params, memory, obs, state, key):
    return obs[0].astype(jnp.int32), memory


def _first(env, params, memory, obs, state, key):
    return jnp.zeros((), jnp.int32), memory


def _known_arm(env, params, memory, obs, state, key):
    return jnp.argmax(state.rewards).astype(jnp.int32), memory


class _Tally(NamedTuple):
    """What a player of bandits keeps."""

    pulls: jax.Array  # () float32
    total: jax.Array  # () float32, evidence for the first arm, or what the second one paid


def _no_pulls(env: Any, params: Any) -> _Tally:
    return _Tally(jnp.zeros(()), jnp.zeros(()))


def _likelier_arm(env, params, tally, obs, state, key):
    """Pull the likelier one: the arms' chances add up to 1, so a pull tells as much of one as of the other."""
    evidence = jnp.where(tally.pulls == 0, 0.0, (2 * obs[0] - 1) * (obs[1] - obs[2]))
    tally = _Tally(tally.pulls + 1, tally.total + evidence)
    return (tally.total < 0).astype(jnp.int32), tally


def _try_once(env, params, tally, obs, state, key):
    """Pull the second arm once, and as long as it has paid more than the first one's nothing on average."""
    second = obs[2] > 0  # The first observation names the first arm.
    tally = _Tally(tally.pulls + second, tally.total + jnp.where(second, obs[0], 0.0))
    return ((tally.pulls == 0) | (tally.total > 0)).astype(jnp.int32), tally


# Robots and Pong


def _to_the_goal(env, params, memory, obs, state, key):
    return jnp.clip(state.goal - state.pos, -params.max_force, params.max_force), memory


def _reach(env, params, memory, obs, state, key):
    """Pull the tip to the goal, with a brake."""
    tip = jnp.stack([jnp.cos(state.angles).sum(), jnp.sin(state.angles).sum()])
    lever = jnp.stack([-jnp.sin(state.angles), jnp.cos(state.angles)])
    return jnp.clip(4 * (state.goal_xy - tip) @ lever - 3 * state.angle_vels, -1, 1), memory


def _swim(env, params, memory, obs, state, key):
    """Swim straight to the goal, with a brake, whatever lies on the way."""
    return jnp.clip(4 * (state.goal_xy - state.xy) - 4 * state.xy_vel, -1, 1), memory


def _follow(env, params, memory, obs, state, key):
    above = state.ball_position[0] - state.paddle_centers[0]
    return jnp.where(above > 0.5, 2, jnp.where(above < -0.5, 1, 0)), memory


SUITE = "gymnax"
ORACLES = {
    "FourRooms-misc": (Oracle("shortest way", "history", _rooms, _walk_rooms),),
    "MetaMaze-misc": (Oracle("shortest way (knows the goal)", "state", no_memory, _walk_maze),),
    "FrozenLake-misc": (Oracle("value iteration", "state", _lake, _cross),),
    "Catch-bsuite": (Oracle("going below the ball", "history", no_memory, _catch, exact=True),),
    "DeepSea-bsuite": (Oracle("right every time (knows the actions)", "state", no_memory, _dive, exact=True),),
    "MemoryChain-bsuite": (Oracle("perfect memory", "history", _unseen, _recall, exact=True),),
    "UmbrellaChain-bsuite": (Oracle("taking it if needed", "history", no_memory, _take_if_needed),),
    "DiscountingChain-bsuite": (Oracle("the first choice", "history", no_memory, _first, exact=True),),
    "SimpleBandit-bsuite": (Oracle("the best arm (knows it)", "state", no_memory, _known_arm, exact=True),),
    "BernoulliBandit-misc": (Oracle("the likelier arm", "history", _no_pulls, _likelier_arm),),
    "GaussianBandit-misc": (Oracle("the second arm while it pays", "history", _no_pulls, _try_once),),
    "PointRobot-misc": (Oracle("straight to the goal (knows it)", "state", no_memory, _to_the_goal),),
    "Reacher-misc": (Oracle("pulling the tip to the goal", "state", no_memory, _reach),),
    "Swimmer-misc": (Oracle("straight to the goal", "state", no_memory, _swim),),
    "Pong-misc": (Oracle("following the ball", "state", no_memory, _follow),),
}
