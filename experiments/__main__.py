"""All commands under one name: `r2i train popgym` is `python -m experiments.train popgym`."""

import difflib
import importlib
import sys

from experiments.running import cli, process

COMMANDS = {
    "train": "train an agent",
    "sweep": "train a grid of hyper-parameters in one program",
    "search": "search hyper-parameters by Optuna, a batch of trials as one program",
    "suite": "train on every environment of a suite into one table",
    "compare": "train several agents on the same games and compare them",
    "launch": "train many runs by one command: environments, seeds in shards, grids of sizes",
    "status": "say how runs stand: done, running, failed, stopped, with their returns",
    "evaluate": "play fresh episodes with a run's checkpoint",
    "export": "write an agent into a file by itself",
    "plot": "draw or compare learning curves",
    "report": "compare sets of runs: scores over games and seeds, with intervals",
    "memory": "measure what a run's agents remember, and what it is worth to them",
    "record": "draw episodes of a run's agent, of random play or of a reference player",
    "play": "play an environment yourself",
    "cross-evaluate": "play in the original Memory Maze and in ours",
    "smoke": "let the agent take a few updates on every environment of a suite",
    "doctor": "say what this machine and this installation are, and what is wrong with them",
    "environments": "list the environments",
    "oracles": "play the reference players",
}


def main() -> int:
    """Run the command that the first word names and return its exit code."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print("usage: r2i COMMAND ... (each command takes --help)\n")
        print("\n".join(f"  {name:{width}s}  {does}" for name, does in COMMANDS.items()))
        return 0 if words else cli.USAGE
    if words[0] not in COMMANDS:
        near = difflib.get_close_matches(words[0], COMMANDS, n=1)
        cli.fail(f"unknown command {words[0]!r}" + (f"; did you mean {near[0]}?" if near else " (see r2i --help)"))
    name = words[0].replace("-", "_")
    module = importlib.import_module(f"experiments.{name}{'.__main__' if name == 'oracles' else ''}")
    return module.main(words[1:])


def script() -> None:
    """What the console script `r2i` runs."""
    process.run(main)


if __name__ == "__main__":
    script()
