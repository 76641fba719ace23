"""Frames per second of the original Memory Maze as JSON: {size: {"pictures": ..., "plain": ..., "reset": ...}}.

`benchmarks.memory_maze` runs this with the Python of a virtual environment that holds memory-maze 1.0.3, dm_control
1.0.14 and mujoco 2.3.7. Actions are drawn beforehand; a reset, in seconds, is timed apart.

    MUJOCO_GL=egl OTHER_VENV/bin/python -m benchmarks.original_memory_maze --sizes 9 15 --seconds 5
"""

import argparse
import json
import time
from typing import Any

import numpy as np
from memory_maze import tasks


def make(size: int) -> Any:
    """Construct the original with its pictures."""
    return getattr(tasks, f"memory_maze_{size}x{size}")(image_only_obs=True, seed=0)


def without_pictures(env: Any) -> tuple[Any, list[np.ndarray]]:
    """Return the environment below the wrappers with its camera off, and its actions."""
    actions = [np.array(pair, float) for pair in ((0, 0), (-1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1))]
    while "env" in vars(env):
        env = env.env
    env.task._walker.observables.egocentric_camera.enabled = False
    return env, actions


def rate(env: Any, actions: list, seconds: float) -> float:
    """Return steps per second of random play, after a reset that is not timed."""
    order = np.random.default_rng(0).integers(len(actions), size=10_000)
    env.reset()
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(10):
            step = env.step(actions[order[steps % len(order)]])
            steps += 1
        if step.last():  # The lengths of all episodes are multiples of ten.
            begin = time.perf_counter()
            env.reset()
            started += time.perf_counter() - begin
    return steps / (time.perf_counter() - started)


def measure(size: int, seconds: float) -> dict[str, float]:
    """Time one size."""
    env, resets = make(size), []
    for _ in range(3):
        begin = time.perf_counter()
        env.reset()
        resets.append(time.perf_counter() - begin)
    result = {"reset": min(resets), "pictures": rate(env, list(range(6)), seconds)}
    return {**result, "plain": rate(*without_pictures(env), seconds)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[9, 11, 13, 15])
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    print(json.dumps({size: measure(size, args.seconds) for size in args.sizes}))


if __name__ == "__main__":
    main()
