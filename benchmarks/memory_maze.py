"""Memory Maze: frames per second with and without pictures, with rays, beside the original, and where the time goes.

    python -m benchmarks memory_maze --sizes 9 --num-envs 64 1024
    MUJOCO_GL=egl python -m benchmarks memory_maze --original OTHER_VENV/bin/python

Ours: uniformly random actions, drawn inside one compiled loop over `env.step_env`, everything on the device; the best
of several calls. Environments are spread over all devices in equal shares, where their number allows it, and every core
of a CPU is one (JAX_NUM_CPU_DEVICES=1 keeps them together); it is one process in any case. A frame is a step of one
environment. All episodes of a size are equally long, so what a reset costs is timed apart and added at its share,
1 / length, to the time of a frame; the same is done for the original.

Of the times, physics and rules are a step without picture, a picture is what a step takes longer with it, a reset is
without its picture, and its share is that of a frame with pictures of the most samples. All of a batch is how long the
pause is when every environment is reset at once.

The original: one environment in one process, run by the Python of a virtual environment that holds memory-maze 1.0.3,
dm_control 1.0.14 and mujoco 2.3.7. It draws 4 samples a pixel.

Most of the time goes into compiling, once: the programs are kept in the user's cache folder.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from benchmarks.machine import describe, matmul_rate, seconds_per_call
from experiments.running import cli, startup
from r2i_jit import spreading

if TYPE_CHECKING:
    from envs.memory_maze.environment import MemoryMaze

RESET = "reset"
RAYS = -1  # in the place of a number of samples: what 32 rays meet, and no picture
CALLS = 3  # At least so many are timed.


def make(size: int, samples: int = 0) -> "MemoryMaze":
    """Return the environment with so many samples a pixel; without pictures (0) it observes its vector, or rays."""
    from envs.memory_maze.environment import MemoryMaze

    if samples > 0:
        return MemoryMaze(size, samples=samples)
    return MemoryMaze(size, observation="rays" if samples == RAYS else "vector")


def stepping(env: "MemoryMaze", count: int) -> Callable:
    """Return (states, key, steps) -> (observations, states, rewards): random play of `count` environments."""
    params = env.default_params

    def step(number, carry):
        _, states, rewards, key = carry
        keys = jax.random.split(jax.random.fold_in(key, number), count + 1)
        actions = jax.random.randint(keys[0], (count,), 0, env.num_actions)
        obs, states, reward, *_ = jax.vmap(env.step_env, (0, 0, 0, None))(keys[1:], states, actions, params)
        return obs, states, rewards + reward, key

    def run(states, key, steps):
        space = env.observation_space(params)
        nothing = jnp.zeros((count, *space.shape), space.dtype)
        return jax.lax.fori_loop(0, steps, step, (nothing, states, jnp.zeros(count), key))[:3]

    return run


def resetting(size: int, count: int) -> Callable:
    """Return (states, key, times) -> states: new mazes, without pictures, again and again."""
    env = make(size)

    def reset(number, carry):
        keys = jax.random.split(jax.random.fold_in(carry[1], number), count)
        return jax.vmap(env.reset_env, (0, None))(keys, env.default_params)[1], carry[1]

    return lambda states, key, times: jax.lax.fori_loop(0, times, reset, (states, key))[0]


def shapes(size: int, count: int) -> Any:
    """Return the shapes of the states of `count` environments."""
    env = make(size)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), count))
    return jax.eval_shape(lambda keys: jax.vmap(env.reset_env, (0, None))(keys, env.default_params)[1], keys)


def compiled(size: int, count: int, what: int | str) -> Any:
    """Compile the program of resets (RESET), or of steps with so many samples a pixel, spread over the devices."""
    mesh = spreading.make_mesh(jax.devices(), count, "env")
    number = mesh.size if mesh else 1
    share = count // number
    run = resetting(size, share) if isinstance(what, str) else stepping(make(size, what), share)
    each, every = P("env"), P()
    part = spreading.spread(lambda states, keys, steps: run(states, keys[0], steps), mesh, (each, each, every), each)
    states = spreading.place(shapes(size, count), mesh, each)
    whole = lambda states, key, steps: part(states, jax.random.split(key, number), steps)
    return jax.jit(whole).lower(states, jax.random.key(0), jnp.int32(1)).compile()


def seconds_per_frame(program: Any, states: Any, count: int, seconds: float) -> float:
    """Return the least time of a frame; each call lasts about a third of `seconds`."""
    key = jax.random.key(1)
    jax.block_until_ready(program(states, key, jnp.int32(1)))
    steps, best, spent, calls = 1, float("inf"), 0.0, 0
    while spent < seconds or calls < CALLS:
        begin = time.perf_counter()
        jax.block_until_ready(program(states, key, jnp.int32(steps)))
        elapsed = time.perf_counter() - begin
        spent, calls, best = spent + elapsed, calls + 1, min(best, elapsed / steps)
        steps = max(1, int(seconds / CALLS / best))
    return best / count


def measure(size: int, count: int, programs: dict, seconds: float) -> dict:
    """Return seconds per environment: of a step by samples a pixel, and of a reset without picture."""
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes(size, count))
    states = programs[RESET](nothing, jax.random.key(0), jnp.int32(1))
    return {name: seconds_per_frame(program, states, count, seconds) for name, program in programs.items()}


def with_resets(times: dict, size: int, samples: int) -> float:
    """Return frames per second, with a reset and its picture at their share."""
    picture = times[samples] - times[0]
    return 1 / (times[samples] + (times[RESET] + picture) / make(size).max_episode_steps)


def operations(function: Callable, *args: Any) -> float:
    """Return the number of arithmetic operations, as XLA counts them in the program before it is optimised.

    An operation is one of any type on one element (comparing and selecting are two); sines, roots and the like are left
    out. XLA counts the body of a loop once: here it is counted as often as it runs.
    """
    return _operations(jax.make_jaxpr(function)(*args))


def _operations(jaxpr: Any) -> float:
    total = _flops(jaxpr)
    for loop in _scans(jaxpr.jaxpr):
        body = loop.params["jaxpr"]
        total += loop.params["length"] * _operations(body) - _flops(body)
    return total


def _flops(jaxpr: Any) -> float:
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in jaxpr.in_avals]
    with jax.default_device(jax.devices("cpu")[0]):  # for a GPU, XLA counts nothing before it has compiled
        analysis = jax.jit(jax.extend.core.jaxpr_as_fun(jaxpr)).lower(*shapes).cost_analysis() or {}
    return float(analysis.get("flops", 0.0))


def _scans(jaxpr: Any) -> list[Any]:
    """Return the loops of fixed length, without those inside them."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            found.append(equation)
            continue
        for value in equation.params.values():
            # Of a program for several platforms one is run.
            inner = value[-1] if equation.primitive.name == "cond" else value
            if isinstance(inner, jax.extend.core.ClosedJaxpr):
                found += _scans(inner.jaxpr)
    return found


