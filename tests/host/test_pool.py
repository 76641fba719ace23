"""Several runs at a time, each a process: what ends how, what is tried again, and suites and comparisons by them."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments import suite
from experiments.running import cli, machine, pool, startup
from r2i_jit import metrics
from tests.host.test_cli import error_line

ROOT = Path(__file__).parents[2]
# What a job does instead of training: its first word; the second names a file.
CHILD = """
import json, os, signal, sys, time
what, name = sys.argv[1:3]
began = time.monotonic()
print("attempt", flush=True)
if what == "stop":
    ended = lambda number, _: sys.exit(128 + number)
    def told(*_):
        open(name, "a").write("i")
        signal.signal(signal.SIGALRM, ended)
        signal.alarm(1)
    signal.signal(signal.SIGINT, told)
    open(name, "w").close()
    time.sleep(30)
elif what == "work":
    time.sleep(0.5)
elif what == "once":
    if not os.path.exists(name):
        open(name, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
elif what == "fail":
    print("error: no luck", file=sys.stderr)
    sys.exit(int(name))
cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
with open(name, "w") as file:
    json.dump([began, time.monotonic(), cores, os.environ["R2I_PROCESSES"]], file)
"""


@pytest.fixture
def jobs(monkeypatch, tmp_path):
    """Return a function that makes jobs of words."""
    monkeypatch.setattr(pool, "PYTHON", (sys.executable, "-c", CHILD))
    return lambda *each: [
        pool.Job(f"job {number}", tuple(map(str, words)), tmp_path / "logs" / f"{number}.log")
        for number, words in enumerate(each)
    ]


def test_as_many_at_a_time_as_there_are_shares_each_on_its_own(jobs, tmp_path):
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    devices = [tuple(allowed[:1]), tuple(allowed[-1:])]  # of one core both: they sleep
    names = [tmp_path / str(number) for number in range(3)]
    ended = list(pool.run(jobs(*(("work", name) for name in names)), devices, 0))
    assert sorted(ended) == [(0, 0, False), (1, 0, False), (2, 0, False)]
    (first, second, third) = (json.loads(name.read_text()) for name in names)
    assert first[0] < second[1] and second[0] < first[1]  # both at once, by a clock that all processes share
    assert third[0] > min(first[1], second[1])
    assert [tuple(one[2]) for one in (first, second)] == devices and tuple(third[2]) in devices
    assert {one[3] for one in (first, second, third)} == {"2"}


def test_one_that_dies_is_tried_again_and_one_that_fails_for_good_is_not(jobs, tmp_path, capsys):
    made = jobs(("once", tmp_path / "there"), ("fail", 4), ("fail", cli.USAGE))
    ended = dict((number, code) for number, code, _ in pool.run(made, [(0,)], 2))
    assert ended == {0: 0, 1: 4, 2: cli.USAGE}
    assert [job.log.read_text().count("attempt") for job in made] == [2, 3, 1]
    assert [job.log.read_text().count("--- begun 20") for job in made] == [2, 3, 1]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"job 0: failed (exit 137: killed by signal 9; what it said is in {made[0].log}); trying again"
    assert said[1:] == ["job 1: failed (exit 4: no luck); trying again"] * 2
    assert pool.reason(made[2].log, 2) == "failed (exit 2: no luck)"
    pool.opened(made[2].log).close()  # what an earlier attempt said is not why this one failed
    assert pool.reason(made[2].log, 1) == f"failed (exit 1: what it said is in {made[2].log})"


def test_a_signal_is_passed_on_once_and_nothing_else_begins(jobs, tmp_path, capsys):
    names = [tmp_path / "a", tmp_path / "b"]

    def interrupt():
        while not names[0].exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    threading.Thread(target=interrupt).start()
    ended = list(pool.run(jobs(("stop", names[0]), *(("work", names[1]),) * 2), [(0,)], 3))
    assert ended == [(0, 128 + signal.SIGALRM, True), (1, 128 + signal.SIGINT, True)]
    assert names[0].read_text() == "i" and not names[1].exists()
    assert "SIGINT: the runs save and stop; again to stop at once" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_who_asks_no_more_leaves_no_process(jobs, tmp_path):
    running = pool.run(jobs(("fail", 3), ("stop", tmp_path / "b")), [(0,), (0,)], 0)
    assert next(running) == (0, 3, False)
    while not (tmp_path / "b").exists():
        time.sleep(0.02)
    running.close()  # waits for it, and it ends by SIGTERM
    assert not (tmp_path / "b").read_text()


def test_a_log_does_not_grow_for_ever(jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "_LARGEST", 10)
    (job,) = jobs(("work", tmp_path / "a"))
    job.log.parent.mkdir()
    job.log.write_text("of long ago\n")
    assert list(pool.run([job], [(0,)], 0)) == [(0, 0, False)]
    assert job.log.read_text().splitlines()[1:] == ["attempt"]
    assert job.log.with_suffix(".old.log").read_text() == "of long ago\n"


def test_more_processes_than_cores_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(machine, "cores", lambda: 1)
    with pytest.raises(SystemExit):
        pool.shares(2)
    assert "--jobs 2: there is one core for them" in error_line(capsys)


def test_processes_on_cards_see_their_own(monkeypatch):
    import jax

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [None] * 4)
    assert pool.shares(2) == [(0, 2), (1, 3)]
    own = pool.environment((1, 3), 2, {"CUDA_VISIBLE_DEVICES": "4,5,6,7", "HOME": "h"})
    assert own["CUDA_VISIBLE_DEVICES"] == "5,7" and own["HOME"] == "h" and own[machine.SHARING] == "2"
    assert pool.environment((2,), 4, {})["CUDA_VISIBLE_DEVICES"] == "2"
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with pytest.raises(SystemExit):
        pool.shares(2)


def test_a_log_that_cannot_be_written_ends_it_with_a_line(jobs, tmp_path, capsys):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(SystemExit) as ended:
        next(pool.run(jobs(("work", tmp_path / "a")), [(0,)], 0))
    assert ended.value.code == cli.SAVE_FAILED and "0.log" in error_line(capsys)


def test_a_card_s_memory_is_left_to_the_processes(monkeypatch):
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    monkeypatch.setattr(startup, "_leaving_memory", False)
    monkeypatch.setenv(name, "true")
    startup.prepare(leave_memory=True)
    assert startup.inherited()[name] == os.environ[name] == "true"  # the user's word
    monkeypatch.delenv(name)
    startup.prepare(leave_memory=True)
    assert os.environ[name] == "false" and name not in startup.inherited()


def test_each_process_has_its_share_of_the_memory(monkeypatch):
    whole = machine.memory_bytes()
    monkeypatch.setenv(machine.SHARING, "4")
    assert machine.memory_bytes() == whole // 4


@pytest.fixture
def together(fakes, monkeypatch, tmp_path):
    """Return what runs a command on the stand-in, in this process and in those that it starts."""
    monkeypatch.setattr(suite, "TRAIN", ("-m", "tests.host.fake"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "xla"))  # a kill may tear an entry
    monkeypatch.setattr(pool, "shares", lambda at_once: [(core,) for core in range(at_once)])
    return fakes


def learned(out: Path) -> dict:
    """Return what the runs in a folder recorded, but for their times."""
    timeless = lambda row: {key: value for key, value in row.items() if key != "wall_seconds"}
    return {
        path.parent.relative_to(out): [timeless(row) for row in metrics.read(path)]
        for path in out.rglob("metrics.jsonl")
    }


@pytest.mark.heavy
def test_a_suite_by_processes_is_one_that_was_trained_one_after_the_other(together, tmp_path, capsys, monkeypatch):
    words = ["suite", "fake", "--steps", "400", "--seeds", "2", "--out-dir"]
    assert together(*words, "one") == 0
    alone = capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setenv("FAKE_CHUNK_SECONDS", "0.2")

        def interrupt():
            while not list(Path("many").rglob("metrics.jsonl")):
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=interrupt).start()
        assert together(*words, "many", "--jobs", "2") == 128 + signal.SIGTERM
    said = capsys.readouterr().err
    assert "2 to train, 2 at a time; `python -m experiments.status many` says how they stand" in said
    assert "go on with: python -m experiments.suite fake" in said.splitlines()[-1] and "trying again" not in said
    assert together(*words, "many", "--jobs", "2") == 0
    shown = capsys.readouterr()
    assert alone.endswith(shown.out) and "environment" in shown.out and "[2/2] fake/B: done" in shown.err
    assert learned(tmp_path / "many") == learned(tmp_path / "one") and len(learned(tmp_path / "one")) == 2
    assert "env_steps" not in shown.err and "fake/A" in (tmp_path / "many" / "logs" / "A.log").read_text()


@pytest.mark.heavy
def test_a_comparison_by_processes_names_what_fails(together, tmp_path, capsys):
    (tmp_path / "out" / "ppo-gru" / "A").mkdir(parents=True)
    (tmp_path / "out" / "ppo-gru" / "A" / "notes.txt").write_text("not a run")
    words = ["compare", "fake", "--out-dir", "out", "--agents", "r2i", "ppo-gru", "--steps", "200", "--jobs", "2"]
    assert together(*words) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "fake/A, ppo-gru: failed (exit 2)"
    (failed,) = [line for line in said if line.startswith("[1/2] fake/A, ppo-gru: failed (exit 2: ")]
    assert "out/ppo-gru/A is not empty" in failed
    found = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert {name: list(own) for name, own in found["returns"].items()} == {
        "r2i": ["fake/A", "fake/B"],
        "ppo-gru": ["fake/B"],
    }
