"""Draw learning curves: `r2i plot runs/a [runs/b ...]`.

Thin lines are seeds, the thick line is their mean, the band its 95 % confidence interval over seeds (Student's t, so
it is honestly wide with few seeds), dots are the evaluations. Dashed lines are known returns of the environment, grey
squares points of a published curve, as far as they lie within the run's steps.
"""

from collections.abc import Sequence
from pathlib import Path

from experiments.running import cli, process


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("plot"), __doc__)
    parser.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR", help="several are compared")
    parser.add_argument(
        "--out", type=Path, metavar="PNG", help="default: RUN_DIR/plots/learning_curve.png, or ./learning_curves.png"
    )
    args = parser.parse_args(argv)
    single = args.run_dirs[0] / "plots" / "learning_curve.png"
    default = single if len(args.run_dirs) == 1 else Path("learning_curves.png")
    from experiments.drawing.curves import plot_runs

    try:
        print(plot_runs(args.run_dirs, args.out or default))
    except OSError as error:
        cli.fail(f"cannot write the figure: {error.strerror or error}")
    return 0


if __name__ == "__main__":
    process.run(main)
