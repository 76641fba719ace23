"""Checkpoints under damage, misuse and a full disk, on the stand-in's state. About 50 s."""

import ast
import dataclasses
import gc
import json
import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.running import rundir
from r2i_jit import checkpoint_files as files
from r2i_jit.checkpoint import (
    CheckpointError,
    CheckpointMismatch,
    CheckpointNotFinite,
    Checkpoints,
    CheckpointSaveError,
)
from r2i_jit.config import Config
from tests.host.fake import FakeTrainer, arrays

SEEDS = 2


@pytest.fixture(scope="module")
def trainer() -> FakeTrainer:
    trainer = FakeTrainer(Config())
    trainer.compile(SEEDS)
    return trainer


@pytest.fixture(scope="module")
def shapes(trainer):
    return trainer.state_shapes(SEEDS)


def fresh(trainer: FakeTrainer):
    return trainer.init(jax.random.split(jax.random.key(0), SEEDS))


@pytest.fixture(scope="module")
def saved(trainer, tmp_path_factory) -> tuple[Path, dict[int, list[np.ndarray]]]:
    """Return a folder with checkpoints 120, 160 and 200, and what each of them holds. Copy it before damaging it."""
    folder, contents, state = tmp_path_factory.mktemp("saved"), {}, fresh(trainer)
    with Checkpoints(folder, keep=3) as checkpoints:
        for step in (120, 160, 200):
            state, _ = trainer.train_chunk(state)
            contents[step] = arrays(state)
            checkpoints.save(step, state, {"step": step})
    return folder, contents


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved[0], tmp_path / "checkpoints"))


def assert_holds(restored, contents) -> None:
    for got, want in zip(arrays(restored.state), contents[restored.step], strict=True):
        assert got.dtype == want.dtype and got.tobytes() == want.tobytes()


def test_everything_comes_back_bit_by_bit(saved, shapes):
    folder, contents = saved
    with Checkpoints(folder, read_only=True) as checkpoints:
        assert checkpoints.steps() == [120, 160, 200]
        for step in (None, 120, 160):
            restored = checkpoints.restore(shapes, step)
            assert restored.step == (step or 200)
            assert restored.metadata == {"step": restored.step}
            assert_holds(restored, contents)
            assert jax.tree.map(lambda x: x.dtype, restored.state) == jax.tree.map(lambda x: x.dtype, shapes)


def test_arrays_without_entries_come_back_too(tmp_path):
    """A physics engine's state has some, and orbax saves none."""
    key = jax.random.key(3)
    state = {"touched": jnp.zeros((2, 0, 3), jnp.int32), "place": jnp.arange(4.0), "nothing": jnp.zeros(0), "key": key}
    shapes = jax.eval_shape(lambda: state)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, {})
        checkpoints.wait()
        restored = checkpoints.restore(shapes).state
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for got, want in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_array_equal(restored["place"], state["place"])
    np.testing.assert_array_equal(jax.random.key_data(restored["key"]), jax.random.key_data(key))


def test_donating_the_state_during_a_save_does_not_touch_what_is_saved(trainer, shapes, tmp_path):
    state, contents = fresh(trainer), {}
    with Checkpoints(tmp_path / "c", keep=8) as checkpoints:
        for step in range(8):
            contents[step] = arrays(state)
            checkpoints.save(step, state, {})
            for _ in range(3):
                state, _ = trainer.train_chunk(state)  # donates what is being written
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        for step in range(8):
            assert_holds(checkpoints.restore(shapes, step), contents)


def test_the_newest_and_the_best_are_kept(trainer, tmp_path):
    scores = {10: 0.1, 20: 0.9, 30: None, 40: 0.3, 50: float("nan"), 60: None}
    state = fresh(trainer)
    with Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.best_step() is None
        for step, score in scores.items():
            checkpoints.save(step, state, {}, score)
            checkpoints.wait()
            assert len(checkpoints.steps()) <= 3
        assert checkpoints.steps() == [20, 50, 60]
        assert checkpoints.best_step() == 20
        assert checkpoints.score(20) == 0.9
    assert sorted(os.listdir(tmp_path / "c")) == ["20", "50", "60"]


