"""The original Memory Maze as a process: one line in, one line out.

Run by the Python of a virtual environment that holds the original (requirements.txt beside this file), so nothing else
of this project is imported. It first writes {"versions": {name: version}}. Then each line that it reads asks for a
step, and each line that it writes is the answer, both JSON.

- null: a new maze. The answer has, beside what every answer has,
  `entities` and `floors`: text grids, one text a row, north first; `wall_textures`: names, by section;
  `targets`: x, y of their centres, metres; `colors`: red, green and blue of each, from 0 to 1.
- 0..5: an action. Every answer has
  `image`: the picture, uint8 bytes in base64, and its `shape`; both are null with --plain;
  `reward`, `last` (time is up), `prompt` (number of the target asked for);
  `coordinates` and `velocities` of MuJoCo: x, y, z, steering (clockwise) and roll.

What goes wrong is answered by {"error": text}, or {"missing": text} for a module that is not there.
"""

import argparse
import base64
import importlib.metadata
import json
import os
import sys

PACKAGES = ("memory-maze", "dm_control", "mujoco", "numpy")


class Server:
    """One environment."""

    def __init__(self, size: int, seed: int, plain: bool):
        from memory_maze import tasks

        self.env = getattr(tasks, f"memory_maze_{size}x{size}")(image_only_obs=True, seed=seed)
        self.actions = self.env.action_set
        self.inner = self.env
        while hasattr(self.inner, "env"):  # Below the wrappers there is dm_control's environment.
            self.inner = self.inner.env
        self.plain = plain
        if plain:
            self.inner.task._walker.observables.egocentric_camera.enabled = False

    def answer(self, action):
        """Reset for None, else act; return the answer."""
        if action is None:
            row = (self.inner if self.plain else self.env).reset()
            return {**self._maze(), **self._row(row)}
        if self.plain:
            return self._row(self.inner.step(self.actions[action]))
        return self._row(self.env.step(action))

    def _row(self, row):
        physics, image = self.inner.physics, None if self.plain else row.observation
        return {
            "image": None if image is None else base64.b64encode(image.tobytes()).decode(),
            "shape": None if image is None else image.shape,
            "reward": float(row.reward or 0.0),
            "last": bool(row.last()),
            "prompt": int(self.inner.task._current_target_ix),
            "coordinates": physics.data.qpos.tolist(),
            "velocities": physics.data.qvel.tolist(),
        }

    def _maze(self):
        task, physics = self.inner.task, self.inner.physics
        maze, textures = task._maze_arena.maze, task._maze_arena._current_wall_texture
        return {
            "entities": ["".join(row) for row in maze.entity_layer],
            "floors": ["".join(row) for row in maze.variations_layer],
            "wall_textures": [textures[str(section)].name for section in range(9)],
            "targets": [physics.bind(target.geom).xpos[:2].tolist() for target in task._targets],
            "colors": [color.tolist() for color in task._target_colors[: len(task._targets)]],
        }


def main():
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--plain", action="store_true", help="draw no pictures: twice as fast")
    args = parser.parse_args()

    # What libraries print must not come between the answers.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def write(answer):
        print(json.dumps(answer), file=out, flush=True)

    try:
        server = Server(args.size, args.seed, args.plain)
        write({"versions": {name: importlib.metadata.version(name) for name in PACKAGES}})
        for line in sys.stdin:
            write(server.answer(json.loads(line)))
    except ImportError as error:
        write({"missing": str(error)})
    except Exception as error:  # Whatever it is, the one who asked must know.
        write({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
