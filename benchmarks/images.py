"""Time of the image encoder and decoder: convolutions, the library's and as matrix products, and patches.

    python -m benchmarks images
    python -m benchmarks images --depths 8 32 --frames 512

A gradient step with respect to the parameters, in microseconds per 64 x 64 frame: by itself, and as the training loop
runs it, inside a scan and under a vmap over one and over two seeds (frames of all seeds counted).
"""

import argparse
import contextlib
from unittest import mock

import jax
import jax.numpy as jnp

from benchmarks import machine
from r2i_jit.nets import conv

SIZE = (64, 64, 3)
LAYOUT = ("NHWC", "HWIO", "NHWC")
STEPS = 2  # of the scan


def library_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stand in for `conv.conv`."""
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)


def library_conv_transpose(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stand in for `conv.conv_transpose`."""
    return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)


def measure(net, depth: int, units: int, frames: int, library: bool) -> list[float]:
    """Return microseconds per frame: by itself, in the loop for one seed, in the loop for two."""
    encoder, decoder = conv.ImageEncoder(net, depth), conv.ImageDecoder(net, depth, units, SIZE)
    image = jax.random.uniform(jax.random.key(0), (frames, *SIZE)) - 0.5

    def init(key):
        code, encoding = encoder.init_with_output(key, image[:1])
        return {"encoder": encoding, "decoder": decoder.init(key, code)}

    def update(params, image):
        def loss(params):
            code = encoder.apply(params["encoder"], image)
            return jnp.mean((decoder.apply(params["decoder"], code) - image) ** 2)

        return jax.tree.map(lambda p, g: p - 1e-3 * g, params, jax.grad(loss)(params))

    def loop(params, images):
        def step(params, _):
            return jax.vmap(update)(params, images), None

        return jax.lax.scan(step, params, None, length=STEPS)[0]

    replaced = {"conv": library_conv, "conv_transpose": library_conv_transpose} if library else {}
    with mock.patch.multiple(conv, **replaced) if replaced else contextlib.nullcontext():
        params = jax.jit(init)(jax.random.key(1))
        times = [
            machine.seconds_per_call(jax.jit(update).lower(params, image).compile(), params, image, repeats=3) / frames
        ]
        for seeds in (1, 2):
            many, images = jax.tree.map(lambda x, n=seeds: jnp.stack([x] * n), (params, image))
            compiled = jax.jit(loop).lower(many, images).compile()
            times.append(machine.seconds_per_call(compiled, many, images, repeats=3) / (frames * seeds * STEPS))
    return [1e6 * value for value in times]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 32], help="of the first convolution")
    parser.add_argument("--patches", type=int, default=32, metavar="DEPTH", help="numbers per patch (%(default)s)")
    parser.add_argument("--units", type=int, default=256, help="of the decoder of patches (%(default)s)")
    parser.add_argument("--frames", type=int, default=256, help="of one seed in one update")
    args = parser.parse_args()
    print(machine.describe() + "\n")
    print("| network | depth | written as | by itself, us/frame | in the loop, 1 seed | in the loop, 2 seeds |")
    print("|---|--:|---|--:|--:|--:|")
    rows = [("convolutions", depth, library) for depth in args.depths for library in (True, False)]
    for net, depth, library in [*rows, ("patches", args.patches, False)]:
        name = "the library's" if library else "matrix products"
        times = " | ".join(f"{value:,.0f}" for value in measure(net, depth, args.units, args.frames, library))
        print(f"| {net} | {depth} | {name} | {times} |", flush=True)


if __name__ == "__main__":
    main()
