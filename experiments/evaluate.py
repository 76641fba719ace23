"""Play fresh episodes with a run's checkpoint: `python -m experiments.evaluate runs/...`.

Prints the return per seed and overall, with standard errors and what is known of the environment. Writes nothing, so it
can be used on a run that is still training.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(prog="python -m experiments.evaluate", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="a run directory")
    parser.add_argument(
        "--episodes", type=cli.whole(1, 10**6), default=128, metavar="N", help="per seed (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=cli.whole(0, 2**32 - 1), default=0, metavar="S", help="of the episodes (default: %(default)s)"
    )
    parser.add_argument("--step", type=_step, metavar="K|best", help="checkpoint (default: the newest)")
    args = parser.parse_args(argv)

    cli.use_compilation_cache()
    from experiments import evaluation, rundir
    from r2i_jit import Trainer
    from r2i_jit.checkpoint import CheckpointError
    from r2i_jit.config import ConfigError

    config, info = rundir.load(args.run_dir)
    try:
        trainer = Trainer(config)
        step, state = _restore(args, trainer, len(info.members))
    except ConfigError as error:
        cli.fail(error)
    except CheckpointError as error:
        cli.fail(error, cli.BAD_CHECKPOINT)
    key = evaluation.evaluation_key(args.seed, evaluation.SEPARATE, step)
    result = evaluation.evaluate(trainer, state, key, info.members, args.episodes)
    print(f"{config.env} at step {step:,} of {args.run_dir}")
    print(evaluation.report(config.env, result))
    return 0


def _restore(args: Any, trainer: Any, num_seeds: int) -> tuple[int, Any]:
    """Return the step and state of the checkpoint asked for."""
    from r2i_jit.checkpoint import Checkpoints

    with Checkpoints(args.run_dir / "checkpoints", read_only=True) as checkpoints:
        steps = checkpoints.steps()
        if not steps:
            cli.fail(f"{args.run_dir} has no checkpoint yet", cli.BAD_CHECKPOINT)
        step = checkpoints.best_step() if args.step == "best" else args.step
        if args.step == "best" and step is None:
            cli.fail(f"{args.run_dir} has no evaluated checkpoint yet; it has steps {_list(steps)}", cli.BAD_CHECKPOINT)
        if step is not None and step not in steps:
            cli.fail(f"{args.run_dir} has no checkpoint at step {step}; it has steps {_list(steps)}")
        restored = checkpoints.restore(trainer.state_shapes(num_seeds), step)
    assert restored is not None  # there are steps, and damage raises
    return restored.step, restored.state


def _step(text: str) -> int | str:
    if text == "best":
        return text
    try:
        return cli.whole(0)(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a step nor 'best'") from None


def _list(steps: list[int]) -> str:
    return ", ".join(map(str, steps))


if __name__ == "__main__":
    sys.exit(main())
