"""A trained agent by itself: its weights, what it sees and does, and where it comes from; read from a run or one file.

The file is one of `safetensors`: the arrays by their names, and a JSON text beside them with the configuration, the
description of observations and actions, and a checksum of every array. Nothing is ever unpickled, and nothing of the
environment is needed to read one.
"""

import dataclasses
import importlib
import json
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors
import safetensors.numpy

from envs import faults, registry
from r2i_jit import checkpoint_files as files
from r2i_jit import description, shards, whole_files
from r2i_jit.agent import Agent, AgentState
from r2i_jit.checkpoint import CheckpointError, Checkpoints
from r2i_jit.config import Config, ConfigError, differences
from r2i_jit.description import Description

EXAMPLE = "example"
LATEST, BEST = "latest", "best"
FORMAT = 1
_SHIPPED = Path(__file__).parent / "agents" / "repeat_previous_easy.safetensors"
_TEXT, _SUM = "r2i_jit_agent", "crc"  # keys of the file's metadata
_NEEDED: dict[str, Any] = {"config": dict, "members": list}


class LoadError(ValueError):
    """A trained agent that cannot be read; the message is one line that says what is wrong."""


class Weights(NamedTuple):
    """What an agent has learned: nested dictionaries of float32 arrays."""

    model: Any
    actor: Any
    critic: Any
    slow_critic: Any


@dataclasses.dataclass(frozen=True)
class Trained:
    """One trained agent.

    Attributes:
      config: of its run; a member of a sweep has its own hyper-parameters in it.
      description: what it sees and does.
      weights: on the host.
      step: environment steps that it was trained for.
      member: which one of its run it is, such as {"seed": 0}.
      returns: what was measured of it at the end of its run: mean, stderr, episodes. None where nothing was.
      versions: what its run ran on.
    """

    config: Config
    description: Description
    weights: Weights
    step: int
    member: dict[str, Any]
    returns: dict[str, Any] | None
    versions: dict[str, str]


def read(source: str | os.PathLike[str], step: int | str = LATEST, member: int = 0) -> Trained:
    """Read a trained agent, changing nothing on the disk.

    Args:
      source: a run directory, a file that `write` wrote, or "example", the agent that comes with this package.
      step: of a run directory, which checkpoint: environment steps, "best" or "latest".
      member: of a run directory, which of its agents.

    Raises:
      LoadError: if there is no such agent, or it does not read.
    """
    path = located(source)
    if path.is_dir():
        return _of_run(path, step, member)
    if step != LATEST or member != 0:
        raise LoadError(f"{path} is one agent: step and member are of run directories")
    return _of_file(path)


