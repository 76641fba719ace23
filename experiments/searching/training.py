"""The search itself: leg after leg is trained, scored and saved, and every leg is one and the same compiled program.

Its place is told by the journal. A leg's state is on the disk before its scores are in the journal, and states are
deleted only when the leg that needed them is scored, so that a kill at any moment costs what was done since the last
save. A state that is lost or damaged nevertheless is computed again from what it was made of.
"""

import dataclasses
import math
import shutil
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.running import cli, evaluation, memory
from experiments.running.display import Rates, display
from experiments.running.signals import StopSignal
from experiments.running.waiting import Stopped, wait_for
from experiments.searching import report, rounds, rows
from experiments.searching.journal import Journal
from experiments.searching.rounds import Leg, Stand
from experiments.searching.settings import Settings
from r2i_jit.checkpoint import Checkpoints, Restored

STATES = "states"  # folder of the legs' checkpoints, by their numbers
_NEEDED: dict[str, Any] = {"trials": list, "params": list}


@dataclasses.dataclass
class Search:
    """A search on its way.

    Attributes:
      ends: environment steps per seed at which each round ends.
      checkpoint_every: seconds between saves within a leg; by default such that writing takes a few percent.
    """

    trainer: Any
    settings: Settings
    ends: list[int]
    path: Path
    journal: Journal
    stop: StopSignal
    checkpoint_every: float | None = None

    @property
    def places(self) -> int:
        """Trials in a batch."""
        return self.settings.batch

    @property
    def num_rows(self) -> int:
        """Rows of the program."""
        return self.settings.batch * self.settings.seeds

    def stand(self) -> Stand:
        """Return how far it is."""
        return rounds.stand(self.settings.plan, self.journal.scores())


def run(search: Search) -> None:
    """Train until all trials are complete or pruned; what is known is written after every leg.

    Raises:
      Stopped: if a signal came; what was done is saved.
      CheckpointError: if a state cannot be saved or read.
    """
    now = search.stand()
    search.journal.settle(now)
    _compile(search, now)
    while now.leg is not None:
        scores = _scored(search, now.leg, now)
        search.journal.report(now.leg.round, scores)
        _say(search, now.leg, scores)
        now = search.stand()
        search.journal.settle(now)
        _delete_states(search, now)
        report.write(search.path, search.settings, search.ends, search.journal.trials())


def _compile(search: Search, now: Stand) -> None:
    if now.leg is None:
        return
    init = any(not leg.sources and leg.number not in now.trained for leg in rounds.legs(search.settings.plan))
    compile_ = lambda: search.trainer.compile(search.num_rows, init=init, evaluation=True)
    seconds = wait_for(compile_, "compiling", search.stop, "stopping; nothing has changed")
    cli.note(f"compiled in {seconds:.1f} s, for the whole search")


def _scored(search: Search, leg: Leg, now: Stand) -> dict[int, float]:
    """Return the scores of a leg's trials at its end: mean returns over seeds; -inf for one that has diverged."""
    if not leg.sources:
        settings = search.settings
        search.journal.ask(settings.sampler, settings.seed, leg.batch, now.trials)
    state = _at_end(search, leg, now.trials, now)
    key = evaluation.evaluation_key(search.settings.seed, evaluation.DURING, search.ends[leg.round])
    rows = list(range(search.settings.seeds)) * search.places  # trials are scored on the same episodes
    played = lambda: search.trainer.evaluate(state, key, rows=rows)["episode_return"]
    play = lambda: np.asarray(played(), np.float64).mean(axis=1)
    returns = wait_for(play, "evaluation", search.stop, "stopping; the state is saved")
    returns = np.where(np.asarray(state.seeds.diverged), np.nan, returns)
    means = returns.reshape(search.places, search.settings.seeds).mean(axis=1)
    return {
        trial: float(mean) if math.isfinite(mean) else -math.inf for trial, mean in zip(now.trials, means, strict=False)
    }


def _at_end(search: Search, leg: Leg, trials: tuple[int, ...], now: Stand) -> Any:
    """Return the state of a leg at the end of its round: from the disk, or trained, and then saved."""
    with Checkpoints(_folder(search, leg), finite=(".seeds.agent",), needed=_NEEDED) as checkpoints:
        restored = checkpoints.restore(search.trainer.state_shapes(search.num_rows))
        metadata = {"trials": list(trials), "params": search.journal.hypers(trials)}
        if restored is None:
            state, step = _begun(search, leg, trials, now)
        else:
            _refuse_other(search, leg, restored, metadata)
            state, step = restored.state, restored.step
        return _trained(search, leg, state, step, checkpoints, metadata, saved=-1 if restored is None else step)


