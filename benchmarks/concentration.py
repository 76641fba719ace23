"""What a world model knows of Concentration's cards: its surprise at each, by what has just happened to it.

    python -m benchmarks concentration --updates 2400
    python -m benchmarks concentration --set model.prior_skip=false

The model is trained alone, on random play that is new before every 100 updates, as in `recall --renew`. Surprise is
-log p, in nats, of a card as it is then seen on play that is never trained on. A card that is turned over shows one of
two colours: 0.69 nats to who does not remember it, and none to who does if it was seen before. Needs
`model.posterior=observation`, whose prior speaks of cards.
"""

import argparse
import time
from collections import defaultdict

import jax
import numpy as np

from benchmarks import machine
from benchmarks.alone import Alone
from experiments.presets import preset
from r2i_jit.world_model import WorldModel

ROUND, SHOWN = 100, 300  # updates between new play, and between two lines
KINDS = ("turned, new", "turned, seen before", "others that were up", "others that were down")


def surprises(nats: np.ndarray, up: np.ndarray, turned: np.ndarray) -> dict[str, list[float]]:
    """Sort an episode's surprises by what happened to the card.

    Args:
      nats: (T, cards), of each card as it is seen at each step; the first step's do not count.
      up: (T, cards), bool, which cards show their colour.
      turned: (T,), the card turned over before each step.

    Returns:
      For each of KINDS, nats at each step for which there is such a card; the others' are sums over cards.
    """
    sorted_nats = defaultdict(list)
    seen = up[0].copy()
    for t in range(1, len(up)):
        others = np.arange(up.shape[1]) != turned[t]
        if not up[t - 1, turned[t]]:
            sorted_nats[KINDS[int(seen[turned[t]])]].append(nats[t, turned[t]])
        sorted_nats[KINDS[2]].append(nats[t, others & up[t - 1]].sum())
        sorted_nats[KINDS[3]].append(nats[t, others & ~up[t - 1]].sum())
        seen |= up[t]
    return sorted_nats


def main(argv: list[str] | None = None) -> None:
    """Parse the command line, train, print a line every 300 updates."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks concentration", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--env", default="popgym/ConcentrationEasy", help="its level (%(default)s)")
    parser.add_argument("--updates", type=int, default=2400, help="training updates (%(default)s)")
    parser.add_argument("--steps", type=int, default=40_000, help="environment steps of random play (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="root seed (%(default)s)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides")
    args = parser.parse_args(argv)
    config = preset("popgym", "tiny", args.env).override([f"replay.prefill={args.steps}", *args.set])
    alone = Alone(config, args.seed, ROUND)
    model, cards = alone.trainer.agent.model, alone.trainer.agent.spec.size
    classes = alone.replay.obs.shape[-1] // cards  # the last is face down

    @jax.jit
    def look(params, key):
        """Return (surprises (B, T, cards), cards as they lie (B, T, cards), batch) of held-out play."""
        batch = alone.sample(alone.fresh, key)
        apply = lambda method, *inputs: model.apply({"params": params}, *inputs, method=method)
        carry = apply(WorldModel.initial, batch.obs.shape[0])
        observed = apply(WorldModel.observe, batch.obs, batch.prev_action, batch.is_first, carry, None)
        one_hot = batch.obs.reshape(*batch.obs.shape[:2], cards, classes)
        return -(observed.prior * one_hot).sum(-1), one_hot.argmax(-1), batch

    def mean_surprises(params):
        sorted_nats = defaultdict(list)
        for i in range(8):
            nats, lying, batch = jax.tree.map(np.asarray, look(params, jax.random.key(args.seed + 8 + i)))
            up, turned = lying < classes - 1, batch.prev_action.argmax(-1)
            for b in range(len(up)):
                ends = [*np.flatnonzero(batch.is_first[b]), up.shape[1]]  # of episodes, the first of which starts at 0
                for begin, end in zip(ends, ends[1:], strict=False):
                    for kind, values in surprises(*(x[b, begin:end] for x in (nats, up, turned))).items():
                        sorted_nats[kind] += values
        return [float(np.mean(sorted_nats[kind])) for kind in KINDS]

    print(machine.describe())
    print(f"{args.env} {' '.join(args.set)}\n")
    print("| updates | reward loss | KL (nats) | " + " | ".join(KINDS) + " | seconds |")
    print("|" + "---|" * (len(KINDS) + 4), flush=True)
    begin = time.perf_counter()
    for i in range(args.updates // ROUND):
        if i:
            alone.play(jax.random.fold_in(jax.random.key(args.seed), i))
        metrics = alone.train()
        if (i + 1) * ROUND % SHOWN == 0:
            values = (metrics["model/reward_loss"], metrics["model/kl"], *mean_surprises(alone.agent_state.model))
            row = " | ".join(f"{float(value):.3f}" for value in values)
            print(f"| {(i + 1) * ROUND} | {row} | {time.perf_counter() - begin:.0f} |", flush=True)


if __name__ == "__main__":
    main()
