"""Memory Maze as a gymnax environment.

Ref: memory_maze/tasks.py:14, maze.py:39, __init__.py:33 (1.0.3).
"""

import math
import os
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.episodes import AutoReset
from envs.memory_maze import layout, motion, ranges, task
from envs.memory_maze.render import SAMPLES, make_scene, render, render_map
from envs.observation import Categorical, Continuous, Image, Part
from envs.rows import in_blocks
from envs.spaces import nearest

# Pixels that one core of a CPU draws at a time: the arrays of so many fit into its caches.
_PIXELS_AT_ONCE = 2**17
_OBSERVATIONS = ("image", "rays", "vector")
# What the vector is made of, in this order; a key of `MemoryMaze.extras`.
_VECTOR = ("agent_pos", "agent_dir", "targets_pos", "target_color", "target_vec", "maze_layout")


_Scene = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


@struct.dataclass
class MemoryMazeState(EnvState):
    """One episode in progress.

    Attributes:
      time: steps taken, int32 ().
      maze: where the walls and the targets are.
      body: where the agent is and how it moves.
      prompt: number of the target asked for, int32 ().
      colors: each target's index into `task.COLORS`, int32 (targets,).
    """

    maze: layout.Layout
    body: motion.Body
    prompt: jax.Array
    colors: jax.Array


