"""metrics.jsonl and what is drawn from it: resume, torn and damaged lines, NaN, TensorBoard. About 10 s."""

import json
import math
import os
import resource
import signal
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i_jit import metrics

MEMBERS = [{"seed": 0}, {"seed": 1}]


def chunk(step: int) -> dict[str, np.ndarray]:
    """Return what a chunk that ends at `step` may report."""
    return {
        "env_steps": np.full(2, step, np.int32),
        "updates": np.full(2, step // 4, np.int32),
        "episode_return": np.array([step / 7, math.nan], np.float32),
        "loss/model": np.array([1 / step, 2 / step], np.float32),
    }


def written(path: Path, steps: range) -> None:
    sink = metrics.JsonLines(path)
    for step in steps:
        sink.write(metrics.rows(chunk(step), MEMBERS, wall_seconds=step / 10))
    sink.close()


def test_rows_are_one_json_object_per_seed(tmp_path):
    evaluated = np.array([0.5, 0.25])
    first, second = metrics.rows(chunk(8), MEMBERS, eval_return=evaluated, wall_seconds=1.5)
    assert list(first)[:3] == ["env_steps", "seed", "updates"]
    assert first == {
        "env_steps": 8, "seed": 0, "updates": 2, "episode_return": float(np.float32(8 / 7)), "loss/model": 0.125,
        "eval_return": 0.5, "wall_seconds": 1.5,
    }  # fmt: skip
    assert second["episode_return"] is None and second["seed"] == 1 and second["eval_return"] == 0.25
    assert type(first["env_steps"]) is int
    path = tmp_path / "metrics.jsonl"
    written(path, range(1, 4))
    assert [json.loads(line)["env_steps"] for line in path.read_text().splitlines()] == [1, 1, 2, 2, 3, 3]
    assert "NaN" not in path.read_text()
    assert metrics.read(path) == [json.loads(line) for line in path.read_text().splitlines()]


def test_numbers_come_back_bit_by_bit(tmp_path):
    values = np.random.default_rng(0).standard_normal(50).astype(np.float32) * np.float32(1e-30)
    (row,) = metrics.rows(
        {"env_steps": np.array([1]), **{f"x{i}": values[i : i + 1] for i in range(50)}}, [{"seed": 0}]
    )
    read = json.loads(json.dumps(row))
    assert np.array([read[f"x{i}"] for i in range(50)], np.float32).tobytes() == values.tobytes()


@settings(max_examples=100, deadline=None)
@given(last=st.integers(1, 8), cut=st.integers(-1, 9), torn=st.integers(0, 40), rerun=st.integers(1, 9))
def test_a_resumed_log_is_the_log_of_a_run_that_never_stopped(tmp_path_factory, last, cut, torn, rerun):
    """Killed after step `last` and `torn` bytes of the next line, resumed from a checkpoint at `cut`."""
    folder = tmp_path_factory.mktemp("log")
    path, whole = folder / "metrics.jsonl", folder / "whole.jsonl"
    cut, end = min(cut, last), max(last, rerun)
    written(path, range(1, last + 1))
    written(whole, range(1, end + 1))
    with open(path, "a") as file:
        file.write(json.dumps(metrics.rows(chunk(last + 1), MEMBERS)[0])[:torn])
    kept = metrics.truncate(path, cut)
    assert kept == metrics.read(path) and all(row["env_steps"] <= cut for row in kept)
    written(path, range(max(cut, 0) + 1, end + 1))
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(folder.iterdir()) == [path, whole]  # and no temporary file


def test_a_missing_log_becomes_an_empty_one(tmp_path):
    assert metrics.truncate(tmp_path / "metrics.jsonl", 5) == []
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert metrics.read(tmp_path / "none.jsonl") == []


FAULTS = {
    b"\n": "not JSON",
    b'{"env_steps": 2, "seed": 0, "loss/model": 0.1\n': "not JSON",
    b"[1, 2]\n": "not an object",
    b'{"env_steps": 2, "seed": 0, "loss": "\xff"}\n': "not UTF-8",
    b'{"env_steps": 2, "seed": 0, "loss": NaN}\n': "NaN is not JSON",
    b'{"env_steps": 2, "seed": 0, "loss": -Infinity}\n': "-Infinity is not JSON",
    b'{"env_steps": 2, "seed": 0, "loss": 1e999}\n': "`loss` is not a number",
    b'{"env_steps": 2, "seed": 0, "loss": 1' + b"0" * 400 + b"}\n": "`loss` is not a number",
    b'{"env_steps": 2, "seed": 0, "loss": 1' + b"0" * 5000 + b"}\n": "Exceeds the limit",
    b'{"env_steps": 2, "seed": 0, "loss": ' + b"[" * 100000 + b"]" * 100000 + b"}\n": "not JSON",
    b'{"env_steps": 2, "seed": 0, "loss": [1]}\n': "`loss` is not a number",
    b'{"env_steps": 2, "seed": 0, "loss": {"a": 1}}\n': "`loss` is not a number",
    b'{"env_steps": 2, "seed": 0, "loss": 1, "loss": 2}\n': "a key stands there twice",
    b'{"env_steps": 2, "seed": 0, "episode_return": "0.5"}\n': "`episode_return` is not a number",
    b'{"env_steps": 2, "seed": 0, "wall_seconds": null}\n': "`wall_seconds` is not a number",
    b'{"env_steps": 2, "seed": 0, "wall_seconds": true}\n': "`wall_seconds` is not a number",
    b'{"env_steps": 2, "seed": 0, "hypers.model_lr": null}\n': "`hypers.model_lr` is not a number",
    b'{"env_steps": 2, "seed": 0, "hypers./../x": 1}\n': "'hypers./../x' is no name",
    b'{"env_steps": 2, "seed": 0, "\\ud800": 1}\n': "is no name",
    b'{"env_steps": 2.0, "seed": 0}\n': "`env_steps` is not a whole number from 0 up",
    b'{"env_steps": true, "seed": 0}\n': "`env_steps` is not a whole number from 0 up",
    b'{"env_steps": -1, "seed": 0}\n': "`env_steps` is not a whole number from 0 up",
    b'{"seed": 0}\n': "`env_steps` is not a whole number from 0 up",
    b'{"env_steps": 2}\n': "`seed` is not a whole number from 0 up",
    b'{"env_steps": 2, "seed": "0"}\n': "`seed` is not a whole number from 0 up",
    b'{"env_steps": 1, "seed": 1}\n': "it repeats an earlier row",
}


@pytest.mark.parametrize(("line", "fault"), FAULTS.items(), ids=range(len(FAULTS)))
def test_a_damaged_line_is_kept_aside_and_costs_no_other_row(tmp_path, caplog, line, fault):
    path, kept = tmp_path / "metrics.jsonl", tmp_path / "metrics.jsonl.damaged"
    written(path, range(1, 5))
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = lines[:2] + [line] + lines[2:4] + [line] + lines[4:]
    path.write_bytes(b"".join(damaged))
    rows = metrics.read(path)
    assert [row["env_steps"] for row in rows] == [1, 1, 2, 2, 3, 3, 4, 4]
    (record,) = caplog.records
    assert f"{path}: 2 lines are damaged, the first is line 3 (" in record.getMessage() and fault in record.getMessage()
    caplog.clear()
    assert metrics.truncate(path, 3, MEMBERS) == rows[:6]
    assert path.read_bytes() == b"".join(lines[:6]) and kept.read_bytes() == line * 2
    (record,) = caplog.records
    assert "the first is line 3" in record.getMessage() and "kept in metrics.jsonl.damaged" in record.getMessage()
    caplog.clear()
    assert metrics.truncate(path, 3, MEMBERS) == rows[:6] and not caplog.records
    path.write_bytes(b"".join(damaged))  # as after a kill between the two files
    assert metrics.truncate(path, 3, MEMBERS) == rows[:6] and kept.read_bytes() == line * 2
    path.write_bytes(path.read_bytes() + b"other\r\xff\n")
    assert metrics.truncate(path, 3, MEMBERS) == rows[:6] and kept.read_bytes() == line * 2 + b"other\r\xff\n"
    assert sorted(tmp_path.iterdir()) == [path, kept]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_bytes_stop_a_log_from_being_read(tmp_path_factory, data):
    """Random bytes over a random part of the file: whatever lies outside is still there."""
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    written(path, range(1, 5))
    whole = path.read_bytes()
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    path.write_bytes(whole[:begin] + data.draw(st.binary(max_size=60)) + whole[end:])
    untouched = whole[:begin].splitlines(keepends=True)[: whole[:begin].count(b"\n")]
    rest = whole[end:].splitlines(keepends=True)
    untouched += rest[1:] if end and whole[end - 1 : end] != b"\n" else rest[1:]
    rows = metrics.read(path)
    assert all(json.loads(line) in rows for line in untouched)
    assert metrics.truncate(path, 4) == [row for row in rows if row["env_steps"] <= 4] == metrics.read(path)


def test_a_row_that_lacks_only_its_newline_is_kept(tmp_path):
    """A kill can fall there; and to a reader the line may be the last of a file that was edited."""
    path, whole = tmp_path / "metrics.jsonl", tmp_path / "whole.jsonl"
    written(path, range(1, 4))
    written(whole, range(1, 4))
    os.truncate(path, path.stat().st_size - 1)
    assert metrics.read(path) == metrics.truncate(path, 3) == metrics.read(whole)
    assert path.read_bytes() == whole.read_bytes()


def test_rows_past_the_step_go_wherever_they_are(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for steps in (range(1, 3), range(7, 9), range(3, 5)):
        written(path, steps)
    assert [row["env_steps"] for row in metrics.truncate(path, 4)] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_missing_rows_are_said(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    written(path, range(1, 5))
    whole = path.read_bytes().splitlines(keepends=True)
    for lines, message in {
        (*whole,): "",
        (*whole[:-1],): "for seed1 it ends at step 3, before the checkpoint at step 4",
        (*whole[:4],): "for seed0 it ends at step 2, before the checkpoint at step 4",
        (): "for seed0 it has no rows, before the checkpoint at step 4",
    }.items():
        caplog.clear()
        path.write_bytes(b"".join(lines))
        assert len(metrics.truncate(path, 4, MEMBERS)) == len(lines)
        assert [record.getMessage() for record in caplog.records] == ([f"{path}: {message}"] if message else [])


def test_what_is_no_readable_file_is_set_aside(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    makers = [path.mkdir, lambda: path.symlink_to("nowhere"), lambda: path.symlink_to(path), lambda: os.mkfifo(path)]
    for count, make in enumerate(makers, 1):
        make()
        with pytest.raises(OSError):
            metrics.read(path)
        caplog.clear()
        assert metrics.truncate(path, 3) == []
        name = f"metrics.jsonl.damaged{count if count > 1 else ''}"
        (record,) = caplog.records
        assert record.getMessage().startswith(f"{path}: cannot be read (")
        assert f"so it is kept as {name} and a new one is begun" in record.getMessage()
        assert os.path.lexists(tmp_path / name) and path.read_bytes() == b""
        path.unlink()
    path.write_bytes(b"bad\n")
    assert metrics.truncate(path, 3) == []
    assert (tmp_path / "metrics.jsonl.damaged5").read_bytes() == b"bad\n"


def test_a_log_that_cannot_be_cut_is_an_error_that_loses_nothing(tmp_path):
    path = tmp_path / "metrics.jsonl"
    written(path, range(1, 5))
    before = path.read_bytes()
    (tmp_path / "metrics.jsonl.tmp").mkdir()
    with pytest.raises(metrics.LogError, match=r"^cannot write .*metrics\.jsonl: Is a directory$"):
        metrics.truncate(path, 2)
    assert path.read_bytes() == before


def test_non_finite_metrics_are_found_by_name_and_seed():
    assert metrics.not_finite(chunk(4)) == []  # no episode ended: that is no fault
    bad = chunk(4) | {"loss/actor": np.array([0.0, np.inf]), "loss/model": np.array([np.nan, 1.0])}
    assert sorted(metrics.not_finite(bad)) == [("loss/actor", 1), ("loss/model", 0)]


def events(folder: Path) -> list[tuple[int, str, float]]:
    """Return (step, tag, value) of every scalar in a folder of event files: length, CRC, protobuf, CRC, ..."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("events.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            data = data[16 + length :]
    return found


def test_tensorboard_equals_the_log_after_a_resume(tmp_path):
    log, board = tmp_path / "metrics.jsonl", tmp_path / "tensorboard"
    for resume_at, end in ((-1, 6), (4, 9)):  # the second process resumes at 4 and does 5 and 6 again
        sinks = [metrics.TensorBoard(board, metrics.truncate(log, resume_at)), metrics.JsonLines(log)]
        for step in range(max(resume_at, 0) + 1, end + 1):
            for sink in sinks:
                sink.write(metrics.rows(chunk(step), MEMBERS, wall_seconds=0.1))
        for sink in sinks:
            sink.flush()
            sink.close()
    for seed in (0, 1):
        rows = [row for row in metrics.read(log) if row["seed"] == seed]
        want = [
            (row["env_steps"], key, np.float32(row[key]))
            for row in rows
            for key in ("updates", "episode_return", "loss/model")
            if row[key] is not None
        ]
        assert sorted(events(board / f"seed{seed}")) == sorted(want)


class FakeWandb:
    """Stands in for wandb, which is an optional extra: keeps what it is given and fails when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: object = None, identifier: str | None = None) -> None:
        self.made: dict = {}
        self.sent: list[dict] = []
        self.fails: set[str] = set()
        self.last, self.identifier = last, identifier
        monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=self.init))

    def init(self, **options: object) -> types.SimpleNamespace:
        self.act("init")
        self.made = options
        return types.SimpleNamespace(
            id=self.identifier or options["id"],
            summary={} if self.last is None else {"env_steps": self.last},
            define_metric=lambda *_, **__: None,
            log=lambda record: (self.act("log"), self.sent.append(record)),
            finish=lambda: (self.act("finish"), self.sent.append({"finished": True})),
        )

    def act(self, name: str) -> None:
        if name in self.fails:
            raise RuntimeError(f"{name} failed\nand more")


def test_wandb_gets_each_step_once_under_the_id_of_the_run(tmp_path, monkeypatch, caplog):
    fake = FakeWandb(monkeypatch, last=3)
    sink = metrics.wandb(tmp_path, "popgym-x 1", {"env": "popgym/X"}, "4f2a")
    for step in (2, 3, 4, 5):
        sink.write(metrics.rows(chunk(step), MEMBERS))
    sink.flush()
    sink.close()
    made = {key: fake.made[key] for key in ("id", "name", "resume", "config")}
    assert made == {"id": "4f2a", "name": "popgym-x 1", "resume": "allow", "config": {"env": "popgym/X"}}
    assert [row.get("env_steps") for row in fake.sent] == [4, 5, None]
    assert fake.sent[0]["seed1/loss/model"] == 0.5 and "seed1/episode_return" not in fake.sent[0]
    assert [record.getMessage() for record in caplog.records] == [
        "Weights & Biases had the rows up to step 3 already: 4 passed over"
    ]


@pytest.mark.parametrize(("last", "identifier"), [(None, None), (0, None), ("x", None), (math.nan, None), (9, "other")])
def test_wandb_passes_over_only_what_this_run_has_sent(tmp_path, monkeypatch, caplog, last, identifier):
    fake = FakeWandb(monkeypatch, last, identifier)
    sink = metrics.Wandb(tmp_path, "run", {}, "4f2a")
    sink.write([])
    sink.write(metrics.rows(chunk(1), MEMBERS))
    sink.close()
    assert [row.get("env_steps") for row in fake.sent] == [1, None] and not caplog.records


def test_a_run_that_repeats_nothing_new_says_what_it_passed_over(tmp_path, monkeypatch, caplog):
    FakeWandb(monkeypatch, last=3)
    sink = metrics.Wandb(tmp_path, "run", {}, "4f2a")
    sink.write(metrics.rows(chunk(3), MEMBERS))
    sink.close()
    assert "2 passed over" in caplog.text


def test_wandb_that_is_not_installed_is_an_error_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError):
        metrics.wandb(tmp_path, "run", {}, "4f2a")


