"""The best player of xminigrid's Memory games, which sees what an agent sees.

It looks at the object by the first room, walks to the end of the corridor and chooses the side with the same one.
Turning round by way of up costs nothing more and shows, next to the corridor's end, which object lies above; who knows
that need not look when it comes back. No player is faster on average (tests/envs/test_xminigrid.py).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.xminigrid import TILES
from experiments.oracles import Oracle

SUITE = "xminigrid"
WIDTHS = (8, 16, 32, 64, 128)
_FORWARD, _RIGHT, _LEFT = 0, 1, 2  # actions
_UP, _EAST, _DOWN, _WEST = range(4)  # directions; turning right adds one


class Memory(NamedTuple):
    """What the player knows, each int32 ().

    Attributes:
      direction: where it looks.
      cue: kind of the object by the first room, 0 if it has not seen it.
      upper: kind of the object above the corridor's end, 0 if it has not seen it.
      at_end: 1 where it has reached the corridor's end.
    """

    direction: jax.Array
    cue: jax.Array
    upper: jax.Array
    at_end: jax.Array


def _start(env: Any, params: Any) -> Memory:
    none = jnp.zeros((), jnp.int32)
    return Memory(jnp.full((), _EAST, jnp.int32), none, none, none)


def _seen(memory: Memory, obs: jax.Array) -> Memory:
    """Return what is known after an observation (3, 3, 2), or (18,) as an agent takes it."""
    kinds = obs.reshape(3, 3, 2)[..., 0].astype(jnp.int32)
    objects = jnp.where((kinds == TILES.index("ball")) | (kinds == TILES.index("key")), kinds, 0)
    # Two rows ahead of who looks up there is the corridor's end and nothing else; it looks down when it has the cue.
    up = memory.direction == _UP
    upper = jnp.where(up, objects[0].max(), 0)
    cue = jnp.where(up, objects[1:].max(), objects.max())
    wall = (kinds[1, 1] == TILES.index("wall")) & (memory.direction == _EAST)
    return memory._replace(
        cue=jnp.where(memory.cue > 0, memory.cue, cue),
        upper=jnp.where(memory.upper > 0, memory.upper, upper),
        at_end=memory.at_end | wall.astype(jnp.int32),
    )


def _play(env: Any, params: Any, memory: Memory, obs: jax.Array, state: Any, key: jax.Array) -> tuple[Any, Memory]:
    memory = _seen(memory, obs)
    choice = jnp.where((memory.upper == 0) | (memory.upper == memory.cue), _UP, _DOWN)
    wanted = jnp.where(memory.cue == 0, _WEST, jnp.where(memory.at_end > 0, choice, _EAST))
    turns = (wanted - memory.direction) % 4
    # Half a turn goes by way of up, where there is something to see.
    left = (turns == 3) | ((turns == 2) & (memory.direction == _EAST))
    action = jnp.where(turns == 0, _FORWARD, jnp.where(left, _LEFT, _RIGHT))
    turned = (memory.direction + jnp.where(action == _RIGHT, 1, 0) - jnp.where(action == _LEFT, 1, 0)) % 4
    return action, memory._replace(direction=turned)


ORACLES = {
    f"MiniGrid-MemoryS{width}": (Oracle("look, walk and choose (perfect memory)", "history", _start, _play),)
    for width in WIDTHS
}
