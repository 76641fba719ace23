"""What a search was started with: `search.json`, and whether the command line asks for the same."""

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

from experiments.running import asking, cli, runinfo
from experiments.running.rundir import replace_text
from experiments.running.runinfo import RunFileError
from experiments.searching import space
from experiments.searching.rounds import Plan
from experiments.searching.space import Param
from r2i_jit.config import Config, ConfigError, differences
from r2i_jit.schedule import schedule

FILE = "search.json"
DEFAULTS: dict[str, Any] = {"trials": 64, "batch": 16, "seeds": 1, "seed": 0, "rounds": 3, "halve": 2, "sampler": "tpe"}
MOST = {"trials": 10**6, "batch": 4096, "seeds": 4096, "seed": 2**32 - 1, "rounds": 20, "halve": 64, "steps": 2 * 10**9}


@dataclasses.dataclass(frozen=True)
class Settings:
    """A search besides its journal and its states.

    Attributes:
      suite: of the environment; empty if it is in none.
      config: the resolved Config, whose searched values count for nothing.
      params: what is searched.
      steps: environment steps per seed in the last round.
      assignments: what was typed by `--set`.
      folder: where it was started: modules are looked for there, too.
      versions: what bit-exactness depends on.
    """

    suite: str
    size: str
    agent: str
    config: dict[str, Any]
    params: list[Param]
    trials: int
    batch: int
    seeds: int
    seed: int
    steps: int
    rounds: int
    halve: int
    sampler: str
    assignments: list[str]
    imports: list[str]
    folder: str
    versions: dict[str, str]

    @property
    def plan(self) -> Plan:
        """The batches and rounds."""
        return Plan(self.trials, self.batch, self.rounds, self.halve)

    @property
    def label(self) -> str:
        """The size, and the agent where it is not R2I."""
        return self.size if self.agent == "r2i" else f"{self.agent}, {self.size}"


def new(args: Any, size: str, config: Config, suite: str, steps: int) -> Settings:
    """Return the settings of a search that starts now; exit 2 if what is searched is wrong."""
    params = space.parse(args.param, config)
    space.refuse_set(params, args.assignments)
    own = {name: default if getattr(args, name) is None else getattr(args, name) for name, default in DEFAULTS.items()}
    return Settings(
        suite=suite, size=size, agent=args.agent or "r2i", config=config.to_dict(), params=params, steps=steps,
        assignments=list(args.assignments), imports=list(args.imports), folder=os.getcwd(),
        versions=runinfo.versions(config), **{**own, "batch": min(own["batch"], own["trials"])},
    )  # fmt: skip


def short_replay(config: Config, steps: int, assignments: list[str]) -> Config:
    """Return the config with a replay no larger than what `steps` fill, which changes no number; not if it was typed.

    Every row has one, and every state on the disk.
    """
    if config.algorithm == "ppo" or any(word.startswith("replay.capacity=") for word in assignments):
        return config
    plan = schedule(config)
    envs = config.loop.num_envs
    chunk = plan.turns * plan.turn_steps * envs
    enough = max(steps, plan.prefill_turns * plan.turn_steps * envs) + chunk
    enough = max(enough, config.replay.sequence_length * envs)
    if enough >= config.replay.capacity:
        return config
    return dataclasses.replace(config, replay=dataclasses.replace(config.replay, capacity=enough))


def write(path: Path, settings: Settings) -> None:
    """Write search.json into a folder, whole or not at all; exit 4 if that fails."""
    values = dataclasses.asdict(settings) | {"params": [param._asdict() for param in settings.params]}
    replace_text(path / FILE, json.dumps(values, indent=2) + "\n")


def read(path: Path) -> tuple[Settings, Config]:
    """Return what the search.json of a folder says; exit 2 if it does not read."""
    file = path / FILE
    try:
        found = runinfo.read_object(file)
        fields = {field.name: field.type for field in dataclasses.fields(Settings)}
        for name in sorted(fields.keys() ^ found.keys()):
            raise RunFileError(f"{file}: {'unknown' if name in found else 'missing'} key {name!r}")
        for name in sorted(fields):
            if not _fits(name, found[name]):
                raise RunFileError(f"{file}: key {name!r} is {json.dumps(found[name])[:60]}, which it cannot be")
        config = Config.from_dict(found["config"])
        return Settings(**{**found, "params": [Param(**param) for param in found["params"]]}), config
    except ConfigError as error:
        cli.fail(f"{file}: {error}")
    except RunFileError as error:
        cli.fail(error)


def _fits(name: str, value: Any) -> bool:
    if name in MOST:
        low = {"seed": 0, "halve": 2}.get(name, 1)
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= MOST[name]
    if name in ("assignments", "imports"):
        return isinstance(value, list) and all(isinstance(word, str) for word in value)
    if name == "versions":
        return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    if name == "params":
        return isinstance(value, list) and bool(value) and all(map(_is_param, value))
    return isinstance(value, dict if name == "config" else str)


def _is_param(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != set(Param._fields) or not isinstance(value["log"], bool):
        return False
    numbers = [value["low"], value["high"]]
    sound = all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
    return isinstance(value["key"], str) and sound and value["low"] < value["high"]


def refuse_others(path: Path, args: Any, settings: Settings, config: Config) -> None:
    """Exit 2 naming what the command line asks for otherwise than the search in the folder was started with."""
    info: Any = settings  # its suite is read, as of a run
    changed = differences(config, asking.typed_config(args, config, info))
    typed = [name for name in (*DEFAULTS, "steps") if getattr(args, name) is not None]
    if args.size not in (None, "auto", settings.size):
        changed.append(f"size: {settings.size} -> {args.size}")
    if args.agent not in (None, settings.agent):
        changed.append(f"agent: {settings.agent} -> {args.agent}")
    for name in typed:
        old, asked = getattr(settings, name), getattr(args, name)
        asked = min(asked, settings.trials) if name == "batch" else asked
        if asked != old:
            changed.append(f"{name}: {old} -> {asked}")
    if args.param:
        params = space.parse(args.param, config)
        if sorted(params) != sorted(settings.params):
            changed.append(f"param: {' '.join(map(str, settings.params))} -> {' '.join(map(str, params))}")
    if changed:
        cli.fail(f"{path} was started otherwise ({'; '.join(changed)}); choose another --out-dir")
