"""The walker against MuJoCo: recordings and single physics steps (golden/memory_maze/motion.npz), and measured tables.

The tables were measured with mujoco 2.3.7 on the walker of dm_control 1.0.14. `pytest -s` prints the errors.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.memory_maze import motion
from tests.envs.memory_maze.mazes import clearance

GOLDEN = np.load(pathlib.Path(__file__).parents[2] / "golden" / "memory_maze" / "motion.npz")
SIDE = 17
NUMBER = 400  # Bodies side by side: one shape is one compilation.
NOOP, FORWARD, LEFT, RIGHT, FORWARD_LEFT, FORWARD_RIGHT = range(6)

FIELD = np.zeros((SIDE, SIDE), bool)
# A wall east of x = 3, and the same with another one north of y = 3.
WALL = FIELD.copy()
WALL[:, 10:] = True
CORNER = WALL.copy()
CORNER[10:] = True
FACE = 3.0


@functools.cache
def compiled(substeps: int = motion.SUBSTEPS):
    return jax.jit(jax.vmap(functools.partial(motion.step, substeps=substeps)))


def step(body: motion.Body, walls: np.ndarray, action, substeps: int = motion.SUBSTEPS):
    """Let bodies (B,) act in their mazes (or one for all) for a step; return NumPy arrays.

    Any number of bodies is moved by the one compiled program.
    """
    count = len(body.yaw)
    walls, action = np.broadcast_to(walls, (count, SIDE, SIDE)), np.broadcast_to(action, count).astype(np.int32)
    pieces = []
    for first in range(0, count, NUMBER):
        piece = jax.tree.map(lambda x, first=first: _fill(x[first : first + NUMBER]), (body, walls, action))
        pieces.append(compiled(substeps)(*piece))
    return jax.tree.map(lambda *xs: np.concatenate(xs)[:count], *pieces)


def _fill(x) -> np.ndarray:
    return np.pad(x, [(0, NUMBER - len(x))] + [(0, 0)] * (np.ndim(x) - 1), mode="edge")


def stand(x=0.0, y=0.0, degrees=0.0) -> motion.Body:
    """Return bodies at rest."""
    x, y, yaw = np.broadcast_arrays(*np.atleast_1d(x, y, np.radians(degrees)))
    return jax.vmap(motion.at_rest)(np.stack([x, y], -1).astype(np.float32), yaw.astype(np.float32))


def recorded(prefix: str, rows=slice(None)) -> motion.Body:
    """Return recorded bodies."""
    position, yaw, velocity = (GOLDEN[f"{prefix}/{name}"][rows] for name in ("position", "yaw", "velocity"))
    # Angles as `motion.step` returns them: those of MuJoCo are not wrapped.
    return motion.Body(position, np.angle(np.exp(1j * yaw)).astype(np.float32), np.zeros_like(yaw), velocity)


def flat(body: motion.Body) -> motion.Body:
    return jax.tree.map(lambda x: np.reshape(x, (-1, *np.shape(x)[2:])), body)


def run(body: motion.Body, walls: np.ndarray, actions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Act by the list of actions; return x, y, yaw in degrees without wrapping, and the trail, by time then body."""
    places, turns, trails = [np.asarray(body.position)], [np.degrees(np.asarray(body.yaw))], []
    for action in actions:
        before, (body, trail) = body, step(body, walls, action)
        places.append(body.position)
        turns.append(turns[-1] + turned(before, body))
        trails.append(trail)
    return np.array(places)[..., :2], np.array(turns), np.array(trails)


def turned(before: motion.Body, after: motion.Body) -> np.ndarray:
    """Return by how many degrees bodies turned, within +-180."""
    return (np.degrees(np.asarray(after.yaw) - np.asarray(before.yaw)) + 180) % 360 - 180


def away(first: motion.Body, second: motion.Body) -> np.ndarray:
    """Return the horizontal distance of bodies in metres."""
    return np.linalg.norm(np.asarray(first.position - second.position)[..., :2], axis=-1)


def test_a_physics_step_is_mujocos():
    after, _ = step(recorded("physics/before"), CORNER, GOLDEN["physics/action"], substeps=1)
    expected = recorded("physics/after")
    speed = np.array([1.0, 1, 1, 1, 0.2])  # Rolling counts as what it moves.
    error = np.abs((after.velocity - expected.velocity) * speed).max(1)
    for contacts in range(4):
        chosen = error[GOLDEN["physics/contacts"] == contacts]
        assert np.median(chosen) < 1e-4 and np.mean(chosen) < 3e-3, (contacts, np.median(chosen), np.mean(chosen))
    np.testing.assert_allclose(after.position, expected.position, atol=1e-3)


