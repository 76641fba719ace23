"""Measures of memory over recorded episodes: what is paid when, where one was, what the agent's numbers hold."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.remembering import probes
from experiments.remembering.probes import Score

PARTS = 10  # of an episode
_PLACE = "agent_pos"  # of `extras`: where the agent is, in cells
_OBJECTS = "targets_vec"  # of `extras`: where each object is from where the agent is
# Steps since an object was seen: the last of each span. 0 is in view.
SINCE = (0, 5, 20, 100, 300)
_MOST_ROWS = 40_000  # of a probe; more say the same


class Played(NamedTuple):
    """Episodes of one agent, (T, E, ...); a row counts where `running`.

    Attributes:
      reward: float32 (T, E), what led to the step.
      running: bool (T, E), whether the step is of the episode that began first.
      truth: what is hidden, by name, float32 (T, E, D).
      in_view: bool (T, E, objects), what is seen at the step; None where the environment does not say.
      kept: what the agent has in memory after the step, by name, float32 (T, E, F); "observation" is no memory.
    """

    reward: np.ndarray
    running: np.ndarray
    truth: Mapping[str, np.ndarray]
    in_view: np.ndarray | None
    kept: Mapping[str, np.ndarray]


def mean(values: Sequence[float]) -> dict[str, float | None]:
    """Return mean and standard error of what episodes, or agents, have."""
    found = np.array(values, float)
    error = float(found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else None
    return {"mean": float(found.mean()), "stderr": error}


def by_part(played: Played, longest: int) -> list[dict[str, float | None]]:
    """Return what is paid in each tenth of the longest episode: first and last step, mean over episodes, s.e.

    Only episodes that lasted into the part count in it; its steps are the same in all of them where all are as long.
    """
    rows: list[dict[str, float | None]] = []
    width = max(1, -(-longest // PARTS))
    for begin in range(1, longest + 1, width):  # what leads to step 0 is no reward
        end = min(begin + width, longest + 1)
        there = played.running[begin:end]
        sums = np.where(there, played.reward[begin:end], 0.0).sum(0)[there.any(0)]
        if not len(sums):
            break
        rows.append({"first": begin, "last": end - 1, **mean(sums)})
    return rows


def explored(played: Played, longest: int) -> list[dict[str, float | None]] | None:
    """Return how many cells an agent has been in by the end of each tenth of an episode; None where nobody says."""
    if _PLACE not in played.truth:
        return None
    cells = np.floor(played.truth[_PLACE]).astype(int)
    rows: list[dict[str, float | None]] = []
    width = max(1, -(-longest // PARTS))
    for end in range(width, longest + 1, width):
        been = [cells[: end + 1, e][played.running[: end + 1, e]] for e in range(cells.shape[1])]
        counts = [len(np.unique(places, axis=0)) for places in been]
        rows.append({"step": end, **mean(counts)})
    return rows


def since_seen(in_view: np.ndarray) -> np.ndarray:
    """Return how many steps ago each object was last in view, int (T, E, objects); -1 where it never was."""
    step = np.arange(len(in_view))[:, None, None]
    last = np.maximum.accumulate(np.where(in_view, step, -1), 0)
    return np.where(last < 0, -1, step - last)


def spans() -> list[tuple[str, int, int]]:
    """Return (name, first, last) of the spans of steps since an object was seen."""
    found, first = [], 0
    for last in SINCE:
        found.append((f"{first} to {last}" if last > first else "in view", first, last))
        first = last + 1
    return [*found, (f"{first} and more", first, np.iinfo(np.int64).max), ("never seen", -1, -1)]


def probed(played: Played) -> dict[str, dict[str, Score]]:
    """Return the share of each hidden quantity that can be read off each kind of numbers: {quantity: {kind: score}}.

    Of objects that can be in view also by how long ago they were, as `targets_vec, 21 to 100`.
    """
    time, episode = np.nonzero(played.running)
    stride = -(-len(time) // _MOST_ROWS)
    time, episode = time[::stride], episode[::stride]
    count = played.running.shape[1]
    truth = {name: values[time, episode] for name, values in played.truth.items()}
    found: dict[str, dict[str, Score]] = {}
    for kind, kept in played.kept.items():
        numbers = kept[time, episode]
        fitted = probes.fit(numbers, np.concatenate(list(truth.values()), 1), episode, count) if truth else None
        offset = 0
        for name, values in truth.items():
            own = slice(offset, offset := offset + values.shape[1])
            found.setdefault(name, {})[kind] = probes.NOTHING if fitted is None else fitted.of(own).score()
        if played.in_view is not None and _OBJECTS in truth:
            since = since_seen(played.in_view)[time, episode]
            for name, first, last in spans():
                chosen = (since >= first) & (since <= last)
                score = _of_objects(numbers, truth[_OBJECTS], chosen, episode, count)
                found.setdefault(f"{_OBJECTS}, {name}", {})[kind] = score
    return found


def _of_objects(numbers: np.ndarray, places: np.ndarray, chosen: np.ndarray, episode: np.ndarray, count: int) -> Score:
    """Return how much of objects' places (rows, objects * 2) can be read off in the rows chosen, (rows, objects).

    A probe for each object and these rows alone: what is true of the others is nothing that it has to make up for.
    """
    places = places.reshape(len(places), chosen.shape[1], -1)
    fits = [
        probes.fit(numbers[rows], places[rows, number], episode[rows], count) for number, rows in enumerate(chosen.T)
    ]
    return probes.joined(fits)
