"""A run in shards is the run as a whole: the same members, to the bit, and read as one."""

import json
import multiprocessing.process
import os
import random
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.running import cli, evaluation, recorded, rundir, runinfo, sharding
from r2i_jit import metrics, shards
from tests.host.test_cli import error_line

WORDS = ("fake", "--steps", "200", "--eval-every", "80", "--run-dir")


@given(count=st.integers(1, 40), length=st.integers(0, 100))
def test_every_member_is_in_one_shard(count, length):
    stretches = [list(shards.share(range(length), number, count)) for number in range(count)]
    assert sum(stretches, []) == list(range(length))
    assert max(map(len, stretches)) - min(map(len, stretches)) <= 1


@given(
    kind=st.sampled_from(("train", "sweep")), games=st.integers(1, 3), rates=st.integers(1, 3), seeds=st.integers(1, 5)
)
def test_every_member_is_evaluated_on_its_seeds_episodes_in_a_shard_as_well(kind, games, rates, seeds):
    """In a run of one setting of hyper-parameters as ever: on those of its place."""
    rates = rates if kind == "sweep" else 1
    members = [
        {"env": f"bsuite/catch/{game}", **({"hypers.model_lr": rate} if kind == "sweep" else {}), "seed": seed}
        for game in range(games) for rate in range(rates) for seed in range(seeds)
    ]  # fmt: skip
    whole = runinfo.RunInfo(kind, "bsuite", "tiny", 0, members, 1, 1, 0.0, {}, shards=min(3, rates * seeds))
    found = evaluation.draws(whole)
    of_a_seed = {(member["env"], member["seed"]): draw for member, draw in zip(members, found, strict=True)}
    assert found == [of_a_seed[member["env"], member["seed"]] for member in members]
    assert sorted(of_a_seed.values()) == list(range(games * seeds))
    if rates == 1:
        assert found == whole.rows == list(range(len(members)))
    for number in range(whole.shards):
        part = sharding.part(whole, number)
        assert evaluation.draws(part) == [found[row] for row in part.rows]


def test_eight_shards_of_sixty_four_have_eight_each():
    assert list(shards.share(range(64), 3, 8)) == list(range(24, 32))


def rows(path: Path) -> list[dict]:
    """Return what a run's members recorded, in their order and without times."""
    found = [{key: value for key, value in row.items() if key != "wall_seconds"} for row in recorded.rows(path)]
    return sorted(found, key=lambda row: (row["env_steps"], json.dumps({"seed": row["seed"], **_setting(row)})))


def _setting(row: dict) -> dict:
    return {key: value for key, value in row.items() if key.startswith("hypers.")}


@pytest.fixture
def whole(fake, tmp_path):
    """Return what eight seeds did as a whole."""
    assert fake(*WORDS, "whole", "--seeds", "8") == 0
    return tmp_path / "whole"


def shard(fake, path, number, count, *words):
    return fake(*WORDS, path, "--seeds", "8", "--shard", f"{number}/{count}", *words)


@pytest.mark.parametrize("count", [3, *(pytest.param(count, marks=pytest.mark.heavy) for count in (1, 2, 8))])
def test_shards_are_the_whole(fake, whole, tmp_path, count):
    for number in reversed(range(count)):
        assert shard(fake, "parts", number, count) == 0
    path = tmp_path / "parts"
    assert rows(path) == rows(whole) and len(rows(path)) == 24
    one, other = recorded.evaluated(path), recorded.evaluated(whole)
    assert one == {**other, "missing": []}
    saved, info = rundir.load(path)
    assert (saved, info.members) == (rundir.load(whole)[0], rundir.load(whole)[1].members) and info.shards == count
    assert not (path / "metrics.jsonl").exists() and not (path / "checkpoints").exists()


@pytest.mark.heavy
def test_commands_read_them_as_one(fake, whole, capsys, tmp_path):
    shard(fake, "parts", 0, 2), shard(fake, "parts", 1, 2)
    capsys.readouterr()
    shown = []
    for path in (whole, tmp_path / "parts"):
        assert fake("evaluate", path, "--episodes", "5") == 0
        shown.append(capsys.readouterr().out.replace(str(path), "RUN"))
        assert fake("plot", path) == 0
        assert capsys.readouterr().out.strip() == str(path / "plots" / "learning_curve.png")
    assert shown[0] == shown[1] and "mean return" in shown[0]


def test_a_missing_shard_is_named_and_the_others_are_read(fake, capsys, tmp_path):
    shard(fake, "parts", 1, 2)
    path = tmp_path / "parts"
    assert recorded.missing(path) == ["shard-0-of-2"] == recorded.evaluated(path)["missing"]
    assert [member["seed"] for member in recorded.members(path, rundir.load(path)[1])] == [4, 5, 6, 7]
    capsys.readouterr()
    for command in (["evaluate"], ["plot"]):
        assert fake(*command, path) == 0
        assert "shard-0-of-2 not begun" in capsys.readouterr().err
    assert shards.of_member(path, 5) == (path / "shard-1-of-2", 1)
    with pytest.raises(LookupError, match="no agent 2; missing are shard-0-of-2"):
        shards.of_member(path, 2)


