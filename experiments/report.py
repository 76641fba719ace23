"""Compare sets of runs: `r2i report runs/popgym-tiny-suite runs/popgym-dreamerv3-tiny-suite`.

A set is a run, a folder of runs such as `suite` makes, or a file that `plot --save-scores` wrote or a folder of those:
one agent, or one way to configure it. The folder of a comparison is a set for each of its agents. Printed, and written
into --out as report.md, report.json and report.png, are

- each game's return, mean and standard error over seeds, beside random play and the best known;
- how long each was trained: environment steps a seed, and minutes where they are known, and what is not trained so far;
- over the games that all sets have and of which random play and the best are known: interquartile mean, median, mean
  and optimality gap of the scores (0 random play, 1 the best known), with 95 % intervals by a bootstrap over seeds
  within games;
- for each two sets the probability that a run of the first is better in a game that all have;
- scores over environment steps and over minutes, a game's last evaluation counting; returns where there are no scores;
- for an experiment of bsuite with three settings or more the returns over what differs, such as the steps to remember:
  a table, and <experiment>.png;
- where `memory` has measured runs, the return with a memory that is emptied: a table, and memory.png.

Returns are those of the last evaluation, or with --steps of the last one after at most so many.
Ref: arXiv 2108.13264.
"""

from collections.abc import Sequence
from pathlib import Path

from experiments.running import cli, process


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("report"), __doc__)
    parser.add_argument(
        "paths", type=cli.path, nargs="+", metavar="SET", help="a run, a folder of runs, or a scores file"
    )
    parser.add_argument("--names", nargs="+", metavar="NAME", help="what the sets are called (default: their folders)")
    parser.add_argument(
        "--steps", type=cli.whole(1, cli.MOST_STEPS), metavar="N", help="what was reached after N steps"
    )
    parser.add_argument("--out", type=cli.path, default=Path("report"), metavar="DIR", help="default: ./report")
    args = parser.parse_args(argv)
    from experiments.comparing import document, memories, sets
    from experiments.running.runinfo import RunFileError

    paths = cli.once([folder for path in args.paths for folder in sets.folders(path)])
    if args.names is not None and len(args.names) != len(paths):
        parser.error(f"--names: expected {len(paths)}, one a set")
    if args.names is not None and len(set(args.names)) < len(paths):
        parser.error("--names: expected no two alike")
    called = args.names or cli.names([path.with_suffix("") if path.is_file() else path for path in paths])
    try:
        found = [sets.read(path, name) for path, name in zip(paths, called, strict=True)]
    except RunFileError as error:
        cli.fail(error)
    try:
        print(document.write(found, args.out, args.steps), end="")
        if remembered := memories.write(paths, called, args.out):
            print(f"\n{remembered}", end="")
    except OSError as error:
        cli.fail(f"cannot write to --out {args.out}: {error.strerror or error}")
    for path in paths:
        if (own := path / "report" / "report.md").exists():  # `suite bsuite` writes it
            cli.note(f"bsuite's own scores of {path} are in {own}")
    return 0


if __name__ == "__main__":
    process.run(main)
