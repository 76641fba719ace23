"""Run directories: what lies in one, how one is started, found again and checked against what was asked.

config.json       the resolved Config
run.json          seeds, length, evaluation interval, versions (RunInfo); its presence makes the folder a run
metrics.jsonl     one object per chunk and seed
episodes.jsonl    their episodes, where that was asked for (experiments.running.episodes)
checkpoints/  tensorboard/  plots/  evaluation.json
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from envs import registry
from experiments.running import cli, importing, lease, runinfo
from experiments.running.cli import LOCKED, SAVE_FAILED, fail
from experiments.running.runinfo import RunFileError, RunInfo
from r2i_jit import whole_files
from r2i_jit.config import Config, ConfigError, differences

RUNS = Path("runs")
# What is read of the metadata that is saved beside a state.
NEEDED: dict[str, Any] = {"wall_seconds": (int, float), "config": dict, "members": list}
_LEASE = "run.lease"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}  # of a network file system, for example
LOCKS = {"run.lock", _LEASE}  # of any folder that a process has for itself
# What a kill before the first commit of run.json can leave behind.
_UNBORN = {*LOCKS, "config.json", "config.json.tmp", "run.json.tmp"}


def new_path(env: str, size: str, kind: str = "train", agent: str = "r2i") -> Path:
    """Return a run directory that does not exist yet: runs/<env>-<size>-<time>, with the agent where it is not R2I."""
    size = size if agent == "r2i" else f"{agent}-{size}"
    stem = f"{re.sub('[/:]', '-', env)}-{size}-{'sweep-' if kind == 'sweep' else ''}{time.strftime('%Y%m%d-%H%M%S')}"
    path, count = RUNS / stem, 1
    while path.exists():
        count += 1
        path = RUNS / f"{stem}-{count}"
    return path


def is_run(path: Path) -> bool:
    """Return whether `path` is a run directory."""
    return (path / "run.json").is_file()


def claim(path: Path) -> None:
    """Create the directory of a new run and see that it can be written to; exit 2 if it cannot, or holds something."""
    try:
        if path.exists():
            refuse_occupied(path)
        _make(path)
        probe = path / "run.json.tmp"
        probe.write_text("", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        fail(f"cannot write to run directory {path}: {error.strerror or error}")


def refuse_occupied(path: Path) -> None:
    """Exit 2 if `path` is a file or a folder with something in it."""
    if not path.is_dir():
        fail(f"run directory {path} is a file")
    if is_run(path):
        fail(f"{path} holds a run; add --resume to go on with it, or choose another --run-dir")
    try:
        others = sorted(entry.name for entry in path.iterdir() if not _is_unborn(entry.name))
    except OSError as error:
        fail(f"cannot read run directory {path}: {error.strerror or error}")
    if {"checkpoints", "metrics.jsonl"} & set(others):
        fail(f"{path} is a run directory without its run.json; put that back, or choose another --run-dir")
    if others:
        fail(f"run directory {path} is not empty (it holds {others[0]}); choose another --run-dir")


def _is_unborn(name: str) -> bool:
    return name in _UNBORN or (name.startswith(("config.json.", "run.json.")) and name.endswith(".tmp"))


def make(path: Path) -> None:
    """Create a folder, and those above it; exit 2 if that fails."""
    try:
        _make(path)
    except OSError as error:
        fail(f"cannot make {path}: {error.strerror or error}")


def _make(path: Path) -> None:
    for waits in (0.1, 1.0, None):
        try:
            return path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:  # on a network file system what another process has made may not show yet
            if waits is None or path.is_file():
                raise
            time.sleep(waits)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a run directory for this process; exit 6 if another one does. The kernel lets go of it even after a kill.

    A file system without locks has a lease in their place, which expires some minutes after a kill.
    """
    with _lock_file(path) as file, contextlib.ExitStack() as held:
        try:
            _take(file)
        except OSError as error:  # held, or a file system that cannot tell
            if error.errno in _NO_LOCKS:
                held.enter_context(_leased(path))
                yield
                return
            file.seek(0)
            holder = file.read().strip() or error.strerror
            fail(f"{path} is in use by another process ({holder}); wait for it or stop it", LOCKED)
        with contextlib.suppress(OSError):  # a full disk: the lock holds, it is only not said who has it
            file.truncate(0)
            file.write(f"pid {os.getpid()}")
            file.flush()
        yield


