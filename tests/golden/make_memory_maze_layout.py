"""Measure the original's mazes and write memory_maze/layout.npz beside this file.

Mazes are made by labmaze 1.0.6, which is what memory-maze 1.0.3 uses, with the settings of memory_maze/tasks.py:14;
targets and start are drawn as memory_maze/maze.py:184 and dm_control 1.0.14's random_goal_maze.py:157 do. Needs
labmaze, which is not among the project's dependencies; the folder of recordings that the other scripts take is not
needed. Takes about a minute:

    python -m tests.golden.make_memory_maze_layout [--mazes 10000] [--seed 1]

For each size N: `N/names` and the moments `N/mean`, `N/std` of what `tests.envs.memory_maze.mazes.describe` returns,
`N/count` mazes, and in how many of them each cell is a wall, a room, a target or the start: `N/walls`, `N/rooms`,
`N/targets`, `N/spawn`.
"""

import argparse
import pathlib

import labmaze
import numpy as np

from tests.envs.memory_maze.mazes import describe, occupied

# Inner size -> (targets, greatest number of rooms, longest side of a room)
SETTINGS = {9: (3, 6, 5), 11: (4, 6, 5), 13: (5, 6, 5), 15: (6, 9, 3)}


def mazes(size: int, number: int, seed: int) -> dict[str, np.ndarray]:
    """Return walls, rooms, targets and spawn of `number` mazes, the arguments of `describe`."""
    targets, max_rooms, longest = SETTINGS[size]
    rng = np.random.default_rng(seed)
    maze = labmaze.RandomMaze(
        height=size + 2,
        width=size + 2,
        max_rooms=max_rooms,
        room_min_size=3,
        room_max_size=longest,
        max_variations=26,
        spawns_per_room=1,
        objects_per_room=1,
        simplify=True,
        random_seed=seed + size,
    )
    found: dict[str, list[np.ndarray]] = {"walls": [], "rooms": [], "targets": [], "spawn": []}
    while len(found["walls"]) < number:
        maze.regenerate()
        cells = np.array(maze.entity_layer)[::-1]  # The first row becomes the southern one.
        objects = np.argwhere(cells == "G")[:, ::-1]
        if len(objects) < targets:
            continue
        found["walls"].append(cells == "*")
        found["rooms"].append(np.array(maze.variations_layer)[::-1] != ".")
        found["targets"].append(rng.permutation(objects)[:targets])
        found["spawn"].append(rng.choice(np.argwhere(cells == "P")[:, ::-1]))
    return {name: np.array(values) for name, values in found.items()}


def main() -> None:
    """Measure every size and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mazes", type=int, default=10_000, help="mazes per size")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    result: dict[str, np.ndarray] = {}
    for size in SETTINGS:
        made = mazes(size, args.mazes, args.seed)
        values = describe(**made)
        result |= {
            f"{size}/names": np.array(list(values)),
            f"{size}/mean": np.array([value.mean() for value in values.values()]),
            f"{size}/std": np.array([value.std(ddof=1) for value in values.values()]),
            f"{size}/count": np.array(args.mazes),
            f"{size}/walls": made["walls"].sum(0, dtype=np.int32),
            f"{size}/rooms": made["rooms"].sum(0, dtype=np.int32),
            f"{size}/targets": occupied(made["targets"], size + 2),
            f"{size}/spawn": occupied(made["spawn"], size + 2),
        }
        print(size, {name: round(float(value.mean()), 3) for name, value in values.items()})
    path = pathlib.Path(__file__).parent / "memory_maze" / "layout.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **result)


if __name__ == "__main__":
    main()
