"""What a run is besides its Config: `run.json`, checked on reading, and what bit-exactness depends on."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.running import machine
from experiments.running.cli import MOST_STEPS, note

if TYPE_CHECKING:  # to import it takes JAX
    from r2i_jit.config import Config

_MOST = 2**31 - 1  # what 32 bits hold
KINDS = ("train", "sweep")
# The distributions that step the environments of a suite, where it is not this one.
_OF_SUITES = {
    "gymnax": ("gymnax",),
    "brax": ("brax", "mujoco", "mujoco-mjx"),
    "dmc": ("playground", "brax", "mujoco", "mujoco-mjx"),
    "atari": ("jaxtari",),
    "craftax": ("craftax",),
    "xminigrid": ("xminigrid",),
}
EXAMPLE = "example"  # names an agent, as in `r2i_jit.trained`, which would import JAX


class RunFileError(ValueError):
    """A file of a run directory that does not read; the message names the file and, where there is one, the key."""


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """What a run is besides its Config.

    Attributes:
      kind: `train` or `sweep`.
      suite: of the environment; empty if it is in none.
      members: one per row of the vmapped state; `{"seed": 0}`, in a sweep with its `hypers.*` values, and with its
        `env` where the environment stands for several settings.
      steps: environment steps per seed to reach; `cli.MOST_STEPS` where only time ends it.
      eval_every: steps between evaluations.
      created: seconds since 1970.
      versions: what bit-exactness depends on.
      imports: modules that were imported before, such as those that register environments.
      folder: where the run was started: modules are looked for there, too.
      init_from: the agent whose parameters it starts from, {"path", "step", "crc"}; empty for random ones.
      record_every: steps between films of an episode; None for none.
      log_episodes: how many of each member's episodes, from the first on, `episodes.jsonl` keeps; None for none.
      minutes: of training, over all resumes, after which it ends if `steps` are not reached; None for no limit.
      agent: `r2i` or another, on whose preset the Config was built.
      devices_per_seed: over how many devices each agent is spread; it may be another number after a resume.
      id: no other run's; made when the run starts, whatever it is called and wherever it lies.
      shards: into how many it is divided (`r2i_jit.shards`); 0 if it is trained as a whole.
      shard: of a part of a run: {"number": 3, "count": 8, "rows": its members' places in the whole, "seeds": the
        whole's}; empty for a whole run.
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
    imports: list[str] = dataclasses.field(default_factory=list)
    folder: str = ""
    init_from: dict[str, Any] = dataclasses.field(default_factory=dict)
    record_every: int | None = None
    log_episodes: int | None = None
    agent: str = "r2i"
    minutes: float | None = None
    devices_per_seed: int = 1
    id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    shards: int = 0
    shard: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """The size, and the agent where it is not R2I."""
        return self.size if self.agent == "r2i" else f"{self.agent}, {self.size}"

    @property
    def length(self) -> str:
        """How long each member is trained, in words."""
        steps = "" if self.is_timed else f"{self.steps:,} steps each"
        minutes = f"{self.minutes:g} minutes" if self.minutes else ""
        return " or ".join(filter(None, (steps, minutes)))

    @property
    def is_timed(self) -> bool:
        """Whether nothing but `minutes` ends it."""
        return self.minutes is not None and self.steps == MOST_STEPS

    @property
    def num_seeds(self) -> int:
        """Seeds of each member of a sweep, or of the run; of a shard, those of the whole."""
        return self.shard.get("seeds") or 1 + max(member["seed"] for member in self.members)

    @property
    def rows(self) -> list[int]:
        """The members' places in the whole run."""
        return self.shard.get("rows") or list(range(len(self.members)))

    def to_json(self) -> str:
        """Return the text of run.json."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def source_name(path: Path) -> str:
    """Return how an agent to start from is noted: wherever the run is resumed from, it is the same."""
    return EXAMPLE if is_example(path) else str(path.absolute())


def is_example(path: Path) -> bool:
    """Return whether a path names the agent that comes with the package: not where a run or a file has that name."""
    return str(path) == EXAMPLE and not path.is_file() and not (path / "run.json").is_file()


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
      RunFileError: naming the file and what is wrong with it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunFileError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise RunFileError(f"{path} is damaged: it is no text") from None
    except ValueError as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise RunFileError(f"{path} is damaged: it is no JSON{where}") from None
    except RecursionError:
        raise RunFileError(f"{path} is damaged: it is nested without end") from None
    if not isinstance(found, dict):
        raise RunFileError(f"{path} is damaged: it holds no JSON object")
    return found


def read(path: Path) -> RunInfo:
    """Return what a run.json says.

    Raises:
      RunFileError: naming the file, and the key that is missing, unknown or of another type than it should be.
    """
    found = read_object(path)
    fields = {field.name: field for field in dataclasses.fields(RunInfo)}
    needed = {name for name, field in fields.items() if _is_needed(field)}
    for name in sorted(needed - found.keys()):
        raise RunFileError(f"{path}: key {name!r} is missing")
    for name in sorted(found.keys() - fields.keys()):
        raise RunFileError(f"{path}: unknown key {name!r}")
    checks = {
        "kind": (found["kind"] in KINDS, f"one of {', '.join(KINDS)}"),
        "suite": (isinstance(found["suite"], str), "a text"),
        "size": (isinstance(found["size"], str), "a text"),
        "seed": (_whole(found["seed"], 0, 2**32 - 1), "a whole number from 0 to 4294967295"),
        "members": (
            are_members(found["members"]),
            'a list such as [{"seed": 0}], in a sweep with hypers.* numbers, of settings with their env',
        ),
        "steps": (_whole(found["steps"], 1, _MOST), f"a whole number from 1 to {_MOST}"),
        "eval_every": (_whole(found["eval_every"], 1, _MOST), f"a whole number from 1 to {_MOST}"),
        "created": (_number(found["created"]), "a number of seconds"),
        "versions": (_is_map_of_texts(found["versions"]), "an object of texts"),
        "imports": (_are_texts(found.get("imports", [])), "a list of texts"),
        "folder": (isinstance(found.get("folder", ""), str), "a text"),
        "init_from": (_is_source(found.get("init_from", {})), "an object of path, step and crc, or an empty one"),
        "record_every": (
            found.get("record_every") is None or _whole(found["record_every"], 1, _MOST),
            f"a whole number from 1 to {_MOST}, or null",
        ),
        "log_episodes": (
            found.get("log_episodes") is None or _whole(found["log_episodes"], 1, _MOST),
            f"a whole number from 1 to {_MOST}, or null",
        ),
        "agent": (isinstance(found.get("agent", ""), str), "a text"),
        "minutes": (
            found.get("minutes") is None or (_number(found["minutes"]) and found["minutes"] > 0),
            "a number above 0, or null",
        ),
        "devices_per_seed": (_whole(found.get("devices_per_seed", 1), 1, 4096), "a whole number of at least 1"),
        "id": (isinstance(found.get("id", ""), str), "a text"),
        "shards": (_whole(found.get("shards", 0), 0, 4096), "a whole number from 0 to 4096"),
        "shard": (
            _is_shard(found.get("shard", {}), found["members"]),
            "an object of number, count, rows and seeds that fits the members, or an empty one",
        ),
    }
    for name, (sound, wanted) in checks.items():
        if not sound:
            shown = json.dumps(found[name])
            raise RunFileError(f"{path}: key {name!r} is {shown[:60]}{'…' * (len(shown) > 60)}: expected {wanted}")
    return RunInfo(**found)


def versions(config: "Config") -> dict[str, str]:
    """Return what bit-exactness depends on besides the config: the machine's part, and packages that it names."""
    import jax
    import jaxlib

    setting = lambda name: getattr(jax.config, name)
    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "device": jax.devices()[0].device_kind,
        "devices": str(len(jax.devices())),
        "cores": str(machine.cores()),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "prng": setting("jax_default_prng_impl") + ("" if setting("jax_threefry_partitionable") else ", unpartitioned"),
        "x64": str(setting("jax_enable_x64")).lower(),
        "matmul_precision": str(setting("jax_default_matmul_precision") or "default"),
        **{name: _version(name) for name in _packages(config)},
    }