def damage_truncate(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def damage_zero(path: Path, rng: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def damage_flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def damage_delete(path: Path, rng: random.Random) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        damage_flip,
        *(pytest.param(one, marks=pytest.mark.heavy) for one in (damage_truncate, damage_zero, damage_delete)),
    ],
)
def test_damage_to_any_file_costs_one_checkpoint_at_most(saved, shapes, tmp_path, damage, caplog):
    """Every file of the newest step in turn. What is restored is always what was saved at that step."""
    folder, contents = saved
    rng = random.Random(0)
    fallbacks = 0
    files = [path.relative_to(folder) for path in sorted((folder / "200").rglob("*")) if path.is_file()]
    for index, name in enumerate(path for path in files if (folder / path).stat().st_size):
        broken = Path(shutil.copytree(folder, tmp_path / str(index)))
        damage(broken / name, rng)
        caplog.clear()
        with Checkpoints(broken, keep=3) as checkpoints:
            restored = checkpoints.restore(shapes)
            assert_holds(restored, contents)
            if restored.step != 200:
                fallbacks += 1
                assert restored.step == 160
                assert (broken / "200.corrupt").is_dir() and not (broken / "200").exists()
                assert [record.levelno for record in caplog.records] == [logging.WARNING]
                assert "checkpoint 200 is damaged" in caplog.text and "using step 160" in caplog.text
            else:
                assert not caplog.records
    assert fallbacks >= 4


@pytest.mark.heavy
def test_a_hundred_flipped_bits_are_never_restored_silently(saved, shapes, tmp_path, capfd):
    """Orbax alone restores a flipped bit of an array as wrong data."""
    folder, contents = saved
    rng, refused = random.Random(1), 0
    files = sorted((folder / "200" / "state").rglob("*"), key=lambda path: path.stat().st_size)
    data = [path for path in files if path.is_file() and path.stat().st_size > 200]
    for trial in range(100):
        target = tmp_path / f"{trial}"
        shutil.copytree(folder / "200", target / "200")
        damage_flip(target / rng.choice(data).relative_to(folder), rng)
        with Checkpoints(target, read_only=True) as checkpoints:
            try:
                assert_holds(checkpoints.restore(shapes), contents)
            except CheckpointError as error:
                refused += 1
                assert "step 200" in str(error) and "\n" not in str(error)
    assert refused >= 10
    assert capfd.readouterr() == ("", "")  # nor does a library's thread print its traceback


def test_if_nothing_can_be_read_all_stays_as_it_is(copy, shapes):
    for step in ("120", "160", "200"):
        damage_delete(copy / step / "record" / "metadata", random.Random(0))
    before = sorted(os.listdir(copy))
    with Checkpoints(copy) as checkpoints:
        with pytest.raises(CheckpointError, match=r"no checkpoint .*\(step 200: its record is missing"):
            checkpoints.restore(shapes)
        assert sorted(os.listdir(copy)) == before


def test_stray_folders_are_passed_over_and_leftovers_removed(copy, saved, shapes, trainer):
    for name in ("7", "0300", "300", "300.tmp", "best", "-1", "٣", "400.corrupt"):
        (copy / name).mkdir()
    (copy / "500").write_text("a file")
    (copy / "600").symlink_to(copy / "120")
    (copy / "700.orbax-checkpoint-tmp").mkdir()
    (copy / "800.deleted").mkdir()
    with Checkpoints(copy) as checkpoints:
        assert checkpoints.steps() == [120, 160, 200]
        assert not (copy / "700.orbax-checkpoint-tmp").exists() and not (copy / "800.deleted").exists()
        assert checkpoints.restore(shapes).step == 200
        checkpoints.save(240, fresh(trainer), {})  # older than the strays, which Orbax takes for steps
        checkpoints.wait()
        assert checkpoints.steps() == [200, 240]
        checkpoints.save(300, fresh(trainer), {})  # where an empty folder is in the way
    with Checkpoints(copy) as checkpoints:
        assert checkpoints.steps() == [240, 300]


def test_no_checkpoint_is_no_error(shapes, tmp_path):
    with Checkpoints(tmp_path / "none") as checkpoints:
        assert checkpoints.restore(shapes) is None
        assert checkpoints.steps() == []


