"""A finished run with one damaged file, four hundred times, then resumed, evaluated or drawn. About 5 minutes.

Right is: the result of the undamaged run; or one line on stderr that names the file or the key, with exit code 2, 3 or
4; or another result with a warning that names the file. Wrong is a traceback, a program that hangs, and another result
without a word. `FUZZ_TRIALS=17,230` runs these trials only; they are drawn from their number, but times and the names
of Orbax's files differ from run to run.
"""

import collections
import json
import logging
import os
import random
import re
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from r2i_jit import metrics_file

pytestmark = pytest.mark.slow

TRIALS = 400
STEPS, MORE = 400, 480
RUN, WHOLE = Path("run"), Path("whole")
COMMANDS: dict[str, tuple[object, ...]] = {
    "resume": ("fake", "--run-dir", RUN, "--resume", "--steps", MORE, "--checkpoint-every", 3600),
    "evaluate": ("evaluate", RUN, "--episodes", 16),
    "plot": ("plot", RUN),
}
# What a sound run says on its way.
NOTES = re.compile(r"fake/A \(|compil|play|resumed run at|step [\d,]+|final evaluation")
RIGHT = ("same", "refused", "warned", "not to be seen")


class Hang(BaseException):
    """Raised when a command takes too long; no `except Exception` may swallow it."""


# Damage: each function changes a file and returns what it touched in it, the name of a key or nothing ----------------


