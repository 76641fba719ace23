"""Search hyper-parameters: `python -m experiments.search popgym --param hypers.model_lr=1e-4:1e-2:log --trials 64`.

Optuna proposes a batch of trials at a time, and a batch is one program: it compiles once for the whole search.
Only `hypers.*` keys can be searched; a key that shapes the program needs a search of its own.

A trial is trained in rounds. The first ends at `steps / halve^(rounds - 1)` steps, the last at `steps`. When `halve`
batches have come to the end of a round, the best of them, as many as one batch holds, go on together, and new trials
take the rows that this frees. A trial's score is the mean return of an evaluation, over its seeds; those that diverge
are dropped.

The same command again goes on where it was stopped or killed, and ends with what it would have ended with.
docs/search.md has the order of training, what it saves and what the files are.
"""

import importlib.util
from collections.abc import Sequence

from experiments.running import cli, process, signals, startup


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("search"), __doc__)
    _add_arguments(parser)
    args = parser.parse_args(argv)
    if args.suite is None and args.env is None and args.out_dir is None:
        parser.error("give a suite, such as popgym, or --env")
    if importlib.util.find_spec("optuna") is None:
        cli.fail("a search needs the package Optuna, an extra; install it with: pip install 'r2i-jit[search]'")
    with signals.StopSignal(args.max_time) as stop:
        startup.prepare(all_cores=True)
        from experiments.searching import starting

        code, path, text = starting.start(args, stop)
    if text is not None:
        print(f"{text}\nfigure: {path / 'search.png'}", flush=True)
    return code


def _add_arguments(parser: cli.Parser) -> None:
    """Add the options; what is not typed is the search's own where one is gone on with."""
    parser.add_argument("suite", nargs="?", help="a suite of environments, such as popgym; not needed with --env")
    parser.add_argument("--env", metavar="ID|MODULE:NAME", help="an environment (default: the suite's first)")
    cli.add_import_argument(parser)
    parser.add_argument(
        "--param", nargs="+", action="extend", default=[], metavar="KEY=LOW:HIGH[:log]",
        help="a hypers.* key to search, with its range; :log draws it on a log scale",
    )  # fmt: skip
    whole = cli.whole
    parser.add_argument("--trials", type=whole(1, 10**6), metavar="N", help="how many in all (default: 64)")
    parser.add_argument("--batch", type=whole(1, 4096), metavar="B", help="trials in one program (default: 16)")
    parser.add_argument("--seeds", type=whole(1, 4096), metavar="N", help="of each trial, a row each (default: 1)")
    parser.add_argument(
        "--steps", type=whole(1, cli.MOST_STEPS), metavar="N",
        help="env steps per seed of a trial that goes through all rounds (default: the preset's)",
    )  # fmt: skip
    cli.add_max_time_argument(parser)
    parser.add_argument("--rounds", type=whole(1, 20), metavar="R", help="default: 3; 1: nothing is pruned")
    parser.add_argument(
        "--halve", type=whole(2, 64), metavar="H", help="one trial in so many comes into the next round (default: 2)"
    )
    parser.add_argument(
        "--sampler", metavar="NAME|MODULE:CLASS",
        help="tpe, random, cmaes, qmc, gp, or a class of yours, a subclass of optuna.samplers.BaseSampler "
        "(default: tpe)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=whole(0, 2**32 - 1), metavar="S", help="root seed of sampler and runs (default: 0)"
    )
    parser.add_argument(
        "--size", choices=cli.SIZES, help="preset (default: auto = small with an accelerator, else tiny)"
    )
    cli.add_agent_argument(parser)
    parser.add_argument(
        "--set", dest="assignments", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="override config keys of all trials, such as loop.evaluation_episodes=128",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint-every", type=cli.seconds, metavar="SECONDS",
        help="default: 60, longer for a large state (200 s per GB); a search that is stopped saves in any case",
    )  # fmt: skip
    parser.add_argument(
        "--out-dir", type=cli.path, metavar="DIR",
        help="default: runs/<env>-<size>-search, with the agent where it is not R2I",
    )  # fmt: skip


if __name__ == "__main__":
    process.run(main)