@pytest.mark.parametrize("fails", ["init", "log", "finish"])
def test_wandb_never_stops_a_run(tmp_path, monkeypatch, caplog, fails):
    fake = FakeWandb(monkeypatch)
    fake.fails.add(fails)
    sink = metrics.wandb(tmp_path, "run", {}, "4f2a")
    for step in (1, 2):
        sink.write(metrics.rows(chunk(step), MEMBERS))
    sink.flush()
    sink.close()
    sink.close()
    (record,) = caplog.records
    assert record.getMessage() == f"Weights & Biases gets no more of this run: RuntimeError: {fails} failed and more"


def test_tensorboard_never_stops_a_run(tmp_path, caplog):
    """A file in the folder's place; then a full disk, on which the writer of tensorboardX would wait for ever."""
    (tmp_path / "file").write_text("")
    closed = metrics.tensorboard(tmp_path / "file", metrics.rows(chunk(1), MEMBERS))
    sink = metrics.tensorboard(tmp_path / "board")
    limit, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        for step in range(1, 300):
            closed.write(metrics.rows(chunk(step), MEMBERS))
            sink.write(metrics.rows(chunk(step), MEMBERS))
            sink.flush()
        sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert [record.getMessage() for record in caplog.records] == [
        f"TensorBoard ({tmp_path / 'file'}) gets no more of this run: Not a directory",
        f"TensorBoard ({tmp_path / 'board'}) gets no more of this run: File too large",
    ]


