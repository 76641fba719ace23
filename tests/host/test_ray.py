"""Jobs on a Ray cluster: what ends how, what is tried again, and what survives a node, a signal and the launch itself.

Those that need Ray are skipped without it (extra `ray`); `just test-extras` runs them.
"""

import importlib.util
import os
import secrets
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest

from experiments.launching import cores, on_node, plan, ray_engine
from experiments.running import cli, machine, rundir
from tests.host import launched
from tests.host.test_cli import error_line
from tests.host.test_pool import ROOT, learned

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra 'ray'")


def order(tmp_path: Path, *words: str, **changed) -> on_node.Order:
    """Return an order for a process of Python's."""
    seen = tmp_path / "seen"
    seen.touch()
    given = {"CPU": 1.0, "GPU": 0.0}
    return on_node.Order(**{"words": words, "log": tmp_path / "logs" / "a.log", "seen": seen, "variables": {},
                            "given": given, **changed})  # fmt: skip


def test_what_a_job_is_given_has_to_make_sense(capsys, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    make = lambda **asked: ray_engine.make(Namespace(**{"address": None, "cpus": None, "gpus": None, **asked}))
    for asked, said in (
        ({"gpus": 1.5}, "--gpus 1.5: several cards are whole ones; a part of one is below 1"),
        ({"cpus": 0.0}, "--cpus 0: a job without a card needs a core, or a part of one"),
        ({"cpus": 0.0, "gpus": 0.0}, "--cpus 0: a job without a card needs a core, or a part of one"),
    ):
        with pytest.raises(SystemExit):
            make(**asked)
        assert said in error_line(capsys)
    assert make(cpus=0.0, gpus=0.25) == ray_engine.Ray(None, 0.0, 0.25)
    monkeypatch.setenv("RAY_ADDRESS", "there:1")
    assert make() == ray_engine.Ray("there:1", None, None) and make(address="auto").address == "auto"


def test_without_ray_or_a_cluster_a_line_says_so(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", *ray_engine._QUIET):
        monkeypatch.setenv(name, "")
    with pytest.raises(SystemExit):
        ray_engine.Ray(None, None, None).check()
    assert "--on ray needs the extra 'ray': pip install 'r2i-jit[ray]'" in error_line(capsys)
    with pytest.raises(SystemExit):
        ray_engine._refuse_silent("127.0.0.1:1")
    assert "--address 127.0.0.1:1: no Ray cluster answers there (Connection refused)" in error_line(capsys)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be pinned here")
def test_jobs_of_one_machine_have_cores_of_their_own_while_there_are_some(monkeypatch, tmp_path):
    monkeypatch.setattr(cores.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8})
    with cores.held(2) as first:
        with cores.held(1) as second:
            with cores.held(2) as third:  # more than there are
                assert (first, second, third) == ((3, 5), (8,), (3, 5))
            with cores.held(0) as none:
                assert none == ()
        with cores.held(1) as again:
            assert again == (8,)


def test_a_job_has_the_devices_that_it_is_given(tmp_path):
    here = {"CUDA_VISIBLE_DEVICES": "2", "HOME": "h", "JAX_PLATFORMS": "cuda"}
    on_core = on_node.environment(order(tmp_path, variables={"XLA_FLAGS": "f"}), here, 4)
    assert on_core["JAX_PLATFORMS"] == "cpu" and on_core["XLA_FLAGS"] == "f" and on_core[machine.SHARING] == "4"
    with_card = lambda much, **given: on_node.environment(
        order(tmp_path, given={"CPU": 1.0, "GPU": much}, variables=given), here, 1
    )
    whole, part = with_card(1.0), with_card(0.5)
    assert whole == {**here, machine.SHARING: "1"}
    assert part[on_node._FRACTION] == "0.375"
    assert with_card(0.5, **{on_node._FRACTION: "0.4"})[on_node._FRACTION] == "0.4"


def test_a_node_that_does_not_see_the_folder_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(on_node, "_SEEN", 0.0)
    elsewhere = tmp_path / "elsewhere"
    code, problem = on_node.Job().run(order(tmp_path, "-c", "pass", seen=elsewhere / "mark"))
    assert code == 1 and problem.startswith(f"{elsewhere} of the launch is not there on ")
    assert not (tmp_path / "logs").exists()


def test_a_job_is_stopped_before_it_begins_and_its_end_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(on_node, "_sharing", lambda given: 1)
    job = on_node.Job()
    assert job.run(order(tmp_path, "-c", "print('here'); raise SystemExit(3)")) == (3, "")
    assert job.run(order(tmp_path, "-c", "import os; os.kill(os.getpid(), 9)")) == (137, "")
    job.stop(signal.SIGTERM)
    assert job.run(order(tmp_path, "-c", "print('again')")) == (143, "")
    lines = (tmp_path / "logs" / "a.log").read_text().splitlines()
    assert [line for line in lines if not line.startswith("--- begun ")] == ["here"] and len(lines) == 4


def until(condition, seconds: float = 400.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def rows(out: Path) -> dict[str, int]:
    """Return how many rows each run in a folder has recorded."""
    return {path.parent.name: len(path.read_text().splitlines()) for path in out.glob("*/metrics.jsonl")}


def saved(out: Path) -> set[str]:
    """Return the runs in a folder that have a checkpoint."""
    return {path.parents[1].name for path in out.glob("*/checkpoints/[0-9]*") if path.name.isdecimal()}


@pytest.fixture
def program(monkeypatch, tmp_path, private_cache):
    """Return a function that starts the stand-in's `launch` in a process of its own, in a session of its own."""
    variables = {
        "PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": str(private_cache / "children"),
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PYTHONWARNINGS": "ignore:os.fork:RuntimeWarning",  # the games of the stand-in let JAX run before Ray does
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    started = []

    def start(*words: object, module: str = "tests.host.launched", **environment: str) -> subprocess.Popen:
        with (tmp_path / "stderr").open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=stderr, text=True, start_new_session=True, env={**os.environ, **environment},
            )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            stream.close()


def said(tmp_path: Path) -> list[str]:
    """Return what the last program said on stderr."""
    return (tmp_path / "stderr").read_text().splitlines()


@pytest.fixture
def undisturbed(fakes, capsys, tmp_path):
    """Return what a run of the stand-in records that nothing happens to: the same in each of its games."""
    assert fakes("fake", "--env", "fake/A", "--run-dir", "alone", "--steps", "400", "--seeds", "2") == 0
    capsys.readouterr()
    (found,) = learned(tmp_path).values()
    return found


@pytest.mark.heavy
def test_a_job_ends_with_who_started_it_and_waits_for_a_run_in_use(program, tmp_path):
    job = plan.Job("A", ("train", "fake", "--env", "fake/A", "--steps", "2000"), "A")
    rundir.make(tmp_path / "out")
    found = plan.Plan(tmp_path / "out", str(tmp_path), (job,))
    plan.refresh(found)
    one = program("work", "out", 0, "--attached", FAKE_CHUNK_SECONDS="0.3")
    until(lambda: any(rows(tmp_path / "out").values()))
    other = program("work", "out", 0, "--attached")
    time.sleep(3)
    assert other.poll() is None and rundir.is_held(tmp_path / "out" / "A")
    one.stdin.close()
    assert one.wait(10) == -signal.SIGKILL
    assert other.wait(120) == 0
    assert plan.standings(found)[0][1] == plan.DONE


@needs_ray
@pytest.mark.heavy
def test_a_suite_on_this_machine_goes_on_after_ctrl_c_tries_again_and_is_one_table(program, tmp_path, undisturbed):
    out = tmp_path / "out"
    words = ["launch", "--on", "ray", "--out-dir", "out", "suite", "fake", "--only", "fake/[ABC]", "--steps", "400"]
    one = program(*words, "--seeds", "2", FAKE_CHUNK_SECONDS="1")
    until(lambda: any(rows(out).values()))
    os.killpg(one.pid, signal.SIGINT)  # as a terminal does: to Ray's processes, too
    assert one.communicate(timeout=900)[0] == "" and one.returncode == 128 + signal.SIGINT
    lines = said(tmp_path)
    assert lines[0] == "3 of 3 jobs to run; `python -m experiments.status out` says how they stand"
    assert "SIGINT: the runs save and stop; again to stop at once" in lines
    assert lines[-1].startswith("stopped; go on with: python -m experiments.launch --on ray --out-dir out suite fake")
    assert not [line for line in lines if "error" in line or "trying again" in line or "lost" in line]
    stopped = [attempt.exit_code for attempt in plan.attempts(plan.read(out))]
    assert 128 + signal.SIGTERM in stopped and set(stopped) <= {128 + signal.SIGTERM, None} and saved(out)

    other = program(*words, "--seeds", "2", FAKE_FAULTS="1:4 2:2,2")
    table, _ = other.communicate(timeout=900)
    assert other.returncode == 1
    assert [line.split("|")[1].strip() for line in table.splitlines()] == [
        "environment", "-" * 13, "fake/A", "fake/B", "fake/C"]  # fmt: skip
    assert ["failed" in line for line in table.splitlines()[2:]] == [False, False, True]
    lines = said(tmp_path)
    assert lines.count("B: failed (exit 4: no luck); trying again") == 1 and lines[-1] == "C: failed"
    assert [line.partition(" (")[2][:16] for line in lines[1:-1] if line.startswith("C: failed")] == [
        "exit 2: no luck)"
    ]
    assert (out / "logs" / "B.log").read_text().count("no luck") == 1
    assert (out / "logs" / "C.log").read_text().count("no luck") == 1
    assert [learned(out)[Path(name)] for name in "AB"] == [undisturbed] * 2
    states = [state for _, state in plan.standings(plan.read(out))]
    assert states == [plan.DONE, plan.DONE, plan.FAILED] and not list(out.glob(".launch-*"))


@needs_ray
@pytest.mark.heavy
def test_a_job_that_is_to_have_more_than_this_machine_is_refused(program, tmp_path):
    one = program("launch", "--on", "ray", "--cpus", 4096, "--out-dir", "out", "suite", "fake")
    assert one.communicate(timeout=900)[0] == "" and one.returncode == cli.USAGE
    (line,) = said(tmp_path)
    assert line.startswith("error: --cpus, --gpus: a job is to have 4096 cores and 0 cards, and this machine has ")
    assert not (tmp_path / "out").exists()


@needs_ray
@pytest.mark.heavy
def test_six_games_on_two_nodes_survive_the_launch_and_one_of_the_nodes(program, tmp_path, undisturbed):
    cluster = program(module="tests.host.two_nodes", FAKE_CHUNK_SECONDS="0.5")
    address = cluster.stdout.readline().strip()
    out = tmp_path / "out"
    words = ["launch", "--on", "ray", "--address", address, "--out-dir", "out", "suite", "fake", "--steps", "400",
             "--seeds", "2", "--checkpoint-every", "1"]  # fmt: skip
    first = program(*words)
    until(lambda: len(saved(out)) == 2)  # at a time: a node each
    first.kill()
    until(lambda: not any(rundir.is_held(path.parent) for path in out.glob("*/run.lock")), 60)
    assert saved(out) == {"A", "B"}
    second = program(*words)
    until(lambda: len(saved(out)) == 4)
    cluster.stdin.write("kill\n")
    cluster.stdin.flush()
    table, _ = second.communicate(timeout=900)
    lines = said(tmp_path)
    assert second.returncode == 0, lines
    lost = [line for line in lines if "lost with its node" in line]
    assert len(lost) == 1 and lost[0].endswith("; it goes on where there is another one")
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == list(launched.GAMES)
    assert list(learned(out).values()) == [undisturbed] * 6
    attempts = [attempt.attempt for attempt in plan.attempts(plan.read(out))]
    assert attempts[:2] == [2, 2] and sorted(attempts[2:]) == [1, 1, 1, 2]
    name = lost[0].partition(":")[0]
    resumed = [path.stem for path in out.glob("logs/*") if " at step " in path.read_text()]
    assert sorted(resumed) == sorted(["A", "B", name])