def _packages(config: "Config") -> list[str]:
    """Return the distributions that a config's numbers are made by, beside JAX."""
    from r2i_jit.config import MEMAX

    suite = config.env.partition("/")[0]
    return ["flax", "optax", *_OF_SUITES.get(suite, ()), *(["memax"] if config.model.sequence in MEMAX else [])]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # it was put on the path by hand
        return ""


def warn_versions(then: dict[str, str], now: dict[str, str]) -> None:
    """Say what differs from what a run was started with, or last resumed; the result is then not bit-exact."""
    known = {name: old for name, old in then.items() if name in now}  # a run of before may lack some
    changed = [f"{name} {old or 'unset'} -> {now[name] or 'unset'}" for name, old in known.items() if old != now[name]]
    if changed:
        note(f"resuming under other conditions, so not bit-exact: {'; '.join(changed)}")


def _is_needed(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def are_members(value: Any) -> bool:
    """Return whether a value is a list of members: what identifies each row of a run's state, no two alike."""
    if not isinstance(value, list) or not value or not all(isinstance(member, dict) for member in value):
        return False
    from r2i_jit.config import Hypers
    from r2i_jit.metrics_file import ENV, is_member_env

    names = {f"hypers.{field.name}" for field in dataclasses.fields(Hypers)}
    keys = value[0].keys()
    for member in value:
        swept = member.keys() - {"seed", ENV}
        if ENV in member and not is_member_env(member[ENV]):
            return False
        if member.keys() != keys or not swept <= names or not all(_number(member[name]) for name in swept):
            return False
        if not _whole(member.get("seed"), 0, 4095):
            return False
    return len({json.dumps(member, sort_keys=True) for member in value}) == len(value)


def _is_source(value: Any) -> bool:
    if value == {}:
        return True
    kinds = {"path": str, "step": int, "crc": int}
    return isinstance(value, dict) and {name: type(part) for name, part in value.items()} == kinds


def _is_shard(value: Any, members: list[Any]) -> bool:
    if value == {}:
        return True
    if not isinstance(value, dict) or value.keys() != {"number", "count", "rows", "seeds"}:
        return False
    rows, count, seeds = value["rows"], value["count"], value["seeds"]
    if not _whole(count, 1, 4096) or not _whole(value["number"], 0, count - 1) or not _whole(seeds, 1, 4096):
        return False
    sound = isinstance(rows, list) and all(_whole(row, 0, 2**31 - 1) for row in rows)
    return sound and len(rows) == len(set(rows)) == len(members)


def _is_map_of_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
