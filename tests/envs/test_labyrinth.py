"""Mazes, and rules of the labyrinth games that no comparison of whole episodes singles out."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from envs.popgym.labyrinth import DOWN, LEFT, RIGHT, UP, hunt_and_kill
from envs.popgym.labyrinth_escape import LabyrinthEscape
from envs.popgym.labyrinth_explore import LabyrinthExplore
from tests.envs.families.labyrinths import distances, packed

KEY = jax.random.key(0)
GAMES = (LabyrinthExplore, LabyrinthEscape)
MAZE = np.array(
    [
        list("#S#####"),
        list("#...#.#"),
        list("#.#.#.#"),
        list("#.#...#"),
        list("#.###.#"),
        list("#.....#"),
        list("#####E#"),
    ]
)
FREE_BLOCKS = 18
STEP = np.float32(-1 / 1024)


def at(env, position=(0, 1), maze=MAZE, **fields):
    """Return a state of `env` in a drawn maze."""
    explore = isinstance(env, LabyrinthExplore)
    walls, start, goal = (maze == "#") | ((maze == "E") & explore), *(np.argwhere(maze == mark)[0] for mark in "SE")
    more = dict(goal=goal)
    if explore:
        more = dict(explored=packed(maze == "S"), free_blocks=FREE_BLOCKS, unexplored=FREE_BLOCKS)
    _, state = env.reset_env(KEY, env.default_params)
    values = {"walls": packed(walls), "start": start, "position": position, **more, **fields}
    return state.replace(**{name: jnp.asarray(value, getattr(state, name).dtype) for name, value in values.items()})


def step(env, state, action):
    """Return (observation, state, reward, terminated, truncated) as numpy."""
    params = env.default_params
    obs, state, reward, terminated, _ = env.step_env(KEY, state, jnp.asarray(action), params)
    return jax.device_get((obs, state, reward, terminated, env.is_truncated(state, params)))


def codes(obs):
    """Return an observation's window (3, 3) and last action."""
    classes = np.asarray(obs).reshape(10, 5).argmax(1)
    return classes[:9].reshape(3, 3), classes[9]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("position", "window"),
    [
        ((0, 1), ["#S#", "#..", "###"]),  # Shifted, and the free block two rows below is not shown.
        ((1, 1), ["#S#", "#..", "#.#"]),
        ((3, 4), [".#.", "...", "##."]),
        ((5, 5), ["#.#", "..#", "#E#"]),
        ((6, 5), ["..#", "#E#", "###"]),  # In the middle, with a wall outside.
    ],
)
def test_the_window_at_each_border_and_inside(position, window, transposed):
    env = LabyrinthEscape(6)
    want = np.vectorize(".#SE".index)(np.array([list(row) for row in window]))
    maze = MAZE
    if transposed:
        position, want, maze = position[::-1], want.T, MAZE.T
    got, last_action = codes(env.observe(KEY, at(env, position, maze), None, env.default_params))
    np.testing.assert_array_equal(got, want)
    assert last_action == 4


