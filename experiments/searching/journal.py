"""The journal: what Optuna keeps of a search, and all that says how far it is.

Every trial is one record, written once with all its parameters. A leg is done when all its trials have a score at its
end (`FrozenTrial.intermediate_values`, by environment steps); one that has diverged has -inf there. Whatever is told
after that (who was pruned, who is complete) follows from the scores and is told again where a kill was faster.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from experiments.running import cli
from experiments.searching import rounds, samplers
from experiments.searching.space import Param

NAME = "search"  # of the study in the journal
LEAST = 8  # trials for an importance


class Journal:
    """The journal of one search, open for this process, which holds the lock of its folder."""

    def __init__(self, path: Path, params: Sequence[Param], ends: Sequence[int]) -> None:
        """Open it, or begin one; exit 2 if it does not read.

        Args:
          path: its file.
          params: what is searched.
          ends: environment steps at which each round ends.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._ends = list(ends)
        self._distributions = {
            param.key: optuna.distributions.FloatDistribution(param.low, param.high, log=param.log) for param in params
        }
        try:
            _mend(path)
            self._storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
            if not self._storage.get_all_studies():  # to create it anyway would leave a record each time
                self._storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], NAME)
            # Its sampler is never asked: that is `samplers`' part.
            self.study = optuna.load_study(
                study_name=NAME, storage=self._storage, sampler=optuna.samplers.RandomSampler(0)
            )
        except OSError as error:
            cli.fail(f"cannot open {path}: {error.strerror or error}", cli.SAVE_FAILED)
        except (ValueError, KeyError, TypeError) as error:
            cli.fail(f"{path} is damaged: {type(error).__name__}: {error}")
        self._study_id = self._storage.get_study_id_from_name(NAME)

    def trials(self) -> list[FrozenTrial]:
        """Return all trials by their numbers."""
        return self.study.get_trials(deepcopy=False)

    def scores(self) -> dict[tuple[int, int], float]:
        """Return the scores of trials at the ends of rounds."""
        return {
            (trial.number, round_): trial.intermediate_values[step]
            for trial in self.trials()
            for round_, step in enumerate(self._ends)
            if step in trial.intermediate_values
        }

    def ask(self, sampler: str, seed: int, batch: int, numbers: Sequence[int]) -> None:
        """See that a batch's trials are there: those that are not are proposed, from what was known before them all."""
        trials = self.trials()
        if len(trials) > numbers[-1]:
            return
        made = samplers.make(sampler, seed, batch)
        past = trials[: numbers[0]]
        proposed = samplers.propose(made, past, len(numbers), self._distributions, self._ends[0])
        for trial in proposed[len(trials) - numbers[0] :]:
            self.study.add_trial(trial)

    def hypers(self, numbers: Sequence[int]) -> list[dict[str, float]]:
        """Return the parameters of trials."""
        trials = self.trials()
        return [dict(trials[number].params) for number in numbers]

    def report(self, round_: int, scores: dict[int, float]) -> None:
        """Write trials' scores at the end of a round, those that are not there; -inf for one that has diverged."""
        there = self.scores()
        for number, score in scores.items():
            if (number, round_) in there:
                continue
            identifier = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
            self._storage.set_trial_intermediate_value(identifier, self._ends[round_], score)

    def settle(self, now: rounds.Stand) -> None:
        """Tell of every trial that goes on no more, where that was not told yet."""
        trials = self.trials()
        for number in sorted(now.dropped):
            if trials[number].state == TrialState.RUNNING:
                self.study.tell(number, state=TrialState.PRUNED)
        for number in sorted(now.finished):
            if trials[number].state == TrialState.RUNNING:
                self.study.tell(number, trials[number].intermediate_values[self._ends[-1]])


def importance(trials: Sequence[FrozenTrial], first_step: int) -> dict[str, float] | None:
    """Return how much each parameter has to do with being in the best quarter after the first round; it adds up to 1.

    That round is the one in which all trials were compared; those that came further are a selection. By PED-ANOVA.

    Returns:
      key -> share, the largest first; None with fewer than `LEAST` trials, or where their scores are all the same.
    """
    scored = [trial for trial in trials if first_step in trial.intermediate_values]
    compared = samplers.seen([_until(trial, first_step) for trial in scored], first_step)
    if len(compared) < LEAST or len({trial.value for trial in compared}) == 1:
        return None
    study = optuna.create_study(direction="maximize")
    for trial in compared:
        trial.state = TrialState.COMPLETE
        study.add_trial(trial)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _until(trial: FrozenTrial, step: int) -> Any:
    """Return a trial with what was known of it at a step."""
    own = {at: value for at, value in trial.intermediate_values.items() if at <= step}
    return optuna.trial.create_trial(
        state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions, intermediate_values=own
    )


def _mend(path: Path) -> None:
    """Undo what a kill can leave: half a record at the end, and a lock that nobody holds.

    Raises:
      OSError: if that fails.
    """
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with open(path, "r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def is_diverged(trial: FrozenTrial) -> bool:
    """Return whether a trial's learning was not finite."""
    return -math.inf in trial.intermediate_values.values()