def test_another_state_is_refused_by_name(copy, shapes, trainer):
    weights = shapes.seeds.agent.weights
    other_dtype = jax.ShapeDtypeStruct(weights.shape, jnp.bfloat16)
    cases = {
        r"weights as float32\[2, 16, 16\], this run needs bfloat16": shapes.seeds.agent._replace(weights=other_dtype),
        "1 leaf is missing, such as .*new": {**shapes.seeds.agent._asdict(), "new": weights},
    }
    with Checkpoints(copy) as checkpoints:
        with pytest.raises(CheckpointMismatch, match=r"this run needs .*\[3"):
            checkpoints.restore(trainer.state_shapes(3))
        for message, agent in cases.items():
            if isinstance(agent, dict):
                target = shapes._replace(seeds=shapes.seeds._replace(replay={**shapes.seeds.replay, "new": weights}))
            else:
                target = shapes._replace(seeds=shapes.seeds._replace(agent=agent))
            with pytest.raises(CheckpointMismatch, match=message):
                checkpoints.restore(target)
        assert sorted(os.listdir(copy)) == ["120", "160", "200"]  # a sound checkpoint is never set aside


def test_a_leaf_that_came_later_has_its_default(trainer, tmp_path):
    """As of a run of earlier sources, which knew fewer hyper-parameters."""
    shapes, state = trainer.state_shapes(SEEDS), fresh(trainer)
    now = dataclasses.asdict(state.seeds.hypers)
    Earlier = jax.tree_util.register_dataclass(
        dataclasses.make_dataclass("Earlier", [name for name in now if name not in ("clip_range", "entropy_scale")])
    )
    hypers = Earlier(**{name: leaf for name, leaf in now.items() if name not in ("clip_range", "entropy_scale")})
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, state._replace(seeds=state.seeds._replace(hypers=hypers)), {})
        checkpoints.wait()
        defaults = {f".seeds.hypers.{name}": 0.25 for name in now}
        got = checkpoints.restore(shapes, defaults=defaults).state
        assert jax.tree.structure(got) == jax.tree.structure(state)
        filled = np.full(SEEDS, 0.25, np.float32)
        want = state.seeds.hypers.replace(clip_range=filled, entropy_scale=filled)
        for ours, theirs in zip(
            arrays(got), arrays(state._replace(seeds=state.seeds._replace(hypers=want))), strict=True
        ):
            assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()
        with pytest.raises(CheckpointMismatch, match=r"1 leaf is missing, such as \.seeds\.hypers\.entropy_scale"):
            checkpoints.restore(shapes, defaults={".seeds.hypers.clip_range": 0.25})
        with pytest.raises(CheckpointMismatch, match="2 leaves are missing"):
            checkpoints.restore(shapes)


def test_a_state_that_has_diverged_is_not_saved(trainer, tmp_path):
    state = fresh(trainer)
    assert any(np.isnan(leaf).any() for leaf in jax.tree.leaves(arrays(state)) if leaf.dtype == np.float32)
    with Checkpoints(tmp_path / "c", finite=(".seeds.agent",)) as checkpoints:
        checkpoints.save(1, state, {})  # NaN elsewhere, as for an episode that has not ended, is fine
        bad = state.seeds.agent.weights.at[1, 2, 3].set(jnp.inf)
        state = state._replace(seeds=state.seeds._replace(agent=state.seeds.agent._replace(weights=bad)))
        with pytest.raises(CheckpointNotFinite, match=r"step 2 is not saved: \.seeds\.agent\.weights"):
            checkpoints.save(2, state, {})
        checkpoints.wait()
        assert checkpoints.steps() == [1]


def test_a_full_disk_is_an_error_with_path_and_size(trainer, shapes, saved, tmp_path):
    """A limit on the size of a file stands in for the disk: writes fail inside Orbax's own threads."""
    folder = tmp_path / "c"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    checkpoints = Checkpoints(folder)
    state = fresh(trainer)
    try:
        checkpoints.save(1, state, {"good": True})
        checkpoints.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        with pytest.raises(CheckpointSaveError) as caught:
            checkpoints.save(2, state, {})
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    message = str(caught.value)
    assert str(folder) in message and "MB" in message and "the last good one is step 1" in message
    assert "\n" not in message
    assert os.listdir(folder) == ["1"]
    assert checkpoints.restore(shapes).step == 1
    checkpoints.save(2, state, {})  # there is room again
    checkpoints.close()
    assert Checkpoints(folder, read_only=True).steps() == [1, 2]


