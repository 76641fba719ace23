"""Jobs in a Slurm queue: the real scripts, by a stand-in for Slurm's commands (`stand_in_slurm`) that runs arrays here.

Most jobs are a few lines of Python instead of a run; how the script treats what becomes of them is what is shown.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import status
from experiments.launching import engines, plan, slurm, slurm_script, work
from experiments.running import cli, rundir
from r2i_jit import metrics
from tests.host import stand_in_slurm
from tests.host.test_cli import error_line
from tests.host.test_kill import wait_for

ROOT = Path(__file__).parents[2]
# A job: it does the next of the words that the file `does` has for it, and the last one again and again.
CHILD = """
import json, os, signal, sys, time
folder, number = sys.argv[1:3]
does = json.load(open(folder + "/does"))[int(number)]
place = folder + "/" + number + ".times"
times = os.path.getsize(place) if os.path.exists(place) else 0
def left(code):
    def leave(number, _):
        signal.signal(number, signal.SIG_IGN)
        time.sleep(0.2)
        print("left", flush=True)
        os._exit(code)
    return leave
signal.signal(signal.SIGUSR1, left(75))
signal.signal(signal.SIGTERM, left(143))
print("attempt", number, "in", os.getcwd(), *sys.argv[3:], flush=True)
open(place, "a").write("x")
began = time.time()
what = does[min(times, len(does) - 1)]
if what == "wait":
    time.sleep(120)
while what == "gate" and not os.path.exists(folder + "/gate"):
    time.sleep(0.02)
if what == "deaf":
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    time.sleep(30)
if what == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "slow":
    time.sleep(0.3)
    json.dump([began, time.time()], open(folder + "/" + number + ".span", "w"))
