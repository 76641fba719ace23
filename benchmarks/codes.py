"""How soon encoder and decoder alone learn the pictures of Memory Maze, through different codes, with no time between.

    python -m benchmarks codes
    python -m benchmarks codes --codes 128x4 --gains 1 3 --rates 1e-3 3e-3 --seconds 90

A code is S x C, S categorical latents of C classes, sampled as the world model samples them, or none: the decoder reads
the layer before them. What a code cannot carry here, or carries late, no world model with it will show. Errors are of
pictures not trained on, squared, in units of the largest brightness, summed over a picture; of objects, the root mean
square of levels of 255 at their pixels. The first line is what the mean picture would have.
"""

import argparse
import itertools
import time
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from benchmarks import machine
from benchmarks.familiar import objects
from benchmarks.foresight import levels_off
from envs import make
from experiments.drawing.players import oracle_policy
from experiments.oracles import strolling
from r2i_jit.nets import distributions as dist
from r2i_jit.nets.conv import ImageDecoder, ImageEncoder
from r2i_jit.nets.mlp import MLP, Linear
from r2i_jit.recording import record

ENV, SIZE, SHAPE = "memory_maze/9x9", 9, (64, 64, 3)
EPISODES, HELD_OUT, STEPS = 64, 8, 200  # of random play
ROUND, BATCH, UNITS, DEPTH = 64, 64, 256, 32
Data = tuple[jax.Array, jax.Array]


class Autoencoder(nn.Module):
    """A picture, a code, the picture."""

    code: tuple[int, int] | None
    gain: float
    unimix: float

    @nn.compact
    def __call__(self, image: jax.Array, key: jax.Array) -> jax.Array:
        """Map bytes (N, 64, 64, 3) to pictures in [-0.5, 0.5]."""
        x = ImageEncoder("patches", DEPTH)(image)
        if self.code is None:
            x = Linear(UNITS)(x)
        else:
            logits = self.gain * MLP(1, UNITS, self.code[0] * self.code[1])(x).reshape(-1, *self.code)
            probs = dist.unimix_probs(logits, self.unimix)
            x = dist.straight_through(dist.sample_one_hot(key, probs), probs).reshape(len(image), -1)
        return ImageDecoder("patches", DEPTH, UNITS, SHAPE)(x)


def pictures() -> tuple[jax.Array, Data]:
    """Return pictures (N, 64, 64, 3) of random play to train on, and others with where objects are (M, 64, 64)."""
    env, params = make(ENV)
    play = oracle_policy(env, params, strolling(0.75))
    played = record(env, params, play, jax.random.key(0), EPISODES, STEPS - 1)
    obs = jnp.moveaxis(played.step.obs, 0, 1)
    unseen = jax.tree.map(lambda leaf: leaf[:, :HELD_OUT], played.env_state)
    there = jax.jit(lambda states: objects(states, SIZE))(unseen)
    return obs[HELD_OUT:].reshape(-1, *SHAPE), (obs[:HELD_OUT].reshape(-1, *SHAPE), there.reshape(-1, *SHAPE[:2]))


def errors(off: jax.Array, there: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the error of pictures, given how far off they are, and of the objects in them."""
    return jnp.sum(off**2, (1, 2, 3)).mean(), levels_off(off, there)


def learn(model: Autoencoder, rate: float, seconds: float, seen: jax.Array, unseen: Data) -> tuple[float, ...]:
    """Train for so long; returns updates, errors of pictures trained on and of others, and of objects in these."""
    optimizer = optax.chain(optax.clip_by_global_norm(1000.0), optax.adamw(rate, weight_decay=1e-2))

    def off(params: Any, image: jax.Array, key: jax.Array) -> jax.Array:
        return model.apply(params, image, key) + 0.5 - image / 255.0

    def loss(params, image, key):
        return jnp.sum(off(params, image, key) ** 2, (1, 2, 3)).mean()

    @jax.jit
    def train(params, moments, seen, key):
        def update(carry, key):
            params, moments = carry
            key_batch, key_code = jax.random.split(key)
            batch = seen[jax.random.randint(key_batch, (BATCH,), 0, len(seen))]
            value, grads = jax.value_and_grad(loss)(params, batch, key_code)
            change, moments = optimizer.update(grads, moments, params)
            return (optax.apply_updates(params, change), moments), value

        (params, moments), losses = jax.lax.scan(update, (params, moments), jax.random.split(key, ROUND))
        return params, moments, losses.mean()

    params = jax.jit(model.init)(jax.random.key(1), seen[:1], jax.random.key(2))
    moments, spent, updates = optimizer.init(params), 0.0, 0
    compiled = train.lower(params, moments, seen, jax.random.key(3)).compile()
    while spent < seconds:
        begin = time.perf_counter()
        args = (params, moments, seen, jax.random.key(4 + updates))
        params, moments, trained = jax.block_until_ready(compiled(*args))
        spent, updates = spent + time.perf_counter() - begin, updates + ROUND
    test = jax.jit(lambda params, image, there: errors(off(params, image, jax.random.key(3)), there))
    found = test(params, *unseen)
    return updates, float(trained), *map(float, found)


def code(text: str) -> tuple[int, int] | None:
    """Return the S and C of "SxC", or None of "none"."""
    if text == "none":
        return None
    latents, classes = map(int, text.split("x"))
    return latents, classes


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("none", "32x16", "64x16", "128x4", "256x4")
    parser.add_argument(
        "--codes", type=code, nargs="+", default=[code(name) for name in names], metavar="SxC", help="or none"
    )
    parser.add_argument("--gains", type=float, nargs="+", default=[1.0], help="latent_gain (1)")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3], help="learning rates (1e-3)")
    parser.add_argument("--unimix", type=float, default=0.01, help="of the latents (%(default)s)")
    parser.add_argument("--seconds", type=float, default=45, help="of training, each (%(default)s)")
    args = parser.parse_args()
    seen, unseen = pictures()
    print(machine.describe() + "\n")
    print("| code | gain | learning rate | updates | trained on | not trained on | objects |")
    print("|---|--:|--:|--:|--:|--:|--:|", flush=True)
    mean = errors(seen.astype(jnp.float32).mean(0) / 255.0 - unseen[0] / 255.0, unseen[1])
    print("| the mean picture | | | | | {:.1f} | {:.1f} |".format(*mean))
    for latents, gain, rate in itertools.product(args.codes, args.gains, args.rates):
        updates, *found = learn(Autoencoder(latents, gain, args.unimix), rate, args.seconds, seen, unseen)
        cells = " | ".join(f"{value:.1f}" for value in found)
        name = "none" if latents is None else "{}x{}".format(*latents)
        print(f"| {name} | {gain:g} | {rate:g} | {updates:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
