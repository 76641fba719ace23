"""Play bsuite 0.3.6 at random and with our scripted players, and write bsuite_returns.json beside this file.

Needs the original beside the project, as record_bsuite.py says. A few minutes:

    python -m tests.golden.record_bsuite_returns [--steps 100000] [--episodes 128] [--seed 1]

Each entry is [mean return, standard deviation over episodes, number of episodes].
"""

import argparse
import importlib.metadata
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import envs
from experiments.oracles import Oracle, oracles
from tests.golden.record_bsuite import RECIPES, load

PATH = pathlib.Path(__file__).with_name("bsuite_returns.json")
IDS = (
    *("bandit/7", "bandit_noise/9", "bandit_scale/9", "cartpole/0", "cartpole_noise/9", "cartpole_scale/9"),
    *("cartpole_swingup/0", "cartpole_swingup/10", "cartpole_swingup/19", "catch/0", "catch_noise/9", "catch_scale/9"),
    *("deep_sea/0", "deep_sea/10", "deep_sea_stochastic/0", "deep_sea_stochastic/10", "discounting_chain/3"),
    *("memory_len/0", "memory_len/12", "memory_size/9", "mountain_car/0", "mountain_car_noise/9"),
    *("mountain_car_scale/9", "umbrella_length/12", "umbrella_distract/9"),
)
# (raw environment, observation) -> action; what is remembered from step to step stays in it.
Act = Callable[[Any, np.ndarray], int]


def seeded(env_id: str, seed: int) -> tuple[Any, Any]:
    """Return the original and the raw environment inside it, both drawing from generators of this seed."""
    env = load(env_id)
    raw = getattr(env, "raw_env", env)
    for number, part in enumerate({id(part): part for part in (env, raw)}.values()):
        if hasattr(part, "_rng"):
            part._rng = np.random.RandomState(seed + number)
    return env, raw


def played(env_id: str, new_player: Callable[[], Act], episodes: int, steps: int, seed: int) -> list[float]:
    """Return the returns of whole episodes: at least so many episodes, and so many steps."""
    env, raw = seeded(env_id, seed)
    returns, taken = [], 0
    while len(returns) < episodes or taken < steps:
        step, act, total = env.reset(), new_player(), 0.0
        while not step.last():
            step = env.step(act(raw, step.observation))
            total, taken = total + step.reward, taken + 1
        returns.append(total)
    return returns


def at_random(actions: int, seed: int) -> Callable[[], Act]:
    """Return what makes players that choose uniformly."""
    rng = np.random.default_rng(seed)
    return lambda: lambda raw, observation: int(rng.integers(actions))


def scripted(env_id: str, player: Oracle) -> Callable[[], Act]:
    """Return what makes one of our players, which gets the original's observation or hidden state."""
    env, params = envs.make(f"bsuite/{env_id}")
    obs, fresh = jax.eval_shape(env.reset_env, jax.random.key(0), params)
    start = jax.jit(lambda: player.start(env, params))()
    act = jax.jit(lambda memory, obs, state: player.act(env, params, memory, obs, state, jax.random.key(0)))
    hidden = RECIPES[env_id.partition("/")[0]].start

    def new() -> Act:
        memory = start

        def choose(raw: Any, observation: np.ndarray) -> int:
            nonlocal memory
            seen, state = np.asarray(observation, np.float32).reshape(obs.shape), None
            if player.sees == "state":
                fields = hidden(raw)
                state = type(fresh)(**{name: np.asarray(fields[name], getattr(fresh, name).dtype) for name in fields})
                seen = None
            action, memory = act(memory, seen, state)
            return int(action)

        return choose

    return new


def moments(returns: list[float]) -> list[float]:
    """Return mean, standard deviation and number."""
    return [round(float(np.mean(returns)), 6), round(float(np.std(returns, ddof=1)), 6), len(returns)]


def main() -> None:
    """Measure every player and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000, help="least environment steps of random play")
    parser.add_argument("--episodes", type=int, default=128, help="least episodes of every player")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    for env_id in IDS:
        actions = load(env_id).action_spec().num_values
        players = {"random": (at_random(actions, args.seed), args.steps)}
        players |= {player.reference: (scripted(env_id, player), 0) for player in oracles(f"bsuite/{env_id}")}
        found[f"bsuite/{env_id}"] = {
            name: moments(played(env_id, new, args.episodes, steps, args.seed))
            for name, (new, steps) in players.items()
        }
        print(env_id, found[f"bsuite/{env_id}"], file=sys.stderr, flush=True)
    source = {name: importlib.metadata.version(name) for name in ("bsuite", "numpy")}
    lines = ",\n".join(f"  {json.dumps(env_id)}: {json.dumps(players)}" for env_id, players in found.items())
    PATH.write_text(f'{{\n "source": {json.dumps(source)},\n "returns": {{\n{lines}\n }}\n}}\n')


if __name__ == "__main__":
    main()
