"""A stand-in for the original Memory Maze: it answers as experiments/original/server.py does, from our environment.

    stand_in_maze.py [--length N] [--shove T] OTHER_WORDS --size 9 --seed 0 [--plain]

Episodes end after N steps; at step T the agent is moved by 0.3 m without anybody knowing.
"""

import argparse
import base64
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from envs.memory_maze import task, textures
from envs.memory_maze.environment import MemoryMaze, MemoryMazeState
from r2i_jit.compiling import quick

SHOVE = 0.3  # Metres.
FLIP = np.array([1, 1, 1, -1, 1])


def maze_answer(state: MemoryMazeState) -> dict:
    """Return what only the answer to a reset has."""
    walls, rooms = np.asarray(state.maze.walls)[::-1], np.asarray(state.maze.rooms)[::-1]
    rows = lambda grid: ["".join(row) for row in grid]
    return {
        "entities": rows(np.where(walls, "7", " ")),
        "floors": rows(np.where(rooms, "B", ".")),
        "wall_textures": [textures.NAMES[number] for number in state.maze.wall_textures],
        "targets": task.centres(state.maze.targets, len(walls) - 2).tolist(),
        "colors": task.COLORS[np.asarray(state.colors)].tolist(),
    }


def step_answer(state: MemoryMazeState, image: np.ndarray | None, reward: float, last: bool) -> dict:
    """Return what every answer has."""
    body = state.body
    place = np.array([*body.position, body.yaw, body.roll], np.float64)
    return {
        "image": None if image is None else base64.b64encode(image.tobytes()).decode(),
        "shape": None if image is None else image.shape,
        "reward": float(reward),
        "last": last,
        "prompt": int(state.prompt),
        "coordinates": (place * FLIP).tolist(),
        "velocities": (np.asarray(body.velocity, np.float64) * FLIP).tolist(),
    }


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("length", 1000), ("shove", -1), ("size", 9), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--plain", action="store_true")
    args, _ = parser.parse_known_args()

    env = MemoryMaze(args.size, observation="vector" if args.plain else "image")
    reset = jax.jit(lambda key: env.reset_env(key, env.default_params), compiler_options=quick())
    step = jax.jit(lambda *given: env.step_env(*given, env.default_params), compiler_options=quick())
    shown = lambda obs: None if args.plain else np.asarray(obs)
    print(json.dumps({"versions": {"stand-in": "1"}}), flush=True)
    key = jax.random.key(args.seed)
    for line in sys.stdin:
        key, now = jax.random.split(key)
        action = json.loads(line)
        if action is None:
            obs, state = reset(now)
            answer = {**maze_answer(state), **step_answer(state, shown(obs), 0.0, False)}
        else:
            if int(state.time) + 1 == args.shove:
                body = state.body
                state = state.replace(body=body.replace(position=body.position + jnp.array([SHOVE, 0, 0])))
            obs, state, reward, *_ = step(now, state, jnp.int32(action))
            answer = step_answer(state, shown(obs), reward, int(state.time) == args.length)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