def elementwise_rate(size: int = 2**20, chains: int = 8, length: int = 16) -> float:
    """Return the measured rate of float32 multiply-adds on arrays, two operations each, per second."""

    def run(x):
        values = [x + i for i in range(chains)]
        for i in range(length):
            values = [value * (0.5 + 0.01 * i) + k for k, value in enumerate(values)]
        return sum(values)

    program, x = jax.jit(run), jnp.ones(size)
    return 2.0 * size * chains * length / seconds_per_call(program, x)


def operations_per_frame(size: int, samples: int) -> float:
    """Return the operations of a step with its picture."""
    env, key = make(size, samples), jax.random.key(0)
    state = jax.eval_shape(lambda: env.reset_env(key, env.default_params)[1])
    step = lambda state, action: env.step_env(key, state, action, env.default_params)
    return operations(step, state, jax.ShapeDtypeStruct((), jnp.int32))


def original_rates(python: str, sizes: list[int], seconds: float) -> dict[str, dict[str, float]]:
    """Time the original in another process."""
    words = [python, "-W", "ignore", "-m", "benchmarks.original_memory_maze"]
    words += ["--sizes", *map(str, sizes), "--seconds", str(seconds)]
    try:
        found = subprocess.run(words, capture_output=True, text=True)
    except OSError as error:
        cli.fail(f"--original {python}: {error.strerror}")
    if found.returncode:
        cli.fail(f"--original {python}: {(found.stderr.strip().splitlines() or ['it failed'])[-1]}")
    return json.loads(found.stdout.strip().splitlines()[-1])


def drawn(samples: int) -> str:
    """Return what a table calls pictures of so many samples a pixel, or what is in their place."""
    if samples == RAYS:
        return "rays"
    return f"{samples} sample{'s' * (samples > 1)}" if samples else "nothing"


def print_table(title: str, heads: list[str], words: int, rows: Iterable[list[str]]) -> None:
    """Print a markdown table, row by row; all columns but the first `words` are numbers."""
    print(f"\n{title}:\n\n| {' | '.join(heads)} |\n|" + "---|" * words + "--:|" * (len(heads) - words))
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def rate_rows(times: dict, counts: list[int], kinds: list[int], originals: dict) -> Iterator[list[str]]:
    """Yield frames per second."""
    for size in dict.fromkeys(size for size, _ in times):
        known, length = originals.get(str(size)), make(size).max_episode_steps
        for samples in kinds:
            ours = [with_resets(times[size, count], size, samples) for count in counts]
            cells = [f"{size}x{size}", drawn(samples), "-", *(f"{rate:,.0f}" for rate in ours), "-"]
            if known and samples != RAYS:
                theirs = 1 / (1 / known["pictures" if samples else "plain"] + known["reset"] / length)
                cells[2], cells[-1] = f"{theirs:,.1f}", f"{max(ours) / theirs:,.0f}"
            yield cells


