"""Environment steps per second, next to the original POPGym in the same run. Prints a markdown table.

    python -m benchmarks envs --ids popgym/RepeatPreviousEasy --num-envs 1 64

Ours: uniformly random actions, drawn inside one compiled scan over `env.step`, which begins the next episode by itself;
timed over at least one longest episode, so that resets weigh what they weigh. `--plain` takes gymnax's own `step`
instead, which computes a reset at every step; `--parts` says where the time of a step goes. The last column is how long
XLA takes to compile that scan for the last number of environments, without any cache.

The original: one environment in one process, and gymnasium's
AsyncVectorEnv with as many processes as there are cores; actions drawn beforehand, resets included.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

import envs
from benchmarks.machine import describe
from envs.spaces import MultiDiscrete


def sampler(space, num_envs: int):
    """Return a function key -> `num_envs` uniform actions, drawn at once."""
    if isinstance(space, spaces.Box):
        low, high = jnp.asarray(space.low), jnp.asarray(space.high)
        return lambda key: jax.random.uniform(key, (num_envs, *space.shape), minval=low, maxval=high)
    sizes = jnp.array(space.nvec if isinstance(space, MultiDiscrete) else space.n)
    return lambda key: jax.random.randint(key, (num_envs, *space.shape), 0, sizes)


def keys_only(env, key, state, action, params):
    """Draw the key and the action of a step, and take none; there is nothing to observe."""
    used = jax.random.key_data(key).sum().astype(jnp.float32) + jnp.sum(action)
    space = env.observation_space(params)
    return jnp.zeros(space.shape, space.dtype), state, used


def without_reset(env, *args):
    """Take a step and never begin another episode."""
    obs, state, reward, terminated, _ = env.step_env(*args)
    return obs, state, reward + (terminated | env.is_truncated(state, args[-1]))


STEPS = {
    "keys and actions": keys_only,
    "without reset": without_reset,
    "plain": Environment.step,
    "whole": lambda env, *args: env.step(*args),
}


def compiled_steps(env_id: str, num_envs: int, kind: str, length: int):
    """Return a carry and a compiled function (carry, key) -> carry that takes `length` steps in each environment."""
    env, params = envs.make(env_id)
    sample = sampler(env.action_space(params), num_envs)
    one_step = functools.partial(STEPS[kind], env)

    def step(carry, key):
        key_act, key_step = jax.random.split(key)
        keys = jax.random.split(key_step, num_envs)
        obs, state, reward, *_ = jax.vmap(one_step, (0, 0, 0, None))(keys, carry[1], sample(key_act), params)
        return (obs, state, carry[2] + reward), None

    @jax.jit
    def run(carry, key):
        return jax.lax.scan(step, carry, jax.random.split(key, length))[0]

    obs, state = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), num_envs), params)
    return (obs, state, jnp.zeros(num_envs)), run


def steps_per_second(env_id: str, num_envs: int, kind: str, seconds: float) -> float:
    """Time our environment for at least `seconds` and one longest episode, compilation left out."""
    length = max(16, 65_536 // num_envs)
    episode = envs.make(env_id)[1].max_steps_in_episode
    carry, run = compiled_steps(env_id, num_envs, kind, length)
    carry = jax.block_until_ready(run(carry, jax.random.key(0)))
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds or steps < episode:
        carry = jax.block_until_ready(run(carry, jax.random.key(steps)))
        steps += length
    return steps * num_envs / (time.perf_counter() - started)


def compile_seconds(env_id: str, num_envs: int, kind: str) -> float:
    """Time how long XLA takes to compile a scan over steps of so many environments, resets included."""
    carry, run = compiled_steps(env_id, num_envs, kind, 16)
    lowered = run.lower(carry, jax.random.key(0))
    started = time.perf_counter()
    lowered.compile()
    return time.perf_counter() - started


def original_rates(ids: list[str], seconds: float) -> dict[str, dict[str, float]]:
    """Time the originals in another process; empty where POPGym is not installed, or no game of its is asked for."""
    if not ids:
        return {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words = ["--ids", *ids, "--workers", str(cores), "--seconds", str(seconds)]
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.original_envs", *words], capture_output=True, text=True
    )
    if found.returncode:
        print(f"The original was not measured: {found.stderr.strip().splitlines()[-1]}\n", flush=True)
        return {}
    return json.loads(found.stdout)


def row(env_id: str, ours: list[float], original: dict[str, float]) -> list[str]:
    """Return the table's cells of one environment: rates, then the last of ours by the original's."""
    theirs = [original.get("single"), original.get("vector")]
    rates = [f"{rate:,.0f}" if rate else "-" for rate in (*theirs, *ours)]
    return [env_id, *rates, *(f"{max(ours) / rate:,.0f}" if rate else "-" for rate in theirs)]


def print_parts(ids: list[str], counts: list[int], seconds: float) -> None:
    """Print how long a step takes in nanoseconds per environment, with more and more of it computed."""
    kinds = ["keys and actions", "without reset", "whole"]
    print("| environment | number | " + " | ".join(kinds) + " |")
    print("|---|--:" + "|--:" * len(kinds) + "|")
    for env_id in ids:
        for count in counts:
            times = [1e9 / steps_per_second(env_id, count, kind, seconds) for kind in kinds]
            print(f"| {env_id} | {count:,} | " + " | ".join(f"{time:,.0f}" for time in times) + " |", flush=True)


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks envs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    popgym = [env_id for env_id in envs.registered() if env_id.startswith("popgym/")]
    parser.add_argument("--ids", nargs="+", default=popgym, metavar="ID", help="environments; default: all of popgym")
    parser.add_argument(
        "--num-envs", nargs="+", type=int, default=[1, 64, 4096, 65_536], metavar="N", help="default: 1 64 4096 65536"
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="least time per figure; default: 0.5")
    parser.add_argument("--plain", action="store_true", help="gymnax's own step, which resets at every step")
    parser.add_argument("--parts", action="store_true", help="nanoseconds of a step by its parts, no original")
    args = parser.parse_args(argv)
    unknown = [env_id for env_id in args.ids if env_id not in envs.registered()]
    if unknown:
        parser.error(f"unknown environment {unknown[0]!r}")
    if min(args.num_envs) < 1 or args.seconds <= 0:
        parser.error("--num-envs and --seconds should be positive")

    print(f"Environment steps per second{', plain step' if args.plain else ''}. {describe()}.\n")
    if args.parts:
        print_parts(args.ids, args.num_envs, args.seconds)
        return
    kind = "plain" if args.plain else "whole"
    originals = original_rates([env_id for env_id in args.ids if env_id in popgym], args.seconds)
    headings = ["environment", "original", "original, vector", *(f"{count:,}" for count in args.num_envs)]
    headings += ["best / original", "best / vector", "compile, s"]
    print("| " + " | ".join(headings) + " |")
    print("|---" + "|--:" * (len(headings) - 1) + "|")
    for env_id in args.ids:
        ours = [steps_per_second(env_id, count, kind, args.seconds) for count in args.num_envs]
        took = f"{compile_seconds(env_id, args.num_envs[-1], kind):.0f}"
        print("| " + " | ".join([*row(env_id, ours, originals.get(env_id, {})), took]) + " |", flush=True)
        jax.clear_caches()


if __name__ == "__main__":
    main()
