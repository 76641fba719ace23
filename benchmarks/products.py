"""The gradient of a weight matrix: the longer side last, as `product` has it, against the library's order.

    python -m benchmarks products
    python -m benchmarks products --shapes 65536,1024,64

Rows x of width D are multiplied by a (D, O) matrix; what is timed is the gradient with respect to the matrix alone.
"""

import argparse

import jax
import jax.numpy as jnp

from benchmarks import machine
from r2i_jit.nets.mlp import product

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


if __name__ == "__main__":
    main()
