"""Start or resume a run: the command line resolved, checked against what is on the disk, and handed to the loop.

Nothing is created on disk before everything that the user typed has been found right. `train` and `sweep` share this,
and `search` makes its Trainer here.
"""

import dataclasses
import importlib.util
import os
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from experiments.running import cli, signals, startup

MembersOf = Callable[[Any, int], list[dict[str, Any]]]
Filmer = Callable[[Any, Any], Callable[[Any, int, Any, Path], None]]


def start(
    args: Any, stop: signals.StopSignal, kind: str, members_of: MembersOf, filmer: Filmer
) -> tuple[int, Path, Any]:
    """Start or resume the run that the command line asks for.

    Args:
      args: the parsed options of `cli.add_run_arguments`.
      stop: says when to stop.
      kind: `train` or `sweep`.
      members_of: (config, number of seeds) -> the identity of each row of the state.
      filmer: (trainer, RunInfo) -> what draws an episode, for --record-every.

    Returns:
      The exit code, the run directory and the final evaluation (None if stopped by a signal).
    """
    from experiments.running import distributed

    meet = lambda: distributed.begin(args.distributed, stop)
    startup.prepare(all_cores=True, meet=meet if args.distributed else None)
    from experiments.running import importing

    importing.prepare(args.imports)
    lead = lambda: _start(args, stop, kind, members_of, filmer)
    return lead() if args.distributed is None else distributed.run(lead, _rows, stop)


def _start(
    args: Any, stop: signals.StopSignal, kind: str, members_of: MembersOf, filmer: Filmer
) -> tuple[int, Path, Any]:
    """As `start`, in the first process of a run, or its only one."""
    from experiments.running import distributed, films, loop, rundir, sharding
    from r2i_jit import schedule

    wandb = importlib.util.find_spec("wandb")
    if args.wandb and (wandb is None or wandb.origin is None):  # without an origin it is a folder of wandb's logs
        cli.fail("--wandb needs an extra package; install it with: pip install 'r2i-jit[wandb]'")
    of_whole = sharding.check(args, kind)
    args = sharding.own(args)
    resumed = _to_resume(args, kind)
    if resumed is not None:
        path, config, info = resumed
        if info.shards:
            return _each_shard(path, info, args, stop, kind, members_of, filmer)
        _refuse_other_members(path, info, args, config, members_of)
        trainer = _trainer(config, args, info, new=False)
    else:
        if args.shard:
            trainer, info = _new_shard(args, kind, members_of, of_whole)
        else:
            trainer, info = _new_run(args, kind, members_of)
        config = trainer.config
        path = args.run_dir or rundir.new_path(config.env, info.size, kind, info.agent)
        _refuse_begun(path, args)
        rundir.claim(path)
    keys, hypers = _rows(config, info)
    with rundir.lock(path):
        if resumed is None:
            _refuse_begun(path, args)
            rundir.refuse_occupied(path)  # again, now that nobody else can fill it
            rundir.write(path, config, info)  # of a resumed one the loop does so, when its state is found to fit
        if info.shard:
            sharding.lengthen(path.parent, info)
        cli.note(f"{config.env} ({info.label}), {_count(info.members)}, {info.length} -> {path}")
        if info.steps <= trainer.prefill_steps:
            least = schedule.least_prefill(config)
            fewer = f" or --set replay.prefill={least}" if least < trainer.prefill_steps else ""
            cli.note(
                f"nothing will be learned in {info.steps:,} steps: the first {trainer.prefill_steps:,} are random play"
                f"{'' if fewer else ', which make one batch'}; give more --steps{fewer}"
            )
        if info.steps < trainer.steps_per_chunk:
            cli.note(
                f"a chunk is {trainer.steps_per_chunk:,} steps, after which it ends; loop.chunk_updates makes it less"
            )
        if (longest := trainer.settings.longest or 0) > info.steps:
            cli.note(
                f"an episode takes up to {longest:,} steps, more than the whole run: it may see no end of one, and "
                "every evaluation plays whole ones"
            )
        trainer = distributed.leading(trainer, config, info)
        filming = films.Films(info.record_every, lambda: filmer(trainer, info), path / "plots")
        code, result = loop.execute(trainer, config, info, path, stop, args, keys, hypers, filming)
    return code, path, result


