"""The host's loop around `Trainer.train_chunk`: log, evaluate, save, stop, resume. `train` and `sweep` both run it.

What is logged and when it is evaluated depends on the environment step alone, so that a run which was killed and
resumed writes the same metrics as one that was not. Only saving and printing look at the clock.
"""

import contextlib
import dataclasses
import json
import shlex
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.running import cli, distributed, evaluation, initial, memory, rundir, runinfo
from experiments.running.cli import BAD_CHECKPOINT, NOT_FINITE, SAVE_FAILED, fail, note
from experiments.running.display import Display, Rates, clock, display
from experiments.running.episodes import EpisodeLog
from experiments.running.films import Films
from experiments.running.signals import StopSignal
from experiments.running.waiting import Stopped, wait_for
from r2i_jit import metrics as sinks
from r2i_jit.checkpoint import CheckpointError, CheckpointNotFinite, Checkpoints, CheckpointSaveError
from r2i_jit.config import Config


@dataclasses.dataclass
class Run:
    """A run on its way: what it is, then how far it is."""

    trainer: Any
    config: Config
    info: runinfo.RunInfo
    path: Path
    checkpoints: Checkpoints
    sinks: list[sinks.Sink]
    stop: StopSignal
    checkpoint_every: float
    films: Films
    go_on: str | None = None  # the command that resumes it, where that is another one than its own
    episodes: EpisodeLog | None = None  # opened with the other logs, if it is asked for

    state: Any = None
    step: int = 0
    wall: float = 0.0  # seconds of training, over all resumes
    saved: int = -1  # step of the last checkpoint
    best: float = -np.inf  # highest score of a kept checkpoint
    diverged: frozenset[int] = frozenset()  # members that learn no more

    def metadata(self) -> dict[str, Any]:
        """Return what is saved beside the state."""
        return {
            "config": self.config.to_dict(),
            "members": self.info.members,
            "seed": self.info.seed,
            "log_episodes": self.info.log_episodes,
            "versions": runinfo.versions(self.config),
            "wall_seconds": self.wall,
        }

    def of_the_sound(self, values: np.ndarray) -> np.ndarray:
        """Return the values, one per member, of those that have not diverged."""
        return np.delete(values, sorted(self.diverged), axis=0)


def execute(
    trainer: Any,
    config: Config,
    info: runinfo.RunInfo,
    path: Path,
    stop: StopSignal,
    args: Any,
    keys: Any,
    hypers: Any,
    films: Films,
) -> tuple[int, dict[str, Any] | None]:
    """Train until `info.steps` or `info.minutes`, from the newest checkpoint of `path` if it has one.

    Args:
      trainer: a Trainer.
      config: the run's.
      info: what else the run is.
      path: a run directory that holds config.json and run.json and is locked by the caller.
      stop: says when to stop.
      args: the command line; read are `checkpoint_every`, `wandb` and `go_on`.
      keys: one PRNG key per member; hypers: their Hypers, or None for the config's.
      films: makes the films of episodes.

    Returns:
      The exit code (0, or 128 and the number of the signal that stopped it) and the final evaluation, if it came to it.
    """
    try:
        with (
            Checkpoints(path / "checkpoints", finite=(".seeds.agent",), needed=rundir.NEEDED) as checkpoints,
            contextlib.ExitStack() as logs,
        ):
            interval = _save_interval(trainer, info, args)
            run = Run(trainer, config, info, path, checkpoints, [], stop, interval, films, args.go_on)
            try:
                _begin(run, args, keys, hypers, logs)
                _train(run)
                _save(run)
                checkpoints.wait()
            except Stopped:
                pass
        if stop.number is not None:
            _say_stopped(run)
            return stop.exit_code, None
        return 0, _finish(run)
    except Stopped:
        _say_stopped(run, "before the final evaluation")
        return stop.exit_code, None
    except CheckpointNotFinite as error:
        fail(error, NOT_FINITE)
    except CheckpointSaveError as error:
        fail(error, SAVE_FAILED)
    except CheckpointError as error:
        fail(error, BAD_CHECKPOINT)
    except sinks.LogError as error:
        fail(error, SAVE_FAILED)


def _say_stopped(run: Run, when: str = "") -> None:
    """Say where a signal has stopped a run, and how it goes on."""
    where = f"stopped at step {run.step:,}" if run.saved >= 0 else "stopped before anything was learned"
    where = f"{run.config.env} ({run.info.label}): {where}" if run.go_on else where
    suite = f" {run.info.suite}" if run.info.suite else ""
    command = (
        f"{cli.program(run.info.kind)}{suite} --run-dir {shlex.quote(str(run.path))} --resume{distributed.again()}"
    )
    note(f"{where}{' ' * bool(when)}{when}; go on with: {run.go_on or command}")


def _save_interval(trainer: Any, info: runinfo.RunInfo, args: Any) -> float:
    """Return the seconds between checkpoints: as asked for, or such that writing takes a few percent of the time."""
    if args.checkpoint_every is not None:
        return args.checkpoint_every
    return max(60.0, 200e-9 * memory.state_bytes(trainer.state_shapes(len(info.members))))