def test_misuse_is_refused(trainer, tmp_path):
    state = fresh(trainer)
    with pytest.raises(ValueError, match="keep=1"):
        Checkpoints(tmp_path / "c", keep=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointSaveError, match="cannot write to .*file"):
        Checkpoints(tmp_path / "file" / "c")
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, state, {})
        with pytest.raises(CheckpointSaveError, match="exists already"):
            checkpoints.save(1, state, {})


def test_an_error_of_an_asynchronous_save_reaches_the_loop(trainer, tmp_path, monkeypatch):
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, fresh(trainer), {})
        manager = checkpoints._opened()

        def fail() -> None:
            raise ValueError("RESOURCE_EXHAUSTED: no space left\nand much more")

        manager.wait_until_finished()
        monkeypatch.setattr(manager, "wait_until_finished", fail)
        with pytest.raises(CheckpointSaveError, match="could not save step 1 .*no space left"):
            checkpoints.poll()


def test_the_lock_is_held_by_one_process(tmp_path, capsys):
    code = f"""
import pathlib, time
from experiments.running.rundir import lock
with lock(pathlib.Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(SystemExit) as caught, rundir.lock(tmp_path):
        pass
    assert caught.value.code == 6 and f"pid {process.pid}" in capsys.readouterr().err
    process.kill()
    process.communicate()
    with rundir.lock(tmp_path):  # the kernel has let go of it
        pass


def test_a_record_of_another_step_does_not_count(copy):
    """A step folder that was renamed or copied by hand."""
    shutil.copytree(copy / "120", copy / "999")
    assert Checkpoints(copy, read_only=True).steps() == [120, 160, 200]


def test_keys_are_read_as_they_were_stored_before(trainer, shapes, tmp_path, monkeypatch):
    """Format 1 left typed keys to Orbax, and the run of one goes on with checkpoints of format 2."""
    state = fresh(trainer)
    with Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(files, "FORMAT", 1)
        checkpoints.save(1, state, {})
        checkpoints.wait()
        monkeypatch.undo()
        checkpoints.save(2, state, {})
        checkpoints.wait()
        for step, own in ((1, 1), (2, 2)):
            text = (tmp_path / str(step) / "record" / "metadata").read_text()
            assert json.loads(text)["format"] == own
            restored = checkpoints.restore(shapes, step=step)
            assert_holds(restored, {step: arrays(state)})
            assert jax.tree.map(lambda leaf: leaf.dtype, restored.state) == jax.tree.map(lambda x: x.dtype, shapes)


def test_a_checkpoint_of_a_later_format_is_no_damage(copy, shapes, monkeypatch):
    monkeypatch.setattr(files, "_FORMATS", (0, 1))
    with Checkpoints(copy) as checkpoints, pytest.raises(CheckpointMismatch, match="another version"):
        checkpoints.restore(shapes)
    assert sorted(os.listdir(copy)) == ["120", "160", "200"]


def test_a_reader_changes_nothing(copy, shapes):
    damage_delete(copy / "200" / "record" / "metadata", random.Random(0))
    (copy / "700.orbax-checkpoint-tmp").mkdir()
    before = sorted(path.relative_to(copy) for path in copy.rglob("*"))
    with Checkpoints(copy, read_only=True) as checkpoints:
        assert checkpoints.restore(shapes).step == 160
    assert sorted(path.relative_to(copy) for path in copy.rglob("*")) == before


def test_the_record_is_json_and_nothing_is_unpickled(saved):
    """Loading a stranger's checkpoint must not run code: no pickle in the files, none in the sources."""
    record = json.loads((saved[0] / "200" / "record" / "metadata").read_text())
    assert record["step"] == 200 and record["leaves"][".seeds.key"][1] == "key<fry>"
    root = Path(files.__file__).parents[1]
    forbidden = {"pickle", "cloudpickle", "dill", "shelve", "marshal"}
    sources = [path for package in ("r2i_jit", "envs", "experiments") for path in (root / package).rglob("*.py")]
    assert len(sources) > 20
    gc.disable()  # CPython 3.11's parser may fail if a collection, which calls JAX back, falls into it
    try:
        trees = {source: ast.parse(source.read_text()) for source in sources}
    finally:
        gc.enable()
    for source, tree in trees.items():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not forbidden & {name.split(".")[0] for name in names}, source
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            assert called not in ("eval", "exec"), source
            assert not (isinstance(node, ast.keyword) and node.arg == "allow_pickle"), source