@pytest.mark.heavy
def test_a_control_step_ends_where_the_original_does():
    before = flat(recorded("episode", np.s_[:, :-1]))
    expected = flat(recorded("episode", np.s_[:, 1:]))
    walls = np.repeat(GOLDEN["episode/walls"], GOLDEN["episode/action"].shape[1], axis=0)
    after, _ = step(before, walls, GOLDEN["episode/action"].ravel())
    place, angle = 1000 * away(after, expected), np.abs(turned(after, expected))
    touching = GOLDEN["episode/touching"].ravel()
    for name, chosen in ("free", ~touching), ("at walls", touching):
        report = f"{name}: {place[chosen].mean():.3f} mm, {angle[chosen].mean():.3f} degrees"
        print(f"a control step, {report}")
        # Far below what was asked for, 3 mm and 0.4 degrees: a slip of any constant would show.
        assert place[chosen].mean() < 0.5 and np.median(place[chosen]) < 0.02, report
        assert angle[chosen].mean() < 0.1 and np.median(angle[chosen]) < 0.01, report
    moved = away(before, expected)
    assert moved[touching].mean() > 0.05 and moved[~touching].mean() > 0.1
    np.testing.assert_allclose(after.position[:, 2], expected.position[:, 2], atol=0.01)


def test_sixteen_steps_on_their_own_stay_close():
    length, starts = 16, np.arange(0, 224, 16)
    body = flat(recorded("episode", np.s_[:, starts]))
    walls = np.repeat(GOLDEN["episode/walls"], len(starts), axis=0)
    trails = []
    for k in range(length):
        body, trail = step(body, walls, GOLDEN["episode/action"][:, starts + k].ravel())
        trails.append(trail)
    free = clearance(walls, np.concatenate(trails, axis=1)).min(1) > 0.22
    error = 1000 * away(body, flat(recorded("episode", np.s_[:, starts + length])))[free]
    assert len(error) > 15
    # A turn may hop once more or less, which moves the rest of the way by centimetres.
    assert np.median(error) < 0.2 and error.mean() < 10, error.round(1)


# Per step from rest on an open floor: metres forward, degrees turned.
STEADY = slice(10, 16)
TABLE = {
    FORWARD: ([0.2220, 0.4375, 0.4859, 0.4966], 0.4995, None, None),
    LEFT: (None, None, [14.107, 18.325, 18.388, 18.399], 18.39),
    FORWARD_LEFT: ([0.1885, 0.3855, 0.4576, 0.4830], 0.4963, [14.572, 18.309, 18.257, 18.227], 18.23),
}


@pytest.mark.parametrize("action", TABLE)
def test_displacements_from_rest(action):
    place, angle, _ = run(stand(), FIELD, [action] * STEADY.stop)
    # The original's distances are those between the ends of a step, also along an arc.
    distance, turn = np.linalg.norm(np.diff(place[:, 0], axis=0), axis=-1), np.diff(angle[:, 0])
    metres, steady_metres, degrees, steady_degrees = TABLE[action]
    if metres is None:
        assert distance.max() < 0.01
    else:
        np.testing.assert_allclose(distance[:4], metres, rtol=0.02)
        np.testing.assert_allclose(distance[STEADY].mean(), steady_metres, rtol=0.02)
    if degrees is None:
        assert np.abs(turn).max() < 1e-3
    else:
        np.testing.assert_allclose(turn[:4], degrees, rtol=0.02)
        np.testing.assert_allclose(turn[STEADY].mean(), steady_degrees, rtol=0.02)


def test_it_runs_out():
    place, _, _ = run(stand(), FIELD, [FORWARD] * 12 + [NOOP] * 5)
    rolled = np.diff(place[:, 0, 0])[12:]
    np.testing.assert_allclose(rolled, [0.2753, 0.0624, 0.0137, 0.0030, 0], rtol=0.02, atol=1e-3)
    _, angle, _ = run(stand(), FIELD, [LEFT] * 8 + [NOOP] * 3)
    np.testing.assert_allclose(np.diff(angle[:, 0])[8:], [2.888, 0, 0], rtol=0.02, atol=0.01)


def test_left_and_right_are_mirrors():
    # The same, seen in a mirror along the heading; the ways part where hopping makes it chaotic.
    start = stand(0.0, 0.0, [30.0, 30.0])
    for one, other in (LEFT, RIGHT), (FORWARD_LEFT, FORWARD_RIGHT):
        place, angle, _ = run(start, FIELD, [np.array([one, other])] * 4)
        left, right = np.moveaxis(angle - 30, 1, 0)
        np.testing.assert_allclose(left, -right, atol=0.2)
        x, y = place[..., 0], place[..., 1]
        turn = np.exp(-1j * np.radians(30))
        ways = (x + 1j * y) * turn
        np.testing.assert_allclose(ways[:, 0], ways[:, 1].conj(), atol=5e-3)


