"""Environment steps per second of the whole loop, for several numbers of seeds in one program.

    python -m benchmarks end_to_end
    python -m benchmarks end_to_end --seeds 1 4 --train-ratio 64
    python -m benchmarks end_to_end --env popgym/RepeatFirstEasy popgym/AutoencodeEasy --seeds 1
    python -m benchmarks end_to_end --agent ppo-gru --seeds 1
    python -m benchmarks end_to_end --size small --seeds 1 --devices-per-seed 1 2 --set loop.chunk_updates=4
    JAX_NUM_CPU_DEVICES=1 python -m benchmarks end_to_end --seeds 4 --vmap

As in training, the seeds are spread over as many of the devices (of the cores, on CPU) as divide their number;
JAX_NUM_CPU_DEVICES=1 keeps them together, and --vmap computes them together on a processor, too, where training
computes one after another. With --devices-per-seed each seed is itself on several. Per row: devices,
compile time of the chunk, environment steps per second over all seeds, the same per seed and per second of processor
time, the time of N seeds relative to N single runs (in the first row's way), the share spent on collecting, the
environment steps per second while collecting (the agent acts), and the resident memory of the process at its peak.
"""

import argparse
import itertools
import math
import resource
import time

import jax

from benchmarks import machine
from experiments.running import cli, startup


def measure(config, seeds: int, seconds: float, each: int, vmap: bool = False) -> dict[str, float]:
    """Return rates of the compiled chunk."""
    from r2i_jit import Trainer

    trainer = Trainer(config, devices=jax.devices(), devices_per_seed=each)
    if vmap:
        trainer._one_by_one = False
    compile_seconds = trainer.compile(seeds)
    state = trainer.init(jax.random.split(jax.random.key(0), seeds))
    state, _ = trainer.train_chunk(state)
    jax.block_until_ready(state)
    begin, begin_cpu, chunks = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < seconds:
        state, _ = trainer.train_chunk(state)
        jax.block_until_ready(state)
        chunks += 1
    elapsed, elapsed_cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    collecting = math.nan
    if config.algorithm == "world_model" and each == 1:  # else it is not apart from learning, or not alone
        collect = jax.jit(jax.vmap(lambda seed: trainer._collect(seed, random=False))).lower(state.seeds).compile()
        collecting = machine.seconds_per_call(collect, state.seeds) * trainer.turns * chunks
    steps = chunks * trainer.steps_per_chunk * seeds
    return {
        "devices": trainer.devices_for(seeds),
        "compile": compile_seconds,
        "rate": steps / elapsed,
        "cpu rate": steps / elapsed_cpu,
        "collect rate": steps / collecting,
        "collect": collecting / elapsed,
        "updates": chunks * trainer.updates_per_chunk * seeds / elapsed,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks end_to_end", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--env", nargs="+", default=["popgym/RepeatPreviousEasy"], help="environments (%(default)s)")
    parser.add_argument("--size", default="tiny", help="preset size (%(default)s)")
    parser.add_argument("--agent", default="r2i", choices=cli.AGENTS, help="what learns (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 4, 8], help="numbers of seeds (%(default)s)")
    parser.add_argument("--devices-per-seed", type=int, nargs="+", default=[1], help="likewise (%(default)s)")
    parser.add_argument("--train-ratio", type=float, help="replayed steps per step (default: the preset's)")
    parser.add_argument("--seconds", type=float, default=15.0, help="time to measure each row for (%(default)s)")
    parser.add_argument("--vmap", action="store_true", help="compute seeds together on a processor, too")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides")
    args = parser.parse_args(argv)
    startup.use_all_cores()
    from experiments.presets import preset  # not before: it imports gymnax, which starts JAX

    print(machine.describe())
    ratio = [] if args.train_ratio is None else [f"replay.train_ratio={args.train_ratio}"]
    print(" ".join([f"{args.agent}, size {args.size}", *ratio, *args.set]) + "\n")
    print("| environment | seeds | devices | compile (s) | env steps/s, all seeds | per seed | per CPU-second "
          "| time / N single runs | updates/s | collecting | env steps/s, collecting | peak memory (MB) |")  # fmt: skip
    print("|---" + "|--:" * 11 + "|", flush=True)
    for env in args.env:
        config = preset(env.partition("/")[0], args.size, env, args.agent)
        config = config.override([*ratio, "replay.capacity=100000", *args.set])
        single = None
        for seeds, each in itertools.product(args.seeds, args.devices_per_seed):
            r = measure(config, seeds, args.seconds, each, args.vmap)
            single = single or r["rate"] / seeds
            known = not math.isnan(r["collect"])
            collecting = f"{r['collect']:.1%} | {r['collect rate']:,.0f}" if known else "- | -"
            print(
                f"| {env} | {seeds} | {r['devices']} | {r['compile']:.1f} | {r['rate']:.0f} | {r['rate'] / seeds:.0f} "
                f"| {r['cpu rate']:.0f} | {single / r['rate']:.2f} | {r['updates']:.1f} | {collecting} "
                f"| {r['memory']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