class MemoryMaze(AutoReset):
    """Walk through a random maze, again and again to the object whose colour frames the picture.

    The maze, the places of the objects and the start are new in each episode. Reaching the object asked for pays 1 and
    makes the environment ask for another one; reaching any other does nothing, and objects stay where they are. An
    agent that remembers where it saw what walks straight there.

    The task, its physics and its pictures are those of the original, up to the rounding errors that the modules of this
    package state. Its variants are constructor arguments: Vis is `good_visibility`, HD is `image_size=256`, Top is
    `top_view` with `image_size=256` (a map, not the original's picture), 6CL is `shuffled_colors`, and what ExtraObs
    adds is `extras(state)`.

    An action outside 0..5 is taken as the nearest one inside; a float loses its fraction, and NaN is 0.

    Observation: uint8 (image_size, image_size, 3), the view ahead, framed in the colour of the object asked for; or
    with `observation="rays"` what is to be seen in 32 directions over the picture's width, from left to right, float32:
    for each one-hot whether it is nothing, a wall or an object of which colour (there are as many colours as objects,
    with shuffled ones six), for each the distance in cells, and one-hot the colour asked for (`ranges`); or
    with `observation="vector"` everything there is to know, float32: `agent_pos`, `agent_dir`, `targets_pos`,
    `target_color`, `target_vec` and `maze_layout` of `extras`, in this order.
    Action: nothing, forward, left, right, forward and left, forward and right; each lasts 0.25 s.
    Ends: truncated after 1000, 2000, 3000 or 4000 steps, according to the size; never terminated.
    """

    action_names = task.ACTIONS

    def __init__(
        self,
        size: int = 9,
        *,
        image_size: int = 64,
        samples: int = 4,
        observation: Literal["image", "rays", "vector"] = "image",
        good_visibility: bool = False,
        top_view: bool = False,
        shuffled_colors: bool = False,
    ):
        """Choose the maze and what is seen of it.

        Args:
          size: cells along a side, 9, 11, 13 or 15, without the outer walls.
          image_size: pixels along a side, at least 64.
          samples: rays per pixel; 4 smooths edges as the original does, 1 is faster.
          observation: "image", "rays" or "vector".
          good_visibility: low walls, and targets that float above them.
          top_view: show a map, north up, instead of the view ahead.
          shuffled_colors: which targets have which colours changes from episode to episode.

        Raises:
          ValueError: for any other size, image size, number of samples or kind of observation.
        """
        for name, value, allowed in (
            ("size", size, tuple(layout.SETTINGS)),
            ("samples", samples, tuple(SAMPLES)),
            ("observation", observation, _OBSERVATIONS),
        ):
            if value not in allowed:
                raise ValueError(f"{self.name}: {name}={value!r} should be one of {', '.join(map(str, allowed))}")
        if image_size < 64:
            raise ValueError(f"{self.name}: image_size={image_size} should be at least 64, or there is no frame")
        self.size = size
        self.num_targets = layout.SETTINGS[size].targets
        self._image_size, self._samples = image_size, samples
        self._observation = observation
        self._good_visibility, self._top_view, self._shuffled_colors = good_visibility, top_view, shuffled_colors
        self._colors = len(task.COLORS) if shuffled_colors else self.num_targets

    @property
    def max_episode_steps(self) -> int:
        """Number of steps in every episode."""
        return task.STEPS[self.size]

    @property
    def default_params(self) -> EnvParams:
        """Parameters with the original's episode length."""
        return EnvParams(max_steps_in_episode=self.max_episode_steps)

    @property
    def num_actions(self) -> int:
        """Number of actions."""
        return len(task.ACTIONS)

    def action_space(self, params: EnvParams) -> spaces.Discrete:
        """One of the actions."""
        return spaces.Discrete(self.num_actions)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Pictures, or vectors of numbers none of which leaves [-2 * size, 2 * size]."""
        parts = self.observation_parts(params)
        if isinstance(parts[0], Image):
            return spaces.Box(0, 255, parts[0].shape, jnp.uint8)
        return spaces.Box(-2.0 * self.size, 2.0 * self.size, (sum(part.size for part in parts),), jnp.float32)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """One picture; or rays, their distances and the colour asked for; or one vector."""
        if self._observation == "image":
            return (Image((self._image_size, self._image_size, 3)),)
        if self._observation == "rays":
            directions = len(ranges.COLUMNS)
            kinds = ranges.FIRST_TARGET + self._colors
            return Categorical(kinds, directions), Continuous(directions), Categorical(self._colors)
        return (Continuous(2 + 2 + 2 * self.num_targets + 3 + 2 + self.size**2),)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, MemoryMazeState]:
        """Make a maze and set the agent down in one of its rooms, at rest and facing anywhere."""
        key_maze, key_yaw, key_prompt, key_colors = jax.random.split(key, 4)
        maze = layout.generate(key_maze, self.size)
        yaw = jax.random.uniform(key_yaw, (), jnp.float32, 0.0, 2 * math.pi)
        state = MemoryMazeState(
            time=jnp.zeros((), jnp.int32),
            maze=maze,
            body=motion.at_rest(task.centres(maze.spawn, self.size), yaw),
            prompt=task.first_prompt(key_prompt, self.num_targets),
            colors=task.target_colors(key_colors, self.num_targets, self._shuffled_colors),
        )
        return self.observe(key, state, None, params), state

    def step_env(
        self, key: jax.Array, state: MemoryMazeState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, MemoryMazeState, jax.Array, jax.Array, dict[str, Any]]:
        """Move for 0.25 s; pay for the target asked for and ask for the next one."""
        action = nearest(action, self.num_actions)
        body, trail = motion.step(state.body, state.maze.walls, action)
        wanted = task.centres(state.maze.targets[state.prompt], self.size)
        reach = task.VISIBLE_TOUCH_DISTANCE if self._good_visibility else task.TOUCH_DISTANCE
        found = task.found(trail, wanted, reach)
        state = state.replace(
            time=state.time + 1,
            body=body,
            prompt=task.next_prompt(key, state.prompt, self.num_targets, found),
        )
        obs = self.observe(key, state, action, params)
        return obs, state, found.astype(jnp.float32), self.is_terminated(state, params), {}

    def observe(self, key: jax.Array, state: MemoryMazeState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the framed picture, the rays, or the vector."""
        if self._observation == "vector":
            extras = self.extras(state)
            return jnp.concatenate([extras[name].astype(jnp.float32).ravel() for name in _VECTOR])
        if self._observation == "rays":
            kinds, metres = self._seen(state)
            asked = jax.nn.one_hot(state.colors[state.prompt], self._colors, dtype=jnp.float32)
            one_hot = jax.nn.one_hot(kinds, ranges.FIRST_TARGET + self._colors, dtype=jnp.float32)
            return jnp.concatenate([one_hot.ravel(), metres / task.CELL, asked])
        scene, pose, visible = self._scene(state), self._pose(state), self._good_visibility
        if self._top_view:
            view = render_map(make_scene(*scene, visible), *pose, size=self._image_size)
        else:
            draw = partial(render, size=self._image_size, samples=self._samples, good_visibility=visible)
            pictures = _PIXELS_AT_ONCE * (os.cpu_count() or 1) // self._image_size**2
            view = in_blocks(draw, max(1, pictures))(*scene, *pose)
        return task.draw_border(view, state.colors[state.prompt])

    def _scene(self, state: MemoryMazeState) -> _Scene:
        """Return what `render` and `make_scene` begin with."""
        maze = state.maze
        places, colors = task.centres(maze.targets, self.size), jnp.asarray(task.COLORS, jnp.float32)[state.colors]
        return maze.walls, maze.rooms, maze.wall_textures, places, colors

    def _pose(self, state: MemoryMazeState) -> tuple[jax.Array, jax.Array]:
        return state.body.position, state.body.yaw

    def _seen(self, state: MemoryMazeState) -> tuple[jax.Array, jax.Array]:
        """Return `ranges.find` with an object's colour in place of its number."""
        scene = make_scene(*self._scene(state), self._good_visibility)
        found, metres = ranges.find(scene, *self._pose(state))
        target = found - ranges.FIRST_TARGET
        colored = ranges.FIRST_TARGET + state.colors[jnp.maximum(target, 0)]
        return jnp.where(target < 0, found, colored), metres

    def is_terminated(self, state: MemoryMazeState, params: EnvParams) -> jax.Array:
        """Return False: nothing but time ends an episode."""
        return jnp.zeros((), bool)

    def is_truncated(self, state: MemoryMazeState, params: EnvParams) -> jax.Array:
        """Return whether time is up, bool ()."""
        return state.time >= params.max_steps_in_episode

    def extras(self, state: MemoryMazeState) -> dict[str, jax.Array]:
        """Return where the agent, the targets and the walls are, in the original's units; see `task.describe`."""
        maze, body = state.maze, state.body
        return task.describe(body.position[:2], body.yaw, maze.targets, state.prompt, state.colors, maze.walls)

    def in_view(self, state: MemoryMazeState) -> jax.Array:
        """Return which targets are to be seen from where the agent is, bool (targets,); see `ranges`."""
        found, _ = ranges.find(make_scene(*self._scene(state), self._good_visibility), *self._pose(state))
        return jnp.any(found[:, None] == ranges.FIRST_TARGET + jnp.arange(self.num_targets), 0)

    def render(self, state: MemoryMazeState, params: EnvParams, hidden: bool = False) -> str:
        """Return which colour is asked for and, on request, a map, as text. Host only.

        Of rays, what they meet is shown, a wall as a block and an object as its colour's first letter, and below it how
        many cells away. On the map, north is up, rooms have a dotted floor, a target is the first letter of its colour
        (in upper case if it is the one asked for), and the agent is an arrow.
        """
        names = [task.COLOR_NAMES[int(color)] for color in state.colors]
        prompt = int(state.prompt)
        line = f"find {names[prompt]}, step {int(state.time)}"
        if self._observation == "rays":
            kinds, metres = self._seen(state)
            letters = " █" + "".join(name[0] for name in task.COLOR_NAMES)
            cells_away = np.asarray(metres) / task.CELL
            line += "\n" + "".join(letters[int(kind)] for kind in kinds)
            line += "\n" + "".join(str(min(9, round(float(away)))) for away in cells_away)
        if not hidden:
            return line
        cells = np.where(np.asarray(state.maze.walls), "█", np.where(np.asarray(state.maze.rooms), "·", " "))
        for number, (x, y) in enumerate(np.asarray(state.maze.targets)):
            cells[y, x] = names[number][0].upper() if number == prompt else names[number][0]
        x, y = np.asarray(self.extras(state)["agent_pos"] + 1).astype(int)
        cells[y, x] = "→↗↑↖←↙↓↘"[round(float(state.body.yaw) / (math.pi / 4)) % 8]
        return "\n".join([line, *("".join(row) for row in cells[::-1])])
