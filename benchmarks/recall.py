"""How many updates the world model alone needs to learn to recall, on replay of random play.

    python -m benchmarks recall --env popgym/RepeatPreviousMedium --set model.stoch=8
    python -m benchmarks recall --env popgym/AutoencodeEasy --renew --updates 6000
    python -m benchmarks recall --env bsuite/memory_len_100 --renew

No actor, and no new data unless `--renew` plays anew before every 100 updates: the quickest way to see whether a change
helps the memory. Held-out play tells recalling from memorising the replay, which a game with few and long episodes
invites. The reward loss stays at what a model without memory reaches, then falls to the entropy of the two-hot target
once what was shown some steps ago is remembered; both bounds are printed (they hold for games whose reward is certain
given what is asked for, and which without memory is paid with one chance for all steps that pay: POPGym's
RepeatPrevious, RepeatFirst and Autoencode, bsuite's memory_len and memory_size).
"""

import argparse
import time

import jax
import numpy as np

from benchmarks import machine
from benchmarks.alone import Alone
from experiments.presets import preset
from r2i_jit import model_loss

ROUND = 100  # updates between two lines


def bounds(reward: np.ndarray, bins: int) -> tuple[float, float]:
    """Return (entropy of the two-hot target, the same plus that of the sign on every paid step), in nats."""
    position = (np.sign(reward) * np.log1p(np.abs(reward)) + 20.0) * ((bins - 1) / 40.0)
    upper = position - np.floor(position)
    weights = np.clip(np.stack([1 - upper, upper]), 1e-12, 1.0)
    floor = float(-(weights * np.log(weights)).sum(0).mean())
    good = np.clip(np.sum(reward > 0) / max(1, np.sum(reward != 0)), 1e-12, 1 - 1e-12)
    chance = -(good * np.log(good) + (1.0 - good) * np.log(1.0 - good))
    return floor, floor + float(np.mean(reward != 0) * chance)


def main(argv: list[str] | None = None) -> None:
    """Parse the command line, train, print a line every 300 updates."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks recall", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--env", default="popgym/RepeatPreviousEasy", help="environment (%(default)s)")
    parser.add_argument("--size", default="tiny", help="preset size (%(default)s)")
    parser.add_argument("--updates", type=int, default=2400, help="training updates (%(default)s)")
    parser.add_argument("--steps", type=int, default=60_000, help="environment steps of random play (%(default)s)")
    parser.add_argument("--renew", action="store_true", help="new random play before every 100 updates")
    parser.add_argument("--seed", type=int, default=0, help="root seed (%(default)s)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides")
    args = parser.parse_args(argv)
    config = preset(None, args.size, args.env).override([f"replay.prefill={args.steps}", *args.set])
    alone = Alone(config, args.seed, ROUND)
    trainer, stored = alone.trainer, min(int(alone.written), alone.trainer.capacity)
    floor, memoryless = bounds(np.asarray(alone.replay.reward[:stored]) * config.hypers.reward_scale, config.model.bins)
    print(machine.describe())
    print(f"{args.env} {' '.join(args.set)}: reward loss without memory {memoryless:.4f}, floor {floor:.4f}\n")

    @jax.jit
    def held_out(agent_state, key):
        """Return the reward loss on play that is never trained on."""

        def one(key):
            key_sample, key_loss = jax.random.split(key)
            batch = alone.sample(alone.fresh, key_sample)
            _, (metrics, _) = model_loss.loss(trainer.agent.model, agent_state.model, batch, alone.hypers, key_loss)
            return metrics["model/reward_loss"]

        return jax.lax.map(one, jax.random.split(key, 16)).mean()

    print(
        "| updates | reward loss | on fresh play | observation loss | KL (nats) | posterior entropy (nats) | seconds |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    begin = time.perf_counter()
    for i in range(args.updates // ROUND):
        if args.renew and i:
            alone.play(jax.random.fold_in(jax.random.key(args.seed), i))
        metrics = alone.train()
        if i % 3 == 2:
            new = held_out(alone.agent_state, jax.random.key(args.seed + 8))
            others = [metrics[f"model/{name}"] for name in ("observation_loss", "kl", "post_entropy")]
            values = " | ".join(f"{float(value):.4f}" for value in (metrics["model/reward_loss"], new, *others))
            print(f"| {(i + 1) * ROUND} | {values} | {time.perf_counter() - begin:.0f} |", flush=True)


if __name__ == "__main__":
    main()
