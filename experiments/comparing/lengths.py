"""For how long each set of a comparison was trained, and what of that makes it an unequal one."""

from collections.abc import Sequence

from experiments.comparing.sets import Member, RunSet
from experiments.running.display import table

_EARLY = 0.8  # of the steps after which sets are compared: a last evaluation before that says little of them
MARKS = {
    "unfinished": "not trained to its end yet; what it has reached counts",
    "shorter": "trained for less than is asked for, or than another set is to be; what it has reached counts",
    "early": "trained further, but evaluated last so long before: more evaluations (--eval-every) would say more",
}


def write(sets: Sequence[RunSet], steps: int | None) -> list[str]:
    """Return the text: a table with a row a game, and what its marks mean.

    Args:
      sets: what is compared.
      steps: after which they are; None for each one's end.
    """
    games = sorted(set().union(*(one.games for one in sets)))
    rows = [[game, *(_cell(one.games.get(game, []), _others(sets, game), steps) for one in sets)] for game in games]
    title = "Trained for:" if steps is None else f"Last evaluation within {steps:,} steps:"
    parts = [title, table(["game", *(one.name for one in sets)], rows)]
    found = [mark for mark in MARKS if any(cell.endswith(f", {mark}") for row in rows for cell in row)]
    return parts + [f"{mark}: {MARKS[mark]}." for mark in found]


def _others(sets: Sequence[RunSet], game: str) -> list[tuple[float, float]]:
    """Return how long the runs of a game are to be."""
    return [one.goal for own in sets for one in own.games.get(game, []) if one.goal is not None]


def _cell(members: Sequence[Member], goals: Sequence[tuple[float, float]], steps: int | None) -> str:
    if not members:
        return "-"
    mark = _mark(members, goals, steps)
    ends = [end for one in members if (end := one.end(steps)) is not None]
    if not ends:
        return f"-{mark}"
    (shortest, _), (longest, minutes) = min(ends), max(ends)
    span = f"{shortest:,.0f} to " * (shortest < longest)
    return f"{span}{longest:,.0f} steps" + (f", {minutes:.1f} min" if minutes == minutes else "") + mark


def _mark(members: Sequence[Member], goals: Sequence[tuple[float, float]], steps: int | None) -> str:
    if steps is None:
        if not all(one.is_over for one in members):
            return ", unfinished"
        return ", shorter" if any(_is_less(one.goal, goal) for one in members for goal in goals) else ""
    if any(one.trained < steps for one in members):
        return ", shorter"
    ends = [end for one in members if (end := one.end(steps)) is not None]
    return ", early" if any(step < _EARLY * steps for step, _ in ends) else ""


def _is_less(goal: tuple[float, float] | None, other: tuple[float, float]) -> bool:
    """Return whether steps and minutes that end a run end it sooner than others: of which neither is less."""
    return goal is not None and goal != other and goal[0] <= other[0] and goal[1] <= other[1]
