"""Our bsuite experiments against bsuite 0.3.6: same hidden state, same draws, same actions, same everything.

The recordings in tests/golden/bsuite are replayed. Where the original is installed, every id of it is recorded anew,
50 episodes an id where these are short.
"""

import importlib.util

import jax
import numpy as np
import pytest

import envs
from experiments.bsuite.columns import EpisodeLog, rows
from tests.envs.bsuite_replay import compare, make, replayed
from tests.golden import record_bsuite, record_bsuite_info

EXPERIMENTS = tuple(record_bsuite.RECIPES)
NUMBERED = [env_id.removeprefix("bsuite/") for env_id in envs.registered() if env_id.startswith("bsuite/")]
NUMBERED = [env_id for env_id in NUMBERED if "/" in env_id]
# Physics in float32 is compared step by step; every other number is the original's, rounded once.
PHYSICS = {"atol": 2e-6, "rtol": 1e-6}
ROUNDED = {"rtol": 2e-7}  # A reward that the original computes in two steps of float64.
TOLERANCE: dict[str, dict[str, float]] = {
    "deep_sea_stochastic": {"atol": 2e-7, "rtol": 2e-7},
    **{f"{name}{kind}": PHYSICS for name in ("cartpole", "mountain_car") for kind in ("", "_noise", "_scale")},
    "cartpole_swingup": PHYSICS,
    **{f"{name}_scale": ROUNDED for name in ("bandit", "catch")},
    **{f"{name}_noise": {"atol": 2e-7, "rtol": 2e-7} for name in ("bandit", "catch")},
}
ORIGINAL = pytest.mark.skipif(importlib.util.find_spec("bsuite") is None, reason="bsuite 0.3.6 is not installed")


def golden(experiment: str) -> dict[str, dict[str, np.ndarray]]:
    """Return the recordings of an experiment by its numbers."""
    found: dict[str, dict[str, np.ndarray]] = {}
    with np.load(record_bsuite.FOLDER / f"{experiment}.npz") as file:
        for name in file.files:
            number, _, rest = name.partition("/")
            found.setdefault(number, {})[rest] = file[name]
    return found


# What has to happen in a recording: the largest and the smallest reward of the game, and the longest episode.
SEEN = {
    "memory_len": (1, -1, 101),
    "memory_size": (1, -1, 3),
    "discounting_chain": (1.1, 0, 100),
    "umbrella_length": (1, -1, 100),
    "umbrella_distract": (1, -1, 20),
    "catch": (1, -1, 9),
    "bandit": (1, 0, 1),
    "deep_sea": (0.9998, -0.001, 50),
    "mountain_car": (-1, -1, 1000),
    "cartpole": (1, 0, 1001),
    "cartpole_swingup": (1, -0.1, 1001),
}


@pytest.mark.parametrize("experiment", SEEN)
def test_the_recordings_show_every_end(experiment):
    recordings = golden(experiment).values()
    rewards = np.concatenate([recording["rewards"].ravel() for recording in recordings])
    lengths = np.concatenate([recording["lengths"] for recording in recordings])
    seen = rewards.max() or -1, rewards.min(), lengths.max()
    np.testing.assert_allclose(seen, SEEN[experiment], rtol=1e-6)
    # Where an episode can end early, some do.
    assert (lengths < lengths.max()).any() or len({recording["lengths"].max() for recording in recordings}) == 1


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_recorded_episodes_are_those_of_the_original(experiment):
    for number, recording in golden(experiment).items():
        compare(f"{experiment}/{number}", recording, **TOLERANCE.get(experiment, {}))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_tallies_add_up_to_the_numbers_that_the_original_keeps(experiment):
    for number, recording in golden(experiment).items():
        compare_info(f"{experiment}/{number}", recording)