def test_a_sweeps_rows_are_told_apart():
    assert metrics.identity({"seed": 2}) == "seed2"
    assert metrics.identity({"seed": 0, "hypers.model_lr": 3e-4}) == "model_lr=0.0003,seed0"

    close = [{"seed": 0, "hypers.model_lr": lr} for lr in (1.0000001e-4, 1.0000002e-4)]
    assert metrics.identity(close[0]) != metrics.identity(close[1])


def test_what_cannot_be_written_is_named(tmp_path):
    with pytest.raises(metrics.LogError, match=r"^cannot write .*metrics\.jsonl: No such file or directory$"):
        metrics.JsonLines(tmp_path / "none" / "metrics.jsonl")
    full = metrics.JsonLines("/dev/full")
    with pytest.raises(metrics.LogError, match="^cannot write /dev/full: No space left on device$") as caught:
        full.write(metrics.rows(chunk(1), MEMBERS))
    assert isinstance(caught.value, OSError)
    with pytest.raises(metrics.LogError, match="^cannot write /dev/full: Invalid argument$"):
        full.flush()
    with pytest.raises(metrics.LogError):
        full.close()
    with pytest.raises(metrics.LogError, match="Bad file descriptor"):  # closed all the same
        full.write(metrics.rows(chunk(1), MEMBERS))


