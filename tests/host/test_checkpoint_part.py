"""Reading one part of a checkpoint: the same arrays as of the whole, and nothing else. About 10 s."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from r2i_jit import checkpoint_files as files
from r2i_jit.checkpoint import CheckpointError, CheckpointMismatch, Checkpoints
from r2i_jit.config import Config
from tests.host.fake import FakeTrainer

SEEDS, PART = 2, ".seeds.agent"


@pytest.fixture(scope="module")
def shapes():
    return FakeTrainer(Config()).state_shapes(SEEDS)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    trainer, folder = FakeTrainer(Config()), tmp_path_factory.mktemp("saved")
    trainer.compile(SEEDS)
    state = trainer.init(jax.random.split(jax.random.key(0), SEEDS))
    with Checkpoints(folder) as checkpoints:
        for step in (120, 160):
            state, _ = trainer.train_chunk(state)
            checkpoints.save(step, state, {"members": SEEDS})
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def read(folder, shapes, step=None, **options):
    with Checkpoints(folder, **options) as checkpoints:
        return checkpoints.restore_part(PART, lambda metadata: shapes.seeds.agent, step)


@pytest.mark.parametrize("step", [None, 120])
def test_it_equals_the_part_of_the_whole(saved, shapes, step):
    with Checkpoints(saved, read_only=True) as checkpoints:
        whole = checkpoints.restore(shapes, step)
    part = read(saved, shapes, step, read_only=True)
    assert (part.step, part.metadata) == (whole.step, whole.metadata) == (step or 160, {"members": SEEDS})
    assert type(part.state) is type(whole.state.seeds.agent)
    for mine, theirs in zip(jax.tree.leaves(part.state), jax.tree.leaves(whole.state.seeds.agent), strict=True):
        assert isinstance(mine, np.ndarray) and mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def test_a_leaf_by_itself_is_a_part_too(saved, shapes):
    with Checkpoints(saved, read_only=True) as checkpoints:
        part = checkpoints.restore_part(".seeds.diverged", lambda metadata: shapes.seeds.diverged)
    assert part.state.tolist() == [False] * SEEDS


def test_the_shapes_may_hang_on_what_was_saved_beside(saved, shapes):
    seen = []
    with Checkpoints(saved, read_only=True) as checkpoints:
        checkpoints.restore_part(PART, lambda metadata: seen.append(metadata) or shapes.seeds.agent)
    assert seen == [{"members": SEEDS}]


def test_other_leaves_or_shapes_are_named(saved, shapes):
    agent = shapes.seeds.agent
    wide = agent._replace(weights=jax.ShapeDtypeStruct((SEEDS, 3), np.float32))
    for other, text in ((wide, r"holds .weights as float32\[2, 16, 16\]"), ({"weights": wide.weights}, "unknown")):
        with Checkpoints(saved, read_only=True) as checkpoints, pytest.raises(CheckpointMismatch, match=text):
            checkpoints.restore_part(PART, lambda metadata, other=other: other)


def test_a_part_that_only_begins_with_the_name_is_another(saved):
    record = files.read_record(saved / "160", 160)
    from r2i_jit.checkpoint_reading import below

    assert not below(record, ".seeds.age").leaves
    assert len(below(record, PART).leaves) == 4


def test_a_checksum_that_differs_falls_back_on_the_step_before(folder, shapes, monkeypatch, caplog):
    """What is read is compared; damage in what is not read is not in the way."""
    before = read(folder, shapes, 120).state
    describe = files.describe
    newest = np.asarray(read(folder, shapes, 160).state.weights)

    def changed(leaf):
        altered = np.shape(leaf) == newest.shape and (np.asarray(leaf) == newest).all()
        return [*describe(leaf)[:2], 0] if altered else describe(leaf)

    monkeypatch.setattr(files, "describe", changed)
    found = read(folder, shapes, read_only=True)
    assert found.step == 120 and "the checksum of .weights differs" in caplog.text
    jax.tree.map(np.testing.assert_array_equal, found.state, before)
    with pytest.raises(CheckpointError, match="step 160: the checksum of .weights differs"):
        read(folder, shapes, 160, read_only=True)
    assert read(folder, shapes).step == 120 and (folder / "160.corrupt").is_dir()


def test_arrays_that_are_lost_are_damage(folder, shapes):
    shutil.rmtree(folder / "160" / "state")
    (folder / "160" / "state").mkdir()
    assert read(folder, shapes, read_only=True).step == 120
    shutil.rmtree(folder / "120")
    with pytest.raises(CheckpointError, match="can be restored"):
        read(folder, shapes, read_only=True)
    assert read(folder / "none", shapes) is None
