"""Steps per second of the original POPGym, printed as JSON: {id: {"single": ..., "vector": ...}}.

`benchmarks.envs` runs this as a process of its own, because gymnasium's vector environment forks and JAX must not have
started by then. Actions are drawn beforehand; resets are included, as they are in ours.

    python -m benchmarks.original_envs --ids popgym/RepeatPreviousEasy --workers 2 --seconds 1
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import popgym  # noqa: F401  (registers its games)


def make(env_id: str) -> Any:
    """Construct the original of one of our ids."""
    name = env_id.removeprefix("popgym/").replace("VelocityOnlyCartPole", "VelocityOnlyCartpole")
    return gymnasium.make(f"popgym-{name}-v0", disable_env_checker=True).unwrapped


def single(env_id: str, seconds: float) -> float:
    """Step one environment for at least `seconds`."""
    env = make(env_id)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(1000)]
    env.reset(seed=0)

    def step() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return _rate(step, seconds)


def vector(env_id: str, workers: int, seconds: float) -> float:
    """Step gymnasium's AsyncVectorEnv, one environment a process, for at least `seconds`."""
    envs = gymnasium.vector.AsyncVectorEnv([lambda: make(env_id)] * workers)
    try:
        envs.action_space.seed(0)
        actions = [envs.action_space.sample() for _ in range(200)]
        envs.reset(seed=0)

        def step() -> int:
            for action in actions:
                envs.step(action)
            return workers * len(actions)

        return _rate(step, seconds)
    finally:
        envs.close()


def _rate(step: Callable[[], int], seconds: float) -> float:
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        steps += step()
    return steps / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", nargs="+", required=True, metavar="ID")
    parser.add_argument("--workers", type=int, required=True, help="processes of the vector environment")
    parser.add_argument("--seconds", type=float, default=1.0)
    args = parser.parse_args()
    np.random.seed(0)
    rates = {
        env_id: {"single": single(env_id, args.seconds), "vector": vector(env_id, args.workers, args.seconds)}
        for env_id in args.ids
    }
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