def is_held(path: Path) -> bool:
    """Return whether a process has a run directory."""
    try:
        with open(path / "run.lock", encoding="utf-8", errors="replace") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError as error:
        return lease.is_held(path / _LEASE) if error.errno in _NO_LOCKS else True
    return False


@contextlib.contextmanager
def _leased(path: Path) -> Iterator[None]:
    try:
        with lease.hold(path / _LEASE):
            yield
    except lease.Taken as error:
        fail(f"{path} is in use by another process ({error}); wait for it or stop it", LOCKED)


def _take(file: TextIO) -> None:
    """Lock a file; whoever looks at it (`is_held`) has it for a moment, too."""
    for waits in (0.05, 0.1, None):
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if waits is None:
                raise
            time.sleep(waits)


def _lock_file(path: Path) -> TextIO:
    try:
        return open(path / "run.lock", "a+", encoding="utf-8", errors="replace")
    except OSError as error:
        fail(f"cannot lock {path}: {path / 'run.lock'}: {error.strerror or error}", SAVE_FAILED)


def write(path: Path, config: Config, info: RunInfo) -> None:
    """Write config.json, then run.json, each whole or not at all; exit 4 if that fails."""
    replace_text(path / "config.json", config.to_json())
    replace_text(path / "run.json", info.to_json())


def renew(path: Path, info: RunInfo, many: bool = False) -> None:
    """Write run.json where it says something else, as of a run that is now to be longer; exit 4 if that fails.

    `many` as of `replace_text`.
    """
    if runinfo.read(path / "run.json") != info:
        replace_text(path / "run.json", info.to_json(), many)


def replace_text(path: Path, text: str, many: bool = False) -> None:
    """Write a file through a temporary one, so that a kill leaves the old text or the new; exit 4 if that fails.

    `many` says that several processes may do so at the same time.
    """
    try:
        whole_files.replace(path, text.encode(), many=many)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror or error}", SAVE_FAILED)


def load(path: Path) -> tuple[Config, RunInfo]:
    """Return the Config and RunInfo of a run directory; exit 2 if it is none or they do not read."""
    if not is_run(path):
        inside = sorted(str(found.parent) for found in path.glob("*/run.json"))
        some = f"; runs in it: {', '.join(inside[:3])}{', …' * (len(inside) > 3)}" if inside else ""
        fail(f"{path} is no run directory (it has no run.json){some}")
    try:
        return read(path)
    except RunFileError as error:
        fail(error)


def load_playable(path: Path) -> tuple[Config, RunInfo]:
    """As `load`, with the modules imported that the run's environment comes from."""
    config, info = load(path)
    importing.prepare(info.imports, info.folder)
    return config, info


def read(path: Path) -> tuple[Config, RunInfo]:
    values = runinfo.read_object(path / "config.json")
    try:
        config = Config.from_dict(values)
    except ConfigError as error:
        raise RunFileError(f"{path / 'config.json'}: {error}") from None
    return config, runinfo.read(path / "run.json")


def newest_saved(path: Path) -> int:
    """Return the step of a run's newest checkpoint; 0 if it has none."""
    return max((int(found.name) for found in path.glob("checkpoints/*") if found.name.isdigit()), default=0)


def newest(env: str, kind: str, agent: str | None = None) -> Path:
    """Return the latest started run of `env` under runs/, by an agent if one is named; exit 2 if there is none."""
    found = []
    for path in RUNS.glob("*/run.json"):
        with contextlib.suppress(RunFileError):  # a broken run is not in the way
            config, info = read(path.parent)
            if registry.same(config.env, env) and info.kind == kind and agent in (None, info.agent):
                found.append((info.created, path.parent))
    if not found:
        fail(f"there is no {kind} run of {env} under {RUNS}/ to resume; leave out --resume to start one")
    return max(found)[1]


