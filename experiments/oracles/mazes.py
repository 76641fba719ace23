"""Players of the labyrinths that see the whole maze.

A maze has one way from block to block, so both plan once, at the start, with distances that spread from block to block
until they settle.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.popgym.labyrinth import MOVES, LabyrinthState, bit
from experiments.oracles import Oracle

_FAR = 1 << 20  # farther than any block
_FARTHEST = 2 * _FAR


class Plan(NamedTuple):
    """What a player works out once.

    Attributes:
      made: whether it did, bool ().
      cost: of going to a block, int32 (side, side); what it means is the player's.
      distance: steps from the start to a block, int32 (side, side), _FAR where there is no way.
    """

    made: jax.Array
    cost: jax.Array
    distance: jax.Array


def _no_plan(env: Any, params: Any) -> Plan:
    blocks = jnp.zeros((env.side, env.side), jnp.int32)
    return Plan(jnp.zeros((), bool), blocks, blocks)


def _beside(blocks: jax.Array, outside: int) -> jax.Array:
    """Return what `blocks` (side, side) has beside each block, by action, (4, side, side)."""
    padded = jnp.pad(blocks, 1, constant_values=outside)
    side = blocks.shape[0]
    return jnp.stack([padded[1 + y : 1 + y + side, 1 + x : 1 + x + side] for y, x in MOVES.tolist()])


def _settled(update: Callable[[jax.Array], jax.Array], blocks: jax.Array) -> jax.Array:
    """Return `blocks` after as many updates as change anything."""
    changed = lambda pair: jnp.any(pair[0] != pair[1])
    return jax.lax.while_loop(changed, lambda pair: (pair[1], update(pair[1])), (blocks, update(blocks)))[1]


def _bits(rows: jax.Array) -> jax.Array:
    """Return the bits of (side,) words, bool (side, side)."""
    return (rows[:, None] >> jnp.arange(rows.shape[0], dtype=jnp.uint32) & 1).astype(bool)


def _distances(state: LabyrinthState, origin: jax.Array) -> jax.Array:
    """Return the number of steps between `origin` and each block, int32 (side, side)."""
    walls = _bits(state.walls)
    nearest = lambda blocks: jnp.minimum(blocks, jnp.where(walls, _FAR, _beside(blocks, _FAR).min(0) + 1))
    return _settled(nearest, jnp.full(walls.shape, _FAR).at[origin[0], origin[1]].set(0))


def _way_out(state: LabyrinthState) -> Plan:
    """Return a plan whose costs are the distances to the exit."""
    cost = _distances(state, state.goal)
    return Plan(jnp.ones((), bool), cost, cost)


def _depths(state: LabyrinthState) -> Plan:
    """Return a plan whose costs are the lengths of the longest way on from a block, away from the start."""
    distance = _distances(state, state.start)
    is_next = _beside(distance, _FAR) == distance + 1
    deepest = lambda blocks: jnp.max(jnp.where(is_next, _beside(blocks, 0) + 1, 0), axis=0)
    return Plan(jnp.ones((), bool), _settled(deepest, jnp.zeros_like(distance)), distance)


def _planned(memory: Plan, make: Callable[[LabyrinthState], Plan], state: LabyrinthState) -> Plan:
    # `made` is the same in all episodes that are played side by side, so this stays a branch.
    return jax.lax.cond(memory.made, lambda _: memory, make, state)


def _beside_agent(env: Any, state: LabyrinthState) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the rows and columns of the blocks beside the agent, by action, and whether they are walls, each (4,)."""
    y, x = jnp.clip(state.position + MOVES, 0, env.side - 1).T
    return y, x, bit(state.walls[y], x)


def _leave(env, params, memory, obs, state, key):
    plan = _planned(memory, _way_out, state)
    y, x, is_wall = _beside_agent(env, state)
    return jnp.argmin(jnp.where(is_wall, _FARTHEST, plan.cost[y, x])), plan


def _explore(env, params, memory, obs, state, key):
    plan = _planned(memory, _depths, state)
    y, x, is_wall = _beside_agent(env, state)
    # New blocks first, the deepest of them last, as it is never left again; then back towards the start.
    cost = jnp.where(bit(state.explored[y], x), _FAR + plan.distance[y, x], plan.cost[y, x])
    return jnp.argmin(jnp.where(is_wall, _FARTHEST, cost)), plan


ORACLES = {
    "LabyrinthExplore": (
        Oracle("depth-first, deepest branch last", "state", _no_plan, _explore, "full_state_dfs_deepest_last"),
    ),
    "LabyrinthEscape": (Oracle("shortest way", "state", _no_plan, _leave, "full_state_shortest"),),
}