def test_a_member_that_has_diverged_is_marked_and_says_nothing_else(tmp_path):
    members = [{"hypers.model_lr": 0.5, "seed": 0}, {"hypers.model_lr": 0.25, "seed": 0}]
    evaluated = np.array([1.0, 2.0])
    healthy = metrics.rows(chunk(4), members, eval_return=evaluated, wall_seconds=1.5)
    for marks in (np.array([False, True]), np.array([0, 1], np.int32)):
        marked = chunk(4) | {"diverged": marks}
        first, second = metrics.rows(marked, members, eval_return=evaluated, wall_seconds=1.5)
        assert json.dumps(first) == json.dumps(healthy[0])
        assert second == {
            "env_steps": 4, "hypers.model_lr": 0.25, "seed": 0, "updates": None, "episode_return": None,
            "loss/model": None, "eval_return": None, "wall_seconds": 1.5, "diverged": True,
        }  # fmt: skip
        assert metrics.diverged(marked) == (1,)
        bad = marked | {"loss/model": np.array([1.0, np.nan])}
        assert metrics.not_finite(bad) == []
        assert metrics.not_finite(bad | {"loss/actor": np.array([np.inf, 1.0])}) == [("loss/actor", 0)]
    assert metrics.diverged(chunk(4)) == ()
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(second) + "\n")
    assert metrics.read(path) == [second]


def test_where_no_episode_ended_nothing_is_said_of_episodes():
    given = chunk(4) | {
        "episodes": np.array([0.0, 2.0]), "episode_return": np.zeros(2), "episode_length": np.array([0.0, 7.0]),
        "episode_score": np.zeros(2),
    }  # fmt: skip
    first, second = metrics.rows(given, MEMBERS, eval_return=np.ones(2))
    assert [first[name] for name in ("episode_return", "episode_length", "episode_score")] == [None] * 3
    assert first["episodes"] == 0 and first["eval_return"] == 1.0 and first["loss/model"] is not None
    assert [second[name] for name in ("episode_return", "episode_length", "episode_score")] == [0.0, 7.0, 0.0]