def _begin(run: Run, args: Any, keys: Any, hypers: Any, logs: contextlib.ExitStack) -> None:
    """Restore the state, compile, bring the logs to the state's step; or compile and initialise the state.

    Whatever is wrong with a checkpoint is found before the compilation, which takes longer.
    """
    members = len(run.info.members)
    _restore(run)
    weights = initial.weights(run.info, run.trainer) if run.state is None else None
    rundir.renew(run.path, run.info)
    consequence = "stopping; nothing has changed" if run.saved >= 0 else "stopping; nothing is learned yet"
    evaluated = run.info.eval_every <= run.info.steps  # compiled now, and not in the time of training
    compile_ = lambda: run.trainer.compile(members, init=run.state is None, evaluation=evaluated)
    seconds = wait_for(compile_, "compiling", run.stop, consequence)
    note(f"compiled in {seconds:.1f} s")
    log = run.path / "metrics.jsonl"
    logged = run.info.members if run.step > run.trainer.prefill_steps else ()
    earlier = sinks.truncate(log, run.step if run.saved >= 0 else -1, logged)
    _open(run, logs, sinks.JsonLines(log))
    _open(run, logs, board := sinks.tensorboard(run.path / "tensorboard", earlier, run.info.created))
    run.films.show_again(earlier, board)
    if run.info.log_episodes is not None:
        run.episodes = EpisodeLog(run.path, run.saved, run.info.members, run.info.log_episodes)
        logs.callback(run.episodes.close)
    if args.wandb:
        _open(run, logs, sinks.wandb(run.path, run.path.name, run.config.to_dict(), run.info.id))
    if run.state is None:
        begin = time.monotonic()
        initial_ = lambda: _initial(run, keys, hypers, weights)
        run.state, ended = wait_for(initial_, "playing at random", run.stop, consequence)
        run.step = run.trainer.prefill_steps
        if run.episodes is not None:
            run.episodes.write(run.step, jax.device_get(ended))
        if run.step:
            note(f"played {run.step:,} steps a seed at random in {time.monotonic() - begin:.1f} s")
        _save(run)


def _open(run: Run, logs: contextlib.ExitStack, sink: sinks.Sink) -> None:
    """Let a run write to a sink, which is closed with `logs`."""
    logs.callback(sink.close)
    run.sinks.append(sink)


def _initial(run: Run, keys: Any, hypers: Any, weights: Any) -> Any:
    """Return the state that a run begins with, computed, and what `Trainer.begin` tells of the episodes.

    Its agents have these weights, if there are any.
    """
    state, ended = run.trainer.begin(keys) if hypers is None else run.trainer.begin(keys, hypers)
    if weights is not None:
        state = distributed.placed(run.trainer, initial.put(weights, distributed.fetched(run.trainer, state)))
    return jax.block_until_ready((state, ended))


def _restore(run: Run) -> None:
    """Take up the state of the newest sound checkpoint, if there are any."""
    shapes = run.trainer.state_shapes(len(run.info.members))
    read = lambda defaults: run.checkpoints.restore(shapes, defaults=defaults)
    restored = rundir.restore(run.path, run.config, run.info, read)
    logged: list[sinks.Row] = []
    if restored is None:
        with contextlib.suppress(OSError):  # what does not read is set aside later
            logged = sinks.read(run.path / "metrics.jsonl")
        if logged:
            fail(
                f"{run.path} has rows in metrics.jsonl and no checkpoint to go on from; put checkpoints/ back or start "
                "a new run with another --run-dir",
                BAD_CHECKPOINT,
            )
        return
    run.state, run.step, run.saved = distributed.placed(run.trainer, restored.state), restored.step, restored.step
    run.wall = restored.metadata["wall_seconds"]
    run.diverged = frozenset(np.flatnonzero(jax.device_get(restored.state.seeds.diverged)).tolist())
    if (best := run.checkpoints.best_step()) is not None:
        run.best = run.checkpoints.score(best)
    note(f"resumed {run.path} at step {run.step:,}")


