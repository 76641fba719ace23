"""Labyrinths: how mazes are drawn, and what the two games in them have in common.

Ref: popgym/core/maze.py (1.0.7); mazelib/generate/HuntAndKill.py and mazelib/mazelib.py (0.9.16). A maze is one uint32
per row of blocks, bit x set where block x is a wall.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments.environment import EnvParams, EnvState

from envs.observation import Categorical, Part
from envs.popgym.game import Game
from envs.popgym.grid import unpacked
from envs.spaces import nearest

LEFT, RIGHT, UP, DOWN, NO_ACTION = range(5)
MOVES = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)], np.int32)  # (rows, columns) that an action moves by
FREE, WALL, START, GOAL = range(4)
CLASSES = 5  # of a block in an observation; the last one, for hidden blocks, never occurs
WINDOW = 3
EPISODE_LENGTH = 1024
_WORD = 32


class _Cells:
    """Sets of a maze's cells as bits, as many rows to a uint32 word as fit, and how to go from cell to cell.

    A set is uint32 (words,). Cell (row, column) is bit (row % rows per word) * width + column of word
    row // rows per word.
    """

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.rows_per_word = min(height, _WORD // width)
        words = -(-height // self.rows_per_word)
        rows = [min(self.rows_per_word, height - word * self.rows_per_word) for word in range(words)]
        self.all = np.array([(1 << n * width) - 1 for n in rows], np.uint32)
        first_column = np.array([sum(1 << row * width for row in range(n)) for n in rows], np.uint32)
        self._not_first_column = self.all & ~first_column
        self._last_row_shift = np.uint32((self.rows_per_word - 1) * width)

    def none(self) -> jax.Array:
        """Return the empty set."""
        return jnp.zeros(self.all.shape, jnp.uint32)

    def east(self, cells: jax.Array) -> jax.Array:
        """Return the cells to the right of `cells`."""
        return cells << 1 & self._not_first_column

    def west(self, cells: jax.Array) -> jax.Array:
        """Return the cells to the left of `cells`."""
        return (cells & self._not_first_column) >> 1

    def south(self, cells: jax.Array) -> jax.Array:
        """Return the cells below `cells`."""
        from_word_above = jnp.concatenate([self.none()[:1], cells[:-1] >> self._last_row_shift])
        return (cells << self.width | from_word_above) & self.all

    def north(self, cells: jax.Array) -> jax.Array:
        """Return the cells above `cells`."""
        first_row = cells & ((1 << self.width) - 1)
        from_word_below = jnp.concatenate([first_row[1:] << self._last_row_shift, self.none()[:1]])
        return cells >> self.width | from_word_below

    def neighbors(self, cells: jax.Array) -> jax.Array:
        """Return every cell beside one of `cells`."""
        return self.east(cells) | self.west(cells) | self.south(cells) | self.north(cells)

    def pick(self, cells: jax.Array, uniform: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return one of `cells` and their number.

        Args:
          cells: the set to choose from.
          uniform: float32 () in [0, 1), which chooses.

        Returns:
          The set of just the chosen cell (empty if there is none to choose), and the size of `cells`, uint32 ().
        """
        counts = jax.lax.population_count(cells)
        up_to_here = jnp.cumsum(counts, dtype=jnp.uint32)
        rank = (uniform * up_to_here[-1].astype(jnp.float32)).astype(jnp.uint32)
        before = up_to_here - counts
        chosen = _bit_of_rank(cells, rank - before)
        return jnp.where((before <= rank) & (rank < up_to_here), chosen, jnp.uint32(0)), up_to_here[-1]

    def rows(self, cells: jax.Array) -> jax.Array:
        """Return `cells` with one word per row, bit = column, uint32 (height,)."""
        row = np.arange(self.height)
        shift = (row % self.rows_per_word * self.width).astype(np.uint32)
        return cells[row // self.rows_per_word] >> shift & ((1 << self.width) - 1)


def _bit_of_rank(words: jax.Array, rank: jax.Array) -> jax.Array:
    """Return the set bit of each word that has `rank` set bits below it, alone; garbage where there is none."""
    position = jnp.zeros_like(words)
    for half in (16, 8, 4, 2, 1):
        below = jax.lax.population_count(words >> position & ((1 << half) - 1))
        above = rank >= below
        position += jnp.where(above, jnp.uint32(half), jnp.uint32(0))
        rank -= jnp.where(above, below, jnp.uint32(0))
    return jnp.uint32(1) << position.astype(jnp.uint32)


def hunt_and_kill(key: jax.Array, height: int, width: int, trials: int | jax.Array) -> jax.Array:
    """Draw a maze as mazelib's HuntAndKill does.

    A walk goes from a random cell to random neighbours that are not part of the maze yet, until there is none. Then
    cells are tried at random; from one that is in the maze and has such a neighbour, the next walk begins. After
    `trials` tries the maze is done, and may (very rarely) lack cells, which stay solid.

    Every pass of the loop adds one cell, so the number of passes is fixed. A hunt is not a loop: the number of tries
    that it takes is drawn from its geometric distribution, and the cell that it ends at is uniform among those that
    serve. That is the original's distribution to the resolution of the uniform numbers, 2^-23.

    Ref: mazelib/generate/HuntAndKill.py:40-114.

    Args:
      key: typed PRNG key.
      height: rows of cells.
      width: columns of cells, 15 at most.
      trials: number of cells tried in all the hunts together.

    Returns:
      The blocks of the maze, cells at odd coordinates: walls, uint32 (2 height + 1,).
    """
    grid = _Cells(height, width)
    uniforms = jax.random.uniform(key, (height * width, 3), jnp.float32)

    def add_cell(carry, uniforms):
        here, visited, to_east, to_south, trials_left = carry
        unvisited = grid.all & ~visited
        ends = visited & grid.neighbors(unvisited)
        stuck = jnp.all(here & ends == 0)
        hunted, number = grid.pick(ends, uniforms[0])
        # In every pass there are visited and unvisited cells, so there is an end, and fewer ends than cells.
        failures = jnp.floor(jnp.log1p(-uniforms[1]) / jnp.log1p(-(number.astype(jnp.float32) / (height * width))))
        trials_left = trials_left - jnp.where(stuck, failures + 1, jnp.float32(0))
        here = jnp.where(stuck, jnp.where(trials_left >= 0, hunted, jnp.uint32(0)), here)
        new, _ = grid.pick(grid.neighbors(here) & unvisited, uniforms[2])
        to_east |= here & grid.west(new) | new & grid.west(here)
        to_south |= here & grid.north(new) | new & grid.north(here)
        return (new, visited | new, to_east, to_south, trials_left), None

    first, _ = grid.pick(jnp.asarray(grid.all), uniforms[0, 0])
    carry = first, first, grid.none(), grid.none(), jnp.asarray(trials, jnp.float32)
    (_, visited, to_east, to_south, _), _ = jax.lax.scan(add_cell, carry, uniforms[1:])
    cell_rows = _spread(grid.rows(visited), width) << 1 | _spread(grid.rows(to_east), width) << 2
    rows_between = _spread(grid.rows(to_south), width) << 1
    free = jnp.stack([cell_rows, rows_between], axis=1).ravel()
    return jnp.uint32((1 << 2 * width + 1) - 1) & ~jnp.concatenate([jnp.zeros(1, jnp.uint32), free])


def _spread(rows: jax.Array, width: int) -> jax.Array:
    """Return words whose bit 2 c is bit c of `rows`."""
    columns = np.arange(width, dtype=np.uint32)
    return jnp.sum((rows[:, None] >> columns[None] & 1) << 2 * columns[None], axis=1, dtype=jnp.uint32)


def bit(row: jax.Array, x: jax.Array) -> jax.Array:
    """Return whether bit `x` of `row` is set, bool."""
    return (row >> x.astype(jnp.uint32) & 1).astype(bool)


def with_block(rows: jax.Array, position: jax.Array) -> jax.Array:
    """Return `rows` with the bit at `position` (row, column) set, uint32 (side,)."""
    block = jnp.uint32(1) << position[1].astype(jnp.uint32)
    return jnp.where(jnp.arange(rows.shape[0], dtype=jnp.int32) == position[0], rows | block, rows)


def without_block(rows: jax.Array, position: jax.Array) -> jax.Array:
    """Return `rows` with the bit at `position` (row, column) cleared, uint32 (side,)."""
    return ~with_block(~rows, position)


@struct.dataclass
class LabyrinthState(EnvState):
    """Where the agent is in which maze. Positions are (row, column), counted from the top left.

    Attributes:
      time: steps taken, int32 ().
      walls: bit x of word y is set where block (y, x) is a wall, uint32 (side,).
      start: where the agent started, int32 (2,).
      position: where the agent is, int32 (2,).
    """

    time: jax.Array
    walls: jax.Array
    start: jax.Array
    position: jax.Array


class Labyrinth(Game):
    """An agent in a maze of blocks that sees the 3 x 3 blocks around it and its last action, and moves by one block.

    A new maze is drawn by `hunt_and_kill` for every episode, surrounded by a wall. The agent starts in a gap of that
    wall, at an odd coordinate of a random side; the exit is such a place of the opposite side.

    Quirks kept from the original: at the top (left) border, where the window would leave the maze, it is shifted
    instead, so that the agent is in its first row (column), and the last row (column) is shown as wall whatever is
    there (maze.py:93-104); an episode is cut after 1023 steps although its length is 1024 (labyrinth_explore.py:44,
    labyrinth_escape.py:44); a step out of the maze leaves the agent where it is, in the gap (maze.py:83-85).

    An action outside 0..3 is taken as the nearest one inside (the original raises).

    Observation: nine blocks row by row (0 free, 1 wall, 2 start, 3 goal, 4 never) and the last action (4 at a reset),
    one-hot uint8 (50,). Action: 0 left, 1 right, 2 up, 3 down. Ends: terminated by the subclass's rule, truncated after
    1023 steps; both can be true.
    """

    action_names = ("left", "right", "up", "down")

    def __init__(self, maze_size: int = 10):
        """Set the size of the maze: `maze_size` + 1 blocks a side, half as many cells.

        Raises:
          ValueError: unless it is even, at least 6 (mazelib's smallest maze) and at most 30 (a row is one word).
        """
        if maze_size % 2 or not 6 <= maze_size <= 30:
            raise ValueError(f"{self.name}: maze_size={maze_size} should be an even number from 6 to 30")
        self.side = maze_size + 1

    @property
    def max_episode_steps(self) -> int:
        """Number of steps after which the original stops the game."""
        return EPISODE_LENGTH - 1

    @property
    def num_actions(self) -> int:
        """Number of directions."""
        return 4

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """The blocks of the window, and the last action."""
        return (Categorical(CLASSES, count=WINDOW * WINDOW), Categorical(NO_ACTION + 1))

    def _draw(self, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return a maze with a gap at the start, uint32 (side,), its start and its exit, int32 (2,) each.

        Ref: popgym/core/maze.py:164-171; mazelib/mazelib.py:67-86.
        """
        key_maze, key_side, key_gaps = jax.random.split(key, 3)
        cells, last = self.side // 2, self.side - 1
        walls = hunt_and_kill(key_maze, cells, cells, trials=self.side**2)
        side = jax.random.randint(key_side, (), 0, 4, jnp.int32)
        start_gap, exit_gap = 2 * jax.random.randint(key_gaps, (2,), 0, cells, jnp.int32) + 1
        start_wall = jnp.where(side % 2 == 0, jnp.int32(0), jnp.int32(last))
        is_row = side < 2
        start = jnp.where(is_row, jnp.stack([start_wall, start_gap]), jnp.stack([start_gap, start_wall]))
        exit_ = jnp.where(is_row, jnp.stack([last - start_wall, exit_gap]), jnp.stack([exit_gap, last - start_wall]))
        return without_block(walls, start), start, exit_

    def _move(self, state: LabyrinthState, action: jax.Array) -> jax.Array:
        """Return the position after an action, int32 (2,): the old one where a wall or the border is in the way."""
        move = jnp.asarray(MOVES)[_valid(action)]
        target = jnp.clip(state.position + move, 0, self.side - 1)
        return jnp.where(bit(state.walls[target[0]], target[1]), state.position, target)

    def _special_blocks(self, state: LabyrinthState) -> tuple[tuple[int, jax.Array], ...]:
        """Return the blocks that are neither free nor wall: (class, position)."""
        return ((START, state.start),)

    def _window(self, state: LabyrinthState) -> jax.Array:
        """Return the classes of the blocks that the agent sees, int32 (3, 3)."""
        blocks = jnp.maximum(state.position - 1, 0)[:, None] + jnp.arange(WINDOW, dtype=jnp.int32)[None]
        seen = blocks <= jnp.minimum(state.position + 1, self.side - 1)[:, None]
        y, x = jnp.minimum(blocks, self.side - 1)
        window = bit(state.walls[y][:, None], x[None]).astype(jnp.int32)
        for block_class, position in self._special_blocks(state):
            window = jnp.where((y == position[0])[:, None] & (x == position[1])[None], block_class, window)
        return jnp.where(seen[0][:, None] & seen[1][None], window, WALL)

    def observe(self, key: jax.Array, state: LabyrinthState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the window and the action that led to it, one-hot uint8 (50,)."""
        last_action = NO_ACTION if action is None else _valid(action)
        blocks = jax.nn.one_hot(self._window(state), CLASSES, dtype=jnp.uint8).ravel()
        return jnp.concatenate([blocks, jax.nn.one_hot(last_action, NO_ACTION + 1, dtype=jnp.uint8)])

    def render(self, state: LabyrinthState, params: EnvParams, hidden: bool = False) -> str:
        """Return the window, or the whole maze if `hidden`.

        ██ wall, () agent, St start, Ex exit; ·· a block where the agent has been, with the whole maze only and if the
        game keeps it.
        """
        y, x = (int(coordinate) for coordinate in state.position)
        if not hidden:
            return _drawing(np.asarray(self._window(state)), (min(y, 1), min(x, 1)))
        blocks = unpacked(state.walls).astype(int)
        for block_class, position in self._special_blocks(state):
            blocks[tuple(np.asarray(position))] = block_class
        return _drawing(blocks, (y, x), unpacked(getattr(state, "explored", 0 * state.walls)))


def _valid(action: jax.Array) -> jax.Array:
    """Return the nearest action in the action space, int32 ()."""
    return nearest(action, NO_ACTION)


_SYMBOLS = {FREE: "  ", WALL: "██", START: "St", GOAL: "Ex"}


def _drawing(blocks: np.ndarray, agent: tuple[int, int], explored: np.ndarray | None = None) -> str:
    """Return `blocks` as lines of text, with the agent in them."""
    symbols = np.vectorize(_SYMBOLS.get)(blocks)
    if explored is not None:
        symbols[(blocks == FREE) & (explored == 1)] = "··"
    symbols[agent] = "()"
    return "\n".join("".join(row) for row in symbols)
