"""Starting from the parameters of an agent that is trained already: `--init-from`.

Noted in run.json is which agent it was. Its parameters are put in place once, before anything is learned; from the
first checkpoint on they are part of the state. Optimisers, the scale of returns and the count of updates start anew,
and with that count the slow critic, which the first update makes a copy of the critic.
"""

import dataclasses
import json
import shlex
import zlib
from operator import attrgetter
from pathlib import Path
from typing import Any

from experiments.running import cli, restoring, rundir, runinfo
from experiments.running.runinfo import RunInfo
from r2i_jit.metrics_file import identity

# What makes an agent another one, whatever its sizes.
_KINDS = {"algorithm": attrgetter("algorithm"), "model.sequence": attrgetter("model.sequence")}


def noted(info: RunInfo, source: Path | None, trainer: Any) -> RunInfo:
    """Return what a new run is, with the agent that it starts from; exit 2 or 3 if there is none that fits it."""
    if source is None:
        return info
    found = restoring.read_agent(source, restoring.NEWEST, 0)
    _refuse_mismatch(source, found, trainer)
    _say_which(source, found)
    note = {"path": runinfo.source_name(source), "step": found.step, "crc": _crc(found.weights)}
    return dataclasses.replace(info, init_from=note)


def weights(info: RunInfo, trainer: Any) -> Any:
    """Return the `Weights` that a run starts from, None for random ones; exit 2 or 3 if they are no longer there."""
    if not info.init_from:
        return None
    source = Path(info.init_from["path"])
    step = restoring.NEWEST if restoring.is_exported(source) else info.init_from["step"]
    found = restoring.read_agent(source, step, 0)
    if _crc(found.weights) != info.init_from["crc"]:
        cli.fail(f"{source} holds another agent than when this run was started from it; start a new run")
    _refuse_mismatch(source, found, trainer)
    return found.weights


def put(weights: Any, state: Any) -> Any:
    """Return a `TrainState` whose every member has these parameters, where those of `state` lie."""
    import jax
    import jax.numpy as jnp

    def placed(new, old):
        whole = jnp.broadcast_to(jnp.array(new), old.shape)
        return jax.device_put(whole, old.sharding) if isinstance(old, jax.Array) else whole

    agent = state.seeds.agent
    parts = {}
    for name in weights._fields:  # what has no parameters may be another empty thing in a file
        old, structure = jax.tree.flatten(getattr(agent, name))
        new = jax.tree.leaves(getattr(weights, name))
        parts[name] = jax.tree.unflatten(structure, [placed(*pair) for pair in zip(new, old, strict=True)])
    return state.replace(seeds=state.seeds.replace(agent=agent._replace(**parts)))


def _say_which(source: Path, found: Any) -> None:
    """Say which agent is taken where there are several."""
    if restoring.is_exported(source):
        return
    count = len(rundir.load(source)[1].members)
    if count > 1:
        export = f"{cli.program('export')} {shlex.quote(str(source))} FILE --member I"
        cli.note(
            f"starting from agent 0 of the {count} in {source}, {identity(found.member)}; for another one: `{export}`, "
            "and --init-from FILE"
        )


def _refuse_mismatch(source: Path, found: Any, trainer: Any) -> None:
    from r2i_jit import trained

    for key, get in _KINDS.items():
        if (has := get(found.config)) != (wanted := get(trainer.config)):
            cli.fail(f"--init-from {source}: it is another kind of agent: {key} is {has}, and this run's {wanted}")
    if (difference := trained.mismatch(found.weights, trainer.agent)) is not None:
        cli.fail(f"--init-from {source}: its sizes are not this run's: {difference}")


def _crc(weights: Any) -> int:
    from r2i_jit import checkpoint_files, trained

    described = {name: checkpoint_files.describe(leaf) for name, leaf in trained.named(weights).items()}
    return zlib.crc32(json.dumps(described, sort_keys=True).encode())
