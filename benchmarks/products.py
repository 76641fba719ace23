"""The gradients of a layer's parameters, as `r2i_jit.nets.mlp` writes them, against the library's.

    python -m benchmarks products
    python -m benchmarks products --shapes 65536,1024,64

Rows x of width D are multiplied by a (D, O) matrix; what is timed is the gradient with respect to the matrix: the
longer side last, as `product` has it, against the library's order. Then, for rows of width O, flax's LayerNorm and its
gradients against ours, which adds up few rows by a product with ones.
"""

import argparse

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks import machine
from r2i_jit.nets.mlp import LayerNorm, product

SHAPES = ["832,96,256", "832,256,96", "768,784,96", "4096,1024,1024", "65536,64,255", "65536,1024,64"]


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks products", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="ROWS,D,O", help="(%(default)s)")
    args = parser.parse_args(argv)
    print(f"{machine.describe()}\n")
    print("| rows | D | O | library (ms) | longer side last (ms) |\n|--:|--:|--:|--:|--:|", flush=True)
    for shape in args.shapes:
        rows, wide, out = (int(size) for size in shape.split(","))
        x, grad = jnp.ones((rows, wide)), jnp.ones((rows, out))
        times = []
        for multiply in (jnp.matmul, product):

            def gradient(x, grad, multiply=multiply):
                matrix = jnp.ones((x.shape[1], grad.shape[1]))
                return jax.vjp(lambda matrix: multiply(x, matrix), matrix)[1](grad)[0]

            compiled = jax.jit(gradient).lower(x, grad).compile()
            times.append(1e3 * machine.seconds_per_call(compiled, x, grad, repeats=25))
        print(f"| {rows:,} | {wide:,} | {out:,} | {times[0]:.2f} | {times[1]:.2f} |", flush=True)
    print("\n| rows | width | flax's LayerNorm (ms) | ours (ms) |\n|--:|--:|--:|--:|", flush=True)
    for rows, width in dict.fromkeys((int(shape.split(",")[0]), int(shape.split(",")[2])) for shape in args.shapes):
        times = [1e3 * _seconds_of_a_norm(layer, rows, width) for layer in (nn.LayerNorm(), LayerNorm())]
        print(f"| {rows:,} | {width:,} | {times[0]:.3f} | {times[1]:.3f} |", flush=True)


def _seconds_of_a_norm(layer: nn.Module, rows: int, width: int) -> float:
    """Return the seconds of a normalisation of ones (rows, width) and its gradients, input and parameters."""
    x = jnp.ones((rows, width))
    params = layer.init(jax.random.key(0), x)
    both = jax.jit(lambda params, x, grad: jax.vjp(layer.apply, params, x)[1](grad)).lower(params, x, x).compile()
    return machine.seconds_per_call(both, params, x, x, repeats=25)


if __name__ == "__main__":
    main()