def _train(run: Run) -> None:
    """Run chunks until the length is reached or a signal came."""
    run.stop.consequence = "saving after the running chunk"
    screen = display(None if run.info.is_timed else run.info.steps, run.step)
    start, first, wall = time.monotonic(), run.step, run.wall
    last_save, training = start, 0.0
    try:
        while not _is_done(run) and run.stop.number is None:
            begin = time.monotonic()
            run.state, chunk = run.trainer.train_chunk(run.state)
            chunk = jax.device_get(chunk)
            ended = chunk.pop("ended", None)
            chunk = {name: np.asarray(value) for name, value in chunk.items()}
            training += time.monotonic() - begin
            before, run.step = run.step, int(chunk["env_steps"][0])
            _notice_diverged(run, chunk, before)
            evaluated = _evaluate_if_due(run, before)
            now = time.monotonic()
            run.wall = wall + now - start
            if before == first:
                run.checkpoints.wait()  # a log without any checkpoint is one whose checkpoints were lost
            rows = _log(run, chunk, evaluated)
            if run.episodes is not None:
                run.episodes.write(run.step, ended)
            _show(run, screen, chunk, evaluated, run.step - first, training, now - start)
            begin = time.monotonic()
            run.films.film_if_due(before, run.state, rows, run.diverged, run.sinks)
            start += time.monotonic() - begin  # neither to compile it nor to draw it is training
            score = None if evaluated is None else float(run.of_the_sound(evaluated).mean())
            if (score is not None and score > run.best) or now - last_save >= run.checkpoint_every:
                _save(run, score)
                last_save = now
            else:
                run.checkpoints.poll()
    finally:
        screen.close()
    note(f"step {run.step:,} after {clock(run.wall)} of training")


def _is_done(run: Run) -> bool:
    """Return whether a run has the steps, or the time, that it is to have."""
    return run.step >= run.info.steps or run.wall >= 60 * (run.info.minutes or np.inf)


def _evaluate_if_due(run: Run, before: int) -> np.ndarray | None:
    """Return the mean evaluation return of each member if a multiple of `eval_every` was just passed."""
    if run.step // run.info.eval_every == before // run.info.eval_every:
        return None
    key = evaluation.evaluation_key(run.info.seed, evaluation.DURING, run.step)
    played = run.trainer.evaluate(run.state, key, rows=evaluation.draws(run.info))
    return np.asarray(played["episode_return"], np.float64).mean(axis=1)


def _log(run: Run, chunk: dict[str, np.ndarray], evaluated: np.ndarray | None) -> list[sinks.Row]:
    """Write a chunk's rows to all sinks and return them."""
    extra = {} if evaluated is None else {"eval_return": evaluated}
    rows = sinks.rows(chunk, run.info.members, **extra, wall_seconds=round(run.wall, 3))
    for sink in run.sinks:
        sink.write(rows)
    return rows


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
    left = min((run.info.steps - run.step) * elapsed / steps, 60 * (run.info.minutes or np.inf) - run.wall)
    rates = Rates(per_second, updates, max(0, left))
    returns = np.where(chunk["episodes"] > 0, chunk["episode_return"], np.nan)
    returns[sorted(run.diverged)] = np.nan
    mean = None if evaluated is None else float(run.of_the_sound(evaluated).mean())
    screen.update(run.step, rates, returns.tolist(), mean)


def _save(run: Run, score: float | None = None) -> None:
    """Save unless this step is saved already; the logs reach the disk before the checkpoint that counts on them."""
    if run.saved == run.step:
        return
    for sink in run.sinks:
        sink.flush()
    if run.episodes is not None:
        run.episodes.flush()
    state = distributed.fetched(run.trainer, run.state)
    run.checkpoints.save(run.step, state, run.metadata(), score, without=sorted(run.diverged))
    run.saved = run.step
    if score is not None:
        run.best = max(run.best, score)


def _notice_diverged(run: Run, chunk: dict[str, np.ndarray], before: int) -> None:
    """Say which members have diverged in this chunk; exit 5 if none is left, before anything is saved of it."""
    lost = frozenset(sinks.diverged(chunk))
    texts = [f"{sinks.identity(run.info.members[i])} ({_symptom(chunk, i)})" for i in sorted(lost - run.diverged)]
    run.diverged |= lost
    if len(run.diverged) == len(run.info.members):
        run.checkpoints.wait()
        kept = run.checkpoints.steps()
        fail(
            f"training diverged at step {run.step:,}: {', '.join(texts) or 'every member'}; the last finite checkpoint "
            f"is step {kept[-1]} in {run.path / 'checkpoints'}",
            NOT_FINITE,
        )
    if texts:
        note(f"diverged at step {run.step:,}: {', '.join(texts)}; kept as of step {before:,}, and the others go on")


def _symptom(chunk: dict[str, np.ndarray], member: int) -> str:
    """Return which of a member's metrics is not finite."""
    bad = [name for name, values in chunk.items() if not np.isfinite(values[member])]
    return f"{bad[0]} is {chunk[bad[0]][member]}" if bad else "its parameters are not finite"


def _finish(run: Run) -> dict[str, Any]:
    """Evaluate the finished run, print the result and write evaluation.json."""
    key = evaluation.evaluation_key(run.info.seed, evaluation.FINAL, run.step)
    play = lambda: evaluation.evaluate(
        run.trainer, run.state, key, run.info.members, evaluation.FINAL_EPISODES, rows=evaluation.draws(run.info)
    )
    result = wait_for(play, "final evaluation", run.stop, "stopping; the state is saved")
    print(evaluation.report(run.config.env, result), flush=True)
    document = evaluation.document(run.config.env, run.step, result)
    rundir.replace_text(run.path / "evaluation.json", json.dumps(document, indent=2) + "\n")
    return result
