"""Take from recordings of the original, and from MuJoCo, what the tests of motion need: memory_maze/motion.npz.

    python -m tests.golden.make_memory_maze_motion FOLDER

FOLDER holds physics_traj.npz: five episodes of 800 steps in mazes of three sizes, random and target-seeking actions
mixed, recorded from memory-maze 1.0.3 with dm_control 1.0.14 and mujoco 2.3.7. Needs mujoco 2.3.7, which is not among
the project's dependencies.

- `episode/walls` (5, 17, 17): the mazes, smaller ones with more wall around.
- `episode/position`, `yaw`, `velocity`: the body at each observation, as `motion.Body` has it. `episode/action`, and
  `episode/touching`: whether the step ended in contact with a wall.
- `physics/...`: the same before and after single physics steps of the walker in the corner between a wall at x = 3 and
  one at y = 3, and the number of contacts.
"""

import argparse
import pathlib

import mujoco
import numpy as np

STEPS = 240  # Of each episode.
SIDE = 17
SAMPLES = {0: 60, 1: 300, 2: 300, 3: 20}  # Of physics steps, by number of contacts.
COLUMNS = {"position": slice(0, 3), "yaw": 3, "velocity": slice(5, 10)}  # Of a row: coordinates, then velocities.
ACTIONS = np.array([(0, 0), (1, 0), (0, 1), (0, -1), (1, 1), (1, -1)])  # Power of roll and yaw motor.

# The walker of jumping_ball_with_head.xml (dm_control 1.0.14), facing x, with its hinges counted as `motion.Body` does.
MODEL = """
<mujoco>
  <compiler boundmass="1e-5" boundinertia="1e-11"/>
  <option timestep="0.005" cone="elliptic" noslip_iterations="5" noslip_tolerance="0"/>
  <worldbody>
    <geom type="plane" size="9 9 1" condim="3" friction="1 .005 .0001"/>
    <geom type="box" size="1 9 1" pos="4 0 0.7" condim="3" friction="1 .005 .0001"/>
    <geom type="box" size="9 1 1" pos="0 4 0.7" condim="3" friction="1 .005 .0001"/>
    <body>
      <joint type="slide" axis="1 0 0"/> <joint type="slide" axis="0 1 0"/> <joint type="slide" axis="0 0 1"/>
      <body pos="0 0 0.6">
        <joint name="yaw" axis="0 0 1" damping="20"/>
        <inertial pos="0 0 -0.08" mass="20" diaginertia="0.10987294 0.10986016 0.14683229"/>
        <body pos="0.15 0 0.3"> <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/> </body>
        <body pos="0 0 -0.4">
          <joint name="roll" axis="0 1 0" damping="5"/>
          <geom type="sphere" size="0.2" mass="1" condim="4" friction="0.5 0.02 0.02"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator> <motor joint="roll" gear="50"/> <motor joint="yaw" gear="30"/> </actuator>
</mujoco>
"""


def episodes(recording) -> dict[str, np.ndarray]:
    """Return the first steps of each recorded episode."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("walls", *COLUMNS, "action", "touching")}
    for k in range(5):
        # Rows of the text grid run from the north; a wall cell has the number of its section.
        walls = ~np.isin(recording[f"e{k}_entity"], [" ", "P", "G"])[::-1]
        rows["walls"].append(np.pad(walls, (SIDE - len(walls)) // 2, constant_values=True))
        # The original's steering hinge points down.
        flip = np.array([1, 1, 1, -1, 1])
        states = np.concatenate([recording[f"e{k}_qpos"] * flip, recording[f"e{k}_qvel"] * flip], axis=1)
        for name, value in columns(states[: STEPS + 1]).items():
            rows[name].append(value)
        rows["action"].append(recording[f"e{k}_action"][:STEPS].astype(np.int8))
        rows["touching"].append(recording[f"e{k}_ncon_extra"][:STEPS] > 0)
    return {name: np.array(values) for name, values in rows.items()}


def columns(states: np.ndarray) -> dict[str, np.ndarray]:
    """Split rows of five coordinates and five velocities."""
    return {name: states[:, column].astype(np.float32) for name, column in COLUMNS.items()}


def physics(seed: int) -> dict[str, np.ndarray]:
    """Return single physics steps of MuJoCo."""
    model = mujoco.MjModel.from_xml_string(MODEL)
    data = mujoco.MjData(model)
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(60):
        mujoco.mj_resetData(model, data)
        data.qpos[[0, 1, 3]] = *rng.uniform(1.5, 2.8, 2), rng.uniform(0, 2 * np.pi)
        for _ in range(16):
            action = rng.choice(6, p=[0.05, 0.35, 0.1, 0.1, 0.2, 0.2])
            data.ctrl[:] = ACTIONS[action]
            for _ in range(50):
                # The state is what the test gets to see: float32.
                before = np.concatenate([data.qpos, data.qvel]).astype(np.float32)
                data.qpos[:], data.qvel[:] = before[:5], before[5:]
                mujoco.mj_step(model, data)
                rows.append((before, np.concatenate([data.qpos, data.qvel]), action, data.ncon))
    before, after, action, contacts = (np.array(values) for values in zip(*rows, strict=True))
    chosen = []
    for number, wanted in SAMPLES.items():
        found = np.flatnonzero(contacts == number)
        chosen.append(rng.choice(found, min(wanted, len(found)), replace=False))
    pick = np.concatenate(chosen)
    result = {"action": action[pick].astype(np.int8), "contacts": contacts[pick].astype(np.int8)}
    for prefix, states in ("before", before[pick]), ("after", after[pick]):
        result |= {f"{prefix}/{name}": value for name, value in columns(states).items()}
    return result


def main() -> None:
    """Read the recordings, run MuJoCo and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with np.load(args.folder / "physics_traj.npz", allow_pickle=True) as recording:
        result = {f"episode/{name}": value for name, value in episodes(recording).items()}
    result |= {f"physics/{name}": value for name, value in physics(args.seed).items()}
    path = pathlib.Path(__file__).parent / "memory_maze" / "motion.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **result)


if __name__ == "__main__":
    main()
