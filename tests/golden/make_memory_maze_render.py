"""Choose frames from recordings of the original Memory Maze and write memory_maze/render.npz beside this file.

    python -m tests.golden.make_memory_maze_render FOLDER

FOLDER holds traj_9x9.npz, traj_11x11.npz and traj_15x15.npz: 300 steps each, recorded from memory-maze 1.0.3 with
dm_control 1.0.14, mujoco 2.3.7 and software OpenGL (osmesa), 4 samples a pixel. Every fifth frame has a depth image,
taken at the first sample of each pixel, and a segmentation, taken at the pixels' centres. A few dozen of these frames
are kept, evenly spaced, with the poses and the mazes that they show, as `N/name` for each size N.
"""

import argparse
import pathlib

import numpy as np

from envs.memory_maze import textures

SIZES = (9, 11, 15)
FRAMES = 13  # Of each maze.


def choose(recording: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    """Return a maze and some of its frames, in this package's conventions: y from south to north, yaw to the left."""
    chosen = np.linspace(0, len(recording["depth_idx"]) - 1, FRAMES).astype(int)
    steps = recording["depth_idx"][chosen]
    names = dict(zip(recording["wall_tex_chars"], recording["wall_tex_names"], strict=True))
    segments = recording["seg"][chosen]
    return {
        "walls": ~np.isin(recording["entity"][::-1], [" ", "P", "G"]),
        "rooms": recording["variations"][::-1] != ".",
        "wall_textures": np.array([textures.NAMES.index(names[str(i)]) for i in range(9)], np.uint8),
        "targets": ((recording["targets_pos"] - size / 2) * 2).astype(np.float32),
        "colours": recording["target_colors"].astype(np.float32),
        "position": recording["qpos"][steps, :3].astype(np.float32),
        "yaw": -recording["qpos"][steps, 3].astype(np.float32),  # The original's joint turns the other way.
        "images": recording["image"][steps],
        "depth": recording["depth"][chosen],
        "segments": np.where(segments >= 10, segments - 7, segments),  # 0 sky, 1 floor, 2 wall, 3 + i target i.
    }


def main() -> None:
    """Read the recordings and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    kept = {}
    for size in SIZES:
        with np.load(folder / f"traj_{size}x{size}.npz") as recording:
            kept |= {f"{size}/{name}": array for name, array in choose(dict(recording), size).items()}
    np.savez_compressed(pathlib.Path(__file__).parent / "memory_maze" / "render.npz", **kept)


if __name__ == "__main__":
    main()