sys.exit(what if isinstance(what, int) else 0)
"""
OPTIONS = engines.Options(None, 1, None)
LONG = 300.0  # seconds that a run of the stand-in trainer may take on a busy machine


class Queue:
    """What a test knows of the stand-in's queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def rows(self) -> list[list]:
        """Return [index, state, restarts, exit code] of every task, one array's after another's."""
        paths = sorted(self.folder.glob("*.json"), key=lambda path: int(path.stem))
        return [row for path in paths for row in json.loads(path.read_text())]

    def wait(self, seconds: float = 60.0) -> list[tuple[int, int]]:
        """Wait until all is over, and return (restarts, exit code) of every task."""
        wait_for(lambda: all(row[1] == "OVER" for row in self.rows()), seconds)
        return [(row[2], row[3]) for row in self.rows()]

    def call(self, *words: str) -> str:
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Put the stand-in on PATH; cancel what is left at the end."""
    folder = tmp_path / "queue"
    folder.mkdir()
    stand_in_slurm.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN_SLURM", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    found = Queue(folder)
    yield found
    for path in folder.glob("*.json"):
        found.call("scancel", path.stem)
    found.wait()


@pytest.fixture
def jobs(queue, tmp_path, monkeypatch):
    """Return a function that makes a plan of jobs that do some words one after another."""
    words = lambda found, number: ["-S", "-c", CHILD, str(found.folder.absolute()), str(number)]
    monkeypatch.setattr(engines, "words", words)

    def make(*does: list, name: str = "out") -> plan.Plan:
        folder = tmp_path / name
        made = tuple(plan.Job(f"fake/{number}", ("train",), str(number)) for number in range(len(does)))
        found = plan.Plan(folder, str(tmp_path), made)
        folder.mkdir(exist_ok=True)
        (folder / "does").write_text(json.dumps(does))
        plan.refresh(found)
        return found

    return make


def submit(found: plan.Plan, options: engines.Options = OPTIONS, seconds: float | None = None, numbers=None) -> None:
    engine = slurm.Slurm(slurm_script.Wishes((), seconds))
    assert list(engine.run(found, range(len(found.jobs)) if numbers is None else numbers, options)) == []


def test_jobs_are_done_and_each_has_its_log(jobs, queue, tmp_path):
    found = jobs(["ok"], ["ok"], ["ok"], name='it\'s 100% "a" folder')
    submit(found, numbers=[0, 2])
    assert queue.wait() == [(0, 0), (0, 0)]
    assert found.log(2).read_text() == f"attempt 2 in {tmp_path} --must-learn\n"
    assert found.log(0).is_file() and not found.log(1).exists()


def test_the_end_of_the_time_is_no_failure_and_it_goes_on(jobs, queue):
    """As often as it comes; what fails meanwhile is counted by itself."""
    found = jobs(["wait", 1, "wait", "ok"])
    submit(found, seconds=5)
    assert queue.wait() == [(3, 0)]
    own = f"attempt 0 in {found.start} --must-learn --max-time 0.075"
    again = "exit code {}: back into the queue".format
    assert found.log(0).read_text().splitlines() == [
        own, "left", again(75), own, again(1), own, "left", again(75), own,
    ]  # fmt: skip


def test_one_that_does_not_leave_in_time_is_ended_and_goes_on(jobs, queue):
    found = jobs(["deaf", "ok"])
    submit(found, seconds=6)
    assert queue.wait() == [(1, 0)]
    said = found.log(0).read_text()
    assert "error: no chunk ended before the time limit; --sbatch=--signal=B:USR1@SECONDS\n" in said
    assert "exit code 137: back into the queue" in said


def test_one_that_is_killed_or_fails_is_begun_again_as_often_as_retries_say(jobs, queue):
    found = jobs(["killed", "ok"], ["killed"], [3, 4, 1], [1, "ok"])
    submit(found, engines.Options(None, 2, None))
    assert queue.wait() == [(1, 0), (2, 137), (2, 1), (1, 0)]


def test_without_retries_it_is_begun_once_each_time_it_is_launched(jobs, queue):
    found = jobs(["killed", 1, "ok"])
    for expected in ([(0, 137)], [(0, 137), (0, 1)], [(0, 137), (0, 1), (0, 0)]):
        submit(found, engines.Options(None, 0, None))
        assert queue.wait() == expected


@pytest.mark.parametrize("code", [cli.USAGE, cli.NOT_FINITE, cli.LOCKED])
def test_what_would_fail_again_is_not_begun_again(jobs, queue, code):
    submit(jobs([code, "ok"]), engines.Options(None, 5, None))
    assert queue.wait() == [(0, code)]


def test_what_is_cancelled_leaves_and_does_not_come_back(jobs, queue):
    found = jobs(["wait", "ok"], ["ok"])
    submit(found, engines.Options(1, 5, None))
    wait_for(lambda: found.log(0).exists() and "attempt" in found.log(0).read_text())
    assert [state for _, state in plan.standings(found)] == [plan.WAITING] * 2  # these jobs hold and note nothing
    queue.call("scancel", "100_1")
    wait_for(lambda: queue.rows()[1][1] == "OVER")
    queue.call("scancel", "100_0")
    assert queue.wait() == [(0, 143), (0, None)]
    assert found.log(0).read_text().splitlines()[-1] == "left" and not found.log(1).exists()
    submit(found)
    assert queue.wait()[2:] == [(0, 0), (0, 0)]


def test_what_the_queue_has_is_not_submitted_again(jobs, queue, capsys):
    found = jobs(["gate"], ["wait"], ["ok"], ["wait"])
    submit(found, engines.Options(1, 0, None), numbers=[0, 1, 2])
    said = capsys.readouterr().err
    assert said == f"submitted 3 jobs as array 100 ({found.folder / 'slurm' / '1.sh'})\n"
    submit(found)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "the queue has 3 jobs already" and said[1].startswith("submitted 1 job as array 200")
    (found.folder / "gate").touch()
    wait_for(lambda: queue.rows()[0][1] == "OVER")
    submit(found)
    assert capsys.readouterr().err.splitlines()[0] == "the queue has 3 jobs already"
    noted = json.loads((found.folder / "slurm" / "submitted.json").read_text())["arrays"]
    assert [(one["id"], one["numbers"]) for one in noted] == [("100", [0, 1, 2]), ("200", [3]), ("300", [0])]


def test_more_jobs_than_an_array_has_indices_are_several_arrays(jobs, queue, monkeypatch):
    monkeypatch.setenv("STAND_IN_SLURM_MOST", "2")
    found = jobs(*[["slow"]] * 5)
    submit(found, engines.Options(1, 0, None), numbers=[0, 1, 3, 4])
    assert queue.wait() == [(0, 0)] * 4
    scripts = [path.read_text() for path in sorted((found.folder / "slurm").glob("*.sh"))]
    assert [stand_in_slurm.options(text)["array"] for text in scripts] == ["0-1%1", "1%1", "0%1"]
    logs = [found.log(number).read_text().split()[1] for number in (0, 1, 3, 4)]
    assert logs == ["0", "1", "3", "4"] and not found.log(2).exists()
    spans = sorted(json.loads((found.folder / f"{number}.span").read_text()) for number in (0, 1, 3, 4))
    assert all(one[1] <= other[0] for one, other in zip(spans, spans[1:], strict=False)), "--jobs 1 is of all arrays"
    submit(found, numbers=[4])
    assert queue.wait()[4:] == [(0, 0)] and found.log(4).read_text().count("attempt 4") == 2


def test_where_nothing_may_go_back_into_the_queue_it_ends(jobs, queue):
    (queue.folder / "no_requeue").touch()
    found = jobs([1, "ok"])
    submit(found)
    assert queue.wait() == [(0, 1)]
    assert "Requested operation is presently disabled" in found.log(0).read_text()
    assert not (found.folder / "jobs" / "0.queued").exists()


def test_what_sbatch_refuses_is_said_and_is_not_in_the_queue(jobs, queue, capsys, monkeypatch):
    monkeypatch.setenv("STAND_IN_SLURM_MOST", "0")
    monkeypatch.setattr(slurm, "most_indices", lambda: 5)
    found = jobs(["ok"])
    with pytest.raises(SystemExit) as ended:
        submit(found)
    assert ended.value.code == 2
    assert "sbatch: sbatch: error: Batch job submission failed: Invalid job array" in error_line(capsys)
    assert not (found.folder / "jobs" / "0.queued").exists()
    assert not (found.folder / "slurm" / "submitted.json").exists()


def test_a_note_that_does_not_read_is_named(jobs, queue, capsys):
    found = jobs(["ok"])
    submit(found)
    queue.wait()
    (found.folder / "slurm" / "submitted.json").write_text('{"arrays": [{"id": 3}]}')
    capsys.readouterr()
    with pytest.raises(SystemExit):
        submit(found)
    assert "submitted.json: " in error_line(capsys)


def test_without_slurm_the_script_is_printed(fakes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    words = ["launch", "--on", "slurm", "--shards", "2", "--out-dir", "o"]
    rest = ["train", "fake", "--seeds", "4", "--steps", "200"]
    assert fakes(*words, *rest) == 2
    assert "there is no sbatch on PATH; --print writes the script" in error_line(capsys)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(slurm, "most_indices", lambda: 1001)
    ours = ["--partition", "gpu", "--time", "1-00:30:00", "--cpus", "4", "--mem", "16G", "--sbatch=--constraint=a|b"]
    assert fakes(*words, "--print", *ours, "--sbatch", "exclusive", *rest) == 0
    shown = capsys.readouterr()
    path = tmp_path / "o" / "slurm" / "1.sh"
    assert shown.out == path.read_text() and "1.sh is not submitted; `sbatch o/slurm/1.sh` does it" in shown.err
    asked = stand_in_slurm.options(shown.out)
    assert asked["output"] == str(tmp_path / "o" / "slurm" / "0" / "%a.log")
    assert {name: value for name, value in asked.items() if name not in ("output", "chdir", "job-name")} == {
        "array": "0-1", "open-mode": "append", "requeue": "", "signal": "B:USR1@300", "time": "24:30:00",
        "partition": "gpu", "cpus-per-task": "4", "mem": "16G", "constraint": "a|b", "exclusive": "",
    }  # fmt: skip
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    assert fakes(*words, "--print", *rest) == 0 and not (tmp_path / "o" / "slurm" / "2.sh").exists()
    assert "srun" not in shown.out
    capsys.readouterr()
    tasks = ["--sbatch=--ntasks=2", "--out-dir", "o2"]
    assert fakes("launch", "--on", "slurm", "--print", *tasks, "train", "fake", "--distributed") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "experiments.launching.work" in line]
    assert line.startswith("srun --kill-on-bad-exit=0 ${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK} ")
    (job,) = plan.read(tmp_path / "o2").jobs
    assert job.command[-1] == "--distributed"


def test_of_a_job_of_several_tasks_the_first_one_keeps_the_notes(fakes, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(work, "_command", lambda found, number, seconds: called.append(number) or 75)
    job = plan.Job("a", ("train", "fake", "--distributed"), "a")
    found = plan.Plan(tmp_path, str(tmp_path), (job,))
    plan.refresh(found)
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert work.run(found, 0, None) == 0 and called == [0] and plan.attempts(found)[0].attempt == 0
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert work.run(found, 0, None) == 75 and called == [0, 0] and plan.attempts(found)[0].attempt == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--partition", "gpu"], "--partition is for --on slurm, and this is --on local"),
        (["--on", "slurm", "--time", "soon"], "'soon' is no number of minutes"),
        (["--on", "slurm", "--time", "1-x"], "'1-x' is no time such as 90, 4:00:00 or 2-00:00:00"),
        (["--on", "slurm", "--time", "0-0"], "'0-0' is no time at all"),
        (["--on", "slurm", "--gpus", "1"], "--gpus: say which --size the agents have"),
        (["--on", "slurm", "--sbatch=--array=0-3"], "--sbatch=--array=0-3: --array is set by launch"),
        (["--on", "slurm", "--sbatch=--signal=TERM@5"], "--signal is set by launch"),
        (["--on", "slurm", "--time", "10", "--sbatch=--signal=B:USR1@600"], "that is all of --time, 600 seconds"),
        (["--on", "slurm", "--sbatch=-x!"], "--sbatch=-x!: expected a long option of sbatch"),
        (["--on", "slurm", "--account", "a\nb"], "is no line of text"),
    ],
)
def test_mistakes_are_said_before_anything_is_written(fakes, tmp_path, capsys, words, said):
    assert fakes("launch", *words, "train", "fake") == 2
    assert said in error_line(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("engine", "words", "said"),
    [
        ("local", [], "--distributed: with --on local a job is one process"),
        ("slurm", ["0/2@here:7000"], "--distributed takes no I/N@HOST:PORT in a launch"),
        ("slurm", [], "say how many tasks a job has, such as --sbatch=--ntasks=2"),
    ],
)
def test_only_a_queue_starts_several_processes_for_a_job(fakes, tmp_path, capsys, engine, words, said):
    assert fakes("launch", "--on", engine, "train", "fake", "--distributed", *words) == 2
    assert said in error_line(capsys)
    assert not list(tmp_path.iterdir())


def test_times_and_spans_are_as_sbatch_reads_them():
    assert [slurm.limit(text) for text in ("90", "4:00:00", "2-12", "1-00:30", "0-00:00:05")] == [
        5400, 14400, 216000, 88200, 5,
    ]  # fmt: skip
    assert [slurm_script.clock(seconds) for seconds in (5, 5400, 216000)] == ["0:00:05", "1:30:00", "60:00:00"]
    assert slurm_script.spans([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8" and slurm_script.spans([3]) == "3"
    assert slurm_script.Wishes((), 3600, 900).max_seconds(None) == 3150
    wishes = [slurm_script.Wishes((), seconds) for seconds in (None, 60, 3600)]
    assert [one.notice for one in wishes] == [300, 10, 300]
    assert [one.max_seconds(None) for one in wishes] == [None, 55, 3450]
    assert [one.max_seconds(57) for one in wishes] == [57, 55, 57]


@pytest.fixture
def here(fakes, queue, monkeypatch, tmp_path):
    """Return what launches runs of the stand-in trainer into the queue."""
    words = lambda found, number: ["-m", "tests.host.fake", "work", str(found.folder.absolute()), str(number)]
    monkeypatch.setattr(engines, "words", words)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "xla"))  # a kill may tear an entry
    return fakes


def learned(out: Path) -> dict:
    """Return what the runs in a folder recorded, but for their times."""
    timeless = lambda row: {key: value for key, value in row.items() if key != "wall_seconds"}
    return {path.parent.name: [timeless(row) for row in metrics.read(path)] for path in out.rglob("metrics.jsonl")}


TRAIN = ["train", "fake", "--env", "fake/A", "--seeds", "2"]


@pytest.mark.slow
def test_a_launch_from_the_queue_to_its_table(here, queue, tmp_path, capsys):
    """It is handed over, stands as waiting, is done, and the same command prints what became of it."""
    words = ["launch", "--on", "slurm", "--shards", "2", "--out-dir", "o", *TRAIN, "--steps", "200"]
    assert here(*words) == 0
    assert "2 of 2 jobs to run" in capsys.readouterr().err
    assert queue.wait(LONG) == [(0, 0)] * 2
    assert status.main(["o"]) == 0
    assert "2 runs: 2 done" in capsys.readouterr().out
    assert here(*words) == 0
    shown = capsys.readouterr()
    assert "0 of 2 jobs to run" in shown.err and "fake/A" in shown.out
    assert len(queue.rows()) == 2
    assert here(*TRAIN[1:], "--steps", "200", "--run-dir", "whole") == 0
    rows = [row for own in learned(tmp_path / "o").values() for row in own]
    assert sorted(rows, key=str) == sorted(learned(tmp_path / "whole")["whole"], key=str)


@pytest.mark.slow
def test_a_run_whose_time_ends_and_that_is_killed_is_the_one_that_never_stopped(here, queue, tmp_path, monkeypatch):
    words = ["launch", "--on", "slurm", "--time", "1:00:00", "--out-dir", "o", *TRAIN, "--steps", "1200"]
    with monkeypatch.context() as patch:
        patch.setenv("FAKE_CHUNK_SECONDS", "0.4")
        assert here(*words, "--checkpoint-every", "0") == 0
    run, rows = tmp_path / "o" / "A", tmp_path / "o" / "A" / "metrics.jsonl"
    wait_for(lambda: rows.exists() and len(metrics.read(rows)) >= 12, LONG)
    os.kill(json.loads((tmp_path / "o" / "jobs" / "0.json").read_text())["pid"], 9)
    wait_for(lambda: rundir.is_held(run) and queue.rows()[0][2] == 1 and len(metrics.read(rows)) >= 24, LONG)
    (queue.folder / "100_0.near").touch()
    log = tmp_path / "o" / "logs" / "A.log"
    wait_for(lambda: "exit code" in log.read_text().partition("SIGUSR1")[2], LONG)
    assert queue.wait(LONG) == [(2, 0)]
    assert [line[:14] for line in log.read_text().splitlines() if line.startswith("exit")] == [
        "exit code 137:", "exit code 75: ",
    ]  # fmt: skip
    assert here(*TRAIN[1:], "--steps", "1200", "--run-dir", "whole") == 0
    assert learned(tmp_path / "o")["A"] == learned(tmp_path / "whole")["whole"]
    assert json.loads((run / "evaluation.json").read_text()) == json.loads(
        (tmp_path / "whole" / "evaluation.json").read_text()
    )


@pytest.mark.slow
def test_a_time_in_which_nothing_is_learned_is_a_failure_and_not_for_ever(here, queue, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_COMPILE_SECONDS", "60")
    assert here("launch", "--on", "slurm", "--out-dir", "o", *TRAIN, "--steps", "200") == 0
    log = tmp_path / "o" / "logs" / "A.log"
    for times in (1, 2):
        wait_for(lambda times=times: log.exists() and log.read_text().count("compiling: 1 s") == times, LONG)
        (queue.folder / "100_0.near").touch()
    assert queue.wait(LONG) == [(1, 1)]
    assert log.read_text().count("error: the time was over before anything new was saved") == 2
    (one,) = status.below(tmp_path / "o")
    assert one.state == "failed (exit 1)"


def test_signals_that_come_twice_by_two_ways_are_one(tmp_path):
    """Slurm sends TERM to every process of a job, and the shell among them passes it on."""
    code = """
import signal, sys, time
from experiments.running.signals import StopSignal
with StopSignal(float(sys.argv[1]) if sys.argv[1] != "0" else None) as stop:
    for word in sys.argv[2:]:
        time.sleep(float(word)) if word[0] in "0123456789" else signal.raise_signal(getattr(signal, word))
    print("saved", stop.exit_code, flush=True)
"""
    for words, said, wanted in (
        ("0 SIGTERM SIGTERM", "saved 143\n", 0),
        ("0 SIGTERM 0.4 SIGTERM", "", 143),
        ("0 SIGUSR1 SIGTERM", "", 143),
        ("0.05 0.2 SIGUSR1", "saved 75\n", 0),
        ("0.05 0.2 SIGTERM", "", 143),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *words.split()], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert (done.stdout, done.returncode) == (said, wanted), (words, done.stderr)
