"""The rules of Memory Maze and its environment, against recordings of the original (golden/memory_maze/task.npz)."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import episodes
from envs.memory_maze import task
from envs.memory_maze.environment import MemoryMaze
from envs.observation import observation_parts
from experiments.oracles.memory_maze import ORACLES
from tests.envs.memory_maze.sizes import smallest_first

GOLDEN = np.load(pathlib.Path(__file__).parents[2] / "golden" / "memory_maze" / "task.npz")
RECORDED = (9, 11, 15)
LENGTHS = {9: 1000, 11: 2000, 13: 3000, 15: 4000}
BORDERS = [(137, 30, 24), (80, 137, 71), (31, 113, 176), (75, 85, 161), (178, 156, 47), (178, 103, 86)]
FORWARD, FORWARD_RIGHT = 1, 5
NUMBER = 32  # Environments side by side: one shape is one compilation.
STEPS = 1010  # Of every play: some more than an episode of the smallest maze has.


def recorded(size: int, name: str) -> np.ndarray:
    return GOLDEN[f"{size}/{name}"]


@functools.cache
def environment(size: int = 9) -> MemoryMaze:
    return MemoryMaze(size, observation="vector")


@functools.cache
def compiled(env: MemoryMaze):
    """Return jitted functions of a batch: reset of keys, step of keys, states and actions, play of the same by step.

    A play is `step` after `step` with the actions of (B, T); it returns the last state, and by step the observation,
    reward, both flags, prompt and body.
    """
    params = env.default_params

    def play(key, state, actions):
        def step(state, inputs):
            obs, state, reward, terminated, _ = env.step_env(inputs[0], state, inputs[1], params)
            return state, (obs, reward, terminated, env.is_truncated(state, params), state.prompt, state.body)

        return jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))

    reset = jax.jit(lambda keys: jax.vmap(env.reset_env, (0, None))(keys, params))
    step = jax.jit(lambda *args: jax.vmap(env.step_env, (0, 0, 0, None))(*args, params))
    return reset, step, jax.jit(jax.vmap(play))


def keys(seed: int) -> jax.Array:
    return jax.random.split(jax.random.key(seed), NUMBER)


def start(seed: int = 0):
    """Return observations and states, NUMBER of them, of 9x9 mazes."""
    return compiled(environment())[0](keys(seed))


def step(state, actions, seed: int = 1):
    actions = np.broadcast_to(np.asarray(actions, np.int32), NUMBER)
    return compiled(environment())[1](keys(seed), state, actions)


# The rules


@pytest.mark.parametrize(("distance", "touches"), [(0.7656, True), (0.7740, True), (0.7750, False), (0.7755, False)])
def test_touch_distance(distance, touches):
    angles = np.linspace(0, 2 * np.pi, 7)
    target = jnp.array([2.0, -4.0])
    for around in np.stack([np.cos(angles), np.sin(angles)], -1):
        trail = target + 3 * jnp.ones((50, 2))
        assert not task.found(trail, target)
        assert task.found(trail.at[23].set(target + distance * around), target) == touches


@pytest.mark.parametrize("size", smallest_first(RECORDED))
def test_what_is_found_in_recordings(size):
    """Between the ends of a step the agent is taken to walk straight on."""
    place, prompt = recorded(size, "place"), recorded(size, "target_index")
    wanted = (recorded(size, "targets_pos")[prompt[:-1]] - size / 2) * task.CELL
    trails = np.linspace(place[:-1], place[1:], 51, axis=1)[:, 1:]
    assert recorded(size, "reward").sum() >= 2
    np.testing.assert_array_equal(jax.vmap(task.found)(trails, wanted), recorded(size, "reward") > 0)
    np.testing.assert_array_equal(np.diff(prompt) != 0, recorded(size, "reward") > 0)


@pytest.mark.parametrize("targets", [3, 6])
def test_the_next_prompt_is_any_other_target(targets):
    many = jax.random.split(jax.random.key(targets), 6000)
    for prompt in range(targets):
        new = np.array(
            jax.vmap(functools.partial(task.next_prompt, prompt=prompt, targets=targets, was_found=True))(many)
        )
        counts, expected = np.bincount(new, minlength=targets), len(many) / (targets - 1)
        assert counts[prompt] == 0
        assert ((np.delete(counts, prompt) - expected) ** 2 / expected).sum() < 25
    assert int(task.next_prompt(many[0], jnp.int32(1), targets, False)) == 1


def test_the_first_prompt_is_any_target():
    many = jax.random.split(jax.random.key(0), 6000)
    counts = np.bincount(jax.vmap(lambda key: task.first_prompt(key, 6))(many), minlength=6)
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 25


def test_colors():
    assert task.target_colors(jax.random.key(0), 4, False).tolist() == [0, 1, 2, 3]
    many = jax.random.split(jax.random.key(0), 6000)
    shuffled = np.array(jax.vmap(lambda key: task.target_colors(key, 3, True))(many))
    assert all(len(set(row)) == 3 for row in shuffled.tolist())
    for target in range(3):
        assert ((np.bincount(shuffled[:, target], minlength=6) - 1000.0) ** 2 / 1000).sum() < 25


@pytest.mark.parametrize(("side", "width"), [(64, 2), (128, 2), (256, 4)])
def test_border(side, width):
    image = jax.random.bits(jax.random.key(0), (side, side, 3), jnp.uint8)
    for color, expected in enumerate(BORDERS):
        framed = np.array(task.draw_border(image, jnp.int32(color)))
        inner = (slice(width, -width),) * 2
        np.testing.assert_array_equal(framed[inner], image[inner])
        framed[inner] = expected
        assert (framed == expected).all()


@pytest.mark.parametrize("size", smallest_first(RECORDED))
def test_extras_are_those_recorded(size):
    walls = np.pad(recorded(size, "maze_layout") == 0, 1, constant_values=True)
    targets = jnp.asarray(recorded(size, "targets_pos") + 0.5, jnp.int32)
    colors = jnp.arange(len(targets))
    rows = jax.vmap(lambda *pose, prompt: task.describe(*pose, targets, prompt, colors, walls))(
        recorded(size, "place"), recorded(size, "yaw"), prompt=recorded(size, "target_index")
    )
    for name in ("agent_pos", "agent_dir", "targets_vec", "target_pos", "target_vec", "target_color", "target_index"):
        np.testing.assert_allclose(rows[name], recorded(size, name), atol=2e-5, err_msg=name)
    np.testing.assert_array_equal(rows["targets_pos"][0], recorded(size, "targets_pos"))
    np.testing.assert_array_equal(rows["maze_layout"][0], recorded(size, "maze_layout"))
    np.testing.assert_array_equal(task.BORDER_COLORS[recorded(size, "target_index")], recorded(size, "border"))


# The environment


@pytest.mark.parametrize("size", smallest_first(LENGTHS))
@pytest.mark.parametrize("kwargs", [{}, {"top_view": True, "image_size": 256}, {"observation": "vector"}], ids=str)
def test_shapes_and_dtypes_stay_those_promised(size, kwargs):
    env = MemoryMaze(size, **kwargs)
    params, key = env.default_params, jax.random.key(0)
    obs, state = jax.eval_shape(env.reset_env, key, params)
    stepped = jax.eval_shape(env.step_env, key, state, jax.ShapeDtypeStruct((), jnp.int32), params)
    kind = lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type)
    assert jax.tree.map(kind, stepped[:2]) == jax.tree.map(kind, (obs, state))
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((obs, state, stepped)))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} <= {"float32", "int32", "uint8", "bool"}
    space = env.observation_space(params)
    assert (obs.shape, obs.dtype) == (space.shape, space.dtype)
    assert sum(part.size for part in observation_parts(env, params)) == np.prod(obs.shape)
    assert (stepped[2].dtype, stepped[3].dtype) == (jnp.float32, bool)


@pytest.mark.heavy
def test_the_original_observation_is_a_framed_picture():
    env = MemoryMaze(9, samples=1)
    obs, state = jax.jit(env.reset_env)(jax.random.key(3), env.default_params)
    assert (obs[0] == task.BORDER_COLORS[int(state.colors[state.prompt])]).all()
    assert len(np.unique(np.asarray(obs[2:-2, 2:-2]).reshape(-1, 3), axis=0)) > 40


@pytest.mark.heavy
def test_an_episode_lasts_its_time_and_is_truncated():
    env = environment()
    last, (obs, reward, terminated, truncated, prompt, body) = mixed_play()
    assert env.max_episode_steps == 1000
    assert not terminated.any()
    assert not truncated[:, :999].any() and truncated[:, 999:].all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((last, obs, body)))
    assert ((prompt >= 0) & (prompt < 3)).all() and set(np.unique(reward)) == {0.0, 1.0}
    space = env.observation_space(env.default_params)
    assert ((obs >= space.low) & (obs <= space.high)).all()


@functools.cache
def mixed_play():
    return played(jax.random.randint(jax.random.key(5), (NUMBER, STEPS), 0, 6))


@functools.cache
def hugging_play():
    turns = jax.random.bernoulli(jax.random.key(6), 0.15, (NUMBER, STEPS))
    return played(jnp.where(turns, FORWARD_RIGHT, FORWARD))


def played(actions):
    return jax.device_get(compiled(environment())[2](keys(1), start()[1], actions))


@pytest.mark.parametrize("size", [11, 13, 15])
def test_longer_episodes_of_bigger_mazes(size):
    env, (_, state) = environment(size), start()
    params = env.default_params
    assert env.max_episode_steps == params.max_steps_in_episode == LENGTHS[size]
    for time, over in ((LENGTHS[size] - 1, False), (LENGTHS[size], True)):
        assert bool(env.is_truncated(state.replace(time=jnp.int32(time)), params)) == over


def test_the_target_asked_for_pays_and_others_do_not():
    _, state = start()
    everyone = np.arange(NUMBER)
    at = lambda target: task.centres(state.maze.targets[everyone, target], 9)
    standing = lambda place: state.replace(body=state.body.replace(position=state.body.position.at[:, :2].set(place)))
    _, after, reward, _, _ = step(standing(at((state.prompt + 1) % 3)), 0)
    assert (reward == 0).all() and (after.prompt == state.prompt).all()
    _, after, reward, _, _ = step(standing(at(state.prompt)), 0)
    assert (reward == 1).all() and (after.prompt != state.prompt).all()
    assert (after.maze.targets == state.maze.targets).all(), "targets stay"
    _, again, reward, _, _ = step(after, 0)
    assert (reward == 0).all() and (again.prompt == after.prompt).all()


@pytest.mark.parametrize(("action", "nearest"), [(-7, 0), (6, 5), (1000, 5)])
def test_invalid_actions_are_taken_as_the_nearest(action, nearest):
    _, state = start()
    results = [step(state, value)[:3] for value in (action, nearest)]
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_the_agent_starts_at_rest_in_a_room_facing_anywhere():
    _, state = start()
    np.testing.assert_array_equal(state.body.position[:, :2], task.centres(state.maze.spawn, 9))
    assert (state.body.velocity == 0).all()
    assert np.histogram(state.body.yaw, 4, (0, 2 * np.pi))[0].min() > 2
    _, rested, *_ = step(state, 0)
    np.testing.assert_allclose(rested.body.position[:, :2], state.body.position[:, :2], atol=2e-3)


@pytest.mark.heavy
@pytest.mark.parametrize("play", [mixed_play, pytest.param(hugging_play, marks=pytest.mark.heavy)])
def test_the_agent_is_never_inside_a_wall(play):
    last, (*_, body) = play()
    place = body.position[..., :2] / task.CELL + 11 / 2
    for offset in np.array([[0, 0], [0.08, 0], [-0.08, 0], [0, 0.08], [0, -0.08]]):
        x, y = np.floor(place + offset).astype(int).transpose(2, 0, 1)
        assert ((x > 0) & (x < 10) & (y > 0) & (y < 10)).all()
        assert not last.maze.walls[np.arange(NUMBER)[:, None], y, x].any()


@pytest.mark.heavy
def test_same_key_same_episode_and_vmap_equals_a_loop():
    env, actions = environment(), np.arange(NUMBER, dtype=np.int32) % 6
    obs, state = start(seed=9)
    batch = obs, state, *step(state, actions, seed=2)[:3]

    @jax.jit
    def one(key_reset, key_step, action):
        obs, state = env.reset_env(key_reset, env.default_params)
        return obs, state, *env.step_env(key_step, state, action, env.default_params)[:3]

    for row in range(4):
        alone = one(keys(9)[row], keys(2)[row], actions[row])
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(batch), strict=True):
            np.testing.assert_allclose(a, b[row], rtol=1e-5, atol=1e-5)


@pytest.mark.heavy
def test_a_new_maze_follows_the_end():
    env = environment()
    obs, state = start()
    ends = np.arange(NUMBER) == 3
    state = state.replace(time=jnp.where(ends, 999, 5).astype(jnp.int32))
    no = jnp.zeros(NUMBER, bool)
    first = episodes.TimeStep(obs, jnp.zeros(NUMBER), no, no, no)
    stream = episodes.Stream(state, first, state.time)
    advance = jax.jit(lambda *args: episodes.advance(env, env.default_params, *args))
    last = advance(stream, jnp.full(NUMBER, FORWARD), jax.random.key(1))
    np.testing.assert_array_equal(last.step.is_last, ends)
    assert not last.step.is_terminal.any()
    fresh = advance(last, jnp.full(NUMBER, FORWARD), jax.random.key(2))
    np.testing.assert_array_equal(fresh.step.is_first, ends)
    np.testing.assert_array_equal(fresh.env_state.time, np.where(ends, 0, 7))
    np.testing.assert_array_equal((fresh.env_state.maze.walls != state.maze.walls).any((1, 2)), ends)


@pytest.mark.heavy
def test_who_knows_the_maze_finds_much():
    env, oracle, steps = environment(), ORACLES["9x9"][0], 200
    _, state = start()

    def play(state, key):
        action, _ = oracle.act(env, env.default_params, (), None, state, key)
        _, state, reward, _, _ = env.step_env(key, state, action, env.default_params)
        return state, reward

    many = jax.random.split(jax.random.key(0), (NUMBER, steps))
    _, reward = jax.jit(jax.vmap(lambda state, keys: jax.lax.scan(play, state, keys)))(state, many)
    # The original's mean is 30.6 in 1000 steps.
    assert 5.0 < float(reward.sum(1).mean()) < 8.0


def test_text():
    env = environment()
    state = jax.tree.map(lambda leaf: leaf[0], start()[1])
    asked = task.COLOR_NAMES[int(state.prompt)]
    assert env.render(state, env.default_params) == f"find {asked}, step 0"
    lines = env.render(state, env.default_params, hidden=True).splitlines()
    assert len(lines) == 12 and all(len(line) == 11 for line in lines[1:])
    drawing = "".join(lines[1:])
    assert sum(drawing.count(letter) for letter in "rgbRGB") == 3 and drawing.count(asked[0].upper()) == 1
    assert sum(drawing.count(arrow) for arrow in "→↗↑↖←↙↓↘") == 1


def test_text_of_rays():
    env = MemoryMaze(9, observation="rays")
    obs, state = env.reset(jax.random.key(1), env.default_params)
    line, met, away = env.render(state, env.default_params).splitlines()
    kinds = np.asarray(obs[: 5 * 32]).reshape(32, 5).argmax(1)
    assert met == "".join(" █rgb"[kind] for kind in kinds) and "find" in line
    assert away == "".join(str(min(9, round(float(cells)))) for cells in obs[160:192])


@pytest.mark.parametrize(
    "kwargs",
    [{"size": 10}, {"samples": 2}, {"observation": "audio"}, {"image_size": 32}],
    ids=lambda kwargs: min(kwargs),
)
def test_refused_arguments(kwargs):
    with pytest.raises(ValueError, match=min(kwargs)):
        MemoryMaze(**kwargs)
