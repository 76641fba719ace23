"""The plan of a launch: `jobs.json` in its folder says what each job is, and how it stands.

A job is a run, or a shard of one. Whoever runs a job, on whatever machine, writes how it goes into a file of its own,
`jobs/<number>.json`, so that no two write the same one; `refresh` puts all of them into `jobs.json`.
"""

import dataclasses
import json
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.running import cli, signals
from experiments.running.runinfo import RunFileError, read_object
from r2i_jit import shards, whole_files

NAME = "jobs.json"
WAITING, RUNNING, DONE, STOPPED, DIVERGED, FAILED = "waiting", "running", "done", "stopped", "diverged", "failed"


@dataclasses.dataclass(frozen=True)
class Job:
    """One run, or a shard of one.

    Attributes:
      name: no other's in the plan; the log is called so.
      command: words for `r2i`, but for the run directory.
      folder: the run directory, below that of the plan; of a shard the whole run's.
    """

    name: str
    command: tuple[str, ...]
    folder: str

    @property
    def shard(self) -> tuple[int, int] | None:
        """Which part of how many it is, None for a whole run."""
        return cli.shard(self.command[self.command.index("--shard") + 1]) if "--shard" in self.command else None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a launch is to run.

    Attributes:
      folder: where its files lie, the jobs' runs below it.
      start: the folder in which it was launched: relative paths and modules of the user's are looked for there.
      jobs: in the order in which they are begun.
    """

    folder: Path
    start: str
    jobs: tuple[Job, ...]

    def log(self, number: int) -> Path:
        """Return the file that gets what a job prints."""
        return self.folder / "logs" / f"{self.jobs[number].name.replace('/', '.')}.log"

    def run_dir(self, number: int) -> Path:
        """Return where the run of a job lies; of a shard its own folder."""
        job = self.jobs[number]
        return self.folder / job.folder / shards.name(*job.shard) if job.shard else self.folder / job.folder

    def checkpoint(self, number: int) -> int:
        """Return the step of a job's last checkpoint, -1 if there is none."""
        folder = self.run_dir(number) / "checkpoints"
        return max((int(path.name) for path in folder.glob("*") if path.name.isdecimal()), default=-1)

    def words(self, number: int) -> list[str]:
        """Return a job's whole command line for `r2i`: it goes on with what there is."""
        job = self.jobs[number]
        return [*job.command, "--run-dir", str(self.folder / job.folder), "--resume"]


@dataclasses.dataclass(frozen=True)
class Attempt:
    """How a job goes, as who runs it has noted.

    Attributes:
      attempt: how often it has been begun.
      exit_code: None until it ends.
      host, pid: of the process.
      began, ended: seconds since 1970.
    """

    attempt: int = 0
    exit_code: int | None = None
    host: str = ""
    pid: int = 0
    began: float | None = None
    ended: float | None = None


def read(folder: Path) -> Plan:
    """Return the plan in a folder.

    Raises:
      RunFileError: if there is none, or it does not read; naming the file.
    """
    path = folder / NAME
    found = read_object(path)
    try:
        jobs = tuple(
            Job(str(job["name"]), tuple(map(str, job["command"])), str(job["folder"])) for job in found["jobs"]
        )
        return Plan(folder, str(found["start"]), jobs)
    except (KeyError, TypeError, ValueError) as error:
        raise RunFileError(f"{path} is damaged: {type(error).__name__} {error}") from None


def refresh(plan: Plan) -> list[tuple[Attempt, str]]:
    """Bring jobs.json up to date and return each job's last attempt and state; exit 4 if it cannot be written."""
    found = standings(plan)
    try:
        write(plan, found)
    except OSError as error:
        cli.fail(f"cannot write {plan.folder / NAME}: {error.strerror or error}", cli.SAVE_FAILED)
    return found


def standings(plan: Plan) -> list[tuple[Attempt, str]]:
    """Return each job's last attempt and state."""
    return [(attempt, state(plan, number, attempt)) for number, attempt in enumerate(attempts(plan))]


def write(plan: Plan, standings: Sequence[tuple[Attempt, str]]) -> None:
    """Write jobs.json, whole, where it says something else.

    Raises:
      OSError: if that fails.
    """
    jobs = [
        {
            **dataclasses.asdict(job),
            "log": str(plan.log(number).relative_to(plan.folder)),
            "state": state,
            **dataclasses.asdict(attempt),
        }
        for number, (job, (attempt, state)) in enumerate(zip(plan.jobs, standings, strict=True))
    ]
    text = json.dumps({"start": plan.start, "jobs": jobs}, indent=1) + "\n"
    path = plan.folder / NAME
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        whole_files.replace(path, text.encode(), many=True)  # `status` does so, too


def attempts(plan: Plan) -> list[Attempt]:
    """Return how each job went last; as never begun where that does not read."""
    return [_attempt(plan, number) for number in range(len(plan.jobs))]