def located(source: str | os.PathLike[str]) -> Path:
    """Return where an agent lies; a run or a file called "example" comes before the one of this package.

    Raises:
      LoadError: if there is nothing of that name.
    """
    path = Path(source)
    try:
        if str(source) == EXAMPLE and not path.is_file() and not (path / "run.json").is_file():
            return _SHIPPED
        there = path.exists()
    except (OSError, ValueError) as error:
        raise LoadError(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not there:
        raise LoadError(f"{path} does not exist; give a run directory, a file of `export`, or {EXAMPLE!r}")
    return path


def as_state(weights: Weights) -> AgentState:
    """Return weights where acting and predicting look for them, with nothing that only learning needs."""
    return AgentState(*weights, model_opt=(), actor_opt=(), critic_opt=(), return_norm=(), updates=())  # type: ignore[arg-type]


def named(weights: Weights) -> dict[str, np.ndarray]:
    """Return the arrays by their names, such as `actor/Dense_0/kernel`."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(weights)}


def mismatch(weights: Weights, agent: Agent) -> str | None:
    """Return what tells weights from those of an agent of other sizes, None if nothing does: names, shapes, dtypes."""
    found, wanted = named(weights), named(_shapes(agent))
    for name in sorted(found.keys() | wanted.keys()):
        if name not in found:
            return f"{name} is missing; it should be {_shown(wanted[name])}"
        if name not in wanted:
            return f"{name} {_shown(found[name])} is of no use here"
        if (found[name].shape, found[name].dtype) != (wanted[name].shape, wanted[name].dtype):
            return f"{name} is {_shown(found[name])}; it should be {_shown(wanted[name])}"
    return None


def write(path: Path, trained: Trained) -> int:
    """Write a trained agent into one file, whole or not at all, and return its size in bytes.

    Raises:
      OSError: if that fails.
    """
    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in named(trained.weights).items()}
    document = {
        "format": FORMAT,
        "package": files.package_version(),
        "config": trained.config.to_dict(),
        **trained.description.to_json(),
        "step": trained.step,
        "member": trained.member,
        "returns": trained.returns,
        "versions": trained.versions,
        "arrays": {name: files.describe(leaf) for name, leaf in arrays.items()},
    }
    text = json.dumps(document)
    data = safetensors.numpy.save(arrays, {_TEXT: text, _SUM: str(zlib.crc32(text.encode()))})
    whole_files.replace(path, data)
    return len(data)


# A file ---------------------------------------------------------------------------------------------------------------


def _of_file(path: Path) -> Trained:
    document, arrays = _contents(path)
    if document.get("format") != FORMAT:
        raise LoadError(f"{path} has format {document.get('format')!r}; this package reads format {FORMAT}")
    try:
        described = document["arrays"]
        for name in sorted(described.keys() | arrays.keys()):
            if name not in arrays or name not in described or files.describe(arrays[name]) != described[name]:
                raise LoadError(f"{path} is damaged: the checksum of {name} differs")
        config = Config.from_dict(document["config"])
        known = Description.from_json(document)
        found = Trained(
            config,
            known,
            _nested(arrays),
            int(document["step"]),
            dict(document["member"]),
            document["returns"],
            dict(document["versions"]),
        )
        agent = description.build_agent(config, known)
        difference = mismatch(found.weights, agent)
    except LoadError:
        raise
    except Exception as error:  # what any part of a document does that is none
        raise LoadError(f"{path} describes no agent of this package: {_line(error)}") from error
    if difference is not None:
        raise LoadError(f"{path} holds another agent than it describes: {difference}")
    return found


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the document and the arrays of a file."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            beside = file.metadata() or {}
            if _TEXT not in beside:
                raise LoadError(f"{path} is no agent that `export` wrote")
            if str(zlib.crc32(beside[_TEXT].encode())) != beside.get(_SUM):
                raise LoadError(f"{path} is damaged: the checksum of its description differs")
            return json.loads(beside[_TEXT]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except LoadError:
        raise
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or _line(error)}") from error
    except Exception as error:
        raise LoadError(f"{path} is damaged, or no agent that `export` wrote: {_line(error)}") from error


def _nested(arrays: dict[str, np.ndarray]) -> Weights:
    found: dict[str, Any] = {name: {} for name in Weights._fields}
    for name, leaf in arrays.items():
        *folders, last = name.split("/")
        place = found
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = leaf
    return Weights(**found)


# A run directory ------------------------------------------------------------------------------------------------------


def _of_run(folder: Path, step: int | str, member: int) -> Trained:
    from r2i_jit.trainer import Trainer

    if not (folder / "run.json").is_file():
        raise LoadError(f"{folder} is no run directory (it has no run.json)")
    try:
        folder, member = shards.of_member(folder, member)
    except LookupError as error:
        raise LoadError(str(error)) from None
    try:
        config = Config.from_dict(_object(folder / "config.json"))
        _import_environment(folder)
        trainer = Trainer(config)
    except ConfigError as error:
        raise LoadError(f"{folder / 'config.json'}: {_line(error)}") from error
    one = jax.eval_shape(lambda key: trainer.agent.init(key, config.hypers), jax.random.key(0))

    def shapes(metadata: dict[str, Any]) -> Any:
        _refuse_edited(folder, config, metadata)
        _check_member(folder, member, metadata["members"])
        rows = len(metadata["members"])
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape), leaf.dtype), one)

    try:
        with Checkpoints(folder / "checkpoints", read_only=True, needed=_NEEDED) as checkpoints:
            found = checkpoints.restore_part(".seeds.agent", shapes, _chosen(folder, checkpoints, step))
    except CheckpointError as error:
        raise LoadError(_line(error)) from error
    if found is None:
        raise LoadError(f"{folder} has no checkpoint yet") from CheckpointError()
    agent, who = found.state, found.metadata["members"][member]
    weights = Weights(agent.model, agent.actor, agent.critic, agent.slow_critic)
    return Trained(
        _own_config(config, who, trainer),
        description.of_trainer(trainer),
        jax.tree.map(lambda leaf: np.array(leaf[member]), weights),
        found.step,
        who,
        _measured(folder / "evaluation.json", found.step, member, who),
        found.metadata.get("versions", {}),
    )


def _import_environment(folder: Path) -> None:
    """Import what the run's environment comes from, found as when the run was started."""
    info = _object(folder / "run.json")
    registry.look_in(os.getcwd(), str(info.get("folder") or ""))
    for name in info.get("imports") or ():
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise LoadError(f"{folder}: its run imported {name}, which raises {faults.described(error)}") from error


def _chosen(folder: Path, checkpoints: Checkpoints, step: int | str) -> int | None:
    """Return the step asked for, None for the newest sound one."""
    if step == LATEST:
        return None
    if step != BEST and (not isinstance(step, int | np.integer) or isinstance(step, bool)):
        raise LoadError(f"step={step!r}: expected {LATEST!r}, {BEST!r} or a whole number of environment steps")
    steps = checkpoints.steps()
    held = f"it has steps {', '.join(map(str, steps))}" if steps else "it has none that can be read"
    chosen = checkpoints.best_step() if step == BEST else step
    if chosen is None:
        raise LoadError(f"{folder} has no evaluated checkpoint yet; {held}") from CheckpointError()
    if chosen not in steps:
        raise LoadError(f"{folder} has no checkpoint at step {chosen}; {held}")
    return int(chosen)


def _refuse_edited(folder: Path, config: Config, metadata: dict[str, Any]) -> None:
    try:
        changed = differences(Config.from_dict(metadata["config"]), config)
    except ConfigError as error:
        changed = [f"the checkpoint's has {error}"]
    if changed:
        raise LoadError(f"{folder / 'config.json'} was edited since the checkpoint was saved ({'; '.join(changed)})")


def _check_member(folder: Path, member: int, members: list[dict[str, Any]]) -> None:
    if not isinstance(member, int | np.integer) or isinstance(member, bool) or not 0 <= member < len(members):
        raise LoadError(f"member={member!r}: {folder} has agents 0 to {len(members) - 1}")


def _own_config(config: Config, member: dict[str, Any], trainer: Any) -> Config:
    """Return a config with a member's own environment and hyper-parameters."""
    own = {name.removeprefix("hypers."): value for name, value in member.items() if name.startswith("hypers.")}
    if "env" in member:
        scales = trainer.settings.reward_scales
        factor = scales[trainer.settings.number(member["env"])] / scales[trainer.settings.default]
        own["reward_scale"] = own.get("reward_scale", config.hypers.reward_scale) * factor
    return dataclasses.replace(config, env=member.get("env", config.env), hypers=config.hypers.replace(**own))


def _measured(path: Path, step: int, member: int, who: dict[str, Any]) -> dict[str, Any] | None:
    """Return what an evaluation.json says of one agent at this step, None if it does not."""
    try:
        found = _object(path)
        row = found["members"][member]
        if found["env_steps"] != step or any(row.get(name) != value for name, value in who.items()):
            return None
        return {"mean": float(row["mean"]), "stderr": row["stderr"], "episodes": int(found["episodes"])}
    except (LoadError, KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None


def _object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise LoadError(f"{path} is damaged: it is no JSON") from None
    if not isinstance(found, dict):
        raise LoadError(f"{path} is damaged: it holds no JSON object")
    return found


# ----------------------------------------------------------------------------------------------------------------------


def _shapes(agent: Agent) -> Weights:
    state = jax.eval_shape(lambda key: agent.init(key, agent.config.hypers), jax.random.key(0))
    return Weights(state.model, state.actor, state.critic, state.slow_critic)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _shown(leaf: Any) -> str:
    return f"{leaf.dtype} {tuple(leaf.shape)}"


def _line(error: BaseException) -> str:
    """Return an error's text in one line."""
    return " ".join((str(error) or type(error).__name__).split())[:300]