def time_rows(times: dict, kinds: list[int]) -> Iterator[list[str]]:
    """Yield where the time goes."""
    for (size, count), one in times.items():
        share = 1 - one[kinds[-1]] * with_resets(one, size, kinds[-1])
        parts = [one[0], *(one[samples] - one[0] for samples in kinds[1:]), one[RESET]]
        micro = [f"{1e6 * part:,.1f}" for part in parts]
        yield [f"{size}x{size}", f"{count:,}", *micro, f"{share:.2%}", f"{1e3 * count * one[RESET]:,.1f}"]


def operation_rows(times: dict, counts: list[int], kinds: list[int], limits: list[float]) -> Iterator[list[str]]:
    """Yield what a frame takes and the shares of the limits, at the best number of environments."""
    for size in dict.fromkeys(size for size, _ in times):
        for samples in kinds:
            number = operations_per_frame(size, samples)
            rate = number / min(times[size, count][samples] for count in counts)
            shares = [f"{rate / limit:.0%}" for limit in limits]
            yield [f"{size}x{size}", drawn(samples), f"{number / 1e6:.2f}", f"{rate / 1e9:.1f}", *shares]


def print_all(times: dict, counts: list[int], kinds: list[int], originals: dict) -> None:
    """Print the three tables."""
    heads = ["maze", "drawn", "original", *(f"{count:,}" for count in counts), "best / original"]
    print_table("Frames per second", heads, 2, rate_rows(times, counts, kinds, originals))
    pictures = [drawn(samples) if samples == RAYS else f"picture, {drawn(samples)}" for samples in kinds[1:]]
    heads = ["maze", "environments", "physics and rules", *pictures, "reset", "its share", "all of a batch (ms)"]
    print_table("Microseconds per environment", heads, 1, time_rows(times, kinds))
    limits = [elementwise_rate(), matmul_rate()]
    title = (
        "Operations, in millions a frame and billions a second, and shares of measured limits: multiply-adds of arrays"
    )
    title += (
        f" ({limits[0] / 1e9:,.0f} billion a second, two each) and a float32 matrix product ({limits[1] / 1e9:,.0f})"
    )
    heads = ["maze", "drawn", "a frame", "a second", "of multiply-adds", "of matrix product"]
    print_table(title, heads, 2, operation_rows(times, counts, kinds, limits))


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    startup.use_all_cores()  # before gymnax is imported
    from envs.memory_maze.layout import SETTINGS
    from envs.memory_maze.render import SAMPLES

    parser = cli.Parser(prog="python -m benchmarks memory_maze", description=__doc__)
    sizes, positive = list(SETTINGS), cli.whole(1)
    parser.add_argument("--sizes", nargs="+", type=int, choices=sizes, default=sizes, help="default: all")
    parser.add_argument(
        "--num-envs", nargs="+", type=positive, default=[1, 64, 1024, 4096], metavar="N", help="default: 1 64 1024 4096"
    )
    parser.add_argument(
        "--samples", nargs="*", type=int, choices=sorted(SAMPLES), default=sorted(SAMPLES),
        help="a pixel; default: both; steps without pictures and with rays are always timed",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=cli.seconds, default=1.0, metavar="S", help="least time of a figure (default: %(default)g)"
    )
    parser.add_argument("--original", metavar="PYTHON", help="of a virtual environment that holds the original")
    args = parser.parse_args(argv)
    startup.use_compilation_cache()
    print(f"Memory Maze. {describe()}.", flush=True)
    originals = original_rates(args.original, args.sizes, 5 * args.seconds) if args.original else {}
    kinds, times = [0, RAYS, *args.samples], {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for size in args.sizes:
            made = {
                count: {what: pool.submit(compiled, size, count, what) for what in (RESET, *kinds)}
                for count in args.num_envs
            }
            programs = {count: {what: future.result() for what, future in one.items()} for count, one in made.items()}
            for count in args.num_envs:
                times[size, count] = measure(size, count, programs.pop(count), args.seconds)
                cli.note(f"{size}x{size}, {count:,} environments: measured")
    print_all(times, args.num_envs, kinds, originals)


if __name__ == "__main__":
    main()
