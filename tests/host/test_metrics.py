"""metrics.jsonl and what is drawn from it: resume, torn lines, NaN, TensorBoard. About 10 s."""

import json
import math
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


def test_wandb_gets_each_step_once(tmp_path, monkeypatch):
    """With a stand-in for wandb, which is an optional extra: a resumed run sends only what was not sent before."""
    sent: list[dict] = []
    run = types.SimpleNamespace(summary={"env_steps": 3}, define_metric=lambda *_, **__: None, log=sent.append)
    run.finish = lambda: sent.append({"finished": True})
    made: dict = {}
    wandb = types.SimpleNamespace(init=lambda **options: made.update(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    sink = metrics.Wandb(tmp_path, "popgym-x 1", {"env": "popgym/X"})
    for step in (2, 3, 4):
        sink.write(metrics.rows(chunk(step), MEMBERS))
    sink.flush()
    sink.close()
    assert made["id"] == "popgym-x-1" and made["resume"] == "allow" and made["config"] == {"env": "popgym/X"}
    assert [row.get("env_steps") for row in sent] == [4, None]
    assert sent[0]["seed1/loss/model"] == 0.5 and "seed1/episode_return" not in sent[0]


def test_a_sweeps_rows_are_told_apart():
    assert metrics.identity({"seed": 2}) == "seed2"
    assert metrics.identity({"seed": 0, "hypers.model_lr": 3e-4}) == "model_lr=0.0003,seed0"


def test_writing_to_a_closed_folder_is_an_os_error(tmp_path):
    with pytest.raises(OSError):
        metrics.JsonLines(tmp_path / "none" / "metrics.jsonl")