def test_the_exit_is_a_wall_when_exploring():
    env = LabyrinthExplore(6)
    obs, state, reward, *flags = step(env, at(env, (5, 5)), DOWN)
    assert codes(obs)[0][2].tolist() == [1, 1, 1]
    assert (state.position.tolist(), reward, flags) == ([5, 5], 1 / np.float32(FREE_BLOCKS), [False, False])
    assert step(env, state, DOWN)[2] == STEP


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("action", [UP, LEFT, RIGHT])
def test_walls_and_the_border_stop_the_agent(game, action):
    env = game(6)
    obs, state, reward, *flags = step(env, at(env), action)
    assert (state.position.tolist(), reward, flags) == ([0, 1], STEP, [False, False])
    assert codes(obs)[1] == action


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize(("action", "nearest"), [(-7, LEFT), (4, DOWN), (1000, DOWN)])
def test_a_direction_that_does_not_exist_is_the_nearest_one(game, action, nearest):
    env = game(6)
    for position in ((0, 1), (5, 3)):
        got, want = (jax.tree.leaves(step(env, at(env, position), a)) for a in (action, nearest))
        for one, other in zip(got, want, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_new_block_pays_once():
    env = LabyrinthExplore(6)
    state, rewards = at(env), []
    for action in (DOWN, UP, DOWN, RIGHT, RIGHT):
        _, state, reward, *flags = step(env, state, action)
        rewards.append(reward)
        assert flags == [False, False]
    new = np.float32(1 / FREE_BLOCKS)
    assert rewards == [new, STEP, STEP, new, new]
    assert (state.unexplored, state.time) == (FREE_BLOCKS - 3, 5)


def test_everything_explored_ends_the_episode():
    env = LabyrinthExplore(6)
    # Down the left side and back under the block that closes the way, then the upper branch.
    actions = [DOWN] * 5 + [RIGHT] * 4 + [UP] * 4 + [DOWN] * 2 + [LEFT] * 2 + [UP] * 2 + [LEFT]
    state, total = at(env), 0.0
    for i, action in enumerate(actions):
        _, state, reward, terminated, truncated = step(env, state, action)
        total += reward
        assert (terminated, truncated) == (i == len(actions) - 1, False)
    wasted = len(actions) - FREE_BLOCKS
    assert total == pytest.approx(1 - wasted / 1024)


@pytest.mark.parametrize("steps_left", [0, 1, 2])
def test_the_end_found_on_the_last_step_sets_both_flags(steps_left):
    explored = (MAZE != "#") & (MAZE != "E")
    explored[1, 5] = False
    for env, fields, action in (
        (LabyrinthEscape(6), {"position": (5, 5)}, DOWN),
        (LabyrinthExplore(6), {"position": (2, 5), "explored": packed(explored), "unexplored": 1}, UP),
    ):
        *_, reward, terminated, truncated = step(env, at(env, time=1023 - steps_left, **fields), action)
        assert terminated and truncated == (steps_left < 2)
        assert reward == pytest.approx(1 - 1 / 1024 if env.name == "LabyrinthEscape" else 1 / FREE_BLOCKS)


def test_steps_beyond_the_exit_change_nothing_but_the_place():
    env = LabyrinthEscape(6)
    _, state, _, terminated, _ = step(env, at(env, (5, 5)), DOWN)
    assert terminated
    _, state, reward, terminated, _ = step(env, state, DOWN)
    assert terminated and state.position.tolist() == [6, 5]
    _, state, reward, terminated, _ = step(env, state, UP)
    assert (state.position.tolist(), reward, bool(terminated)) == ([5, 5], STEP, False)


@pytest.mark.parametrize("size", [10, 30])
def test_start_and_exit_are_opposite_and_joined(size):
    env = LabyrinthEscape(size)
    _, states = jax.jit(jax.vmap(lambda key: env.reset_env(key, env.default_params)))(jax.random.split(KEY, 500))
    start, goal = np.asarray(states.start), np.asarray(states.goal)
    opposite = np.abs(start - goal) == size
    assert (opposite.any(1) & (np.where(opposite, 1, start) % 2 == 1).all(1)).all()
    for axis in range(2):
        for wall in (0, size):
            assert 85 < (start[:, axis] == wall).sum() < 165  # 125 expected, standard deviation 9.7.
    reached = distances(states.walls, start)
    free = (~np.asarray(states.walls)) & (1 << size + 1) - 1
    # A maze lacks cells in fewer than one draw of a thousand, and only then may the exit be cut off.
    complete = np.bitwise_count(free).sum(1) == 2 * (size // 2) ** 2 + 1
    assert complete.mean() > 0.99
    np.testing.assert_array_equal(np.bitwise_or.reduce(reached, 0)[complete], free[complete])


def exact_mazes(height: int, width: int, trials: int) -> dict[tuple[int, ...], float]:
    """Return the probability of each maze, by its walls, when cells are really tried one by one."""

    def beside(cell, visited):
        y, x = cell
        around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        return [c for c in around if 0 <= c[0] < height and 0 <= c[1] < width and c not in visited]

    def walk(cell, visited, passages, probability, ends):
        options = beside(cell, visited)
        if not options:
            ends[visited, passages] += probability
        for new in options:
            between = (cell[0] + new[0] + 1, cell[1] + new[1] + 1)
            walk(new, visited | {new}, passages | {between}, probability / len(options), ends)

    cells = [(y, x) for y in range(height) for x in range(width)]
    mazes: collections.Counter = collections.Counter()
    for cell in cells:
        walk(cell, frozenset([cell]), frozenset(), 1 / len(cells), mazes)
    for _ in range(trials):
        before, mazes = mazes, collections.Counter()
        for (visited, passages), probability in before.items():
            for cell in cells:
                share = probability / len(cells)
                if cell in visited:
                    walk(cell, visited, passages, share, mazes)
                else:
                    mazes[visited, passages] += share
    result: dict[tuple[int, ...], float] = collections.defaultdict(float)
    for (visited, passages), probability in mazes.items():
        walls = np.ones((2 * height + 1, 2 * width + 1), bool)
        for y, x in passages | {(2 * y + 1, 2 * x + 1) for y, x in visited}:
            walls[y, x] = False
        result[tuple(packed(walls).tolist())] += probability
    return result


@pytest.mark.parametrize(("height", "width", "trials"), [(2, 2, 0), (2, 3, 0), (2, 3, 2), (3, 2, 5), (3, 3, 4)])
def test_small_mazes_have_their_exact_probabilities(height, width, trials):
    """Hunts that run out of trials included."""
    exact, draws = exact_mazes(height, width, trials), 40_000
    assert sum(exact.values()) == pytest.approx(1)
    draw = jax.jit(jax.vmap(lambda key: hunt_and_kill(key, height, width, trials)))
    drawn = collections.Counter(map(tuple, np.asarray(draw(jax.random.split(jax.random.key(1), draws))).tolist()))
    assert set(drawn) <= set(exact)
    # Mazes that are expected less than five times are taken together.
    frequent = [maze for maze in exact if exact[maze] * draws >= 5]
    observed = [drawn[maze] for maze in frequent]
    expected = [exact[maze] * draws for maze in frequent]
    if (rest := draws - sum(expected)) > 5:
        observed, expected = [*observed, draws - sum(observed)], [*expected, rest]
    expected = np.array(expected) * sum(observed) / sum(expected)
    assert stats.chisquare(observed, expected).pvalue > 1e-4


@pytest.mark.parametrize(("height", "width"), [(5, 15), (15, 5), (8, 8), (9, 9)])
def test_a_maze_is_always_one_tree_and_complete_with_enough_trials(height, width):
    draw = jax.jit(jax.vmap(lambda key, trials: hunt_and_kill(key, height, width, trials), (0, None)))
    for trials, complete in ((0, False), (10, False), (40 * height * width, True)):
        walls = np.asarray(draw(jax.random.split(KEY, 100), trials))
        free = (walls[:, :, None] >> np.arange(2 * width + 1, dtype=np.uint32) & 1) == 0
        cells = free[:, 1::2, 1::2].sum((1, 2))
        assert (free.sum((1, 2)) == 2 * cells - 1).all() and not free[:, ::2, ::2].any()
        assert complete == (cells == height * width).all()
        reached = distances(walls, np.array([np.argwhere(maze)[0] for maze in free]))
        assert (np.bitwise_count(reached).sum((0, 2)) == 2 * cells - 1).all()


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("size", [0, 4, 7, 32])
def test_impossible_mazes_are_refused(game, size):
    with pytest.raises(ValueError, match=f"maze_size={size} should be an even number from 6 to 30"):
        game(size)


def test_drawings_show_what_they_promise():
    env = LabyrinthExplore(6)
    state = step(env, step(env, at(env), DOWN)[1], DOWN)[1]
    assert env.render(state, env.default_params).splitlines() == ["██    ", "██()██", "██  ██"]
    assert env.render(state, env.default_params, hidden=True).splitlines()[:4] == [
        "██St██████████",
        "██··    ██  ██",
        "██()██  ██  ██",
        "██  ██      ██",
    ]
    env = LabyrinthEscape(6)
    assert env.render(at(env), env.default_params).splitlines() == ["██()██", "██    ", "██████"]
    assert env.render(at(env), env.default_params, hidden=True).splitlines()[-1] == "██████████Ex██"