def forge(record_file: Path, change) -> None:
    """Change a record and give it the checksum of its new contents, as no accident would."""
    record = json.loads(record_file.read_text())
    del record["crc"]
    record = change(record) or record
    record["crc"] = files._text_crc(record)
    record_file.write_text(json.dumps(record))


FORGERIES = {
    "score is text": lambda record: record.update(score="1.0"),
    "score is true": lambda record: record.update(score=True),
    "score is infinite": lambda record: record.update(score=float("inf")),
    "score is huge": lambda record: record.update(score=10**400),
    "no score": lambda record: record.pop("score") and None,
    "no leaves": lambda record: record.pop("leaves") and None,
    "leaves are a list": lambda record: record.update(leaves=[1]),
    "leaf is a number": lambda record: record["leaves"].update({".env_steps": 1}),
    "leaf is short": lambda record: record["leaves"].update({".env_steps": [[], "int32"]}),
    "shape is text": lambda record: record["leaves"].update({".env_steps": ["ab", "int32", 1]}),
    "shape is null": lambda record: record["leaves"].update({".env_steps": [None, "int32", 1]}),
    "checksum is text": lambda record: record["leaves"].update({".env_steps": [[], "int32", "1"]}),
    "metadata are a list": lambda record: record.update(metadata=[]),
    "no metadata": lambda record: record.pop("metadata") and None,
    "no wall_seconds": lambda record: record.update(metadata={}),
    "wall_seconds is text": lambda record: record.update(metadata={"step": "200"}),
    "wall_seconds is true": lambda record: record.update(metadata={"step": True}),
    "format is text": lambda record: record.update(format="1"),
    "package is a number": lambda record: record.update(package=1),
    "step is another": lambda record: record.update(step=160),
    "step is text": lambda record: record.update(step="200"),
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_a_record_of_wrong_types_is_damage(copy, saved, shapes, caplog, change):
    forge(copy / "200" / "record" / "metadata", change)
    with Checkpoints(copy, needed={"step": (int, float)}) as checkpoints:
        assert checkpoints.steps() == [120, 160]
        assert checkpoints.score(200) == -np.inf and checkpoints.best_step() is None
        with pytest.raises(CheckpointError, match=r"no checkpoint .*step 200: its (record|metadata)"):
            checkpoints.restore(shapes, 200)
        assert_holds(checkpoints.restore(shapes), saved[1])
    (record,) = caplog.records
    assert "checkpoint 200 is damaged" in record.getMessage() and "\n" not in record.getMessage()


@pytest.mark.parametrize("text", ["", "[]", "3", "null", '{"crc": 1}', "[" * 100_000, "\ud800"])
def test_a_record_that_is_no_record_is_damage(copy, shapes, text):
    (copy / "200" / "record" / "metadata").write_bytes(text.encode(errors="surrogatepass"))
    with Checkpoints(copy) as checkpoints:
        assert checkpoints.restore(shapes).step == 160


def test_another_program_is_found_by_the_record_alone(copy, shapes, trainer):
    """Nothing is read or renamed: no array is there."""
    for step in ("120", "160", "200"):
        shutil.rmtree(copy / step / "state")
        (copy / step / "state").mkdir()
    damage_delete(copy / "200" / "record" / "metadata", random.Random(0))
    before = sorted(copy.rglob("*"))
    with Checkpoints(copy) as checkpoints:
        with pytest.raises(CheckpointMismatch, match=r"/160 holds .* this run needs .*\[3"):
            checkpoints.restore(trainer.state_shapes(3))
        for step in ("120", "160"):
            damage_delete(copy / step / "record" / "metadata", random.Random(0))
        with pytest.raises(CheckpointError, match="step 200: its record is missing; step 160"):
            checkpoints.restore(shapes)
    assert sorted(copy.rglob("*")) == [path for path in before if path.name != "metadata"]


def test_what_another_version_saved_is_said(copy, shapes):
    def rename(record: dict) -> None:
        record["leaves"][".old"] = record["leaves"].pop(".env_steps")

    path = copy / "200" / "record" / "metadata"
    forge(path, rename)
    end = "1 leaf is missing, such as .env_steps and 1 leaf is unknown, such as .old"
    now = files.package_version()
    for package, said in {
        now: f"saved by r2i-jit {now} too, so with another config or from other sources",
        "0.0.3": f"saved by r2i-jit 0.0.3, this is {now}",
        "": f"saved by an earlier r2i-jit, this is {now}",
    }.items():
        forge(path, lambda record, package=package: record.update(package=package))
        with Checkpoints(copy) as checkpoints, pytest.raises(CheckpointMismatch) as caught:
            checkpoints.restore(shapes)
        assert str(caught.value) == f"{copy}/200 holds another program's state ({said}): {end}"


def test_other_random_numbers_are_said(copy, shapes):
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0, impl="rbg"), SEEDS))
    other = shapes._replace(seeds=shapes.seeds._replace(key=keys))
    with Checkpoints(copy) as checkpoints, pytest.raises(CheckpointMismatch) as caught:
        checkpoints.restore(other)
    assert "holds .seeds.key as key<fry>, this run needs key<rbg>: set JAX_DEFAULT_PRNG_IMPL=threefry2x32" in str(
        caught.value
    )


