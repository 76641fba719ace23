"""A run that several processes train, each a part of its members: `--shard I/N`.

The first of them to begin writes what the whole run is, and the others take that and train their part of it; nothing
else is shared (`r2i_jit.shards`).
"""

import contextlib
import dataclasses
import time
from argparse import Namespace
from pathlib import Path

from experiments.running import asking, cli, folders, rundir
from experiments.running.runinfo import RunInfo
from r2i_jit import shards, whole_files
from r2i_jit.config import Config


def own(args: Namespace) -> Namespace:
    """Return a command line with the run directory of its own shard, if it asks for one."""
    if args.shard is None:
        return args
    return Namespace(**{**vars(args), "run_dir": args.run_dir / shards.name(*args.shard)})


def part(whole: RunInfo, number: int) -> RunInfo:
    """Return what one shard of a run is; exit 2 if there is nothing in it."""
    settings = len({member.get("env") for member in whole.members})
    each = range(len(whole.members) // settings)  # of each setting every shard has a part
    own = shards.share(each, number, whole.shards)
    if not own:
        cli.fail(
            f"--shard {number}/{whole.shards}: there are {len(each)} agents to share out, so at most as many shards"
        )
    rows = [place * len(each) + row for place in range(settings) for row in own]
    return dataclasses.replace(
        whole,
        members=[whole.members[row] for row in rows],
        shards=0,
        shard={"number": number, "count": whole.shards, "rows": rows, "seeds": whole.num_seeds},
        created=time.time(),
        id=f"{whole.id}-{number}",
    )


def check(args: Namespace, kind: str) -> tuple[Config, RunInfo] | None:
    """Return what the whole run is that the command line asks for a shard of, None if it asks for none or the first.

    Exits with 2 if the folder holds something else, or the command line asks for another run.
    """
    if args.shard is None:
        return None
    path, (number, count) = args.run_dir, args.shard
    if not rundir.is_run(path):
        if path.exists():
            rundir.refuse_occupied(path)
        return None
    saved, whole = rundir.load_playable(path)
    if whole.shards != count:
        has = f"is in {whole.shards} shards" if whole.shards else "is trained as a whole"
        cli.fail(f"--shard {number}/{count}: the run in {path} {has}")
    trained = lambda: folders.minutes_trained(path)
    rundir.check_resumable(path, args, saved, whole, asking.typed_config(args, saved, whole), kind, trained)
    return saved, whole


def found(path: Path, config: Config, whole: RunInfo) -> tuple[Config, RunInfo]:
    """Write what a run in shards is into its folder, unless another shard was first, and return what is there.

    Exits with 2 or 4 if that fails.
    """
    rundir.make(path)
    _write_once(path / "config.json", config.to_json())
    _write_once(path / "run.json", whole.to_json())
    return rundir.load(path)


def _write_once(path: Path, text: str) -> None:
    """Write a file whole, unless it is there."""
    try:
        with contextlib.suppress(FileExistsError):
            whole_files.create(path, text.encode())
    except OSError as error:
        cli.fail(f"cannot write {path}: {error.strerror or error}", cli.SAVE_FAILED)


def lengthen(path: Path, info: RunInfo) -> None:
    """Note in the whole run that it is to be as long as this part of it, if that is longer."""
    _, whole = rundir.load(path)
    minutes = max(whole.minutes, info.minutes) if whole.minutes and info.minutes else None
    longer = dataclasses.replace(whole, steps=max(whole.steps, info.steps), minutes=minutes)
    rundir.renew(path, longer, many=True)
