"""Time of one training update and of its parts, at equal batch tokens and growing sequence length.

    python -m benchmarks update
    python -m benchmarks update --size paper --lengths 1024 --set loop.precision=float32

World model: loss, gradient and optimiser. Imagination: the rollout with its heads. Actor and critic: their losses,
gradients and optimisers on a given rollout (behaviour minus imagination). Cost should grow linearly in T or better:
tokens are equal, so the time should stay level.
"""

import argparse

import jax
import jax.numpy as jnp

from benchmarks import machine
from experiments.presets import preset
from r2i_jit import Config, Trainer, behavior


def dense_flops(agent, params, rows: float) -> float:
    """Return 2 * rows * (entries of all kernels): one forward pass of `params`' matrix products."""
    kernels = [
        x.size for path, x in jax.tree_util.tree_leaves_with_path(params) if path[-1].key in ("kernel", "b", "c")
    ]
    return 2.0 * rows * sum(kernels)


def measure(config: Config) -> dict[str, float]:
    """Return milliseconds of each part, floating-point operations of the update's matrix products, temporary bytes."""
    trainer = Trainer(config)
    agent = trainer.agent
    state = trainer.init(jax.random.split(jax.random.key(0), 1))
    seed = jax.tree.map(lambda x: x[0], state.seeds)
    key, hypers = jax.random.key(1), seed.hypers
    batch = jax.jit(lambda key: trainer._sample(seed.replay, state.written, key))(key)

    def model_update(agent_state, batch):
        return agent._update_model(agent_state, batch, hypers, key)

    _, latent, _ = jax.jit(model_update)(seed.agent, batch)
    start, cont = jax.jit(lambda latent: agent._starts(latent, batch, key))(latent)

    def imagine(agent_state, start, cont):
        return behavior.imagine(
            config.behavior,
            agent.spec,
            agent.model,
            agent.actor,
            agent_state.model,
            agent_state.actor,
            start,
            cont,
            key,
        )

    def update_behavior(agent_state, start, cont):
        return agent._update_behavior(agent_state, start, cont, hypers, key)

    def update(agent_state, batch):
        return agent.update(agent_state, batch, hypers, key)

    programs = {
        "world model": (model_update, (seed.agent, batch)),
        "imagination": (imagine, (seed.agent, start, cont)),
        "behaviour": (update_behavior, (seed.agent, start, cont)),
        "update": (update, (seed.agent, batch)),
    }
    result = {}
    for name, (function, args) in programs.items():
        compiled = jax.jit(function, compiler_options=trainer._options).lower(*args).compile()
        result[name] = 1e3 * machine.seconds_per_call(compiled, *args)
        if name == "update":
            result["temporary MB"] = machine.cost(compiled)[1] / 1e6
    tokens = float(batch.reward.size)
    states = float(cont.size * (config.behavior.horizon + 1))
    result["GFLOP"] = 1e-9 * (
        3 * dense_flops(agent, seed.agent.model, tokens)  # forward and two products backward
        + dense_flops(agent, seed.agent.model, states)  # an upper bound: the decoder is not run in imagination
        + 4 * dense_flops(agent, seed.agent.actor, states)
        + 4 * dense_flops(agent, seed.agent.critic, states)
    )
    result["parameters"] = sum(x.size for x in jax.tree.leaves(seed.agent.model))
    return result


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks update", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--env", default="popgym/RepeatPreviousEasy", help="environment (%(default)s)")
    parser.add_argument("--size", default="tiny", help="preset size (%(default)s)")
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 256, 1024], help="T (%(default)s)")
    parser.add_argument("--tokens", type=int, default=0, help="B * T; by default 1024, for --size paper 4096")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides")
    args = parser.parse_args(argv)
    tokens = args.tokens or (4096 if args.size == "paper" else 1024)
    rate = machine.matmul_rate()
    print(f"{machine.describe()}; float32 matrix product {rate / 1e9:.0f} GFLOP/s")
    print(f"{args.env}, size {args.size}, {tokens} tokens a batch {' '.join(args.set)}\n")
    columns = [
        "world model",
        "imagination",
        "actor + critic",
        "update",
        "GFLOP",
        "share of matmul rate",
        "temporary MB",
    ]
    print("| T | B | " + " | ".join(f"{c} (ms)" if i < 4 else c for i, c in enumerate(columns)) + " |")
    print("|" + "---|" * (len(columns) + 2), flush=True)
    for length in args.lengths:
        batch = max(1, tokens // length)
        config = preset(args.env.partition("/")[0], args.size, args.env)
        config = config.override([f"replay.sequence_length={length}", f"replay.batch_size={batch}",
                                  "replay.capacity=40000", f"replay.prefill={4 * tokens}", *args.set])  # fmt: skip
        r = measure(config)
        share = r["GFLOP"] * 1e9 / (r["update"] * 1e-3) / rate
        rest = r["behaviour"] - r["imagination"]
        print(
            f"| {length} | {batch} | {r['world model']:.1f} | {r['imagination']:.1f} | {rest:.1f} | {r['update']:.1f} "
            f"| {r['GFLOP']:.2f} | {share:.0%} | {r['temporary MB']:.0f} |",
            flush=True,
        )
    print(f"\nworld model parameters: {r['parameters']:,}")
    jnp.zeros(()).block_until_ready()


if __name__ == "__main__":
    main()
