"""Environment steps per second, next to the original POPGym in one process. Prints a markdown table.

    python -m benchmarks.envs --ids popgym/RepeatPreviousEasy --num-envs 1 64

Ours: uniformly random actions, drawn inside one compiled scan. "reset every step" is gymnax's own `step`, which
computes a reset per step and selects; "reset on demand" is `envs.episodes.advance`, which the agent uses. The original:
actions drawn beforehand, resets included.
"""

import argparse
import datetime
import os
import platform
import time
from pathlib import Path

import jax
import numpy as np

import envs
from envs import episodes

STEPPERS = ("reset every step", "reset on demand")


def compiled_steps(env_id: str, num_envs: int, stepper: str, length: int):
    """Return a carry and a compiled function carry -> carry that takes `length` steps in `num_envs` environments."""
    env, params = envs.make(env_id)
    sample = jax.vmap(env.action_space(params).sample)

    def gymnax_step(carry, key):
        key_act, key_step = jax.random.split(key)
        action = sample(jax.random.split(key_act, num_envs))
        keys = jax.random.split(key_step, num_envs)
        obs, state, reward, *_ = jax.vmap(env.step, (0, 0, 0, None))(keys, carry[1], action, params)
        return (obs, state, reward), None

    def advance(stream, key):
        key_act, key_step = jax.random.split(key)
        action = sample(jax.random.split(key_act, num_envs))
        return episodes.advance(env, params, stream, action, key_step), None

    @jax.jit
    def run(carry, key):
        return jax.lax.scan(gymnax_step if stepper == STEPPERS[0] else advance, carry, jax.random.split(key, length))[0]

    if stepper == STEPPERS[0]:
        obs, state = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), num_envs), params)
        return (obs, state, jax.numpy.zeros(num_envs)), run
    return episodes.start(env, params, jax.random.key(0), num_envs), run


def steps_per_second(env_id: str, num_envs: int, stepper: str, seconds: float) -> float:
    """Time our environment for at least `seconds`, compilation left out."""
    length = max(16, 65_536 // num_envs)
    carry, run = compiled_steps(env_id, num_envs, stepper, length)
    for _ in range(2):  # The second call compiles once more, should a step return other (weak) types than a reset.
        carry = jax.block_until_ready(run(carry, jax.random.key(0)))
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        carry = jax.block_until_ready(run(carry, jax.random.key(steps)))
        steps += length * num_envs
    return steps / (time.perf_counter() - started)


def original_steps_per_second(env_id: str, seconds: float) -> float | None:
    """Time the original for at least `seconds`; None where it is not installed or has no such game."""
    try:
        import gymnasium
        import popgym  # noqa: F401  (registers its games)

        game_id = f"popgym-{env_id.removeprefix('popgym/')}-v0"
        env = gymnasium.make(game_id, disable_env_checker=True).unwrapped
    except (ImportError, gymnasium.error.Error):
        return None
    actions = np.random.default_rng(0).integers(env.action_space.n, size=1000).tolist()
    env.reset(seed=0)
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        steps += len(actions)
    return steps / (time.perf_counter() - started)


def machine() -> str:
    """Return one line on what the figures were measured with."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = jax.devices()[0]
    where = "" if device.platform == "cpu" else f"{device.device_kind}, "
    return (
        f"{datetime.date.today()}; {where}{cpu}, {cores} core{'s' if cores != 1 else ''} usable; "
        f"Python {platform.python_version()}, jax {jax.__version__}"
    )


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.envs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    popgym = [env_id for env_id in envs.registered() if env_id.startswith("popgym/")]
    parser.add_argument("--ids", nargs="+", default=popgym, metavar="ID", help="environments; default: all of popgym")
    parser.add_argument(
        "--num-envs", nargs="+", type=int, default=[1, 64, 4096], metavar="N", help="default: 1 64 4096"
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="least time per figure; default: 0.5")
    args = parser.parse_args(argv)
    unknown = [env_id for env_id in args.ids if env_id not in envs.registered()]
    if unknown:
        parser.error(f"unknown environment {unknown[0]!r}")
    if min(args.num_envs) < 1 or args.seconds <= 0:
        parser.error("--num-envs and --seconds should be positive")

    print(f"Environment steps per second. {machine()}.\n")
    columns = [(stepper, count) for stepper in STEPPERS for count in args.num_envs]
    headings = ["environment", "original", *(f"{count}, {stepper}" for stepper, count in columns)]
    print("| " + " | ".join(headings) + " |")
    print("|---" + "|--:" * (len(headings) - 1) + "|")
    for env_id in args.ids:
        original = original_steps_per_second(env_id, args.seconds)
        figures = [steps_per_second(env_id, count, stepper, args.seconds) for stepper, count in columns]
        cells = ["-" if original is None else f"{original:,.0f}", *(f"{figure:,.0f}" for figure in figures)]
        print(f"| {env_id} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
