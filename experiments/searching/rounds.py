"""Which trials are trained together, in which order and until when: successive halving in rounds. Pure functions.

All rows of a program are at the same step, so that rows which pruning frees cannot be filled one by one. They are
filled by the batch instead: `halve` batches that have been trained to the end of a round stand at the same step, and
the best of all their trials, as many as one batch holds, go on together as one batch of the next round. Every call of
the program has all its rows, whatever the round.

A leg is one batch on its way through one round. Legs are trained depth first: as soon as `halve` legs of a round are
done, the leg that takes their best goes before any new trials, so that few states wait on the disk and the sampler
hears early of how trials end. What goes on is told from the scores alone, so that a search which was stopped knows
from its journal where it is.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

# (trial, round) -> its score at the end of that round; -inf for one that has diverged.
Scores = Mapping[tuple[int, int], float]


class Plan(NamedTuple):
    """How many trials there are, how many in a batch, in how many rounds, and of how many batches one goes on."""

    trials: int
    batch: int
    rounds: int
    halve: int

    def counts(self) -> list[int]:
        """Return how many legs each round has."""
        found = [math.ceil(self.trials / self.batch)]
        for _ in range(1, self.rounds):
            found.append(math.ceil(found[-1] / self.halve))
        return found


class Leg(NamedTuple):
    """One batch in one round.

    Attributes:
      number: its place in the order of training.
      round: from 0 on.
      batch: its place among the legs of its round.
      sources: numbers of the legs whose best trials it has; empty in round 0, where its trials are new.
    """

    number: int
    round: int
    batch: int
    sources: tuple[int, ...]


class Stand(NamedTuple):
    """How far a search is.

    Attributes:
      trained: number of a leg that is done -> its trials, in their order.
      dropped: trials that go on no more: those that were not among the best, and those that diverged.
      finished: trials that have been through all rounds, without having diverged.
      leg: what is trained next; None if the search is over.
      trials: those of that leg.
    """

    trained: dict[int, tuple[int, ...]]
    dropped: frozenset[int]
    finished: frozenset[int]
    leg: Leg | None
    trials: tuple[int, ...]


def legs(plan: Plan) -> list[Leg]:
    """Return all legs in the order of training."""
    counts = plan.counts()
    found: list[Leg] = []

    def add(round_: int, batch: int) -> int:
        sources: Iterable[int] = ()
        if round_:
            first = batch * plan.halve
            sources = [add(round_ - 1, source) for source in range(first, min(first + plan.halve, counts[round_ - 1]))]
        found.append(Leg(len(found), round_, batch, tuple(sources)))
        return found[-1].number

    for batch in range(counts[-1]):
        add(plan.rounds - 1, batch)
    return found


def stand(plan: Plan, scores: Scores) -> Stand:
    """Return how far a search is with the scores that there are."""
    trained: dict[int, tuple[int, ...]] = {}
    dropped: set[int] = set()
    finished: set[int] = set()
    for leg in legs(plan):
        if leg.sources:
            before = [trial for source in leg.sources for trial in trained[source]]
            trials = _best(plan.batch, before, scores, leg.round - 1)
            dropped |= set(before) - set(trials)
        else:
            trials = tuple(range(leg.batch * plan.batch, min((leg.batch + 1) * plan.batch, plan.trials)))
        if any((trial, leg.round) not in scores for trial in trials):
            return Stand(trained, frozenset(dropped), frozenset(finished), leg, trials)
        trained[leg.number] = trials
        lost = {trial for trial in trials if scores[trial, leg.round] == -math.inf}
        dropped |= lost
        if leg.round == plan.rounds - 1:
            finished |= set(trials) - lost
    return Stand(trained, frozenset(dropped), frozenset(finished), None, ())


def _best(count: int, trials: Iterable[int], scores: Scores, round_: int) -> tuple[int, ...]:
    """Return the trials with the highest scores, by their numbers; the earlier of equals, none that has diverged."""
    sound = [trial for trial in trials if scores[trial, round_] > -math.inf]
    return tuple(sorted(sorted(sound, key=lambda trial: (-scores[trial, round_], trial))[:count]))


def waiting(plan: Plan, now: Stand) -> set[int]:
    """Return the legs that are done and whose states are still needed: those that a leg to come takes trials from."""
    return {
        source for leg in legs(plan) if leg.number not in now.trained for source in leg.sources if source in now.trained
    }


def ends(plan: Plan, steps: int, prefill: int, chunk: int) -> list[int]:
    """Return the environment steps, per seed, at which the rounds end: where whole chunks have done what is asked.

    Args:
      plan: the last round ends at `steps`, each before it at `1 / halve` of the next one's.
      steps: asked for.
      prefill: steps of random play before anything is learned.
      chunk: steps of a chunk.

    Raises:
      ValueError: if a round has nothing to learn, saying what would be right.
    """
    asked = [math.ceil(steps / plan.halve**left) for left in reversed(range(plan.rounds))]
    found = [prefill + max(0, math.ceil((step - prefill) / chunk)) * chunk for step in asked]
    for round_, (before, end) in enumerate(zip([prefill, *found], found, strict=False)):
        if end <= before:
            where = f"within the {prefill:,} steps of random play" if not round_ else f"where round {round_} does"
            least = max(prefill + 1, math.ceil(chunk / (plan.halve - 1))) * plan.halve ** (plan.rounds - 1)
            raise ValueError(
                f"--steps {steps}: round {round_ + 1} of {plan.rounds} would end {where}; give at least {least}, or "
                "fewer --rounds"
            )
    return found


def program_steps(plan: Plan, ends: list[int]) -> Iterator[tuple[Leg, int]]:
    """Yield every leg with the environment steps, per seed, that it trains: the random play is a part of the first."""
    for leg in legs(plan):
        yield leg, ends[leg.round] - (ends[leg.round - 1] if leg.round else 0)
