"""The host's loop around `Trainer.train_chunk`: log, evaluate, save, stop, resume. `train` and `sweep` both run it.

What is logged and when it is evaluated depends on the environment step alone, so that a run which was killed and
resumed writes the same metrics as one that was not. Only saving and printing look at the clock.
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import evaluation, rundir
from experiments.cli import BAD_CHECKPOINT, NOT_FINITE, SAVE_FAILED, StopSignal, fail
from experiments.display import Display, clock, display
from r2i_jit import metrics as sinks
from r2i_jit.checkpoint import CheckpointError, Checkpoints, CheckpointSaveError
from r2i_jit.config import Config


@dataclasses.dataclass
class Run:
    """A run on its way: what stays the same, then the cursor."""

    trainer: Any
    config: Config
    info: rundir.RunInfo
    path: Path
    checkpoints: Checkpoints
    sinks: list[sinks.Sink]
    stop: StopSignal
    checkpoint_every: float

    state: Any = None
    step: int = 0
    wall: float = 0.0  # seconds of training, over all resumes
    saved: int = -1  # step of the last checkpoint
    best: float = -np.inf  # highest score of a kept checkpoint

    def metadata(self) -> dict[str, Any]:
        """Return what is saved beside the state."""
        return {
            "config": self.config.to_dict(),
            "members": self.info.members,
            "versions": rundir.versions(),
            "wall_seconds": self.wall,
        }


def run(
    trainer: Any, config: Config, info: rundir.RunInfo, path: Path, stop: StopSignal, args: Any, keys: Any, hypers: Any
) -> tuple[int, dict[str, Any] | None]:
    """Train until `info.steps`, from the newest checkpoint of `path` if it has one.

    Args:
      trainer: a Trainer.
      path: a run directory that holds config.json and run.json and is locked by the caller.
      args: the command line; read are `checkpoint_every` and `wandb`.
      keys: one PRNG key per member; hypers: their Hypers, or None for the config's.

    Returns:
      The exit code (0, or 130 / 143 after a signal) and the final evaluation, if it came to that.
    """
    try:
        with Checkpoints(path / "checkpoints", finite=("params",)) as checkpoints:
            this = Run(trainer, config, info, path, checkpoints, [], stop, args.checkpoint_every)
            _begin(this, args, keys, hypers)
            try:
                _train(this)
                _save(this)
                checkpoints.wait()
            finally:
                for sink in this.sinks:
                    sink.close()
        if stop.number is not None:
            print(f"stopped at step {this.step:,}; go on with: python -m experiments.{info.kind} {info.suite}"
                  f" --run-dir {path} --resume", flush=True)  # fmt: skip
            return 128 + stop.number, None
        return 0, _finish(this)
    except CheckpointSaveError as error:
        fail(error, SAVE_FAILED)
    except CheckpointError as error:
        fail(error, BAD_CHECKPOINT)
    except OSError as error:
        fail(f"cannot write to {path}: {error.strerror or error}", SAVE_FAILED)


def _begin(this: Run, args: Any, keys: Any, hypers: Any) -> None:
    """Compile, then restore or initialise the state, and bring the logs to the same step."""
    members = len(this.info.members)
    seconds = this.trainer.compile(members)
    print(f"compiled in {seconds:.1f} s", flush=True)
    restored = this.checkpoints.restore(this.trainer.state_shapes(members))
    if restored is not None:
        this.state, this.step, this.saved = restored.state, restored.step, restored.step
        this.wall = restored.metadata["wall_seconds"]
        if (best := this.checkpoints.best_step()) is not None:
            this.best = this.checkpoints.score(best)
        print(f"resumed {this.path} at step {this.step:,}", flush=True)
    log = this.path / "metrics.jsonl"
    earlier = sinks.truncate(log, this.step if restored is not None else -1)
    this.sinks = [sinks.JsonLines(log), sinks.TensorBoard(this.path / "tensorboard", earlier, this.info.created)]
    if args.wandb:
        this.sinks.append(sinks.Wandb(this.path, this.path.name, this.config.to_dict()))
    if restored is None:
        this.state = this.trainer.init(keys) if hypers is None else this.trainer.init(keys, hypers)
        this.step = this.trainer.prefill_steps
        _save(this)


def _train(this: Run) -> None:
    """Run chunks until the length is reached or a signal came."""
    screen = display(this.info.steps, this.step)
    start, first, wall = time.monotonic(), this.step, this.wall
    last_save, updates_first = start, None
    try:
        while this.step < this.info.steps and this.stop.number is None:
            this.state, chunk = this.trainer.train_chunk(this.state)
            chunk = {name: np.asarray(value) for name, value in jax.device_get(chunk).items()}
            _refuse_not_finite(this, chunk)
            before, this.step = this.step, int(chunk["env_steps"][0])
            evaluated = _evaluate_if_due(this, before)
            now = time.monotonic()
            this.wall = wall + now - start
            _log(this, chunk, evaluated)
            updates_first = int(chunk["updates"][0]) - this.trainer.updates_per_chunk if updates_first is None else updates_first
            _show(this, screen, chunk, evaluated, (this.step - first, int(chunk["updates"][0]) - updates_first, now - start))
            score = float(evaluated.mean()) if evaluated is not None else None
            if (score is not None and score > this.best) or now - last_save >= this.checkpoint_every:
                _save(this, score)
                last_save = now
            else:
                this.checkpoints.poll()
    finally:
        screen.close()
    print(f"step {this.step:,} after {clock(this.wall)} of training", flush=True)


def _evaluate_if_due(this: Run, before: int) -> np.ndarray | None:
    """Return the mean evaluation return of each member if a multiple of `eval_every` was just passed."""
    if this.step // this.info.eval_every == before // this.info.eval_every:
        return None
    key = evaluation.evaluation_key(this.info.seed, evaluation.DURING, this.step)
    played = this.trainer.evaluate(this.state, key)
    return np.asarray(played["episode_return"], np.float64).mean(axis=1)


def _log(this: Run, chunk: dict[str, np.ndarray], evaluated: np.ndarray | None) -> None:
    extra = {} if evaluated is None else {"eval_return": evaluated}
    rows = sinks.rows(chunk, this.info.members, **extra, wall_seconds=round(this.wall, 3))
    for sink in this.sinks:
        sink.write(rows)


def _show(
    this: Run, screen: Display, chunk: dict[str, np.ndarray], evaluated: np.ndarray | None, done: tuple[int, int, float]
) -> None:
    steps, updates, seconds = done
    scale = len(this.info.members) / max(seconds, 1e-9)
    returns = [float(value) for value in chunk["episode_return"]]
    mean = None if evaluated is None else float(evaluated.mean())
    screen.update(this.step, (steps * scale, updates * scale), returns, mean)


def _save(this: Run, score: float | None = None) -> None:
    """Save unless this step is saved already; the logs reach the disk before the checkpoint that counts on them."""
    if this.saved == this.step:
        return
    for sink in this.sinks:
        sink.flush()
    this.checkpoints.save(this.step, this.state, this.metadata(), score)
    this.saved = this.step
    if score is not None:
        this.best = max(this.best, score)


def _refuse_not_finite(this: Run, chunk: dict[str, np.ndarray]) -> None:
    """Stop a run that has diverged, before it is saved."""
    bad = sinks.not_finite(chunk)
    if bad:
        this.checkpoints.wait()
        name, index = bad[0]
        member = sinks.identity(this.info.members[index])
        step = int(chunk["env_steps"][0])
        kept = this.checkpoints.steps()
        fail(
            f"{name} of {member} is {chunk[name][index]} at step {step:,} ({len(bad)} metrics are not finite); "
            f"the last finite checkpoint is step {kept[-1]} in {this.path / 'checkpoints'}",
            NOT_FINITE,
        )


def _finish(this: Run) -> dict[str, Any]:
    """Evaluate the finished run, print the result, write evaluation.json and draw the learning curve."""
    key = evaluation.evaluation_key(this.info.seed, evaluation.FINAL, this.step)
    episodes = evaluation.FINAL_EPISODES
    result = evaluation.evaluate(this.trainer, this.state, key, this.info.members, episodes)
    print(evaluation.report(this.config.env, result), flush=True)
    document = evaluation.document(this.config.env, this.step, result)
    rundir.replace_text(this.path / "evaluation.json", json.dumps(document, indent=2) + "\n")
    from experiments.plot import plot_runs

    figure = plot_runs([this.path], this.path / "plots" / "learning_curve.png")
    print(f"learning curve: {figure}", flush=True)
    return result