def test_members_that_have_diverged_are_saved_with_the_others(trainer, shapes, tmp_path):
    state = fresh(trainer)
    bad = state.seeds.agent.weights.at[1, 2, 3].set(jnp.nan)
    state = state._replace(seeds=state.seeds._replace(agent=state.seeds.agent._replace(weights=bad)))
    with Checkpoints(tmp_path / "c", finite=(".seeds.agent",)) as checkpoints:
        for without in ((), (0,)):
            with pytest.raises(CheckpointNotFinite):
                checkpoints.save(1, state, {}, without=without)
        checkpoints.save(1, state, {}, without=[1])
        checkpoints.wait()
        assert_holds(checkpoints.restore(shapes), {1: arrays(state)})


def test_folders_in_the_wrong_state_are_one_line(copy, shapes, trainer, tmp_path, monkeypatch, caplog):
    """A file or a broken link for the folder, or for every step; a folder that cannot be listed or renamed in."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(CheckpointSaveError, match=f"cannot write to .*/{name}: File exists"):
            Checkpoints(tmp_path / name)
        with Checkpoints(tmp_path / name, read_only=True) as checkpoints:
            for look in (checkpoints.steps, checkpoints.best_step, lambda: checkpoints.restore(shapes)):
                with pytest.raises(CheckpointError, match=f"^cannot read .*/{name}: N"):
                    look()
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "100").mkdir()
    (strange / "300").write_text("")
    (strange / "200").symlink_to(copy / "200")
    with Checkpoints(strange) as checkpoints:
        with pytest.raises(CheckpointError, match="100 is no checkpoint folder; 200 is no .*; 300 is no "):
            checkpoints.restore(shapes)
        checkpoints.save(300, fresh(trainer), {})
        checkpoints.wait()
        assert checkpoints.steps() == [300] and (strange / "300.corrupt").is_file()
    damage_delete(copy / "200" / "record" / "metadata", random.Random(0))

    rename = os.rename

    def refuse(source: Path, target: Path) -> None:
        if Path(target).suffix in (".corrupt", ".deleted"):
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    with Checkpoints(copy) as checkpoints:
        monkeypatch.setattr(os, "rename", refuse)
        caplog.clear()
        assert checkpoints.restore(shapes).step == 160
        assert "checkpoint 200 is damaged (its record is missing; using step 160) and cannot be renamed" in caplog.text
        with pytest.raises(CheckpointSaveError, match="/200 is in the way"):
            checkpoints.save(200, fresh(trainer), {})
        with pytest.raises(CheckpointSaveError, match="cannot delete .*: Permission denied"):
            checkpoints.save(240, fresh(trainer), {})
            checkpoints.wait()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "there is not enough memory"),
        (ValueError("RESOURCE_EXHAUSTED: Out of memory"), "there is not enough memory"),
        (PermissionError(13, "Permission denied"), "permission denied"),
        (ValueError("PERMISSION_DENIED: open"), "permission denied"),
    ],
)
def test_what_is_no_fault_of_the_checkpoint_does_not_set_it_aside(copy, shapes, monkeypatch, error, message):
    before = sorted(os.listdir(copy))

    def fail(*_: object, **__: object) -> None:
        raise error

    with Checkpoints(copy) as checkpoints:
        monkeypatch.setattr(checkpoints._opened(), "restore", fail)
        with pytest.raises(CheckpointError, match=f"/200 cannot be read: {message}"):
            checkpoints.restore(shapes)
    assert sorted(os.listdir(copy)) == before
