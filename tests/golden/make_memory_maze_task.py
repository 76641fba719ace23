"""Take from recordings of the original what the tests of its rules need, and write memory_maze/task.npz.

    python -m tests.golden.make_memory_maze_task FOLDER

FOLDER holds traj_9x9.npz, traj_11x11.npz and traj_15x15.npz: one episode each of 300 steps, half random and half
towards the targets, recorded from memory-maze 1.0.3 with dm_control 1.0.14 and mujoco 2.3.7 (ExtraObs, one row per
observation).
"""

import argparse
import pathlib

import numpy as np

SIZES = (9, 11, 15)
OBSERVED = ("agent_pos", "agent_dir", "targets_vec", "target_pos", "target_vec", "target_color")


def main() -> None:
    """Read the recordings and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    result = {}
    for size in SIZES:
        with np.load(args.folder / f"traj_{size}x{size}.npz", allow_pickle=True) as recording:
            rows = {name: recording[name].astype(np.float32) for name in OBSERVED}
            rows["place"] = recording["qpos"][:, :2].astype(np.float32)
            rows["yaw"] = -recording["qpos"][:, 3].astype(np.float32)  # The steering hinge points down.
            rows["target_index"] = recording["target_index"].astype(np.int32)
            rows["reward"] = recording["reward"].astype(np.float32)
            rows["border"] = recording["image"][:, 0, 0]
            rows["maze_layout"] = recording["maze_layout"]
            rows["targets_pos"] = recording["targets_pos"].astype(np.float32)
        result |= {f"{size}/{name}": value for name, value in rows.items()}
    path = pathlib.Path(__file__).parent / "memory_maze" / "task.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **result)


if __name__ == "__main__":
    main()
