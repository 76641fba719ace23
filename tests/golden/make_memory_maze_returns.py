"""Take from recordings of the original what players collected, and write memory_maze/returns.json.

    python -m tests.golden.make_memory_maze_returns FOLDER

FOLDER holds returns_random.jsonl and returns_oracle.jsonl, a line per size: uniformly random play, and a player that
knows the maze and walks the shortest way, on memory-maze 1.0.3 with dm_control 1.0.14 and mujoco 2.3.7.
"""

import argparse
import json
import pathlib

PLAYERS = {"random": "random", "shortest_way": "oracle"}


def main() -> None:
    """Read the recordings and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    returns: dict[str, dict[str, list[float]]] = {}
    for player, name in PLAYERS.items():
        for line in (args.folder / f"returns_{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            returns.setdefault(f"memory_maze/{row['size']}x{row['size']}", {})[player] = row["rets"]
    result = {"source": {"memory-maze": "1.0.3", "dm_control": "1.0.14", "mujoco": "2.3.7"}, "returns": returns}
    path = pathlib.Path(__file__).parent / "memory_maze" / "returns.json"
    path.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