def changes(
    args: Any, saved: Config, info: RunInfo, asked: Config, trained: Callable[[], float] = lambda: 0.0
) -> list[str]:
    """Return what a command line asks for that a saved run is not, one text each; what was not typed is not compared.

    Args:
      args: the options of a run; `asked` has its environment and its `--set`.
      saved: the run's Config.
      info: what else it is.
      asked: the saved Config with all of it that was typed.
      trained: returns the minutes that it has been trained for, which are in its log; read only where they matter.
    """
    changed = differences(saved, asked)
    if args.size not in (None, "auto", info.size):
        changed.append(f"size: {info.size} -> {args.size}")
    if args.agent not in (None, info.agent):
        changed.append(f"agent: {info.agent} -> {args.agent}")
    if args.seeds is not None and args.seeds != info.num_seeds:
        changed.append(f"seeds: {info.num_seeds} -> {args.seeds}")
    if args.seed is not None and args.seed != info.seed:
        changed.append(f"seed: {info.seed} -> {args.seed}")
    if args.steps is not None and args.steps < info.steps:
        changed.append(f"steps: {'no limit' if info.is_timed else info.steps} -> {args.steps}, which is fewer")
    if args.minutes is not None and info.minutes is not None and args.minutes < info.minutes:
        changed.append(f"minutes: {info.minutes:g} -> {args.minutes:g}, which is fewer")
    if args.minutes is not None and info.minutes is None and args.minutes < (minutes := trained()):
        changed.append(f"minutes: trained for {minutes:.2g} -> {args.minutes:g}, which is fewer")
    log_episodes = getattr(args, "log_episodes", None)
    if log_episodes is not None and log_episodes != info.log_episodes:
        changed.append(f"log-episodes: {info.log_episodes or 'none'} -> {log_episodes}")
    source, began = getattr(args, "init_from", None), info.init_from.get("path", "random parameters")
    if source is not None and began != runinfo.source_name(source):
        changed.append(f"init-from: {began} -> {source}")
    return changed


def check_resumable(
    path: Path,
    args: Any,
    saved: Config,
    info: RunInfo,
    asked: Config,
    kind: str,
    trained: Callable[[], float] = lambda: 0.0,
) -> None:
    """Exit 2 naming every difference between a saved run and what the command line asks for; as `changes`."""
    if info.kind != kind:
        command = f"{cli.program(info.kind)} --run-dir {shlex.quote(str(path))} --resume"
        fail(f"{path} is a {info.kind} run; resume it with `{command}`")
    if changed := changes(args, saved, info, asked, trained):
        fail(f"{path} was started otherwise ({'; '.join(changed)}); start a new run for this one")


def restore(path: Path, config: Config, info: RunInfo, read: Callable[[dict[str, float]], Any]) -> Any:
    """Return the `Restored` that `read` gives, None if it does, of the run whose files say `config` and `info`.

    `read` is told what the hyper-parameters are that a checkpoint of earlier sources does not have.

    Exits 2 if they say something else than the checkpoint's own copy, which the state was trained with.

    Raises:
      CheckpointError: as `read` does; CheckpointMismatch if it is no edit that keeps the state from fitting.
    """
    from r2i_jit.checkpoint import CheckpointMismatch

    try:
        restored = read({f".seeds.hypers.{name}": value for name, value in dataclasses.asdict(config.hypers).items()})
    except CheckpointMismatch as error:
        if error.metadata:
            _refuse_edited(path, config, info, error.step, error.metadata)
        raise
    if restored is not None:
        _refuse_edited(path, config, info, restored.step, restored.metadata)
    return restored


def _refuse_edited(path: Path, config: Config, info: RunInfo, step: int, saved: dict[str, Any]) -> None:
    try:
        changed = [f"config.json {line}" for line in differences(Config.from_dict(saved["config"]), config)]
    except ConfigError as error:
        changed = [f"config.json: the checkpoint's has {error}"]
    for name in ("members", "seed", "log_episodes"):
        now = getattr(info, name)
        then = saved.get(name, now)  # a checkpoint of before may lack it
        if now != then:
            then, now = _unlike(then, now)
            changed.append(f"run.json {name}: {json.dumps(then)[:60]} -> {json.dumps(now)[:60]}")
    if changed:
        fail(
            f"{path} was edited since checkpoint {step} was saved ({'; '.join(changed)}); undo that, or start a new run"
        )


def _unlike(then: Any, now: Any) -> tuple[Any, Any]:
    """Return two values, of lists of one length the first two entries that differ."""
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return next((old, new) for old, new in zip(then, now, strict=True) if old != new)
    return then, now
