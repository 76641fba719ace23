"""A small stand-in for Slurm: `sbatch`, `squeue`, `scontrol` and `scancel` that run arrays on this machine.

`install` writes the four commands into a folder for PATH. What they share lies in the folder that STAND_IN_SLURM names:
a file `<array>.json` of each array, written by its controller, a process that `sbatch` leaves behind, and files
`<array>_<task>.<word>` by which the other commands tell it something, and a test that the time limit comes (`near`).
STAND_IN_SLURM_MOST is MaxArraySize.

As the real one does, with seconds for its minutes: a task waits until its array's limit (%) lets it begin; USR1 comes
ahead of the limit to the batch shell alone (B:), TERM at the limit or by `scancel` to every process of the task, and
KILL a while later; a task that is requeued is ended so, and begins again with the same numbers.
"""

import contextlib
import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("sbatch", "squeue", "scontrol", "scancel")
LOOK, KILL_WAIT = 0.02, 3.0  # seconds


def install(folder: Path) -> None:
    """Write the commands into a folder."""
    folder.mkdir(parents=True)
    for name in NAMES:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S {shlex.quote(__file__)} {name} "$@"\n')
        path.chmod(0o755)


@dataclasses.dataclass
class Task:
    """One task of an array, in the state that squeue has of it, or over."""

    index: int
    state: str = "PENDING"
    restarts: int = 0
    process: subprocess.Popen | None = None
    began: float = 0.0
    warned: bool = False
    killed: float | None = None
    code: int | None = None


def options(text: str) -> dict[str, str]:
    """Return what the #SBATCH lines of a script say."""
    lines = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    words = [word for line in lines for word in shlex.split(line)]
    return {name.removeprefix("--"): value for name, _, value in (word.partition("=") for word in words)}


def indices(text: str) -> list[int]:
    """Return the indices of an array, such as 0-3,7."""
    spans = [span.split("-") for span in text.split(",")]
    return [index for span in spans for index in range(int(span[0]), int(span[-1]) + 1)]


def seconds(text: str) -> int:
    """Return H:MM:SS in seconds."""
    hours, minutes, rest = map(int, text.split(":"))
    return 3600 * hours + 60 * minutes + rest