def _attempt(plan: Plan, number: int) -> Attempt:
    try:
        return Attempt(**read_object(_noted(plan, number)))
    except (RunFileError, TypeError):
        return Attempt()


def _noted(plan: Plan, number: int) -> Path:
    return plan.folder / "jobs" / f"{number}.json"


def _queued(plan: Plan, number: int) -> Path:
    return plan.folder / "jobs" / f"{number}.queued"


def queue(plan: Plan, numbers: Sequence[int]) -> None:
    """Note that a queue has jobs: until they begin they are waiting, however they ended before."""
    for number in numbers:
        path = _queued(plan, number)
        try:
            path.touch()
        except OSError as error:
            cli.fail(f"cannot write {path}: {error.strerror or error}", cli.SAVE_FAILED)


def leave_queue(plan: Plan, numbers: Sequence[int]) -> None:
    """Note that no queue has them any more."""
    for number in numbers:
        _queued(plan, number).unlink(missing_ok=True)


def state(plan: Plan, number: int, attempt: Attempt) -> str:
    """Return a job's state in a word."""
    from experiments.running import rundir  # which imports JAX

    if rundir.is_held(plan.run_dir(number)):
        return RUNNING
    if _queued(plan, number).exists():
        return WAITING
    if not attempt.attempt:
        return WAITING
    code = attempt.exit_code
    if code is None:  # if it is not there, it was killed
        return RUNNING if _is_beginning(attempt) else STOPPED
    if code == 0:
        return DONE
    if signals.is_stop(code):
        return STOPPED
    return DIVERGED if code == cli.NOT_FINITE else FAILED


def _is_beginning(attempt: Attempt) -> bool:
    """Return whether a process that holds no run yet may be there: it has to import and to trace first."""
    if attempt.host == socket.gethostname():
        try:
            os.kill(attempt.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    return attempt.began is not None and time.time() - attempt.began < 60


def begin(plan: Plan, number: int) -> Attempt:
    """Note that this process runs a job."""
    before = _attempt(plan, number)
    attempt = Attempt(before.attempt + 1, None, socket.gethostname(), os.getpid(), round(time.time(), 1))
    _note(plan, number, attempt)
    leave_queue(plan, [number])
    return attempt


def end(plan: Plan, number: int, attempt: Attempt, code: int) -> None:
    """Note how a job ended."""
    _note(plan, number, dataclasses.replace(attempt, exit_code=code, ended=round(time.time(), 1)))


def _note(plan: Plan, number: int, attempt: Attempt) -> None:
    from experiments.running import rundir

    path = _noted(plan, number)
    rundir.make(path.parent)
    try:
        whole_files.replace(path, json.dumps(dataclasses.asdict(attempt)).encode(), many=True)
    except OSError as error:
        cli.fail(f"cannot write {path}: {error.strerror or error}", cli.SAVE_FAILED)


def left(plan: Plan, standings: Sequence[tuple[Attempt, str]]) -> list[int]:
    """Return the jobs that are neither done nor running."""
    return [number for number, (_, state) in enumerate(standings) if state not in (DONE, RUNNING)]


def difference(one: Plan, other: Plan) -> str | None:
    """Return what differs between the jobs of two plans but for their lengths, in words; None if nothing does."""
    names, others = ([job.name for job in plan.jobs] for plan in (one, other))
    if names != others:
        unlike = sorted(set(names) ^ set(others))
        return f"jobs: {len(names)} -> {len(others)}" + (f", such as {unlike[0]}" if unlike else "")
    for before, after in zip(one.jobs, other.jobs, strict=True):
        if _but_for_lengths(before.command) != _but_for_lengths(after.command):
            return f"{before.name}: {_changed(before.command, after.command)}"
    return None


def _changed(one: Sequence[str], other: Sequence[str]) -> str:
    """Return what differs between two commands, in words: from the last option before it to the last word of it."""
    same = len(os.path.commonprefix([list(one), list(other)]))
    begin = max((place for place in range(same) if one[place].startswith("--")), default=same)
    end = len(os.path.commonprefix([list(one)[:begin:-1], list(other)[:begin:-1]]))
    return " -> ".join(" ".join(words[begin : len(words) - end]) or "nothing" for words in (one, other))


def begin_anew(before: Plan, plan: Plan) -> None:
    """Let the jobs that are to be of another length than in an earlier plan be run again: they go on."""
    for number, (old, new) in enumerate(zip(before.jobs, plan.jobs, strict=True)):
        if old.command != new.command:
            _noted(plan, number).unlink(missing_ok=True)


def _but_for_lengths(command: Sequence[str]) -> list[str]:
    lengths = {place for place, word in enumerate(command) if word in ("--steps", "--minutes")}
    return [word for place, word in enumerate(command) if place not in lengths and place - 1 not in lengths]
