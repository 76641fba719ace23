"""Play one policy in the original Memory Maze and in ours: `python -m experiments.cross_evaluate runs/...`.

Prints the mean returns in the original, in ours from the same mazes and starts, and in mazes of ours, and how many
standard errors lie between them. The original runs in processes of a Python of its own, which --original names:
docs/memory_maze.md says how to make one. --policy random or oracle plays without a run directory. With --replay,
actions are chosen in the original and played again in ours, and the two are compared step by step. Writes nothing.
"""

import math
from collections.abc import Sequence
from typing import Any

from experiments.running import cli, process, restoring, startup

DEFAULT_ENV = "memory_maze/9x9"
STICKY = 0.75  # Chance that a sticky player does again what it did.
POLICIES, PLAYERS = ("agent", "random", "oracle"), ("random", "sticky", "oracle")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    args = _parser().parse_args(argv)
    if args.policy == "agent" and not args.replay and args.run_dir is None:
        cli.fail("give a run directory, --policy random, --policy oracle or --replay")
    if args.run_dir is not None and args.env:
        cli.fail("give a run directory or --env ID, not both")
    if args.episodes == 1 and not args.replay:
        cli.fail("--episodes 1: a standard error takes two or more")
    startup.prepare()
    print(_replayed(args) if args.replay else _evaluated(args))
    return 0


def _parser() -> cli.Parser:
    parser = cli.Parser(cli.program("cross_evaluate"), __doc__)
    restoring.add_agent_arguments(parser)
    parser.add_argument("--original", required=True, metavar="PYTHON", help="the Python that has the original")
    parser.add_argument("--policy", choices=POLICIES, default="agent", help="who plays (default: %(default)s)")
    parser.add_argument("--env", metavar="ID", help=f"without a run directory (default: {DEFAULT_ENV})")
    parser.add_argument(
        "--episodes", type=cli.whole(1, 10**4), default=16, metavar="N", help="of the original (default: %(default)s)"
    )
    parser.add_argument(
        "--repeats", type=cli.whole(1, 10**4), default=8, metavar="N",
        help="episodes of ours for each of the original, which costs little (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=cli.whole(1, 256), default=1, metavar="N", help="originals at once (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=cli.whole(0, 2**32 - 1), default=0, metavar="S", help="of the episodes (default: %(default)s)"
    )
    parser.add_argument("--replay", action="store_true", help="play the original's actions again in ours")
    parser.add_argument(
        "--players", nargs="+", choices=PLAYERS, default=PLAYERS, help="who chooses them (default: all three)"
    )
    parser.add_argument("--max-steps", type=cli.whole(1), metavar="N", help="of a replayed episode (default: all)")
    return parser


def _env_id(args: Any) -> str:
    """Return the id of the environment; exit 2 if it is no Memory Maze."""
    name = args.env or (restoring.described(args.run_dir, args.member) if args.run_dir else DEFAULT_ENV)
    if not name.startswith("memory_maze/"):
        cli.fail(f"{name} has no original to play in; only memory_maze/... does")
    if args.run_dir and name.endswith("-rays"):
        cli.fail(
            f"{args.run_dir} sees rays, and the original shows pictures; give a run of {name.removesuffix('-rays')}"
        )
    return name


def _evaluated(args: Any) -> str:
    """Play in both and return the result as text."""
    import jax

    from envs.memory_maze.environment import MemoryMaze
    from experiments.drawing import players
    from experiments.original import play, processes

    name, count = _env_id(args), min(args.processes, args.episodes)
    looks = args.policy == players.AGENT
    if looks:
        match = players.of_run(args.run_dir, args.step, args.member, args.policy, args.seed)
        env = match.env
    else:
        match = players.without_run(name, args.policy, args.seed)
        env = MemoryMaze(match.env.size, observation="vector")
    key, key_same, key_own, key_reset = jax.random.split(match.key, 4)
    with processes.running(args.original, env.size, args.seed, count, plain=not looks) as originals:
        theirs, begun = play.play(originals, match.policy, key, args.episodes)
    begun = jax.tree.map(lambda leaf: leaf.repeat(args.repeats, 0), begun)
    same = play.play_ours(env, match.policy, begun, key_same)
    keys = jax.random.split(key_reset, len(same))
    own = jax.jit(jax.vmap(lambda key: env.reset_env(key, match.params)[1]))(keys)
    own = play.play_ours(env, match.policy, own, key_own)
    return f"{match.title} | {args.policy}\n{_compared(theirs, same.reshape(args.episodes, -1), own)}"


def _compared(theirs: Any, same: Any, own: Any) -> str:
    """Return the returns as a table.

    Args:
      theirs: of the original, float64 (N,).
      same: of ours from each of its first states, float64 (N, repeats).
      own: of ours in mazes of its own, float64 (M,).
    """
    from experiments.running.display import table

    rows = [["original", len(theirs), _show(theirs), "", ""]]
    # Which maze it is explains much of a return: differences within mazes are known better than the means.
    rows.append(["ours, same mazes and starts", same.size, _show(same.mean(1)), *_difference(same.mean(1) - theirs)])
    error = math.hypot(_stderr(own), _stderr(theirs))
    rows.append(["ours, mazes of its own", len(own), _show(own), *_difference(own.mean() - theirs.mean(), error)])
    return table(["where", "episodes", "return (mean ± s.e.)", "less the original's", "standard errors"], rows)


def _difference(values: Any, error: float | None = None) -> tuple[str, str]:
    """Return a mean difference with its error, and how many errors it is; the error of several values is their own."""
    mean = float(values.mean())
    error = _stderr(values) if error is None else error
    return f"{mean:+.2f} ± {error:.2f}", f"{abs(mean) / error:.1f}" if error > 0 else "-"


def _show(values: Any) -> str:
    return f"{values.mean():.2f} ± {_stderr(values):.2f}"


def _stderr(values: Any) -> float:
    """Return the standard error of a mean; 0 for a single value."""
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _replayed(args: Any) -> str:
    """Record the original, play its actions in ours, and return the comparison as text."""
    import jax

    from experiments.drawing import players
    from experiments.oracles import strolling
    from experiments.original import processes, replay

    name, count = _env_id(args), min(args.processes, args.episodes)
    matches = {player: players.without_run(name, player, args.seed) for player in (players.RANDOM, players.ORACLE)}
    _, env, params, *_ = matches[players.RANDOM]
    policies = {player: match.policy for player, match in matches.items()}
    policies["sticky"] = players.oracle_policy(env, params, strolling(STICKY))
    figures: dict[str, list[dict[str, float]]] = {}
    with processes.running(args.original, env.size, args.seed, count, plain=False) as originals:
        for player in args.players:
            key, rows = jax.random.fold_in(jax.random.key(args.seed), PLAYERS.index(player)), list[dict[str, float]]()
            figures[player] = rows
            while len(rows) < args.episodes:
                key, key_play = jax.random.split(key)
                playing = originals[: args.episodes - len(rows)]
                recordings = replay.record(playing, policies[player], key_play, args.max_steps)
                rows += [replay.compare(recording, replay.follow(env, recording)) for recording in recordings]
                parted = ", ".join(f"{row['parted']:g}" for row in rows)
                cli.note(f"{player}: {len(rows)} of {args.episodes} episodes, apart after steps {parted}")
    return f"{name}, actions chosen in the original\n{replay.report(figures)}"


if __name__ == "__main__":
    process.run(main)
