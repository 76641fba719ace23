"""Play fresh episodes with a run's checkpoint: `python -m experiments.evaluate runs/...`.

Prints the return per seed and overall, with standard errors and what is known of the environment. Writes nothing, so it
can be used on a run that is still training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.running import cli, process, restoring, startup


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("evaluate"), __doc__)
    parser.add_argument("run_dir", type=cli.path, help=restoring.WHAT)
    parser.add_argument(
        "--episodes", type=cli.whole(1, 10**6), default=128, metavar="N", help="per seed (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=cli.whole(0, 2**32 - 1), default=0, metavar="S", help="of the episodes (default: %(default)s)"
    )
    parser.add_argument(
        "--forget",
        type=cli.whole(1),
        metavar="K",
        help="empty the agent's memory every K steps of an episode: what is lost hung on older ones",
    )
    parser.add_argument(
        "--max-steps",
        type=cli.whole(1),
        metavar="N",
        help="cut an episode that has not ended after N steps (default: its own length, at least 10,000)",
    )
    restoring.add_step_argument(parser)
    cli.add_import_argument(parser)
    args = parser.parse_args(argv)

    startup.prepare()
    from experiments.running import evaluation, importing

    importing.prepare(args.imports)
    played = [_played(folder, args) for folder in restoring.parts(args.run_dir)]
    env, steps = played[0][0], sorted({step for _, step, _, _ in played})
    memory = f", its memory emptied every {args.forget} steps" if args.forget else ""
    print(f"{env} at step {', '.join(f'{step:,}' for step in steps)} of {args.run_dir}{memory}")
    places = [row for _, _, rows, _ in played for row in rows]
    print(evaluation.report(env, evaluation.joined([result for _, _, _, result in played], places)))
    return 0


def _played(path: Path, args: Any) -> tuple[str, int, list[int], dict[str, Any]]:
    """Return the environment of a run, the step of its checkpoint, its agents' places and what they did."""
    from experiments.running import evaluation
    from experiments.running.waiting import wait_for

    trainer, info, step, state = restoring.restore(path, args.step)
    key = evaluation.evaluation_key(args.seed, evaluation.SEPARATE, step)
    play = lambda: evaluation.evaluate(
        trainer, state, key, info.members, args.episodes, args.forget, args.max_steps, evaluation.draws(info)
    )
    return trainer.config.env, step, info.rows, wait_for(play, "compiling and playing")


if __name__ == "__main__":
    process.run(main)