def _begun(search: Search, leg: Leg, trials: tuple[int, ...], now: Stand) -> tuple[Any, int]:
    """Return the state that a leg begins with, and its step: new agents, or the rows of those that go on."""
    settings = search.settings
    if not leg.sources:
        values = search.journal.hypers(rows.filled(trials, search.places))
        hypers = rows.hypers(search.trainer.config.hypers, values, settings.seeds)
        keys = rows.keys(settings.seed, search.places, settings.seeds)
        init = lambda: jax.block_until_ready(search.trainer.init(keys, hypers))
        state = wait_for(init, "playing at random", search.stop, "stopping; this batch begins anew")
        return state, search.trainer.prefill_steps
    whole = rounds.legs(settings.plan)
    parts = []
    for source in leg.sources:
        own = now.trained[source]
        if places := [own.index(trial) for trial in trials if trial in own]:
            state = _at_end(search, whole[source], own, now)
            parts.append(rows.taken(state, rows.rows_of(places, settings.seeds)))
            del state
    shapes = search.trainer.state_shapes(search.num_rows)
    parts += [rows.first(parts[0], settings.seeds, shapes)] * (search.places - len(trials))
    return rows.joined(parts, shapes), search.ends[leg.round - 1]


def _trained(
    search: Search, leg: Leg, state: Any, step: int, checkpoints: Checkpoints, metadata: dict[str, Any], saved: int
) -> Any:
    """Run chunks until the round ends, or a signal came, and save."""
    end, trainer = search.ends[leg.round], search.trainer
    if step < end:
        cli.note(_heading(search, leg, len(metadata["trials"])))
    search.stop.consequence = "saving after the running chunk"
    every = _save_interval(search)
    pace = _Pace(search, leg, step)
    last_save = time.monotonic()
    try:
        # Nothing is left to learn where every row has diverged.
        while step < end and search.stop.number is None and not np.all(np.asarray(state.seeds.diverged)):
            state, chunk = trainer.train_chunk(state)
            chunk = jax.device_get(chunk)
            step = int(chunk["env_steps"][0])
            pace.show(step, chunk)
            if step < end and time.monotonic() - last_save >= every:
                saved = _save(checkpoints, step, state, metadata, saved)
                last_save = time.monotonic()
            else:
                checkpoints.poll()
    finally:
        pace.close()
    if step > trainer.prefill_steps:
        _save(checkpoints, step, state, metadata, saved)
        checkpoints.wait()
    if search.stop.number is not None:
        raise Stopped
    return state


def _save(checkpoints: Checkpoints, step: int, state: Any, metadata: dict[str, Any], saved: int) -> int:
    """Save a state that is not saved at this step yet, and return the step."""
    if step != saved:
        lost = np.flatnonzero(np.asarray(state.seeds.diverged)).tolist()
        checkpoints.save(step, state, metadata, without=lost)
    return step


def _save_interval(search: Search) -> float:
    if search.checkpoint_every is not None:
        return search.checkpoint_every
    return max(60.0, 200e-9 * memory.state_bytes(search.trainer.state_shapes(search.num_rows)))


def _folder(search: Search, leg: Leg) -> Path:
    return search.path / STATES / str(leg.number)


def _refuse_other(search: Search, leg: Leg, restored: Restored, metadata: dict[str, Any]) -> None:
    """Exit 3 if a state is of other trials than the journal says."""
    if {name: restored.metadata[name] for name in metadata} != metadata:
        cli.fail(
            f"{_folder(search, leg)} holds other trials than the journal says; put the journal back that it was made "
            "with, or delete that folder to train them again",
            cli.BAD_CHECKPOINT,
        )


def _delete_states(search: Search, now: Stand) -> None:
    """Delete the states that no leg to come needs."""
    kept = rounds.waiting(search.settings.plan, now) | ({now.leg.number} if now.leg else set())
    for folder in (search.path / STATES).glob("*"):
        if not folder.name.isdigit() or int(folder.name) not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _heading(search: Search, leg: Leg, count: int) -> str:
    counts = search.settings.plan.counts()
    return (
        f"round {leg.round + 1} of {len(counts)}, batch {leg.batch + 1} of {counts[leg.round]}: {count} "
        f"{'trials' if leg.sources else 'new trials'} to {search.ends[leg.round]:,} steps"
    )


def _say(search: Search, leg: Leg, scores: dict[int, float]) -> None:
    """Say how a leg has ended."""
    best = max(scores, key=lambda trial: scores[trial])
    lost = sum(score == -math.inf for score in scores.values())
    said = "all have diverged" if lost == len(scores) else f"best return {scores[best]:.3f} (trial {best})"
    cli.note(f"at {search.ends[leg.round]:,} steps: {said}" + (f", {lost} diverged" if 0 < lost < len(scores) else ""))


class _Pace:
    """What a person sees while a leg is trained; the time that is left is that of the whole search."""

    def __init__(self, search: Search, leg: Leg, step: int) -> None:
        self._search, self._first, self._begin = search, step, time.monotonic()
        self._end = search.ends[leg.round]
        planned = rounds.program_steps(search.settings.plan, search.ends)
        self._later = sum(steps for other, steps in planned if other.number > leg.number)
        self._screen = display(self._end, step)

    def show(self, step: int, chunk: dict[str, Any]) -> None:
        """Show a chunk that ended at a step."""
        per_second = (step - self._first) / (time.monotonic() - self._begin)
        trainer, rows_ = self._search.trainer, self._search.num_rows
        updates = per_second * rows_ * trainer.updates_per_chunk / trainer.steps_per_chunk
        rates = Rates(per_second * rows_, updates, (self._end - step + self._later) / per_second)
        told = np.where((chunk["episodes"] > 0) & ~np.asarray(chunk["diverged"]), chunk["episode_return"], np.nan)
        self._screen.update(step, rates, told.tolist(), None)

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._screen.close()
