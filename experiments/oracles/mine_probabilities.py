"""A player of MineSweeper that works out, from all counts so far, how likely each square has a mine: exactly.

The boards that agree with the counts are counted, not listed: there are too many of them. It runs on the host.
"""

import functools
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

import envs

Counts = tuple[tuple[int, int], ...]  # (square, mines in the 3 x 3 squares around it), sorted


@dataclass(frozen=True)
class LikeliestClear:
    """Clicks squares that cannot have a mine, or else one of those that are least likely to have one.

    Attributes: those of `experiments.oracles.Oracle`.
    """

    label: str = "likeliest clear square"
    sees: str = "history"
    reference: str = "perfect_memory_exact_posterior_greedy"
    exact: bool = False

    def play(self, env_id: str, key: jax.Array, episodes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (episode returns, lengths), each (episodes,), float64 and int."""
        env, params = envs.make(env_id)
        key_reset, key_play = jax.random.split(key)
        step = jax.jit(jax.vmap(env.step_env, (0, 0, 0, None)))
        truncated = jax.jit(jax.vmap(env.is_truncated, (0, None)))
        _, state = jax.jit(jax.vmap(env.reset_env, (0, None)))(jax.random.split(key_reset, episodes), params)
        memories = [_Memory(env.board_size, env.num_mines) for _ in range(episodes)]
        returns, lengths, playing = np.zeros(episodes), np.zeros(episodes, int), np.ones(episodes, bool)
        actions = np.zeros((episodes, 2), np.int32)
        for key_step in jax.random.split(key_play, env.max_episode_steps):
            for i in np.flatnonzero(playing):
                actions[i] = memories[i].choose()
            obs, state, reward, over, _ = step(jax.random.split(key_step, episodes), state, actions, params)
            counts = np.asarray(obs).argmax(1)
            for i in np.flatnonzero(playing):
                memories[i].learn(int(counts[i]))
            returns += np.where(playing, reward, 0.0)
            lengths += playing
            playing &= ~np.asarray(over | truncated(state, params))
        return returns, lengths


class _Memory:
    """What is known in one episode."""

    def __init__(self, board_size: int, num_mines: int):
        self.board_size, self.num_mines = board_size, num_mines
        self.counts: dict[int, int] = {}
        self.to_click: list[int] = []

    def choose(self) -> tuple[int, int]:
        """Return the next square to click."""
        # What cannot have a mine stays so: nothing is worked out before all of these are clicked.
        if not self.to_click:
            self.to_click = list(_best(self.board_size, self.num_mines, tuple(sorted(self.counts.items()))))
        return divmod(self.to_click[-1], self.board_size)

    def learn(self, count: int) -> None:
        """Take in the count at the square chosen last."""
        self.counts[self.to_click.pop()] = count


@functools.lru_cache(maxsize=1 << 16)
def _best(board_size: int, num_mines: int, counts: Counts) -> tuple[int, ...]:
    """Return all squares that cannot have a mine, or if there are none the first of those least likely to have one."""
    probabilities = mine_probabilities(board_size, num_mines, counts)
    clear = tuple(square for square, probability in probabilities.items() if probability == 0)
    return clear or (min(probabilities, key=lambda square: probabilities[square]),)


class _Group(NamedTuple):
    """Squares under the same counts; only how many of them have a mine matters.

    Attributes:
      squares: which.
      counts: which counts they are under, as positions in the list of counts.
    """

    squares: list[int]
    counts: tuple[int, ...]


class _Edge(NamedTuple):
    """A way to put mines into one group.

    Attributes:
      before: the state that it starts from.
      ways: in how many ways that state is reached.
      mines: number of mines in the group.
      choices: number of ways to put them on its squares.
      after: the state that it leads to.
    """

    before: int
    ways: int
    mines: int
    choices: int
    after: int


def mine_probabilities(board_size: int, num_mines: int, counts: Counts) -> dict[int, float]:
    """Return the probability that there is a mine, for every square without a count.

    Group by group of squares under the same counts, it is counted in how many ways each state can be reached (forwards)
    and finished (backwards). A state is how many mines each count still lacks, packed into one integer; the mines of
    the whole board are a count over all squares.

    Args:
      board_size: number of rows and columns.
      num_mines: mines on the board.
      counts: what was learned; the squares themselves have no mine.

    Raises:
      ValueError: if no board agrees with the counts.
    """
    lacking, groups = _groups(board_size, num_mines, dict(counts))
    bits = num_mines.bit_length()
    layers = _forwards(lacking, groups, bits)
    total = sum(edge.ways * edge.choices for edge in layers[-1])
    if not total:
        raise ValueError(f"no board of size {board_size} with {num_mines} mines has the counts {counts}")
    finishing = {edge.after: 1 for edge in layers[-1]}
    probabilities: dict[int, float] = {}
    for group, edges in zip(reversed(groups), reversed(layers), strict=True):
        expected, before = 0, defaultdict[int, int](int)
        for edge in edges:
            finished = edge.choices * finishing.get(edge.after, 0)
            expected += edge.ways * edge.mines * finished
            before[edge.before] += finished
        # Integers are divided exactly rounded, so squares that are equally likely have equal probabilities.
        probabilities |= dict.fromkeys(group.squares, expected / (total * len(group.squares)))
        finishing = before
    return dict(sorted(probabilities.items()))


def _groups(board_size: int, num_mines: int, counted: dict[int, int]) -> tuple[list[int], list[_Group]]:
    """Return the counts, that of the whole board first, and the groups in the order of their first squares."""
    lacking = [num_mines, *counted.values()]
    above: dict[int, tuple[int, ...]] = {square: (0,) for square in range(board_size**2)}
    for i, square in enumerate(counted, start=1):
        row, column = divmod(square, board_size)
        for y in range(max(row - 1, 0), min(row + 2, board_size)):
            for x in range(max(column - 1, 0), min(column + 2, board_size)):
                above[y * board_size + x] += (i,)
    members = defaultdict[tuple[int, ...], list[int]](list)
    for square, under in above.items():
        if square not in counted:
            members[under].append(square)
    return lacking, [_Group(squares, under) for under, squares in members.items()]


def _forwards(lacking: list[int], groups: list[_Group], bits: int) -> list[list[_Edge]]:
    """Return all edges for each group. A state from which some count cannot be met has none."""
    room = [sum(len(group.squares) for group in groups if i in group.counts) for i in range(len(lacking))]
    reached = {sum(n << bits * i for i, n in enumerate(lacking)): 1}
    layers = []
    for group in groups:
        squares, one_mine = len(group.squares), sum(1 << bits * i for i in group.counts)
        for i in group.counts:
            room[i] -= squares
        edges, following = [], defaultdict[int, int](int)
        for state, ways in reached.items():
            missing = [(state >> bits * i & (1 << bits) - 1, room[i]) for i in group.counts]
            least = max(0, *(n - later for n, later in missing))
            most = min(squares, *(n for n, _ in missing))
            for mines in range(least, most + 1):
                edge = _Edge(state, ways, mines, math.comb(squares, mines), state - mines * one_mine)
                edges.append(edge)
                following[edge.after] += ways * edge.choices
        layers.append(edges)
        reached = following
    return layers
