"""Play the reference players, and random play, and print their returns: `python -m experiments.oracles`.

    python -m experiments.oracles 'memory_maze/*' --episodes 256

Beside each return (mean and standard error) stands what the same kind of player reached on the original, where that was
measured.
"""

import argparse
import fnmatch
import sys
from collections.abc import Sequence

from experiments.running import cli, process, startup


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("oracles"), __doc__)
    parser.add_argument(
        "ids", nargs="*", default=["popgym/*"], metavar="ID", help="environments, or patterns (default: popgym/*)"
    )
    parser.add_argument("--episodes", type=cli.whole(2, 10**6), default=512, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=cli.whole(0, 2**32 - 1), default=0, metavar="S", help="default: %(default)s")
    parser.add_argument(
        "--repeat", nargs="+", type=_chance, default=[], metavar="P",
        help="also play random actions that are the last one again with this chance",
    )  # fmt: skip
    args = parser.parse_args(argv)
    startup.prepare()
    import jax

    import envs
    from envs.bsuite import ALIASES
    from experiments.oracles import RANDOM, oracles, strolling
    from experiments.running.display import table
    from experiments.running.references import references

    for pattern in args.ids:
        if not any(fnmatch.fnmatchcase(env_id, pattern) and oracles(env_id) for env_id in envs.registered()):
            cli.fail(f"{pattern!r} matches no environment that a reference player is known for")
    body, played = [], set[str]()  # An environment may have two ids.
    for env_id in envs.registered():
        if not any(fnmatch.fnmatchcase(env_id, pattern) for pattern in args.ids):
            continue
        if ALIASES.get(env_id, env_id) in played:
            continue
        played.add(ALIASES.get(env_id, env_id))
        known = references(env_id).get("players", {})
        for oracle in (*oracles(env_id), RANDOM, *map(strolling, args.repeat)):
            returns, lengths = oracle.play(env_id, jax.random.key(args.seed), args.episodes)
            error = returns.std(ddof=1) / len(returns) ** 0.5
            mean, spread, count = known.get(oracle.reference, (None, None, None))
            original = "-" if mean is None else f"{mean:.3f} ± {spread / count**0.5:.3f}"
            cells = [env_id, oracle.label, oracle.sees, f"{returns.mean():.3f} ± {error:.3f}", original]
            body.append([*cells, f"{lengths.mean():.0f}"])
            print(*body[-1], sep="  ", file=sys.stderr, flush=True)
        jax.clear_caches()
    print(table(["environment", "player", "sees", "return", "on the original", "length"], body))
    return 0


def _chance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is no chance, from 0 to 1")
    return value


if __name__ == "__main__":
    process.run(main)