def flip_bit(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return ""


def change_byte(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data)
    return ""


def cut(path: Path, rng: random.Random) -> str:
    os.truncate(path, rng.randrange(path.stat().st_size + 1))
    return ""


def delete(path: Path, rng: random.Random) -> str:
    path.unlink()
    return ""


def empty(path: Path, rng: random.Random) -> str:
    path.write_bytes(b"")
    return ""


def noise(path: Path, rng: random.Random) -> str:
    path.write_bytes(rng.randbytes(rng.randrange(1, 2000)))
    return ""


def folder(path: Path, rng: random.Random) -> str:
    path.unlink()
    path.mkdir()
    return ""


def repeat_line(path: Path, rng: random.Random) -> str:
    lines = path.read_bytes().splitlines(keepends=True)
    if lines:
        index = rng.randrange(len(lines))
        lines.insert(rng.randrange(index, len(lines)) + 1, lines[index])
    path.write_bytes(b"".join(lines))
    return ""


def in_json(change: Callable[[list[tuple[Any, Any]], random.Random], str]) -> Callable[[Path, random.Random], str]:
    """Return a damage that changes the JSON document of a file, or of one of its lines."""

    def damage(path: Path, rng: random.Random) -> str:
        lines = path.read_bytes().splitlines(keepends=True) if path.suffix == ".jsonl" else [path.read_bytes()]
        index = rng.randrange(len(lines))
        try:
            document = json.loads(lines[index])
        except ValueError:  # no JSON: any other damage
            return flip_bit(path, rng)
        key = change(list(places([document])), rng)
        indent = 2 if path.suffix == ".json" else None
        lines[index] = json.dumps(document, indent=indent).encode() + (b"\n" if indent is None else b"")
        path.write_bytes(b"".join(lines))
        return key

    damage.__name__ = change.__name__
    return damage


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every value below the outermost one."""
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            if isinstance(node[key], dict | list):
                yield from places(node[key])
            yield node, key


@in_json
def retype(found: list[tuple[Any, Any]], rng: random.Random) -> str:
    container, key = rng.choice(found[:-1] or found)
    values = [None, True, "text", "1", 1.5, -3, 0, [], {}, [1], 10**400, 1e308]
    container[key] = rng.choice([value for value in values if type(value) is not type(container[key])])
    return str(key)


@in_json
def drop_member(found: list[tuple[Any, Any]], rng: random.Random) -> str:
    container, key = rng.choice(found[:-1] or found)
    del container[key]
    return str(key)


@in_json
def add_member(found: list[tuple[Any, Any]], rng: random.Random) -> str:
    container = rng.choice([container[key] for container, key in found if isinstance(container[key], dict | list)])
    if isinstance(container, dict):
        container["foreign"] = rng.choice([1, "text", None])
        return "foreign"
    container.append(rng.choice([1, "text", None]))
    return ""


DAMAGE = (
    flip_bit, change_byte, cut, delete, empty, noise, folder, repeat_line, retype, drop_member, add_member
)  # fmt: skip


# One trial -----------------------------------------------------------------------------------------------------------


class Result:
    """What a command did: its exit code, what it printed, what it left and what it raised."""

    def __init__(self, command: str, code: int, out: str, err: list[str], raised: BaseException | None) -> None:
        self.code, self.err, self.raised = code, err, raised
        self.left: Any = out
        if raised is None and command == "resume":
            self.left = evaluation(RUN), rows(RUN), last_record(RUN)
        if raised is None and command == "plot":
            picture = RUN / "plots" / "learning_curve.png"
            self.left = picture.read_bytes() if picture.is_file() else None


def evaluation(run: Path) -> Any:
    path = run / "evaluation.json"
    return path.read_bytes() if path.is_file() else None


def rows(run: Path) -> list[dict[str, Any]]:
    """Return the rows without what the clock decides; damage that is left in them counts as another result."""
    try:
        text = (run / "metrics.jsonl").read_bytes().decode()
        found = [json.loads(line) for line in text.splitlines()]
    except (OSError, ValueError):
        return []
    return [{key: value for key, value in row.items() if key != "wall_seconds"} for row in found if type(row) is dict]


def last_record(run: Path) -> Any:
    path = run / "checkpoints" / str(MORE) / "record" / "metadata"
    return json.loads(path.read_bytes())["leaves"] if path.is_file() else None


@pytest.fixture(autouse=True)
def in_memory(fake, monkeypatch) -> Iterator[None]:
    """Work in a folder without a disk, where there is one: most of the time would go into waiting for it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as path:
        monkeypatch.chdir(path)
        yield
        monkeypatch.undo()


@pytest.fixture
def perform(fake, capfd, caplog) -> Callable[[str], Result]:
    """Return a function that runs one of the commands on the folder `run`."""

    def alarm(*_: object) -> None:
        raise Hang

    def run(command: str) -> Result:
        capfd.readouterr()
        caplog.clear()
        code, raised = -1, None
        signal.setitimer(signal.ITIMER_REAL, 60)
        try:
            code = fake(*COMMANDS[command])
        except (Exception, Hang) as error:
            raised = error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        out, err = capfd.readouterr()
        # pytest's handlers take what would else come to stderr.
        logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        said = [line for line in err.splitlines() if not NOTES.match(line)]
        return Result(command, code, out, said + logged, raised)

    before = signal.signal(signal.SIGALRM, alarm)
    yield run
    signal.signal(signal.SIGALRM, before)


def choose(rng: random.Random) -> Path:
    """Return one of the run's files: the few at its top as often as the many of its checkpoints."""
    steps = [step for step in (RUN / "checkpoints").iterdir() if step.is_dir()]
    inside = sorted(path for path in (RUN / "checkpoints").rglob("*") if path.is_file())
    newest = sorted(path for path in max(steps, key=lambda step: int(step.name)).rglob("*") if path.is_file())
    record = max(steps, key=lambda step: int(step.name)) / "record" / "metadata"
    tops = [RUN / name for name in ("config.json", "run.json", "metrics.jsonl", "evaluation.json", "run.lock")]
    top = [tops[0], tops[1], tops[2], *tops]
    return rng.choice([*top, record, rng.choice(newest), rng.choice(newest), rng.choice(inside)])


def keys_of(path: Path) -> set[str]:
    """Return the names of all keys of a JSON file, none if it is not one."""
    try:
        return {key for _, key in places([json.loads(path.read_bytes())]) if isinstance(key, str) and key}
    except (OSError, ValueError):
        return set()


def judge(
    command: str, target: Path, keys: set[str], want: Result, got: Result, unseen: bool, intact: list[dict]
) -> str:
    """Return what kind of outcome this is.

    Args:
      keys: what may be named in the place of the file.
      unseen: the damage leaves a sound file of the right length, as a changed digit does.
      intact: rows of the damaged log that are as they were.
    """
    if isinstance(got.raised, Hang):
        return "hang"
    if got.raised is not None:
        frames = traceback.extract_tb(got.raised.__traceback__)
        ours = [frame for frame in frames if "/experiments/" in frame.filename or "/r2i_jit/" in frame.filename]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "the test"
        return f"traceback: {type(got.raised).__name__} in {where}"
    names = {target.name, *(["checkpoint"] if "checkpoints" in target.parts else [])}
    named = any(name in line for name in names for line in got.err)
    quoted = [rf"['`\".]{re.escape(key)}['`\"=]" for key in keys]
    named = named or any(re.search(pattern, line) for pattern in quoted for line in got.err)
    if got.code:
        if got.code not in (2, 3, 4):
            return f"exit code {got.code}"
        if len(got.err) != 1:
            return f"exit code {got.code} with {len(got.err)} lines on stderr"
        return "refused" if named else f"refused with a line that names neither {target.name} nor a key"
    if got.left == want.left:
        return "same"
    if command == "resume" and target.name == "metrics.jsonl":
        if [row for row in want.left[1] if row["env_steps"] > STEPS] != [
            row for row in got.left[1] if row.get("env_steps", 0) > STEPS
        ]:
            return "silent: other rows after the resume"
        if any(row not in got.left[1] for row in intact):
            return "lost: sound rows of the log"
    if named:
        return "warned"
    if target.name == "metrics.jsonl" and (unseen or command == "plot"):
        return "not to be seen"
    return f"silent: another result of {command} for {target.name}"


def trial(number: int, perform: Callable[[str], Result], want: dict[str, Result]) -> tuple[str, str]:
    """Return (kind of outcome, what was done) of one trial."""
    rng = random.Random(number)
    shutil.rmtree(RUN, ignore_errors=True)
    shutil.copytree(WHOLE, RUN)
    command, target, damage = rng.choice(list(COMMANDS)), choose(rng), rng.choice(DAMAGE)
    before = rows(RUN)
    keys = keys_of(target)
    key = damage(target, rng)
    keys |= keys_of(target) | {key for key in [key] if key and not key.isdigit()}
    unseen, intact = False, before
    if target.name == "metrics.jsonl":
        intact = []
        if target.is_file():
            sound, damaged = metrics_file._lines(target)
            intact = [{k: v for k, v in line.row.items() if k != "wall_seconds"} for line in sound]
            intact = [row for row in intact if row in before]
            ends = {line.row["seed"] for line in sound if line.row["env_steps"] == STEPS}
            unseen = not damaged and ends == {0, 1}
    got = perform(command)
    kind = judge(command, target, keys, want[command], got, unseen, intact)
    said = got.err[0][:200] if got.err else ""
    raised = f" {got.raised}"[:200] if got.raised is not None else ""
    text = f"trial {number}: {damage.__name__} {target}{f' ({key})' if key else ''}, then {command}: {kind}"
    return kind, f"{text}{raised}{f' | {said}' if said else ''}"


def test_a_damaged_file_is_never_a_traceback_or_another_result(fake, perform, capfd):
    assert fake("fake", "--seeds", 2, "--steps", STEPS, "--checkpoint-every", 0, "--run-dir", RUN) == 0
    shutil.copytree(RUN, WHOLE)
    want = {}
    for command in COMMANDS:
        shutil.rmtree(RUN)
        shutil.copytree(WHOLE, RUN)
        want[command] = perform(command)
        assert want[command].raised is None and want[command].code == 0 and want[command].err == []
    numbers = [int(word) for word in os.environ.get("FUZZ_TRIALS", "").split(",") if word] or range(TRIALS)
    kinds: collections.Counter[str] = collections.Counter()
    wrong = []
    for number in numbers:
        kind, text = trial(number, perform, want)
        kinds[kind] += 1
        if kind not in RIGHT:
            wrong.append(text)
    summary = "\n".join(f"{count:4} {kind}" for kind, count in kinds.most_common())
    with capfd.disabled():
        print(f"\n{len(numbers)} damaged files:\n{summary}")
    assert not wrong, f"{len(wrong)} of {len(numbers)} trials\n{summary}\n" + "\n".join(wrong)