class Controller:
    """Runs an array to its end."""

    def __init__(self, folder: Path, number: int, text: str, after: str) -> None:
        self._folder, self._number, self._text, self._after = folder, number, text, after
        self._options = options(text)
        spans, _, limit = self._options["array"].partition("%")
        self._tasks = [Task(index) for index in indices(spans)]
        self._at_once = int(limit or len(self._tasks))
        most = int(os.environ.get("STAND_IN_SLURM_MOST", 1001))
        if self._tasks[-1].index >= most:
            sys.exit("sbatch: error: Batch job submission failed: Invalid job array specification")

    def note(self) -> None:
        """Write how the tasks stand."""
        rows = [[task.index, task.state, task.restarts, task.code] for task in self._tasks]
        path = self._folder / f"{self._number}.json"
        path.with_suffix(".tmp").write_text(json.dumps(rows))
        path.with_suffix(".tmp").replace(path)

    def run(self) -> None:
        """Run until every task is over."""
        while any(task.state != "OVER" for task in self._tasks):
            free = self._at_once - sum(task.process is not None for task in self._tasks)
            for task in self._tasks:
                if task.state == "PENDING" and self._told(task, "cancel"):
                    task.state = "OVER"
                elif task.state == "PENDING" and free > 0 and not self._waits():
                    self._begin(task)
                    free -= 1
                elif task.process is not None:
                    self._look(task)
            self.note()
            time.sleep(LOOK)

    def _waits(self) -> bool:
        path = self._folder / f"{self._after}.json"
        return bool(self._after) and any(row[1] != "OVER" for row in json.loads(path.read_text()))

    def _told(self, task: Task, word: str) -> bool:
        path = self._folder / f"{self._number}_{task.index}.{word}"
        there = path.exists()
        path.unlink(missing_ok=True)
        return there

    def _begin(self, task: Task) -> None:
        own = {
            "SLURM_ARRAY_JOB_ID": str(self._number), "SLURM_ARRAY_TASK_ID": str(task.index),
            "SLURM_JOB_ID": str(self._number + 1 + task.index), "SLURM_RESTART_COUNT": str(task.restarts),
        }  # fmt: skip
        output = self._options["output"].replace("%%", "\0").replace("%a", str(task.index)).replace("\0", "%")
        assert self._options["open-mode"] == "append"
        script = self._folder / f"{self._number}.sh"  # the copy, as the real one does
        with open(output, "a") as log:
            task.process = subprocess.Popen(
                ["bash", str(script)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._options["chdir"],
                env={**os.environ, **own}, start_new_session=True,
            )  # fmt: skip
        task.state, task.began, task.warned, task.killed = "RUNNING", time.monotonic(), False, None

    def _look(self, task: Task) -> None:
        assert task.process is not None
        task.code = task.process.poll()
        if task.code is not None:
            self._signal(task, signal.SIGKILL)  # what it has left behind
            task.process = None
            again = self._told(task, "requeue")
            task.state = "PENDING" if again and not self._told(task, "cancel") else "OVER"
            task.restarts += task.state == "PENDING"
            return
        passed = time.monotonic() - task.began
        limit = seconds(self._options["time"]) if "time" in self._options else None
        asked = re.fullmatch(r"(B:)USR1@(\d+)", self._options["signal"])
        assert asked is not None
        shell, notice = asked.groups()
        near = self._told(task, "near") or bool(limit and passed > limit - int(notice))
        if near and shell and not task.warned:
            task.process.send_signal(signal.SIGUSR1)
            task.warned = True
        told = any((self._folder / f"{self._number}_{task.index}.{word}").exists() for word in ("cancel", "requeue"))
        if (told or (limit and passed > limit)) and task.killed is None:
            self._signal(task, signal.SIGTERM)
            task.killed = time.monotonic()
        if task.killed is not None and time.monotonic() - task.killed > KILL_WAIT:
            self._signal(task, signal.SIGKILL)

    @staticmethod
    def _signal(task: Task, number: int) -> None:
        assert task.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(task.process.pid, number)


def sbatch(folder: Path, words: list[str]) -> None:
    """Take a script and leave a controller behind."""
    assert words[0] == "--parsable" and len(words) <= 3
    after = words[1].removeprefix("--dependency=afterany:") if len(words) == 3 else ""
    text = Path(words[-1]).read_text(encoding="utf-8")
    number = 100 * (1 + len(list(folder.glob("*.sh"))))
    controller = Controller(folder, number, text, after)
    (folder / f"{number}.sh").write_text(text, encoding="utf-8")
    controller.note()
    print(f"a word of the site's\n{number};here", flush=True)
    if os.fork():
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    (folder / f"{number}.pid").write_text(str(os.getpid()))
    controller.run()


def squeue(folder: Path, words: list[str]) -> None:
    """Print the tasks that are not over."""
    assert words == ["--me", "--noheader", "--array", "--format=%F %K"]
    print("7 N/A")  # some other job
    for path in folder.glob("*.json"):
        for index, state, *_ in json.loads(path.read_text()):
            if state != "OVER":
                print(path.stem, index)


def scontrol(folder: Path, words: list[str]) -> None:
    """Put a task back into the queue, or print the configuration."""
    if words == ["show", "config"]:
        print(f"Configuration data\nMaxArraySize            = {os.environ.get('STAND_IN_SLURM_MOST', 1001)}")
        return
    verb, task = words
    assert verb == "requeue"
    if (folder / "no_requeue").exists():
        sys.exit("Requested operation is presently disabled for job")
    (folder / f"{task}.requeue").touch()


def scancel(folder: Path, words: list[str]) -> None:
    """Cancel a task, or a whole array."""
    (one,) = words
    number, _, index = one.partition("_")
    rows = json.loads((folder / f"{number}.json").read_text())
    for task in [index] if index else [row[0] for row in rows]:
        (folder / f"{number}_{task}.cancel").touch()


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(os.environ["STAND_IN_SLURM"]), sys.argv[2:])