def test_a_wall_is_sticky_and_turns_who_drives_into_it():
    ends = {10: 7.05, 20: 10.93, 30: 13.59, 45: 17.90, 60: 21.94, 75: 32.68}
    place, angle, _ = run(stand(1.5, 0.0, list(ends)), WALL, [FORWARD] * 20)
    np.testing.assert_allclose(angle[-1], list(ends.values()), rtol=0.3)
    gap = FACE - place[-1, :, 0]
    assert np.all((gap > 0.19) & (gap < 0.215)), gap
    along = np.diff(place[-5:, :, 1], axis=0).mean(0)
    free = 0.4995 * np.sin(np.radians(list(ends)))
    assert np.all((along > 0) & (along < 0.15 * free)), along / free


def test_almost_parallel_to_a_wall_it_drives_on():
    place, angle, _ = run(stand(1.5, -6.0, 85.0), WALL, [FORWARD] * 20)
    np.testing.assert_allclose(angle[-1], 85, atol=0.5)
    np.testing.assert_allclose(place[-1, 0, 1] - place[-2, 0, 1], 0.498, rtol=0.02)


# Degrees turned per step after ten steps of driving into the wall, from 200 places: mean and standard deviation. One
# way alone says little: how the walker bounces against the wall is chaotic.
PLACES = np.linspace(1.3, 1.7, 200)
PRESSED = {
    (0, FORWARD_LEFT): ([10.35, 10.99, 9.44, 8.69, 6.15, 6.35, 6.59, 8.18], [1.0, 1.8, 1.8, 2.7, 1.9, 1.7, 1.7, 2.1]),
    (45, FORWARD_LEFT): ([6.66, 7.31, 6.02, 6.45, 6.78, 8.36, 9.57, 10.48], [1.8, 1.8, 1.3, 1.1, 1.6, 2.5, 2.3, 3.1]),
    (45, FORWARD_RIGHT): (
        [-13.13, -13.87, -11.99, -9.96, -9.08, -7.58, -6.09, -6.30],
        [0.7, 0.8, 1.4, 1.7, 1.7, 2.3, 1.6, 1.2],
    ),
    (0, LEFT): ([12.34, 18.25, 18.39, 18.40, 18.39, 18.40], [1.9, 0.2, 0.02, 0.01, 0.01, 0.01]),
}


@pytest.mark.parametrize("degrees, action", PRESSED)
def test_turning_while_pressed_is_slow(degrees, action):
    mean, deviation = PRESSED[degrees, action]
    place, angle, _ = run(stand(PLACES, 0.0, degrees), WALL, [FORWARD] * 10 + [action] * len(mean))
    turn = np.diff(angle, axis=0)[10:]
    error = 4 * np.sqrt(2 / len(PLACES)) * np.array(deviation) + 0.05 * np.abs(mean)
    assert np.all(np.abs(turn.mean(1) - mean) < error), turn.mean(1)
    assert np.all(np.abs(turn.std(1) - deviation) < 0.4 * np.array(deviation) + 0.05), turn.std(1)
    gap = FACE - place[10:, :, 0].mean(1)
    assert np.all((gap > 0.19) & (gap < 0.23)), gap


@pytest.mark.parametrize("action, metres", [(LEFT, 0.0212), (NOOP, 0.0169)])
def test_letting_go_backs_off_a_wall(action, metres):
    place, _, _ = run(stand(PLACES), WALL, [FORWARD] * 10 + [action] * 6)
    np.testing.assert_allclose((place[10] - place[-1])[:, 0].mean(), metres, rtol=0.25)


def test_all_walls_are_alike():
    # The wall in the east, turned to the four sides: the same way, turned.
    quarters = np.arange(4)
    walls = np.stack([np.rot90(WALL, -k) for k in quarters])  # Rows run to the north: rot90 turns clockwise here.
    ahead = np.exp(0.5j * np.pi * quarters)
    start = 1.5 * ahead
    place, _, _ = run(stand(start.real, start.imag, 90 * quarters + 20), walls, [FORWARD] * 6)
    ways = (place[..., 0] + 1j * place[..., 1]) / ahead
    np.testing.assert_allclose(ways, np.broadcast_to(ways[:, :1], ways.shape), atol=5e-3)
    assert np.all(ways[-1].real > 2.75)


def test_an_edge_stops_and_lets_pass():
    # One block with its south-west corner at (1, 1), driven at along the diagonal and 0.3 m beside its corner.
    block = FIELD.copy()
    block[9, 9] = True
    place, _, _ = run(stand([-0.5, -0.5], [-0.5, 0.7 - np.sqrt(2) / 2], [45.0, 0.0]), block, [FORWARD] * 10)
    gap = np.linalg.norm(place[-1, 0] - 1)
    assert 0.18 < gap < 0.22 and abs(place[-1, 0, 0] - place[-1, 0, 1]) < 0.01
    np.testing.assert_allclose(place[-1, 1, 1], 0.7 - np.sqrt(2) / 2, atol=0.01)
    assert place[-1, 1, 0] > 3


