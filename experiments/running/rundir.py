"""Run directories: what lies in one, how one is started, found again and checked against what was asked.

config.json       the resolved Config
run.json          seeds, length, evaluation interval, versions (RunInfo); its presence makes the folder a run
metrics.jsonl     one object per chunk and seed
checkpoints/  tensorboard/  plots/  evaluation.json
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.running.cli import LOCKED, fail, note
from r2i_jit.config import Config, differences

RUNS = Path("runs")
# What a kill before the first commit of run.json can leave behind.
_UNBORN = {"run.lock", "config.json", "config.json.tmp", "run.json.tmp"}


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """What a run is besides its Config.

    Attributes:
      kind: `train` or `sweep`.
      members: one per row of the vmapped state; `{"seed": 0}`, in a sweep with its `hypers.*` values.
      steps: environment steps per seed to reach.
      eval_every: steps between evaluations.
      created: seconds since 1970.
    """

    kind: str
    suite: str
    size: str
    seed: int
    members: list[dict[str, Any]]
    steps: int
    eval_every: int
    created: float
    versions: dict[str, str]

    @property
    def num_seeds(self) -> int:
        """Seeds of each member of a sweep, or of the run."""
        return 1 + max(member["seed"] for member in self.members)


def versions() -> dict[str, str]:
    """Return what bit-exactness depends on besides the config."""
    import jax
    import jaxlib

    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "device": jax.devices()[0].device_kind,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def new_path(env: str, size: str, kind: str = "train") -> Path:
    """Return a run directory that does not exist yet: runs/<env>-<size>-<time>."""
    stem = f"{env.replace('/', '-')}-{size}-{'sweep-' if kind == 'sweep' else ''}{time.strftime('%Y%m%d-%H%M%S')}"
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
        path.mkdir(parents=True, exist_ok=True)
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
    others = sorted(entry.name for entry in path.iterdir() if entry.name not in _UNBORN)
    if others:
        fail(f"run directory {path} is not empty (it holds {others[0]}); choose another --run-dir")


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a run directory for this process; exit 6 if another one does. The kernel lets go of it even after a kill."""
    with open(path / "run.lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # held, or a file system that cannot tell: refuse on doubt
            file.seek(0)
            holder = file.read().strip() or error.strerror
            fail(f"{path} is in use by another process ({holder}); wait for it or stop it", LOCKED)
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield


def write(path: Path, config: Config, info: RunInfo) -> None:
    """Write config.json, then run.json, each whole or not at all."""
    replace_text(path / "config.json", config.to_json())
    replace_text(path / "run.json", json.dumps(dataclasses.asdict(info), indent=2) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write a file through a temporary one, so that a kill leaves the old text or the new."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load(path: Path) -> tuple[Config, RunInfo]:
    """Return the Config and RunInfo of a run directory; exit 2 if it is none or they do not read."""
    if not is_run(path):
        fail(f"{path} is no run directory (it has no run.json)")
    try:
        return _read(path)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        fail(f"{path} does not read as a run: {error}")


def _read(path: Path) -> tuple[Config, RunInfo]:
    config = Config.from_json((path / "config.json").read_text(encoding="utf-8"))
    return config, RunInfo(**json.loads((path / "run.json").read_text(encoding="utf-8")))


def newest(env: str, kind: str) -> Path:
    """Return the latest started run of `env` under runs/; exit 2 if there is none."""
    found = []
    for path in RUNS.glob("*/run.json"):
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):  # a broken run is not in the way
            config, info = _read(path.parent)
            if config.env == env and info.kind == kind:
                found.append((info.created, path.parent))
    if not found:
        fail(f"there is no {kind} run of {env} under {RUNS}/ to resume; leave out --resume to start one")
    return max(found)[1]


def check_resumable(path: Path, args: Any, saved: Config, info: RunInfo, asked: Config, kind: str) -> None:
    """Exit 2 naming every difference between a saved run and what the command line asks for."""
    if info.kind != kind:
        fail(f"{path} is a {info.kind} run; resume it with `python -m experiments.{info.kind} {info.suite} --resume`")
    changed = differences(saved, asked)
    if args.seeds is not None and args.seeds != info.num_seeds:
        changed.append(f"seeds: {info.num_seeds} -> {args.seeds}")
    if args.seed is not None and args.seed != info.seed:
        changed.append(f"seed: {info.seed} -> {args.seed}")
    if changed:
        fail(f"{path} was started with another config ({'; '.join(changed)}); start a new run for this one")


def warn_versions(info: RunInfo) -> None:
    """Say what differs from the software that the run was started with; the result is then not bit-exact."""
    now = versions()
    then = info.versions
    changed = [f"{name} {then.get(name)} -> {now[name]}" for name in now if then.get(name) != now[name]]
    if changed:
        note(f"resuming under other versions, so not bit-exact: {'; '.join(changed)}")
