"""How soon the world model alone learns the pictures of Memory Maze, on replay of random play.

    python -m benchmarks pictures --seconds 180
    python -m benchmarks pictures --set hypers.model_lr=2e-3 hypers.ssm_lr=2e-3

No actor, no new data: the quickest way to see whether a change helps. Errors are squared, in units of the largest
brightness, summed over a picture; 12 is 8 of 255 levels at every pixel. On play that is never trained on, they are of
pictures that the model has seen, and of those that it predicts from actions alone, so many steps after the last one
seen; beside them, how many of these predictions are recognised among all the held-out windows (`foresight`). The last
line is what showing the last picture again would get.
"""

import argparse
import time

import jax
import jax.numpy as jnp

from benchmarks import machine
from benchmarks.alone import Alone
from benchmarks.foresight import foresight
from experiments.presets import preset

ROUND = 32  # updates between two looks at the clock
WINDOWS, CONTEXT, AHEAD = 64, 40, (1, 2, 4, 8, 16)
SPARE = 200  # steps at the end of each stream in which no held-out window begins


def main() -> None:
    """Train and print a line a minute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="memory_maze/9x9", help="environment (%(default)s)")
    parser.add_argument("--size", default="tiny", help="preset size (%(default)s)")
    parser.add_argument("--seconds", type=float, default=300, help="of training (%(default)s)")
    parser.add_argument("--every", type=float, default=60, help="seconds between two lines (%(default)s)")
    parser.add_argument("--steps", type=int, default=50_000, help="environment steps of random play (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="root seed (%(default)s)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides")
    args = parser.parse_args()
    size = [f"replay.prefill={args.steps}", f"replay.capacity={args.steps + 1000}"]
    alone = Alone(preset("memory_maze", args.size, args.env).override([*size, *args.set]), args.seed, ROUND)
    agent, num_envs = alone.trainer.agent, alone.trainer.config.loop.num_envs
    if args.steps <= SPARE * num_envs:
        parser.error(f"--steps {args.steps}: {num_envs} environments need more than {SPARE * num_envs}")

    def held_out(agent_state, fresh):
        """Return the Foresight on windows of play not trained on."""
        start = jax.random.randint(jax.random.key(args.seed + 8), (WINDOWS,), 0, args.steps // num_envs - SPARE)
        window = start[:, None] + jnp.arange(CONTEXT + AHEAD[-1])
        env = jnp.arange(WINDOWS)[:, None] % num_envs
        obs, action, first = (leaf[window, env] for leaf in (fresh.obs, fresh.action, fresh.is_first))
        return foresight(agent, agent_state, (obs, action, first.at[:, 0].set(True)), CONTEXT, AHEAD, None)

    pairs = lambda errors, shares: " | ".join(f"{e:.0f}, {s:.0%}" for e, s in zip(errors, shares, strict=True))
    print(machine.describe())
    print(f"{args.env} {' '.join(args.set)}\n")
    names = [f"{steps} ahead" for steps in AHEAD]
    print(f"| seconds | updates | training | KL (nats) | seen | {' | '.join(names)} |")
    print("|--:|--:|--:|--:|--:|" + "--:|" * len(AHEAD), flush=True)
    alone.train()  # compiles
    spent, line, updates = 0.0, 0.0, ROUND
    while spent < args.seconds:
        begin = time.perf_counter()
        metrics = jax.block_until_ready(alone.train())
        spent, updates = spent + time.perf_counter() - begin, updates + ROUND
        if spent >= min(line + args.every, args.seconds):
            line += args.every
            found = held_out(alone.agent_state, alone.fresh)
            trained = f"{metrics['model/observation_loss']:.1f} | {metrics['model/kl']:.2f}"
            cells = pairs(found.predicted, found.recognised)
            print(f"| {spent:.0f} | {updates} | {trained} | {found.seen:.1f} | {cells} |", flush=True)
    print(f"| | | | | | {pairs(found.again, found.recognised_again)} |")


if __name__ == "__main__":
    main()