def _refuse_begun(path: Path, args: Any) -> None:
    """Exit 6 if a run that was to be begun by --resume is there by now: it was looked for a while ago."""
    from experiments.running import rundir

    if args.resume and rundir.is_run(path):
        cli.fail(f"another process has just begun {path}; the same command goes on with it", cli.LOCKED)


def _each_shard(
    path: Path, info: Any, args: Any, stop: signals.StopSignal, kind: str, members_of: MembersOf, filmer: Filmer
) -> tuple[int, Path, Any]:
    """Go on with every shard of a run that is not over, one after another; returned is what `start` does.

    One that fails is named, and the rest go on.
    """
    from experiments.running import evaluation, folders, recorded
    from r2i_jit import shards

    failed = 0
    for number in range(info.shards):
        folder = path / shards.name(number, info.shards)
        if folders.is_over(recorded.evaluated(folder), folders.log(folder), info.steps, info.minutes):
            continue
        try:
            own = Namespace(**{**vars(args), "run_dir": path, "shard": (number, info.shards)})
            code = _start(own, stop, kind, members_of, filmer)[0]
        except SystemExit as error:
            failed = code = error.code if isinstance(error.code, int) else 1
            cli.note(f"{folder}: failed (exit {code})")
        if stop.number is not None:
            return code, path, None
    result = recorded.evaluated(path)
    if result is not None and not failed:
        print(evaluation.report(result["env"], result), flush=True)
    return failed, path, None if failed else result


def _count(members: list[dict[str, Any]]) -> str:
    """Return how many agents there are, in words."""
    settings = {member.get("env") for member in members}
    each = len(members) // len(settings)
    if len(settings) == 1:
        return f"{each} seed{'s' if each > 1 else ''}"
    return f"{len(settings)} settings, {each} agent{'s' if each > 1 else ''} of each"


def _members(members_of: MembersOf, config: Any, seeds: int) -> list[dict[str, Any]]:
    """Return the identity of each row of the state: those of `members_of`, for each setting of the environment."""
    from envs import registry

    ids = registry.settings(config.env)
    own = members_of(config, seeds)
    return own if len(ids) == 1 else [{"env": env_id, **member} for env_id in ids for member in own]


def _new_run(args: Any, kind: str, members_of: MembersOf) -> tuple[Any, Any]:
    """Return the Trainer and RunInfo of a run that starts now."""
    from experiments.running import initial

    config, info = _asked(args, kind, members_of)
    trainer = _trainer(config, args, info, new=True)
    return trainer, initial.noted(info, args.init_from, trainer)


def _new_shard(args: Any, kind: str, members_of: MembersOf, there: tuple[Any, Any] | None) -> tuple[Any, Any]:
    """Return the Trainer and RunInfo of a part of a run.

    What the whole run is comes from `there`, its Config and RunInfo; if that is None, it is written now.
    """
    from experiments.running import initial, sharding

    path, (number, count) = args.run_dir.parent, args.shard
    if there is not None:
        config, whole = there
        _refuse_other_members(path, whole, args, config, members_of)
    else:
        config, whole = _asked(args, kind, members_of)
        whole = dataclasses.replace(whole, shards=count)
    trainer = _trainer(config, args, sharding.part(whole, number), new=there is None)
    if there is None:
        config, whole = sharding.found(path, trainer.config, initial.noted(whole, args.init_from, trainer))
    info = sharding.part(whole, number)
    if config != trainer.config:  # another part was first, on a machine with another memory
        trainer = _trainer(config, args, info, new=False)
    return trainer, dataclasses.replace(
        info, steps=max(info.steps, args.steps or 0), minutes=args.minutes or info.minutes
    )


