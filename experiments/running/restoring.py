"""Restoring a run's agent from one of its checkpoints, or an exported one, as `evaluate` and `record` do."""

import argparse
from pathlib import Path
from typing import Any

from experiments.running import cli, importing
from experiments.running.runinfo import is_example

NEWEST, BEST = "latest", "best"
WHAT = "a run directory, a file of `export`, or: example"


def add_step_argument(parser: cli.Parser) -> None:
    """Add the option that names a checkpoint."""
    parser.add_argument(
        "--step", type=_step, default=NEWEST, metavar="K|best|latest", help="checkpoint (default: %(default)s)"
    )


def add_agent_arguments(parser: cli.Parser) -> None:
    """Add the arguments that name one agent of a run."""
    parser.add_argument("run_dir", type=cli.path, nargs="?", metavar="RUN_DIR", help=WHAT)
    add_choice_arguments(parser)


def add_choice_arguments(parser: cli.Parser) -> None:
    """Add the options that name one agent of a run directory."""
    add_step_argument(parser)
    parser.add_argument(
        "--member", type=cli.whole(0), default=0, metavar="I", help="which of the run's agents (default: %(default)s)"
    )


def restore(run_dir: Path, step: int | str) -> tuple[Any, Any, int, Any]:
    """Read a run and one of its checkpoints, or an exported agent, changing nothing on the disk.

    Exits with 2 if the folder is no run or has no such step, with 3 if no checkpoint can be used.

    Args:
      run_dir: a run directory, or what `is_exported` says is one agent: its state then has no replay and no players,
        which an evaluation does not read, and its RunInfo nothing but the members.
      step: environment steps, "best" or "latest".

    Returns:
      (trainer, RunInfo, step, state).
    """
    from experiments.running import rundir
    from r2i_jit import Trainer, shards
    from r2i_jit.checkpoint import CheckpointError
    from r2i_jit.config import ConfigError

    if is_exported(run_dir):
        return _exported(run_dir, step)
    config, info = rundir.load_playable(run_dir)
    if info.shards:
        cli.fail(
            f"{run_dir} is in {info.shards} shards: name one of them, such as {run_dir / shards.name(0, info.shards)}"
        )
    try:
        trainer = Trainer(config, tallied=info.log_episodes is not None)  # It shows in the state of the environments.
        read = lambda defaults: _asked(run_dir, step, trainer.state_shapes(len(info.members)), defaults)
        restored = rundir.restore(run_dir, config, info, read)
    except ConfigError as error:
        cli.fail(error)
    except CheckpointError as error:
        cli.fail(error, cli.BAD_CHECKPOINT)
    assert restored is not None  # there are steps, and damage raises
    return trainer, info, restored.step, restored.state


def is_exported(path: Path) -> bool:
    """Return whether a path names one exported agent: a file, or the example."""
    return is_example(path) or path.is_file()


def parts(path: Path) -> list[Path]:
    """Return the run directories that a run is made of: itself, or its shards that have begun; exit 2 if none has."""
    from r2i_jit import shards

    there = [folder for folder in shards.folders(path) if folder == path or (folder / "run.json").is_file()]
    if not there:
        cli.fail(f"none of the shards of {path} has begun")
    if missing := [folder.name for folder in shards.folders(path) if folder not in there]:
        cli.note(f"{path}: {', '.join(missing)} not begun: these are the others")
    return there


def part(path: Path, member: int) -> tuple[Path, int]:
    """Return the run directory that has one agent of a run, and which one of it; exit 2 if it is in none that is there.

    It is the run's own unless that is in shards.
    """
    from r2i_jit import shards

    try:
        return (path, member) if is_exported(path) else shards.of_member(path, member)
    except LookupError as error:
        cli.fail(f"--member {member}: {error}")


def described(path: Path, member: int) -> str:
    """Return the environment of one agent of a run, or of an exported one; exit 2 if there is no such agent."""
    from experiments.running import rundir

    if is_exported(path):
        found = [read_agent(path, NEWEST, 0).config.env]
    else:
        config, info = rundir.load_playable(path)
        found = [own.get("env", config.env) for own in info.members]
    if member >= len(found):
        cli.fail(f"--member {member}: the run has agents 0 to {len(found) - 1}")
    return found[member]


def read_agent(path: Path, step: int | str, member: int) -> Any:
    """Return one agent of a run directory or a file, a `Trained`; exit 2 if there is none, 3 if no checkpoint reads."""
    from r2i_jit import trained
    from r2i_jit.checkpoint import CheckpointError

    importing.prepare(())  # A file does not say where its environment's module lies: here, if anywhere.
    try:
        return trained.read(path, step, member)
    except trained.LoadError as error:
        cli.fail(error, cli.BAD_CHECKPOINT if isinstance(error.__cause__, CheckpointError) else cli.USAGE)


def _exported(path: Path, step: int | str) -> tuple[Any, Any, int, Any]:
    """Return what `restore` does."""
    import jax
    import numpy as np

    from experiments.running.runinfo import RunInfo
    from r2i_jit import Trainer, trained
    from r2i_jit.config import ConfigError
    from r2i_jit.trainer import SeedState, TrainState

    found = read_agent(path, step, 0)
    try:
        trainer = Trainer(found.config)
    except ConfigError as error:
        cli.fail(error)
    if (difference := trained.mismatch(found.weights, trainer.agent)) is not None:
        cli.fail(f"{path} does not fit {found.config.env} as it is here: {difference}")
    rows = jax.tree.map(lambda leaf: leaf[None], trained.as_state(found.weights))
    nothing: Any = ()
    seeds = SeedState(
        agent=jax.device_put(rows), player=nothing, replay=nothing, hypers=nothing,
        key=jax.random.split(jax.random.key(0), 1), diverged=np.zeros(1, bool),
    )  # fmt: skip
    state = TrainState(seeds=seeds, written=np.int32(0), env_steps=np.int32(found.step))
    info = RunInfo("train", "", "", 0, [found.member], max(1, found.step), 1, 0.0, found.versions)
    return trainer, info, found.step, state


def _asked(run_dir: Path, asked: int | str, shapes: Any, defaults: dict[str, float]) -> Any:
    """Return the `Restored` asked for."""
    from experiments.running.rundir import NEEDED
    from r2i_jit.checkpoint import Checkpoints

    with Checkpoints(run_dir / "checkpoints", read_only=True, needed=NEEDED) as checkpoints:
        steps = checkpoints.steps()
        if not steps:
            checkpoints.restore(shapes)  # raises, if there are some and all are damaged
            cli.fail(f"{run_dir} has no checkpoint yet", cli.BAD_CHECKPOINT)
        held = f"it has steps {', '.join(map(str, steps))}"
        step = checkpoints.best_step() if asked == BEST else None if asked == NEWEST else asked
        if asked == BEST and step is None:
            cli.fail(f"{run_dir} has no evaluated checkpoint yet; {held}", cli.BAD_CHECKPOINT)
        if step is not None and step not in steps:
            cli.fail(f"{run_dir} has no checkpoint at step {step}; {held}")
        return checkpoints.restore(shapes, step, defaults)


def _step(text: str) -> int | str:
    if text in (BEST, NEWEST):
        return text
    try:
        return cli.whole(0)(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a step nor 'best' or 'latest'") from None