def compare_info(env_id, recording):
    """Compare what our steps add up to with the original's `bsuite_info`, after those episodes that it logs."""
    ours, lengths = replayed(env_id, recording), recording["lengths"]
    during = np.arange(recording["actions"].shape[1]) < lengths[:, None]
    sums = {name: np.where(during, values, 0).sum(1) for name, values in ours.tallies.items()}
    assert all(values.dtype == np.float32 and values.shape == during.shape for values in ours.tallies.values())
    returns = np.where(during, ours.rewards, 0).sum(1)
    found = rows(EpisodeLog(env_id, 0, {"return": returns, "length": lengths, **sums}))
    expected = {name: values for name, values in recording.items() if name.startswith("info.")}
    standard = ("steps", "episode", "total_return", "episode_len", "episode_return")
    assert [f"info.{name}" for name in found if name not in standard] == list(expected)
    for name, values in expected.items():
        mine, theirs = found[name.removeprefix("info.")], values[found["episode"] - 1]
        if env_id.startswith(("bandit", "cartpole_swingup")):  # Numbers that are not whole.
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, err_msg=f"{env_id} {name}")
        else:
            np.testing.assert_array_equal(mine, theirs, err_msg=f"{env_id} {name}")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_episodes_begin_as_those_of_the_original(experiment):
    """What is the same in all recorded starts is that in ours too, and ours go as far as the others."""
    for number, recording in golden(experiment).items():
        env, params = make(f"bsuite/{experiment}/{number}")
        ours = jax.jit(jax.vmap(env.begin, (0, None)))(jax.random.split(jax.random.key(0), 512), params)
        for name, theirs in recording.items():
            _, prefix, field = name.rpartition("start.")
            if not prefix or (experiment.startswith("cartpole") and field != "time"):  # Some of which are set up.
                continue
            mine = np.asarray(getattr(ours, field))
            if mine.dtype == np.float32 and theirs.std() > 0:
                assert abs(mine.mean() - theirs.mean()) < 3 * theirs.std()
                continue
            assert (mine.min(0) <= theirs.min(0)).all() and (mine.max(0) >= theirs.max(0)).all()
            if len(theirs) > 11:
                np.testing.assert_array_equal(mine.min(0) == mine.max(0), theirs.min(0) == theirs.max(0), err_msg=field)


def test_the_poles_begin_within_the_original_range():
    for env_id, middle in (("cartpole/0", 0.0), ("cartpole_swingup/0", np.pi)):
        env, params = make(f"bsuite/{env_id}")
        state = jax.jit(jax.vmap(env.begin, (0, None)))(jax.random.split(jax.random.key(0), 512), params)
        for found, around in (
            (state.position, 0.0),
            (state.velocity, 0.0),
            (state.angle, middle),
            (state.angular_velocity, 0.0),
        ):
            low, high = np.min(found) - around, np.max(found) - around
            assert -0.050001 < low < -0.049 and 0.049 < high < 0.050001


def test_the_recordings_are_small():
    assert sum(path.stat().st_size for path in record_bsuite.FOLDER.iterdir()) < 1_000_000


@ORIGINAL
def test_the_ids_are_those_of_the_sweep():
    from bsuite import sweep

    assert set(NUMBERED) == {env_id for env_id in sweep.SWEEP if env_id.partition("/")[0] in EXPERIMENTS}


@ORIGINAL
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_episodes_equal_the_original(experiment):
    for env_id in [env_id for env_id in NUMBERED if env_id.startswith(f"{experiment}/")]:
        recording = record_bsuite.record(env_id, episodes=50, seed=1)
        compare(env_id, recording, **TOLERANCE.get(experiment, {}))
        compare_info(env_id, recording | record_bsuite_info.info(env_id, recording))


@pytest.mark.parametrize(
    ("experiment", "steps"), [("mountain_car", 1000), ("cartpole", 100), ("cartpole_swingup", 100)]
)
def test_float_physics_stay_with_the_original(experiment, steps):
    """Left to itself from the first state on; a pole magnifies every rounding, so that it is compared for a while."""
    for number, recording in golden(experiment).items():
        ours = replayed(f"{experiment}/{number}", recording, free=True)
        during = np.arange(recording["actions"].shape[1]) < recording["lengths"][:, None]
        during[:, steps:] = False
        theirs = recording["observations"][:, 1:, 0][during]
        np.testing.assert_allclose(ours.observations[during], theirs, rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(ours.rewards[during], recording["rewards"][during])
        ends = np.arange(during.shape[1]) == recording["lengths"][:, None] - 1
        np.testing.assert_array_equal(ours.terminated[during], ends[during])
