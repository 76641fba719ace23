"""Environments of XLand-MiniGrid (xminigrid 0.9) behind gymnax 1.0's interface.

`envs.make("xminigrid/MiniGrid-MemoryS8")` makes one by its id. Any other, such as one with a ruleset of your own:

    import xminigrid
    from envs.adapters.xminigrid import XMiniGrid
    from envs.registry import register

    register("mine/XLand", lambda: XMiniGrid(*xminigrid.make("XLand-MiniGrid-R4-9x9", ruleset=ruleset)))

Ref: xminigrid/environment.py, xminigrid/envs/minigrid/memory.py (0.9.3).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.adapters.foreign import Foreign, promoting
from envs.observation import Categorical, Part
from envs.spaces import nearest
from envs.xminigrid import COLORS, TILES

with promoting():  # Some of its constants are computed when it is imported.
    import xminigrid
    from xminigrid.core.observation import transparent_field_of_view

_HERE = "^>v<"  # the agent, by its direction
_SYMBOLS = " .#BSPGKLDOH*"  # by tile
_SHADES = " rgbpyekowni"  # by colour
_PLAIN = ("empty", "floor", "wall")  # tiles that are always of the same colour


@struct.dataclass
class XMiniGridState(EnvState):
    """One episode in progress.

    Attributes:
      time: steps taken, int32 ().
      inner: the package's own state; its key is left out, as every step brings one.
      terminated: whether the last step ended the game, bool ().
    """

    time: jax.Array
    inner: Any
    terminated: jax.Array


class XMiniGrid(Foreign):
    """A grid of tiles, of which the agent sees the square before it.

    What pays and what ends the game is the environment's own affair; success pays 1 - 0.9 t / limit after t steps. The
    agent looks through walls and does not see what it carries (core/observation.py:48).

    Observation: the tiles from the agent on, turned so that it looks up and stands in the middle of the last row: kind
    (0..12) and colour (0..11) of each, uint8 (side, side, 2).
    Action: forward, turn right, turn left, pick up, put down, toggle (a door); any other is taken as the nearest one.
    Ends: terminated by the game, truncated after `max_episode_steps`. A success with the last step is terminated only.

    As text, a tile is a letter and its colour's: Ball, Square, Pyramid, Goal, Key, Locked, closeD and Open door,
    Hexagon, * star; red, green, blue, purple, yellow, grEy, blacK, orange, white, browN, pInk. The agent is ^ > v or <.
    """

    action_names = ("forward", "right", "left", "pick up", "put down", "toggle")

    def __init__(self, env: Any, params: Any, name: str = ""):
        """Adapt an environment of the package.

        Args:
          env: one of its environments, without wrappers: those of the package begin the next episode by themselves.
          params: its parameters, which are constants of this one.
          name: of this one; by default that of the class.

        Raises:
          ValueError: if its observations are no tiles, or it has no time limit.
        """
        shape, limit = env.observation_shape(params), params.max_steps
        if not (isinstance(shape, tuple) and len(shape) == 3 and shape[2] == 2):
            raise ValueError(
                f"{type(env).__name__}: observations of shape {shape} should be (side, side, 2), unwrapped"
            )
        if limit is None:
            raise ValueError(f"{type(env).__name__}: params.max_steps should be a number of steps")
        self.env, self.inner_params = env, params
        self._name, self._shape, self._limit = name or type(env).__name__, shape, int(limit)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Kinds and colours, uint8 (side, side, 2)."""
        high = np.broadcast_to(np.array([len(TILES) - 1, len(COLORS) - 1], np.uint8), self._shape)
        return spaces.Box(0, high, self._shape, jnp.uint8)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Two numbers of classes for each tile, kind and colour, row by row."""
        tile = Categorical(len(TILES), one_hot=False), Categorical(len(COLORS), one_hot=False)
        return tile * (self._shape[0] * self._shape[1])

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, XMiniGridState]:
        """Begin an episode."""
        with promoting():
            timestep = self.env.reset(self.inner_params, key)
        state = XMiniGridState(jnp.zeros((), jnp.int32), timestep.state.replace(key=None), jnp.zeros((), bool))
        return timestep.observation, state

    def step_env(
        self, key: jax.Array, state: XMiniGridState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, XMiniGridState, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step."""
        action = nearest(action, self.num_actions).astype(int)  # As wide as the package's own numbers are.
        with promoting():
            timestep = self.env.step(self.inner_params, self._timestep(state, key), action)
        terminated = timestep.discount == jnp.zeros((), timestep.discount.dtype)
        state = XMiniGridState(state.time + 1, timestep.state.replace(key=None), terminated)
        return timestep.observation, state, timestep.reward.astype(jnp.float32), terminated, {}

    def _timestep(self, state: XMiniGridState, key: jax.Array) -> Any:
        """Return what the package steps from; of it, its environments read the state only."""
        return xminigrid.types.TimeStep(
            state=state.inner.replace(key=key),
            step_type=xminigrid.types.StepType.MID,
            reward=jnp.zeros((), jnp.float32),
            discount=jnp.ones((), jnp.float32),
            observation=None,
        )

    def observe(
        self, key: jax.Array | None, state: XMiniGridState, action: jax.Array | None, params: EnvParams
    ) -> jax.Array:
        """Return the tiles before the agent, as `reset_env` and `step_env` do."""
        with promoting():
            return transparent_field_of_view(state.inner.grid, state.inner.agent, *self._shape[:2])

    def render(self, state: XMiniGridState, params: EnvParams, hidden: bool = False) -> str:
        """Return what the agent sees and, on request, the whole grid and what it carries, as text. Host only."""
        agent = state.inner.agent
        view = np.asarray(self.observe(None, jax.tree.map(jnp.asarray, state), None, params))
        text = f"step {int(state.time)}, the agent looks up\n" + _drawing(view, (len(view) - 1, len(view) // 2), 0)
        if not hidden:
            return text
        tile, color = np.asarray(agent.pocket)
        carried = f"{COLORS[color]} {TILES[tile]}" if tile else "nothing"
        y, x = np.asarray(agent.position)
        return f"{text}\ncarries {carried}\n" + _drawing(np.asarray(state.inner.grid), (y, x), int(agent.direction))


def _drawing(grid: np.ndarray, place: tuple[int, int], direction: int) -> str:
    """Return tiles (height, width, 2) as lines of two characters a tile, with the agent at its place."""
    cells = [[_cell(*tile) for tile in row] for row in grid]
    cells[place[0]][place[1]] = f"{_HERE[direction]} "
    return "\n".join("".join(row).rstrip() for row in cells)


def _cell(tile: int, color: int) -> str:
    if TILES[tile] in _PLAIN:
        return _SYMBOLS[tile] * 2 if TILES[tile] == "wall" else f"{_SYMBOLS[tile]} "
    return _SYMBOLS[tile] + _SHADES[color]


def named(name: str) -> XMiniGrid:
    """Return an environment by the package's own id."""
    with promoting():
        env, params = xminigrid.make(name)
    return XMiniGrid(env, params, name)
