"""What each recurrence costs: one update of the world model, at equal batch tokens and growing sequence length.

    python -m benchmarks sequence
    python -m benchmarks sequence --only s3m gru --lengths 32 1024 4096
    python -m benchmarks sequence --agent dreamerv3 --only gru
    python -m benchmarks sequence --draw docs/sequence.md --out docs/images/sequence.png

The recurrences that `model.sequence` names, in a stack with as many parameters as the preset's S3M: its width is chosen
for that, and the layers around it keep theirs only where it is the same. `stack` is the sequence model alone, forwards
and backwards; `update` is the world model's loss, gradient and optimiser. Compiling is that update's. --draw makes a
picture of the tables that are in a file.
"""

import argparse
import dataclasses
import re
import time
from functools import partial
from pathlib import Path
from typing import get_args

import jax
import jax.numpy as jnp

from benchmarks import machine
from experiments.presets import preset
from r2i_jit import Config, Trainer
from r2i_jit.config import ModelConfig, Sequence
from r2i_jit.model_loss import Batch
from r2i_jit.sequence.stack import Stack

STEP = 8  # widths are multiples of this


def parameters(config: ModelConfig) -> int:
    """Return how many parameters the stack has."""
    stack = Stack(config)

    def touch(module):
        u = jnp.zeros((1, 2, config.units), jnp.float32)
        return module.parallel(u, jnp.zeros((1, 2), bool), module.initial(1))

    shapes = jax.eval_shape(partial(stack.init, method=touch), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def as_large(config: ModelConfig, kind: str) -> ModelConfig:
    """Return the configuration with another recurrence, and the width whose stack is nearest in parameters."""
    wanted = parameters(config)
    widths = [dataclasses.replace(config, sequence=kind, units=units) for units in range(STEP, 4 * config.units, STEP)]
    low, high = 0, len(widths) - 1
    while low < high:  # parameters grow with the width
        middle = (low + high) // 2
        low, high = (middle + 1, high) if parameters(widths[middle]) < wanted else (low, middle)
    return min(widths[max(0, low - 1) : low + 1], key=lambda width: abs(parameters(width) - wanted))


def measure(config: Config) -> dict[str, float]:
    """Return milliseconds, compile seconds and temporary MB of the stack and of the world model's update."""
    trainer = Trainer(config)
    agent, hypers, key = trainer.agent, config.hypers, jax.random.key(0)
    batch_size, length, width = config.replay.batch_size, config.replay.sequence_length, config.model.units
    state = jax.jit(agent.init)(key, hypers)
    stack, params = Stack(config.model, agent.model.dtype), state.model["stack"]
    u = jax.random.normal(key, (batch_size, length, width), jnp.float32)
    first = jnp.zeros((batch_size, length), bool).at[:, 0].set(True)

    def loss(params, u):
        y, x = stack.apply({"params": params}, u, first, stack.apply({"params": params}, batch_size, method="initial"),
                           method="parallel")  # fmt: skip
        return jnp.sum(y**2) + jnp.sum(x**2)

    obs = jax.tree.map(lambda one: jnp.zeros((batch_size, length, *one.shape), one.dtype), agent.obs_example)
    action = jnp.zeros((batch_size, length, agent.spec.size), jnp.float32)
    reward = jnp.zeros((batch_size, length), jnp.float32)
    batch = Batch(obs, action, reward, first, jnp.zeros_like(first))
    programs = {
        "stack": (jax.grad(loss, argnums=(0, 1)), (params, u)),
        "update": (lambda state, batch: agent._update_model(state, batch, hypers, key), (state, batch)),
    }
    result: dict[str, float] = {"parameters": sum(leaf.size for leaf in jax.tree.leaves(params))}
    for name, (function, arguments) in programs.items():
        begin = time.perf_counter()
        compiled = jax.jit(function, compiler_options=trainer._options).lower(*arguments).compile()
        result[f"{name} compile"] = time.perf_counter() - begin
        result[name] = machine.seconds_per_call(compiled, *arguments)
        result[f"{name} MB"] = machine.cost(compiled)[1] / 1e6
    return result


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sequence", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--env", default="popgym/RepeatPreviousEasy", help="environment (%(default)s)")
    parser.add_argument("--size", default="tiny", help="preset size (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=get_args(Sequence), default=get_args(Sequence), help="which (all)")
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 256, 1024, 4096], help="T (%(default)s)")
    parser.add_argument("--tokens", type=int, default=4096, help="B * T (%(default)s)")
    parser.add_argument("--agent", choices=("r2i", "dreamerv3"), default="r2i", help="whose preset (%(default)s)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="measure nothing: draw the tables in a file")
    parser.add_argument("--out", type=Path, default=Path("sequence.png"), help="with --draw (%(default)s)")
    args = parser.parse_args(argv)
    if args.draw:
        print(draw(args.draw.read_text(), args.out))
        return
    plain = preset(None, args.size, args.env, args.agent).override(["replay.capacity=40000", *args.set])
    print(machine.describe())
    print(f"{args.env}, size {args.size}, {args.tokens} tokens a batch {' '.join(args.set)}\n")
    print(
        "| recurrence | T | units | parameters | stack (ms) | update (ms) | µs a token | compile (s) | temporary MB |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for kind in args.only:
        model = as_large(plain.model, kind)
        for length in args.lengths:
            batch = max(1, args.tokens // length)
            capacity = max(plain.replay.capacity, plain.loop.num_envs * length)
            replay = dataclasses.replace(
                plain.replay, sequence_length=length, batch_size=batch, train_ratio=1.0, capacity=capacity
            )
            r = measure(dataclasses.replace(plain, model=model, replay=replay))
            token = 1e6 * r["update"] / (batch * length)
            name = kind if args.agent == "r2i" else args.agent
            print(f"| {name} | {length} | {model.units} | {r['parameters']:,} | {1e3 * r['stack']:.1f} | "
                  f"{1e3 * r['update']:.1f} | {token:.1f} | {r['update compile']:.1f} | {r['update MB']:.0f} |",
                  flush=True)  # fmt: skip


def draw(text: str, out: Path) -> Path:
    """Draw the microseconds a token of an update over T, of the rows of the tables in a text, and return the path."""
    from matplotlib.figure import Figure

    from experiments.drawing.curves import COLOURS, save

    found: dict[str, dict[int, float]] = {}
    for name, length, token in re.findall(
        r"^\| (\w+) \| (\d+) \|(?:[^|]+\|){4} ([\d.]+) \|[^|]+\|[^|]+\|$", text, re.M
    ):
        found.setdefault(name, {})[int(length)] = float(token)
    figure = Figure(figsize=(6.4, 4.2), dpi=160, layout="constrained")
    axes = figure.subplots()
    for i, (name, tokens) in enumerate(found.items()):
        style = "-" if i < len(COLOURS) else "--"
        axes.plot([*tokens], [*tokens.values()], f"o{style}", color=COLOURS[i % len(COLOURS)], label=name, markersize=4)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    lengths = sorted({length for tokens in found.values() for length in tokens})
    axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axes.set_xlabel("T, steps of a sequence; as many tokens a batch")
    axes.set_ylabel("µs a token, update of the world model")
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    return save(figure, out)


if __name__ == "__main__":
    main()
