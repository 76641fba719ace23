"""How many updates the sequence model alone needs to recite N cards backwards, and what delays it.

    python -m benchmarks recite --cards 52
    python -m benchmarks recite --cards 52 --loss two-hot --head-init 0
    python -m benchmarks recite --cards 52 --prior 0.5 --noise 0.02

POPGym's Autoencode without the rest of the agent: the stack of the preset is shown N cards one by one, then acts at
random N times and predicts whether each action names the card that is due, the last one first. Every update has new
decks, so nothing can be learned by heart. `--loss two-hot` predicts that as the reward head does, `--prior` adds the
prediction of the next card, as the prior does, and `--noise` shows that share of the cards wrong, as sampled latents
do. Per row: the loss in excess of its entropy given the card, in nats, over all recited cards and in eight equal
stretches of them; what a model without memory reaches is in the header.
"""

import time
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import machine
from benchmarks.recall import bounds
from experiments.presets import preset
from experiments.running import cli
from r2i_jit.config import ModelConfig
from r2i_jit.nets import distributions as dist
from r2i_jit.nets.mlp import MLP, Dense, Linear
from r2i_jit.sequence.stack import Stack

SUITS, ROUND = 4, 500


class Reciter(nn.Module):
    """Input, stack, read-out and heads with the widths of the world model's."""

    config: ModelConfig
    outputs: int
    head_init: float

    @nn.compact
    def __call__(self, x: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map (B, T, D) to the head's outputs (B, T, outputs) and logits of the next card (B, T, SUITS)."""
        cfg = self.config
        stack = Stack(cfg)
        y, _ = stack.parallel(Linear(cfg.units)(x), first, stack.initial(x.shape[0]))
        h = nn.silu(Dense(cfg.deter, use_bias=True)(y))
        return MLP(cfg.head_layers, cfg.head_units, self.outputs, self.head_init)(h), MLP(1, cfg.units, SUITS)(h)


class Episodes(NamedTuple):
    """A batch: 2N steps, of which the decisions are the last of the shown cards and the N - 1 after it."""

    x: jax.Array  # (B, 2N, D): suit, whether more cards follow, start flag, action
    first: jax.Array  # (B, 2N) bool
    hit: jax.Array  # (B, N) bool: the action names the card that is due
    cards: jax.Array  # (B, N)


def episodes(key: jax.Array, batch: int, cards: int, action_scale: float, noise: float) -> Episodes:
    """Deal decks with equally many cards of each suit, show and recite them with random actions."""
    key_deck, key_act, key_wrong, key_which = jax.random.split(key, 4)
    deck = jnp.tile(jnp.arange(SUITS), cards // SUITS)
    dealt = jax.vmap(lambda key: jax.random.permutation(key, deck))(jax.random.split(key_deck, batch))
    wrong = jax.random.uniform(key_wrong, dealt.shape) < noise
    seen = jnp.where(wrong, jax.random.randint(key_which, dealt.shape, 0, SUITS), dealt)
    action = jax.random.randint(key_act, (batch, 2 * cards), 0, SUITS)
    time = jnp.broadcast_to(jnp.arange(2 * cards), (batch, 2 * cards))
    suit = jnp.concatenate([seen, jnp.zeros_like(seen)], 1)
    flags = jnp.stack([time < cards - 1, action_scale * (time == 0)], -1)
    x = jnp.concatenate([jax.nn.one_hot(suit, SUITS), flags, action_scale * jax.nn.one_hot(action, SUITS)], -1)
    hit = action[:, cards - 1 : 2 * cards - 1] == dealt[:, ::-1]
    return Episodes(x, time == 0, hit, dealt)


def main(argv: list[str] | None = None) -> None:
    """Parse the command line, train, print a line every 500 updates."""
    parser = cli.Parser(prog="python -m benchmarks recite", description=__doc__)
    parser.add_argument("--cards", type=cli.whole(8), default=52, help="a multiple of four, at least 8 (%(default)s)")
    parser.add_argument("--updates", type=cli.whole(ROUND), default=4000, help="training updates (%(default)s)")
    parser.add_argument("--batch", type=cli.whole(1), default=8, help="episodes of an update (%(default)s)")
    parser.add_argument("--loss", choices=("binary", "two-hot"), default="binary", help="(%(default)s)")
    parser.add_argument("--head-init", type=float, default=1.0, help="scale of the head's first weights (%(default)s)")
    parser.add_argument("--prior", type=float, default=0.0, help="weight of the next card's loss (%(default)s)")
    parser.add_argument("--noise", type=float, default=0.0, help="share of cards shown wrong (%(default)s)")
    parser.add_argument("--seed", type=cli.whole(0), default=0, help="root seed (%(default)s)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides")
    args = parser.parse_args(argv)
    if args.cards % SUITS:
        cli.fail(f"--cards {args.cards}: expected a multiple of {SUITS}")
    config = preset("popgym", "tiny", "popgym/AutoencodeEasy").override(args.set)
    reciter = Reciter(config.model, config.model.bins if args.loss == "two-hot" else 1, args.head_init)

    def deal(key):
        return episodes(key, args.batch, args.cards, config.model.action_scale, args.noise)

    def loss(params, key):
        batch, n = deal(key), args.cards
        out, following = reciter.apply(params, batch.x, batch.first)
        out = out[:, n - 1 : 2 * n - 1]
        if args.loss == "two-hot":
            value = dist.two_hot_loss(out, jnp.where(batch.hit, 1.0, -1.0)) - floor
        else:
            value = optax.sigmoid_binary_cross_entropy(out[..., 0], batch.hit.astype(jnp.float32))
        prior = optax.softmax_cross_entropy_with_integer_labels(following[:, : n - 1], batch.cards[:, 1:])
        # Each is paid on half of the steps.
        return 0.5 * (value.mean() + args.prior * prior.mean()), value.mean(0)

    floor, memoryless = bounds(np.array([1.0, -1.0]), config.model.bins)
    example = deal(jax.random.key(0))
    params = reciter.init(jax.random.key(args.seed), example.x, example.first)
    optimiser = optax.adam(config.hypers.model_lr)
    print(machine.describe())
    print(f"{args.cards} cards, {args.loss} loss, head init {args.head_init:g}, prior {args.prior:g}, noise "
          f"{args.noise:g} {' '.join(args.set)}: without memory {memoryless - floor:.3f}\n")  # fmt: skip
    print("| updates | loss | by stretch, last shown cards first | seconds |\n|---|---|---|---|", flush=True)

    @jax.jit
    def train(carry, key):
        def update(carry, key):
            params, state = carry
            grads, value = jax.grad(loss, has_aux=True)(params, key)
            step, state = optimiser.update(grads, state)
            return (optax.apply_updates(params, step), state), value

        carry, values = jax.lax.scan(update, carry, jax.random.split(key, ROUND))
        return carry, values[ROUND // 2 :].mean(0)

    carry, begin = (params, optimiser.init(params)), time.perf_counter()
    for i in range(args.updates // ROUND):
        carry, values = train(carry, jax.random.fold_in(jax.random.key(args.seed + 1), i))
        stretches = " ".join(f"{part.mean():.3f}" for part in np.array_split(np.asarray(values), 8))
        seconds = time.perf_counter() - begin
        print(f"| {(i + 1) * ROUND} | {float(values.mean()):.3f} | {stretches} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
