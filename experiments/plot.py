"""Draw learning curves: `r2i plot runs/a [runs/b ...]`.

Thin lines are seeds, the thick line is their mean, the band its 95 % confidence interval over seeds (Student's t, so
it is honestly wide with few seeds), dots are the evaluations. Dashed lines are known returns of the environment, grey
squares points of a published curve, as far as they lie within the run's steps.

--save-scores keeps what the figure shows of the runs in a small JSON file, and --from draws it again without them
(docs/scores/README.md).
"""

from collections.abc import Sequence
from pathlib import Path

from experiments.running import cli, process


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("plot"), __doc__)
    parser.add_argument("run_dirs", type=cli.path, nargs="*", metavar="RUN_DIR", help="several are compared")
    parser.add_argument(
        "--from", dest="files", type=cli.path, nargs="+", action="extend", default=[], metavar="JSON",
        help="files that --save-scores wrote, beside the runs or in their place",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=cli.path, metavar="PNG",
        help="default: RUN_DIR/plots/learning_curve.png, for one file ./FILE.png, for several ./learning_curves.png",
    )  # fmt: skip
    parser.add_argument("--save-scores", type=cli.path, metavar="JSON", help="write the runs' curves into a file, too")
    group = parser.add_argument_group("what --save-scores says of the runs, where their files do not tell it")
    group.add_argument("--command", metavar="TEXT", help="what trained them")
    group.add_argument("--machine", metavar="TEXT", help="where they were trained")
    group.add_argument("--commit", metavar="TEXT", help="the sources that trained them")
    args = parser.parse_args(argv)
    if not args.run_dirs and not args.files:
        parser.error("name a run directory, or a file with --from")
    if args.save_scores and not args.run_dirs:
        parser.error("--save-scores keeps the curves of runs: name a run directory")
    args.run_dirs, args.files = cli.once(args.run_dirs), cli.once(args.files)
    from experiments.drawing import scores

    try:
        print(scores.plot(args.run_dirs, args.files, args.out or _default(args.run_dirs, args.files)))
    except OSError as error:
        cli.fail(f"cannot write the figure: {error.strerror or error}")
    if args.save_scores:
        origin = {"command": args.command, "machine_name": args.machine, "commit": args.commit}
        print(scores.save(args.run_dirs, args.save_scores, **origin))
    return 0


def _default(run_dirs: Sequence[Path], files: Sequence[Path]) -> Path:
    if len(run_dirs) == 1 and not files:
        return run_dirs[0] / "plots" / "learning_curve.png"
    return Path(f"{files[0].stem}.png" if len(files) == 1 and not run_dirs else "learning_curves.png")


if __name__ == "__main__":
    process.run(main)
