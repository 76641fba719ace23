"""Restoring a run's agent from one of its checkpoints, as `evaluate` and `record` do."""

import argparse
from pathlib import Path
from typing import Any

from experiments.running import cli

NEWEST, BEST = "latest", "best"


def add_step_argument(parser: cli.Parser) -> None:
    """Add the option that names a checkpoint."""
    parser.add_argument(
        "--step", type=_step, default=NEWEST, metavar="K|best|latest", help="checkpoint (default: %(default)s)"
    )


def add_agent_arguments(parser: cli.Parser) -> None:
    """Add the arguments that name one agent of a run."""
    parser.add_argument("run_dir", type=Path, nargs="?", metavar="RUN_DIR", help="a run directory")
    add_step_argument(parser)
    parser.add_argument(
        "--member", type=cli.whole(0), default=0, metavar="I", help="which of the run's agents (default: %(default)s)"
    )


def restore(run_dir: Path, step: int | str) -> tuple[Any, Any, int, Any]:
    """Read a run and one of its checkpoints, changing nothing on the disk.

    Exits with 2 if the folder is no run or has no such step, with 3 if no checkpoint can be used.

    Args:
      run_dir: a run directory.
      step: environment steps, "best" or "latest".

    Returns:
      (trainer, RunInfo, step, state).
    """
    from experiments.running import rundir
    from r2i_jit import Trainer
    from r2i_jit.checkpoint import CheckpointError
    from r2i_jit.config import ConfigError

    config, info = rundir.load_playable(run_dir)
    try:
        trainer = Trainer(config)
        restored = rundir.restore(run_dir, config, info, lambda: _asked(run_dir, step, trainer, len(info.members)))
    except ConfigError as error:
        cli.fail(error)
    except CheckpointError as error:
        cli.fail(error, cli.BAD_CHECKPOINT)
    assert restored is not None  # there are steps, and damage raises
    return trainer, info, restored.step, restored.state


def _asked(run_dir: Path, asked: int | str, trainer: Any, num_seeds: int) -> Any:
    """Return the `Restored` asked for."""
    from experiments.running.rundir import NEEDED
    from r2i_jit.checkpoint import Checkpoints

    with Checkpoints(run_dir / "checkpoints", read_only=True, needed=NEEDED) as checkpoints:
        steps = checkpoints.steps()
        if not steps:
            checkpoints.restore(trainer.state_shapes(num_seeds))  # raises, if there are some and all are damaged
            cli.fail(f"{run_dir} has no checkpoint yet", cli.BAD_CHECKPOINT)
        held = f"it has steps {', '.join(map(str, steps))}"
        step = checkpoints.best_step() if asked == BEST else None if asked == NEWEST else asked
        if asked == BEST and step is None:
            cli.fail(f"{run_dir} has no evaluated checkpoint yet; {held}", cli.BAD_CHECKPOINT)
        if step is not None and step not in steps:
            cli.fail(f"{run_dir} has no checkpoint at step {step}; {held}")
        return checkpoints.restore(trainer.state_shapes(num_seeds), step)


def _step(text: str) -> int | str:
    if text in (BEST, NEWEST):
        return text
    try:
        return cli.whole(0)(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a step nor 'best' or 'latest'") from None