def test_one_that_was_killed_is_gone_on_with_and_so_are_all(fake, whole, launch, tmp_path, monkeypatch):
    """Any shard, killed at any moment: `--shard I/N --resume` goes on with one, `--resume` with what is left of all."""
    chance = random.Random(0)
    process = launch(*WORDS, "parts", "--seeds", "8", "--shard", "0/2", FAKE_CHUNK_SECONDS=0.1)
    path = tmp_path / "parts" / "shard-0-of-2"
    while process.is_alive() and len(metrics.read(path / "metrics.jsonl")) < 4 * chance.randint(1, 3):
        process.join(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert shard(fake, "parts", 0, 2, "--resume") == 0
    assert fake("--run-dir", "parts", "--resume") == 0  # the other one begins
    assert rows(tmp_path / "parts") == rows(whole)


@pytest.mark.slow
def test_shards_that_are_killed_twenty_times_are_the_whole(fake, whole, launch, tmp_path):
    chance, parts, killed = random.Random(1), 4, 0

    def begin(name: str, number: int) -> multiprocessing.process.BaseProcess:
        words = (*WORDS, name, "--seeds", "8", "--shard", f"{number}/{parts}", "--checkpoint-every", "0", "--resume")
        return launch(*words, FAKE_CHUNK_SECONDS=0.2)

    began = time.monotonic()
    begin("timed", 0).join(120)
    takes = time.monotonic() - began
    for _ in range(20):
        process = begin("parts", chance.randrange(parts))
        process.join(chance.uniform(0.1, 0.9) * takes)
        killed += process.is_alive()
        process.kill()
        process.join()
    assert killed >= parts, "one part at least was killed twice or in its middle"
    for number in range(parts):
        assert shard(fake, "parts", number, parts, "--resume") == 0
    assert rows(tmp_path / "parts") == rows(whole)


def test_fewer_minutes_than_it_has_are_refused(fake, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_CHUNK_SECONDS", "0.3")
    assert shard(fake, "parts", 0, 2) == 0
    capsys.readouterr()
    for more in (("--shard", "0/2"), ("--shard", "1/2"), ()):  # a part that is there, one that is not, and all
        assert fake("--run-dir", "parts", "--resume", "--minutes", "0.001", *more) == 2
        assert "parts was started otherwise (minutes: trained for 0.0" in error_line(capsys)


def test_going_on_with_all_makes_all_longer(fake, tmp_path, capsys):
    shard(fake, "parts", 0, 2), shard(fake, "parts", 1, 2)
    capsys.readouterr()
    assert fake("fake", "--steps", "280", "--run-dir", "parts", "--resume") == 0
    shown = capsys.readouterr()
    assert shown.out.count("mean return") == 3  # each part's, and that of all
    assert {row["env_steps"] for row in rows(tmp_path / "parts")} == {120, 160, 200, 240, 280}
    assert rundir.load(tmp_path / "parts")[1].steps == 280
    assert fake("fake", "--run-dir", "parts", "--resume") == 0  # nothing is left
    assert "resumed" not in capsys.readouterr().err


@pytest.mark.heavy
def test_a_sweep_in_shards_is_the_sweep(fake, tmp_path):
    grid = ["--grid", "hypers.model_lr=1e-3,3e-3,1e-2", "--seeds", "2"]
    assert fake("sweep", *WORDS, "whole", *grid) == 0
    for number in range(4):
        assert fake("sweep", *WORDS, "parts", *grid, "--shard", f"{number}/4") == 0
        other = ["--grid", "hypers.model_lr=1e-3", "--seeds", "2", "--shard", f"{number + 1}/4"]
        assert number == 3 or fake("sweep", *WORDS, "parts", *other) == cli.USAGE
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "8", "--shard", "2/2"], "'2/2' is no part I/N, such as 0/8 to 7/8"),
        (["--seeds", "8", "--shard", "1"], "'1' is no part I/N"),
        (["--seeds", "8", "--shard", "1/4"], "the run in parts is in 2 shards"),
        (["--seeds", "6", "--shard", "1/2"], "seeds: 8 -> 6"),
        (["--seeds", "8", "--shard", "1/2", "--set", "model.units=32"], "model.units: 64 -> 32"),
        (["--seeds", "8", "--shard", "0/2"], "shard-0-of-2 holds a run; add --resume"),
    ],
)
def test_what_does_not_fit_is_refused(fake, capsys, words, said):
    shard(fake, "parts", 0, 2)
    before = {path: path.read_bytes() for path in Path("parts").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert fake(*WORDS, "parts", *words) == cli.USAGE
    assert said in error_line(capsys)
    assert before == {path: path.read_bytes() for path in Path("parts").rglob("*") if path.is_file()}


def test_more_shards_than_agents_and_no_folder_are_refused(fake, capsys, tmp_path):
    assert fake(*WORDS, "parts", "--seeds", "2", "--shard", "0/3") == cli.USAGE
    assert "there are 2 agents to share out" in error_line(capsys) and not (tmp_path / "parts").exists()
    assert fake("fake", "--seeds", "2", "--shard", "0/2") == cli.USAGE
    assert "--shard needs --run-dir" in error_line(capsys)
    assert fake(*WORDS, "one") == 0
    capsys.readouterr()
    assert fake(*WORDS, "one", "--shard", "0/1", "--resume") == cli.USAGE
    assert "is trained as a whole" in error_line(capsys)
