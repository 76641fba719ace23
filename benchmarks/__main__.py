"""`python -m benchmarks NAME …`: run one of the benchmarks; without a name, list them."""

import importlib
import sys

NAMES = {
    "envs": "steps per second of each environment, beside the original",
    "bsuite": "steps per second of each bsuite experiment, beside the original",
    "memory_maze": "frames per second of Memory Maze, beside the original, and where the time goes",
    "update": "one training update and its parts, at growing sequence length",
    "sequence": "one update with each recurrence, at growing sequence length and equal parameters",
    "start": "seconds from the command to the first update, in this checkout and in others",
    "end_to_end": "environment steps per second of the whole loop, for 1 to 8 seeds",
    "kernels": "the GPU kernels beside the loops that they replace",
    "products": "the gradient of a weight matrix in two orders",
    "images": "image encoder and decoder: convolutions, the library's and as matrix products, and patches",
    "codes": "how soon encoder and decoder alone learn pictures, through different latents",
    "recall": "how many updates the world model alone needs to learn to recall",
    "concentration": "what the world model alone learns of Concentration's cards, and when it remembers them",
    "recite": "how many updates the sequence model alone needs to recite cards backwards, and what delays it",
    "pictures": "how soon the world model alone learns the pictures of Memory Maze",
    "foresight": "how many steps ahead a run's world model foresees the pictures its agent will see",
    "ablation": "what matters for learning to recall",
}


def main() -> None:
    """Dispatch to a benchmark's main."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in NAMES:
        for known, what in NAMES.items():
            print(f"{known:13s} {what}")
        raise SystemExit(0 if name in ("", "-h", "--help") else 2)
    sys.argv = [f"python -m benchmarks {name}", *sys.argv[2:]]
    importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
