"""Measure the original POPGym under a uniformly random policy and write popgym_returns.json beside this file.

Needs popgym 1.0.7 (`pip install popgym==1.0.7`). Takes about a minute:

    python tests/golden/make_popgym_returns.py [--steps 400000] [--seed 12345]
"""

import argparse
import importlib.metadata
import json
import pathlib
import sys

import gymnasium
import numpy as np
import popgym  # noqa: F401  (registers the games)

GAMES = ("RepeatFirst", "RepeatPrevious", "Autoencode", "Concentration")
LEVELS = ("Easy", "Medium", "Hard")


def measure(env, steps: int, seed: int) -> dict[str, float]:
    """Play whole episodes for about `steps` steps; return the moments of return and length."""
    rng = np.random.default_rng(seed)
    returns, lengths = [], []
    env.reset(seed=seed + 1)  # Not the policy's seed: gymnasium would draw the cards from the same stream.
    while sum(lengths) < steps:
        actions = rng.integers(env.action_space.n, size=2000)
        total, over, length = 0.0, False, 0
        while not over:
            _, reward, terminated, truncated, _ = env.step(actions[length])
            total, length, over = total + reward, length + 1, terminated or truncated
        returns.append(total)
        lengths.append(length)
        env.reset()
    return {
        "return_mean": round(float(np.mean(returns)), 6),
        "return_std": round(float(np.std(returns, ddof=1)), 6),
        "length_mean": round(float(np.mean(lengths)), 3),
        "episodes": len(returns),
    }


def main() -> None:
    """Measure every game and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400_000, help="environment steps per game and level")
    parser.add_argument("--seed", type=int, default=12345)
    args = parser.parse_args()
    result = {
        "source": {name: importlib.metadata.version(name) for name in ("popgym", "gymnasium", "numpy")},
        "policy": f"uniform over the actions; numpy default_rng({args.seed}); first reset seeded with {args.seed + 1}",
    }
    for game in GAMES:
        for level in LEVELS:
            original = gymnasium.make(f"popgym-{game}{level}-v0", disable_env_checker=True).unwrapped
            result[f"popgym/{game}{level}"] = measure(original, args.steps, args.seed)
            print(f"{game}{level}", result[f"popgym/{game}{level}"], file=sys.stderr)
    path = pathlib.Path(__file__).with_name("popgym_returns.json")
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
