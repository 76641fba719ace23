"""Train R2I on a suite: `python -m experiments.train popgym`.

Writes a run directory with metrics, checkpoints, TensorBoard files and a learning curve, and ends with an evaluation.
Ctrl-C and the signals that ask to stop (TERM, HUP, USR1, USR2) save first; `--resume` goes on as if nothing had
happened. Exit codes: 0 done, 2 usage or config, 3 no usable checkpoint, 4 save failed, 5 all members diverged, 6 run
directory in use, 75 run me again with --resume (--max-time, USR1, USR2), 128 + number of another signal that stopped
it (130 for Ctrl-C). docs/runs.md says more.
"""

from collections.abc import Sequence

from experiments.drawing.filming import filmer
from experiments.running import cli, process, signals
from experiments.running.starting import start


def main(argv: Sequence[str] | None = None, go_on: str | None = None) -> int:
    """Run the command line and return the exit code; `go_on` is what resumes it, by default its own --resume."""
    parser = cli.Parser(cli.program("train"), __doc__)
    cli.add_run_arguments(parser)
    parser.set_defaults(go_on=go_on)
    args = cli.parse_run(parser, argv)
    with signals.StopSignal(args.max_time) as stop:
        members_of = lambda config, seeds: [{"seed": seed} for seed in range(seeds)]
        code, path, result = start(args, stop, "train", members_of, filmer)
    if result is not None:
        from experiments.drawing.curves import show_run

        show_run(path)
    return code


if __name__ == "__main__":
    process.run(main)
