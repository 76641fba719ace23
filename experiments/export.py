"""Write one agent of a run into a file by itself: `python -m experiments.export runs/... agent.safetensors`.

The file holds the weights of world model, actor and critics, the configuration, what observations and actions are, and
the return that was measured. `r2i_jit.load`, `evaluate`, `record` and `train --init-from` take it in the place of a run
directory. Nothing in it is ever unpickled.
"""

from collections.abc import Sequence

from experiments.running import cli, process, restoring, startup


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("export"), __doc__)
    parser.add_argument("run_dir", type=cli.path, metavar="RUN_DIR", help="a run directory")
    parser.add_argument("file", type=cli.path, metavar="FILE", help="where to, such as agent.safetensors")
    restoring.add_choice_arguments(parser)
    args = parser.parse_args(argv)

    startup.prepare()
    from r2i_jit import trained

    agent = restoring.read_agent(args.run_dir, args.step, args.member)
    try:
        args.file.parent.mkdir(parents=True, exist_ok=True)
        size = trained.write(args.file, agent)
    except OSError as error:
        cli.fail(f"cannot write {args.file}: {error.strerror or error}", cli.SAVE_FAILED)
    measured = "" if agent.returns is None else f", return {agent.returns['mean']:.3f}"
    print(f"{agent.config.env} at step {agent.step:,}{measured}: {args.file}, {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    process.run(main)
