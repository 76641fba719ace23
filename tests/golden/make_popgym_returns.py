"""Measure the original POPGym under a uniformly random policy and write popgym_returns.json beside this file.

Needs the development extra (popgym 1.0.7). Takes about ten minutes:

    python -m tests.golden.make_popgym_returns [--steps 400000] [--seed 12345]
"""

import argparse
import importlib.metadata
import json
import pathlib
import random
import sys
from collections.abc import Iterator

import gymnasium
import numpy as np

from tests.envs import originals
from tests.envs.families import LEVELS, families


def measure(env, steps: int, seed: int) -> dict[str, float]:
    """Play whole episodes for about `steps` steps; return the moments of return and length."""
    rng = np.random.default_rng(seed)
    random.seed(seed)  # The labyrinths draw from the global generators.
    np.random.seed(seed)
    actions = random_actions(env.action_space, rng)
    returns, lengths = [], []
    env.reset(seed=seed + 1)  # Not the policy's seed: gymnasium would draw the cards from the same stream.
    while sum(lengths) < steps:
        total, over, length = 0.0, False, 0
        while not over:
            _, reward, terminated, truncated, _ = env.step(next(actions))
            total, length, over = total + reward, length + 1, terminated or truncated
        returns.append(total)
        lengths.append(length)
        env.reset()
    return {
        "return_mean": round(float(np.mean(returns)), 6),
        "return_std": round(float(np.std(returns, ddof=1)), 6),
        "length_mean": round(float(np.mean(lengths)), 3),
        "length_std": round(float(np.std(lengths, ddof=1)), 3),
        "episodes": len(returns),
    }


def random_actions(space, rng: np.random.Generator) -> Iterator:
    """Yield uniform actions without end."""
    while True:
        if isinstance(space, gymnasium.spaces.Box):
            yield from rng.uniform(space.low, space.high, (1000, *space.shape)).astype(np.float32)
        elif isinstance(space, gymnasium.spaces.MultiDiscrete):
            yield from rng.integers(space.nvec, size=(1000, len(space.nvec)))
        else:
            yield from rng.integers(space.n, size=1000).tolist()


def main() -> None:
    """Measure every game and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400_000, help="environment steps per game and level")
    parser.add_argument("--seed", type=int, default=12345)
    args = parser.parse_args()
    returns = {}
    for game, family in families().items():
        for level in LEVELS:
            env = originals.original(family, level)
            returns[f"popgym/{game}{level}"] = measure(env, args.steps, args.seed)
            print(game, level, returns[f"popgym/{game}{level}"], file=sys.stderr)
    result = {
        "source": {name: importlib.metadata.version(name) for name in ("popgym", "gymnasium", "mazelib", "numpy")},
        "policy": f"uniform over the actions; numpy default_rng({args.seed}); first reset seeded with {args.seed + 1}",
        "returns": dict(sorted(returns.items())),
    }
    path = pathlib.Path(__file__).with_name("popgym_returns.json")
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
