"""Optuna's samplers, asked for a batch of trials at a time.

A sampler is made anew for every batch, with a seed that follows from the search's and the number of the batch, and
shown a study in memory that holds what the journal knew then. What it proposes hangs on nothing else, so that a search
which was stopped and goes on asks for the same trials.

In that study a trial that has come through a round and waits for the next one counts with the score it has so far, as
if it ended there. In the journal it is still running, and samplers take a running trial for a bad one: they would leave
the neighbourhood of the best.
"""

import importlib
import importlib.util
import inspect
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from experiments.running import cli

NAMES = ("tpe", "random", "cmaes", "qmc", "gp")
NOTES = "sampler"  # user attribute of a batch's last trial: what the sampler has noted in its study
_NEEDED = {"cmaes": "cmaes", "gp": "torch"}


def make(name: str, seed: int, batch: int) -> Any:
    """Return a new sampler for a batch; exit 2 with one line if there is none of that name, or it cannot be made.

    Args:
      name: one of `NAMES`, or MODULE:CLASS of a subclass of `optuna.samplers.BaseSampler`.
      seed: the search's.
      batch: from 0 on. A quasi-random sequence has the search's seed in every batch, as it is one sequence.
    """
    own = int(np.random.SeedSequence([seed, 0 if name == "qmc" else batch]).generate_state(1)[0])
    package = _NEEDED.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        cli.fail(f"--sampler {name} needs the package {package!r}; install it with: pip install {package}")
    with _quiet():
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=own, constant_liar=True)
        if name == "random":
            return optuna.samplers.RandomSampler(seed=own)
        if name == "cmaes":  # most trials end pruned: without them it would learn of few
            return optuna.samplers.CmaEsSampler(seed=own, consider_pruned_trials=True)
        if name == "qmc":
            return optuna.samplers.QMCSampler(seed=own, scramble=True)
        if name == "gp":
            return optuna.samplers.GPSampler(seed=own)
        return _own(name, own)


def _own(name: str, seed: int) -> Any:
    """Return a sampler of the user's."""
    module, colon, attribute = name.partition(":")
    if not colon:
        cli.fail(f"--sampler {name}: expected one of {', '.join(NAMES)}, or MODULE:CLASS")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        cli.fail(f"--sampler {name}: {type(error).__name__}: {error}")
    if not (isinstance(kind, type) and issubclass(kind, optuna.samplers.BaseSampler)):
        cli.fail(f"--sampler {name}: it is no subclass of optuna.samplers.BaseSampler")
    options: dict[str, Any] = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
    try:
        return kind(**options)
    except Exception as error:
        cli.fail(f"--sampler {name} cannot be made: {type(error).__name__}: {error}")


def propose(
    sampler: Any, past: Sequence[FrozenTrial], count: int, distributions: Mapping[str, Any], first_step: int
) -> list[FrozenTrial]:
    """Return new trials, running, as they are to be put into the journal.

    Args:
      sampler: made for this batch.
      past: all trials before, in the order of their numbers.
      count: how many.
      distributions: of each key.
      first_step: at which the first round ends.
    """
    storage = optuna.storages.InMemoryStorage()
    with _quiet():
        study = optuna.create_study(storage=storage, sampler=sampler, direction="maximize")
        study_id = storage.get_study_id_from_name(study.study_name)
        for key, value in (past[-1].user_attrs.get(NOTES, {}) if past else {}).items():
            storage.set_study_system_attr(study_id, key, value)
        study.add_trials(seen(past, first_step))
        asked = [study.ask(dict(distributions)) for _ in range(count)]
    notes = storage.get_study_system_attrs(study_id)
    frozen = [study.trials[trial.number] for trial in asked]
    return [
        create_trial(
            state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions,
            system_attrs=trial.system_attrs, user_attrs={NOTES: notes} if trial is frozen[-1] and notes else {},
        )
        for trial in frozen
    ]  # fmt: skip


def seen(past: Sequence[FrozenTrial], first_step: int) -> list[FrozenTrial]:
    """Return trials as a sampler is to see them: none running, and none with a value that is not finite.

    One that has diverged has the worst score of all, at the end of the first round, whenever it did.
    """
    scores = [score for trial in past for score in trial.intermediate_values.values() if score > -math.inf]
    worst = min(scores, default=0.0)
    found = []
    for trial in past:
        own = dict(trial.intermediate_values)
        if -math.inf in own.values():
            own = {first_step: worst}
        complete = trial.state == TrialState.COMPLETE
        found.append(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED, value=own[max(own)] if own else None,
                params=trial.params, distributions=trial.distributions, system_attrs=trial.system_attrs,
                intermediate_values=own,
            )
        )  # fmt: skip
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back that a part of Optuna is called experimental: the search's tests say what it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