def test_never_inside_a_wall():
    mazes = GOLDEN["episode/walls"]
    rng = np.random.default_rng(0)
    start, walls = free_bodies(rng, mazes)
    body = start
    for _ in range(40):
        # Mostly forward, so that walls are met.
        body, trail = step(body, walls, rng.choice(6, NUMBER, p=[0.05, 0.4, 0.1, 0.1, 0.175, 0.175]))
        assert clearance(walls, trail).min() > 0.165, clearance(walls, trail).min()
        assert np.abs(body.position[:, 2]).max() < 0.05
        assert np.abs(body.yaw).max() <= np.pi + 1e-6 and np.abs(body.roll).max() <= np.pi + 1e-6
        np.testing.assert_array_equal(trail[:, -1], body.position[:, :2])
    assert np.mean(clearance(walls, trail).min(1) < 0.2) > 0.1 and away(start, body).mean() > 1


def free_bodies(rng: np.random.Generator, mazes: np.ndarray) -> tuple[motion.Body, np.ndarray]:
    """Return bodies at rest on free cells, and their mazes."""
    which = rng.integers(len(mazes), size=NUMBER)
    cells = np.array([rng.choice(np.argwhere(~mazes[k])) for k in which])[:, ::-1]
    return stand(*((cells - (SIDE - 1) / 2) * 2).T, rng.uniform(0, 360, NUMBER)), mazes[which]


def test_bad_places_and_speeds_stay_finite():
    rng = np.random.default_rng(1)
    walls = rng.random((NUMBER, SIDE, SIDE)) < 0.5
    wide = rng.choice([1.0, 20.0, 1000.0], (NUMBER, 1))
    body = motion.Body(
        position=(rng.uniform(-1, 1, (NUMBER, 3)) * [20, 20, 1] * wide).astype(np.float32),
        yaw=rng.uniform(-1000, 1000, NUMBER).astype(np.float32),
        roll=rng.uniform(-1000, 1000, NUMBER).astype(np.float32),
        velocity=(rng.uniform(-5, 5, (NUMBER, 5)) * wide).astype(np.float32),
    )
    for k in range(12):
        body, trail = step(body, walls, rng.integers(-3, 9, NUMBER))
        for value in (*jax.tree.leaves(body), trail):
            assert np.all(np.isfinite(value)), k


def test_the_walker_at_rest_stays_there():
    body, walls = free_bodies(np.random.default_rng(2), GOLDEN["episode/walls"])
    place, angle, _ = run(body, walls, [NOOP] * 8)
    np.testing.assert_allclose(place[-1], place[0], atol=1e-4)
    np.testing.assert_allclose(angle[-1], angle[0], atol=1e-2)


def test_ids_outside_the_actions_are_the_nearest():
    start = stand(np.zeros(4))
    body, _ = step(start, FIELD, np.array([-7, NOOP, 6, FORWARD_RIGHT]))
    np.testing.assert_array_equal(body.position[0], body.position[1])
    np.testing.assert_array_equal(body.position[2], body.position[3])
    assert away(start, body)[2] > 0.1


@pytest.mark.heavy
def test_one_body_moves_like_one_of_many_and_without_compilation():
    rows = np.arange(0, 680, 70)
    before, action = recorded("physics/before", rows), GOLDEN["physics/action"][rows].astype(np.int32)
    many = step(before, CORNER, action, substeps=1)
    one = jax.jit(functools.partial(motion.step, substeps=1))
    for k in range(len(rows)):
        body, walls = jax.tree.map(lambda x, k=k: jnp.asarray(x[k]), before), jnp.asarray(CORNER)
        alone = one(body, walls, action[k])
        for value, other in zip(jax.tree.leaves(alone), jax.tree.leaves(many), strict=True):
            np.testing.assert_allclose(value, other[k], rtol=1e-4, atol=1e-5)
    with jax.disable_jit():
        plain = motion.step(body, walls, action[k], substeps=1)
    for value, other in zip(jax.tree.leaves(plain), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-5)


def test_types_are_fixed():
    body = motion.at_rest(jnp.zeros(2), jnp.zeros(()))
    action = jax.ShapeDtypeStruct((), jnp.int32)
    after, trail = jax.eval_shape(motion.step, body, jnp.asarray(FIELD), action)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), body) == jax.tree.map(lambda x: (x.shape, x.dtype), after)
    assert (trail.shape, trail.dtype) == ((motion.SUBSTEPS, 2), jnp.float32)
    assert not any(x.weak_type for x in (*jax.tree.leaves((body, after)), trail))
