"""How soon the world model alone learns the pictures of Memory Maze, on replay of random play.

    python -m benchmarks pictures --seconds 180
    python -m benchmarks pictures --set hypers.model_lr=2e-3 hypers.ssm_lr=2e-3

No actor, no new data: the quickest way to see whether a change helps. Errors are squared, in units of the largest
brightness, summed over a picture; 12 is 8 of 255 levels at every pixel. On play that is never trained on, they are of
pictures that the model has seen, and of those that it predicts from actions alone, so many steps after the last one
seen; beside them, how many of these predictions are recognised among all the held-out episodes (`foresight`). The last
line is what showing the last picture again would get. Errors hardly tell whether objects are seen, which are small: the
column "objects" is the root mean square of levels of 255 at their pixels, in pictures seen.
"""

import argparse
import time

import jax
import jax.numpy as jnp

from benchmarks import machine
from benchmarks.alone import Alone
from benchmarks.familiar import objects
from benchmarks.foresight import foresight, levels_off
from envs.memory_maze.environment import MemoryMaze
from experiments.drawing.players import oracle_policy
from experiments.oracles import strolling
from experiments.presets import preset
from r2i_jit.recording import record

ROUND = 32  # updates between two looks at the clock
EPISODES, CONTEXT, AHEAD = 64, 40, (1, 2, 4, 8, 16)


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
    agent, env, params = alone.trainer.agent, alone.trainer.env, alone.trainer.env_params
    if not isinstance(env, MemoryMaze):
        parser.error(f"--env {args.env}: only memory_maze/... has pictures of which is known where objects are")
    policy = oracle_policy(env, params, strolling(alone.trainer.config.replay.prefill_repeat))
    played = record(env, params, policy, jax.random.key(args.seed + 8), EPISODES, CONTEXT + AHEAD[-1] - 1)
    episodes = tuple(jnp.moveaxis(leaf, 0, 1) for leaf in (played.step.obs, played.action, played.step.is_first))
    seen = jax.tree.map(lambda leaf: leaf[:CONTEXT], played.env_state)
    there = jax.jit(lambda states: objects(states, env.size))(seen)

    @jax.jit
    def held_out(agent_state, episodes, there):
        """Return the Foresight on play not trained on, and how far off objects are."""
        found = foresight(agent, agent_state, episodes, CONTEXT, AHEAD, None)
        return found, levels_off(found.off_seen, there)

    pairs = lambda errors, shares: " | ".join(f"{e:.0f}, {s:.0%}" for e, s in zip(errors, shares, strict=True))
    print(machine.describe())
    print(f"{args.env} {' '.join(args.set)}\n")
    names = [f"{steps} ahead" for steps in AHEAD]
    print(f"| seconds | updates | training | KL (nats) | seen | objects | {' | '.join(names)} |")
    print("|--:|--:|--:|--:|--:|--:|" + "--:|" * len(AHEAD), flush=True)
    alone.train()  # compiles
    spent, line, updates = 0.0, 0.0, ROUND
    while spent < args.seconds:
        begin = time.perf_counter()
        metrics = jax.block_until_ready(alone.train())
        spent, updates = spent + time.perf_counter() - begin, updates + ROUND
        if spent >= min(line + args.every, args.seconds):
            line += args.every
            found, off = held_out(alone.agent_state, episodes, there)
            trained = f"{metrics['model/observation_loss']:.1f} | {metrics['model/kl']:.2f}"
            cells = pairs(found.predicted, found.recognised)
            print(f"| {spent:.0f} | {updates} | {trained} | {found.seen:.1f} | {off:.0f} | {cells} |", flush=True)
    print(f"| | | | | | | {pairs(found.again, found.recognised_again)} |")


if __name__ == "__main__":
    main()
