"""Mazes: what must hold of each, and that their distribution is the original's (golden/memory_maze/layout.npz)."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.memory_maze import bends, layout
from tests.envs.memory_maze.mazes import describe, distances, occupied, open_neighbours
from tests.envs.memory_maze.sizes import smallest_first

GOLDEN = np.load(pathlib.Path(__file__).parents[2] / "golden" / "memory_maze" / "layout.npz")
SIZES = tuple(layout.SETTINGS)
MAZES = 10_000
SOUND = 2_000  # So many of them are looked at one by one.
# Accuracy of guessing each inner cell's more frequent state, per cent; what probes of this benchmark are compared with.
MAJORITY = {9: 80.5, 11: 80.5, 13: 76.8, 15: 78.4}

parametrize_sizes = pytest.mark.parametrize("size", smallest_first(SIZES))


@functools.cache
def compiled(size: int):
    return jax.jit(jax.vmap(lambda key: layout.generate(key, size)))


@functools.cache
def sample(size: int) -> layout.Layout:
    """Return MAZES mazes as numpy arrays."""
    return jax.device_get(compiled(size)(jax.random.split(jax.random.key(size), MAZES)))


@functools.cache
def description(size: int) -> dict[str, np.ndarray]:
    mazes = sample(size)
    return describe(mazes.walls, mazes.rooms, mazes.targets, mazes.spawn)


@parametrize_sizes
def test_shapes_and_dtypes(size):
    side, targets = size + 2, layout.SETTINGS[size].targets
    maze = jax.eval_shape(lambda key: layout.generate(key, size), jax.random.key(0))
    expected = {
        "walls": ((side, side), bool),
        "rooms": ((side, side), bool),
        "targets": ((targets, 2), jnp.int32),
        "spawn": ((2,), jnp.int32),
        "wall_textures": ((9,), jnp.uint8),
    }
    for name, (shape, dtype) in expected.items():
        leaf = getattr(maze, name)
        assert (leaf.shape, leaf.dtype, leaf.weak_type) == (shape, dtype, False), name


@parametrize_sizes
def test_every_maze_is_sound(size):
    mazes = jax.tree.map(lambda leaf: leaf[:SOUND], sample(size))
    free, everyone = ~mazes.walls, np.arange(SOUND)[:, None]
    border = np.ones((size + 2, size + 2), bool)
    border[1:-1, 1:-1] = False
    assert mazes.walls[:, border].all()
    assert (distances(free, mazes.spawn) >= 0)[free].all(), "connected"
    assert (open_neighbours(free)[free] >= 2).all(), "no dead ends"
    assert not (mazes.rooms & mazes.walls).any()
    spawn, targets = mazes.spawn[:, None], mazes.targets
    for cells in (spawn, targets):
        assert mazes.rooms[everyone, cells[..., 1], cells[..., 0]].all()
    assert (targets != spawn).any(-1).all()
    # Along the floors of rooms alone there is no way from one target to another.
    for k in range(targets.shape[1]):
        within = distances(mazes.rooms, targets[:, k])[everyone, targets[..., 1], targets[..., 0]]
        assert ((within >= 0) == (np.arange(targets.shape[1]) == k)).all(), "one target per room"


@parametrize_sizes
def test_means_are_the_originals(size):
    ours, count = description(size), GOLDEN[f"{size}/count"]
    for name, mean, std in zip(*(GOLDEN[f"{size}/{key}"] for key in ("names", "mean", "std")), strict=True):
        value = ours[str(name)]
        error = np.sqrt(std**2 / count + value.var() / MAZES)
        assert abs(value.mean() - mean) <= 3 * error, (name, value.mean(), mean, error)
        assert value.std() == pytest.approx(std, rel=0.06, abs=1e-9), name


@parametrize_sizes
@pytest.mark.parametrize("what", ["walls", "rooms", "targets", "spawn"])
def test_frequencies_of_every_cell_are_the_originals(size, what):
    mazes, count = sample(size), int(GOLDEN[f"{size}/count"])
    cells = getattr(mazes, what)
    ours = cells.sum(0) if what in ("walls", "rooms") else occupied(cells, size + 2)
    theirs = GOLDEN[f"{size}/{what}"]
    both = (ours + theirs) / (MAZES + count)
    uncertain = (both > 0) & (both < 1)
    assert ((ours / MAZES == theirs / count) | uncertain).all(), "cells that are always or never so"
    deviation = (ours / MAZES - theirs / count)[uncertain] ** 2
    square = deviation / (both * (1 - both) * (1 / MAZES + 1 / count))[uncertain]
    # Cells depend on each other, so that the mean of their squares spreads more than chi-square's would.
    assert square.max() < 4.5**2 and square.mean() < 1.6, (square.max(), square.mean())


@parametrize_sizes
def test_majority_accuracy(size):
    walls = sample(size).walls[:, 1:-1, 1:-1].mean(0)
    assert 100 * np.maximum(walls, 1 - walls).mean() == pytest.approx(MAJORITY[size], abs=0.5)


def test_wall_textures_are_uniform_and_independent():
    textures = sample(9).wall_textures
    expected = MAZES / 8
    for section in range(9):
        assert ((np.bincount(textures[:, section], minlength=8) - expected) ** 2 / expected).sum() < 30
    pairs = np.bincount(textures[:, 0] * 8 + textures[:, 1], minlength=64)
    assert ((pairs - MAZES / 64) ** 2 / (MAZES / 64)).sum() < 120


@pytest.mark.heavy
def test_targets_are_in_random_order():
    """No target's cells differ in distribution from another's: neither from the north nor from the first rooms."""
    cells = sample(15).targets.astype(float)
    error = np.sqrt(cells.var((0, 1)) / MAZES)
    assert (np.abs(cells.mean(0) - cells.mean((0, 1))) < 4.5 * error).all()


def test_sections_are_numbered_from_the_north_west():
    bounds = {9: (3, 7), 11: (4, 8), 13: (5, 10), 15: (5, 11)}
    for size, (first, second) in bounds.items():
        third = np.repeat([0, 1, 2], [first, second - first, size + 2 - second])
        assert (layout.sections(size)[::-1] == 3 * third[:, None] + third).all()


@pytest.mark.heavy
def test_same_key_same_maze_and_vmap_equals_a_loop():
    size = 13
    one = jax.jit(lambda key: layout.generate(key, size))
    for row, key in enumerate(jax.random.split(jax.random.key(size), MAZES)[:5]):
        for name, leaf in vars(one(key)).items():
            np.testing.assert_array_equal(leaf, getattr(sample(size), name)[row], name)
    assert (sample(size).walls[0] != sample(size).walls[1]).any()


def straightened(*rows: str) -> list[str]:
    cells = np.array([list(row) for row in rows])
    corridor = np.array(bends.straighten(jnp.array(cells == " "), jnp.array(cells == "d")))
    return ["".join(row) for row in np.where(corridor, " ", np.where(cells == "d", "d", "#"))]


def test_a_bend_is_pulled_on_until_a_door_holds_it():
    wall = "#########"
    before = [wall, "#       #", *["# ##### #"] * 2, "d ##### #", "# ##### #", "# ##### d", "# ##### #", wall]
    after = [*[wall] * 4, "d       #", "# ##### #", "# ##### d", "# ##### #", wall]
    assert straightened(*before) == after


def test_only_the_first_bend_of_size_one_is_pulled():
    wall = "#########"
    before = [wall, "#   #####", "# # #   #", "# # # # #", "d #   # d", *[wall] * 4]
    after = [wall, wall, "#####   #", "##### # #", "d     # d", *[wall] * 4]
    assert straightened(*before) == after
