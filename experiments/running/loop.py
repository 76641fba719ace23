"""The host's loop around `Trainer.train_chunk`: log, evaluate, save, stop, resume. `train` and `sweep` both run it.

What is logged and when it is evaluated depends on the environment step alone, so that a run which was killed and
resumed writes the same metrics as one that was not. Only saving and printing look at the clock.
"""

import dataclasses
import json
import shlex
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.running import evaluation, memory, rundir
from experiments.running.cli import BAD_CHECKPOINT, NOT_FINITE, SAVE_FAILED, fail
from experiments.running.display import Display, Rates, clock, display
from experiments.running.signals import StopSignal
from r2i_jit import metrics as sinks
from r2i_jit.checkpoint import CheckpointError, CheckpointNotFinite, Checkpoints, CheckpointSaveError
from r2i_jit.config import Config


@dataclasses.dataclass
class Run:
    """A run on its way: what it is, then how far it is."""

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


def execute(
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
        with Checkpoints(path / "checkpoints", finite=(".seeds.agent",)) as checkpoints:
            run = Run(trainer, config, info, path, checkpoints, [], stop, _save_interval(trainer, info, args))
            _begin(run, args, keys, hypers)
            try:
                _train(run)
                _save(run)
                checkpoints.wait()
            finally:
                for sink in run.sinks:
                    sink.close()
        if stop.number is not None:
            command = f"python -m experiments.{info.kind} {info.suite} --run-dir {shlex.quote(str(path))} --resume"
            print(f"stopped at step {run.step:,}; go on with: {command}", flush=True)
            return 128 + stop.number, None
        return 0, _finish(run)
    except CheckpointNotFinite as error:
        fail(error, NOT_FINITE)
    except CheckpointSaveError as error:
        fail(error, SAVE_FAILED)
    except CheckpointError as error:
        fail(error, BAD_CHECKPOINT)
    except OSError as error:
        fail(f"cannot write to {path}: {error}", SAVE_FAILED)


def _save_interval(trainer: Any, info: rundir.RunInfo, args: Any) -> float:
    """Return the seconds between checkpoints: as asked for, or such that writing takes a few percent of the time."""
    if args.checkpoint_every is not None:
        return args.checkpoint_every
    return max(60.0, 200e-9 * memory.state_bytes(trainer.state_shapes(len(info.members))))


def _begin(run: Run, args: Any, keys: Any, hypers: Any) -> None:
    """Compile, then restore or initialise the state, and bring the logs to the same step."""
    members = len(run.info.members)
    seconds = run.trainer.compile(members, init=not run.checkpoints.steps())
    print(f"compiled in {seconds:.1f} s", flush=True)
    restored = run.checkpoints.restore(run.trainer.state_shapes(members))
    if restored is not None:
        run.state, run.step, run.saved = restored.state, restored.step, restored.step
        run.wall = restored.metadata["wall_seconds"]
        if (best := run.checkpoints.best_step()) is not None:
            run.best = run.checkpoints.score(best)
        print(f"resumed {run.path} at step {run.step:,}", flush=True)
    log = run.path / "metrics.jsonl"
    earlier = sinks.truncate(log, run.step if restored is not None else -1)
    run.sinks = [sinks.JsonLines(log), sinks.TensorBoard(run.path / "tensorboard", earlier, run.info.created)]
    if args.wandb:
        run.sinks.append(sinks.Wandb(run.path, run.path.name, run.config.to_dict()))
    if restored is None:
        begin = time.monotonic()
        run.state = run.trainer.init(keys) if hypers is None else run.trainer.init(keys, hypers)
        run.step = run.trainer.prefill_steps
        jax.block_until_ready(run.state)
        print(f"played {run.step:,} steps a seed at random in {time.monotonic() - begin:.1f} s", flush=True)
        _save(run)


def _train(run: Run) -> None:
    """Run chunks until the length is reached or a signal came."""
    screen = display(run.info.steps, run.step)
    start, first, wall = time.monotonic(), run.step, run.wall
    last_save, training = start, 0.0
    try:
        while run.step < run.info.steps and run.stop.number is None:
            begin = time.monotonic()
            run.state, chunk = run.trainer.train_chunk(run.state)
            chunk = {name: np.asarray(value) for name, value in jax.device_get(chunk).items()}
            training += time.monotonic() - begin
            _refuse_not_finite(run, chunk)
            before, run.step = run.step, int(chunk["env_steps"][0])
            evaluated = _evaluate_if_due(run, before)
            now = time.monotonic()
            run.wall = wall + now - start
            _log(run, chunk, evaluated)
            _show(run, screen, chunk, evaluated, run.step - first, training, now - start)
            score = float(evaluated.mean()) if evaluated is not None else None
            if (score is not None and score > run.best) or now - last_save >= run.checkpoint_every:
                _save(run, score)
                last_save = now
            else:
                run.checkpoints.poll()
    finally:
        screen.close()
    print(f"step {run.step:,} after {clock(run.wall)} of training", flush=True)


def _evaluate_if_due(run: Run, before: int) -> np.ndarray | None:
    """Return the mean evaluation return of each member if a multiple of `eval_every` was just passed."""
    if run.step // run.info.eval_every == before // run.info.eval_every:
        return None
    key = evaluation.evaluation_key(run.info.seed, evaluation.DURING, run.step)
    played = run.trainer.evaluate(run.state, key)
    return np.asarray(played["episode_return"], np.float64).mean(axis=1)


def _log(run: Run, chunk: dict[str, np.ndarray], evaluated: np.ndarray | None) -> None:
    extra = {} if evaluated is None else {"eval_return": evaluated}
    rows = sinks.rows(chunk, run.info.members, **extra, wall_seconds=round(run.wall, 3))
    for sink in run.sinks:
        sink.write(rows)


def _show(
    run: Run,
    screen: Display,
    chunk: dict[str, np.ndarray],
    evaluated: np.ndarray | None,
    steps: int,
    training: float,
    elapsed: float,
) -> None:
    """Show a chunk; `steps` were done in `training` seconds, or `elapsed` with evaluations and saves."""
    per_second = steps * len(run.info.members) / training
    updates = per_second * run.trainer.updates_per_chunk / run.trainer.steps_per_chunk
    rates = Rates(per_second, updates, max(0, run.info.steps - run.step) * elapsed / steps)
    returns = [float(value) for value in chunk["episode_return"]]
    screen.update(run.step, rates, returns, None if evaluated is None else float(evaluated.mean()))


def _save(run: Run, score: float | None = None) -> None:
    """Save unless this step is saved already; the logs reach the disk before the checkpoint that counts on them."""
    if run.saved == run.step:
        return
    for sink in run.sinks:
        sink.flush()
    run.checkpoints.save(run.step, run.state, run.metadata(), score)
    run.saved = run.step
    if score is not None:
        run.best = max(run.best, score)


def _refuse_not_finite(run: Run, chunk: dict[str, np.ndarray]) -> None:
    """Stop a run that has diverged, before it is saved."""
    bad = sinks.not_finite(chunk)
    if bad:
        run.checkpoints.wait()
        name, index = bad[0]
        member = sinks.identity(run.info.members[index])
        step = int(chunk["env_steps"][0])
        kept = run.checkpoints.steps()
        fail(
            f"{name} of {member} is {chunk[name][index]} at step {step:,} ({len(bad)} metrics are not finite); "
            f"the last finite checkpoint is step {kept[-1]} in {run.path / 'checkpoints'}",
            NOT_FINITE,
        )


def _finish(run: Run) -> dict[str, Any]:
    """Evaluate the finished run, print the result and write evaluation.json."""
    key = evaluation.evaluation_key(run.info.seed, evaluation.FINAL, run.step)
    episodes = evaluation.FINAL_EPISODES
    result = evaluation.evaluate(run.trainer, run.state, key, run.info.members, episodes)
    print(evaluation.report(run.config.env, result), flush=True)
    document = evaluation.document(run.config.env, run.step, result)
    rundir.replace_text(run.path / "evaluation.json", json.dumps(document, indent=2) + "\n")
    return result