def _asked(args: Any, kind: str, members_of: MembersOf) -> tuple[Any, Any]:
    """Return the Config and RunInfo that the command line asks for."""
    from experiments.presets import default_steps, suite_of
    from experiments.running import asking, runinfo

    size = asking.resolved_size(args.size)
    config = asking.asked_config(args, size, args.env)
    usual = default_steps(config, size)
    if usual > cli.MOST_STEPS and not (args.steps or args.minutes):
        cli.fail(f"a full run of {config.env} has {usual:,} steps, more than {cli.MOST_STEPS:,}: give --steps")
    usual = min(usual, cli.MOST_STEPS)
    steps = args.steps or (cli.MOST_STEPS if args.minutes else usual)
    eval_every = args.eval_every or max(1, (args.steps or usual) // 20)
    members = _members(members_of, config, args.seeds or 1)
    versions = runinfo.versions(config)
    return config, runinfo.RunInfo(
        kind, suite_of(config.env) or "", size, args.seed or 0, members, steps, eval_every, time.time(), versions,
        imports=args.imports, folder=os.getcwd(), record_every=args.record_every or None,
        log_episodes=args.log_episodes, agent=args.agent or "r2i", minutes=args.minutes,
        devices_per_seed=args.devices_per_seed or 1,
    )  # fmt: skip


def _to_resume(args: Any, kind: str) -> tuple[Path, Any, Any] | None:
    """Return the run to go on with, checked against the command line; None if a new one is to start."""
    from experiments.running import asking, folders, rundir, runinfo

    if args.run_dir is not None and not args.resume and args.run_dir.exists():
        rundir.refuse_occupied(args.run_dir)
    if not args.resume:
        return None
    if args.run_dir is not None and not rundir.is_run(args.run_dir):
        if args.run_dir.exists():
            rundir.refuse_occupied(args.run_dir)
        cli.note(f"nothing to resume in {args.run_dir}: starting the run there")
        return None
    if args.run_dir is not None:
        rundir.load_playable(args.run_dir)  # What --env names may lie where the run was started.
    if args.run_dir is None or args.suite or args.env:
        # Checks the suite, --env, --size and --set before any run is looked at.
        asked = asking.asked_config(args, asking.resolved_size(args.size), args.env, new=False)
    path = args.run_dir or rundir.newest(asked.env, kind, args.agent)
    saved, info = rundir.load_playable(path)
    trained = lambda: folders.minutes_trained(path)
    rundir.check_resumable(path, args, saved, info, asking.typed_config(args, saved, info), kind, trained)
    devices = args.devices_per_seed or info.devices_per_seed
    spread = {"devices per seed": str(info.devices_per_seed)}, {"devices per seed": str(devices)}
    runinfo.warn_versions(info.versions | spread[0], runinfo.versions(saved) | spread[1])
    steps, eval_every = args.steps or info.steps, args.eval_every or info.eval_every
    record_every = info.record_every if args.record_every is None else args.record_every or None
    minutes = args.minutes or info.minutes
    info = dataclasses.replace(
        info, steps=steps, eval_every=eval_every, record_every=record_every, minutes=minutes, devices_per_seed=devices
    )
    return path, saved, info


def _refuse_other_members(path: Path, info: Any, args: Any, config: Any, members_of: MembersOf) -> None:
    """Exit 2 if a sweep that is there, or its next shard, is asked for with another grid."""
    if getattr(args, "grid", None) and _members(members_of, config, info.num_seeds) != info.members:
        cli.fail(f"{path} was started with another --grid; leave it out to resume, or start a new sweep")


def _trainer(config: Any, args: Any, info: Any, *, new: bool) -> Any:
    """Return the Trainer of a run; see `make_trainer`."""
    tallied = info.log_episodes is not None
    return make_trainer(config, args, len(info.members), tallied=tallied, each=info.devices_per_seed, new=new)


def make_trainer(config: Any, args: Any, num_seeds: int, *, tallied: bool = False, each: int = 1, new: bool) -> Any:
    """Return the Trainer, having traced its state; exit 2 if the config cannot work.

    Args:
      config: the run's.
      args: the command line; read are `assignments` and what `asking.asked_config` reads.
      num_seeds: rows of the state.
      tallied, each: as the Trainer's `tallied` and `devices_per_seed`.
      new: whether the run starts now. Its replay is then made smaller than the config's where that does not fit, unless
        it was set by hand, and what was set by hand may be at fault.
    """
    import jax

    from experiments.running import distributed, memory
    from r2i_jit import Trainer
    from r2i_jit.config import ConfigError

    try:
        trainer = Trainer(config, devices=jax.devices(), devices_per_seed=each, tallied=tallied)
        shapes = trainer.state_shapes(num_seeds)
    except ConfigError as error:
        cli.fail(error)
    except Exception as error:
        if not (new and args.assignments):
            raise
        _blame(args, num_seeds, error)
    distributed.refuse_idle(trainer, num_seeds)
    # On CPU all devices of a process have one memory.
    sharing = jax.process_count() if jax.default_backend() == "cpu" else trainer.devices_for(num_seeds)
    if new and not any(word.startswith("replay.capacity=") for word in args.assignments):
        fitting = memory.fit_replay(config, num_seeds / sharing, trainer.replay_bytes_per_step)
        if fitting != config:
            return make_trainer(fitting, args, num_seeds, tallied=tallied, each=each, new=False)
    memory.refuse_too_large(shapes, num_seeds, sharing, each)
    return trainer


def _blame(args: Any, num_seeds: int, error: Exception) -> NoReturn:
    """Exit 2 naming the assignments without which there is a program; if there is none either, raise `error`."""
    from experiments.running import asking
    from r2i_jit import Trainer

    def works(assignments: list[str]) -> bool:
        try:
            config = asking.config(args.suite, asking.resolved_size(args.size), args.env, assignments, args.agent)
            Trainer(config).state_shapes(num_seeds)
        except Exception:
            return False
        return True

    if not works([]):
        raise error
    words = args.assignments
    single = [word for i, word in enumerate(words) if works(words[:i] + words[i + 1 :])]
    reason = (str(error).strip().splitlines() or [""])[0]
    cli.fail(f"--set {' '.join(single or words)}: no program has these sizes ({type(error).__name__}: {reason[:200]})")


def _rows(config: Any, info: Any) -> tuple[Any, Any]:
    """Return the key of every member and, in a sweep, its Hypers (else None)."""
    import jax
    import numpy as np

    seeds = np.array([member["seed"] for member in info.members])  # of a shard its own, with the keys of the whole
    keys = jax.random.split(jax.random.key(info.seed), info.num_seeds)[seeds]
    ids = [member.get("env") for member in info.members]
    if ids[0] is not None:  # Settings may be the same in all but their number, and are to be other runs then.
        place = {env_id: number for number, env_id in enumerate(dict.fromkeys(ids))}
        keys = jax.vmap(jax.random.fold_in)(keys, np.array([place[env_id] for env_id in ids], np.uint32))
    if info.kind != "sweep":
        return keys, None
    names = [field.name for field in dataclasses.fields(config.hypers)]
    rows = [dataclasses.asdict(config.hypers) | _swept(member) for member in info.members]
    columns = {name: np.array([row[name] for row in rows], np.float32) for name in names}
    return keys, dataclasses.replace(config.hypers, **columns)


def _swept(member: dict[str, Any]) -> dict[str, float]:
    """Return a sweep member's own values by their names in Hypers."""
    return {key.removeprefix("hypers."): value for key, value in member.items() if key.startswith("hypers.")}
