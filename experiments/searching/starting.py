"""Start a search, or go on with the one in its folder: everything typed is found right before anything is created."""

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

from envs import registry
from experiments.running import asking, cli, importing, rundir, runinfo, starting
from experiments.running.signals import StopSignal
from experiments.running.waiting import Stopped
from experiments.searching import report, rounds, samplers, settings
from experiments.searching.journal import Journal
from experiments.searching.settings import Settings
from experiments.searching.training import Search, run
from r2i_jit.checkpoint import CheckpointError, CheckpointNotFinite, CheckpointSaveError
from r2i_jit.config import Config

JOURNAL = "journal.log"
_OURS = {"run.lock", f"{settings.FILE}.tmp"}  # what a kill before the first search.json can leave


def start(args: Any, stop: StopSignal) -> tuple[int, Path, str | None]:
    """Start or resume the search that the command line asks for.

    Returns:
      The exit code, the folder and the table (None if a signal stopped it).
    """
    importing.prepare(args.imports)
    resumed = args.out_dir is not None and _is_search(args.out_dir)
    if not resumed:
        config, found = _new(args)
        path = args.out_dir or _default(found)
        resumed = _is_search(path)
    else:
        path = args.out_dir
    if resumed:
        found, config = settings.read(path)
        importing.prepare(found.imports, found.folder)
        settings.refuse_others(path, args, found, config)
        runinfo.warn_versions(found.versions, runinfo.versions(config))
    samplers.make(found.sampler, found.seed, 0)
    trainer = starting.make_trainer(config, args, found.batch * found.seeds, new=not resumed)
    ends = _ends(found, trainer)
    if not resumed:
        _claim(path)
    with rundir.lock(path):
        if not resumed:
            found = dataclasses.replace(found, config=trainer.config.to_dict())  # whose replay fits the memory
            settings.write(path, found)
        _say(path, found, ends)
        journal = Journal(path / JOURNAL, found.params, ends)
        return _run(Search(trainer, found, ends, path, journal, stop, args.checkpoint_every))


def _run(search: Search) -> tuple[int, Path, str | None]:
    try:
        run(search)
    except Stopped:
        command = f"{cli.program('search')} --out-dir {shlex.quote(str(search.path))}"
        cli.note(f"stopped; nothing is lost; go on with: {command}")
        return search.stop.exit_code, search.path, None
    except CheckpointNotFinite as error:
        cli.fail(error, cli.NOT_FINITE)
    except CheckpointSaveError as error:
        cli.fail(error, cli.SAVE_FAILED)
    except CheckpointError as error:
        cli.fail(error, cli.BAD_CHECKPOINT)
    except OSError as error:
        cli.fail(f"cannot write to {search.path}: {error.strerror or error}", cli.SAVE_FAILED)
    text = report.write(search.path, search.settings, search.ends, search.journal.trials())
    if not search.stand().finished:
        cli.fail(f"all trials have diverged ({search.path / 'results.md'}); search other ranges", cli.NOT_FINITE)
    return 0, search.path, text


def _new(args: Any) -> tuple[Config, Settings]:
    """Return what a search that starts now is; exit 2 if the command line does not say it."""
    from experiments.presets import default_steps, suite_of

    if args.suite is None and args.env is None:
        cli.fail("give a suite, such as popgym, or --env; or --out-dir with the folder of a search to go on with")
    if not args.param:
        cli.fail("give at least one --param hypers.KEY=LOW:HIGH, such as hypers.model_lr=1e-4:1e-2:log")
    size = asking.resolved_size(args.size)
    config = asking.asked_config(args, size, args.env)
    if len(ids := registry.settings(config.env)) > 1:
        cli.fail(f"--env {config.env} stands for {len(ids)} settings; search one of them, such as {ids[0]}")
    steps = args.steps or default_steps(config, size)
    config = settings.short_replay(config, steps, args.assignments)
    return config, settings.new(args, size, config, suite_of(config.env) or "", steps)


def _ends(found: Settings, trainer: Any) -> list[int]:
    """Return the steps at which rounds end; exit 2 if one has nothing to learn."""
    try:
        return rounds.ends(found.plan, found.steps, trainer.prefill_steps, trainer.steps_per_chunk)
    except ValueError as error:
        cli.fail(error)


def _say(path: Path, found: Settings, ends: list[int]) -> None:
    """Say what is searched, and what it takes."""
    planned = list(rounds.program_steps(found.plan, ends))
    whole = found.plan.counts()[0] * ends[-1]
    seeds = f" of {found.seeds} seeds" if found.seeds > 1 else ""
    cli.note(
        f"{found.config['env']} ({found.label}), {found.trials} trials{seeds}, {found.batch} at a time, rounds to "
        f"{', '.join(f'{end:,}' for end in ends)} steps -> {path}"
    )
    if found.plan.counts()[0] < found.halve ** (found.rounds - 1):
        cli.note(
            f"{found.plan.counts()[0]} batches are fewer than the {found.halve ** (found.rounds - 1)} of which the "
            "rounds leave one, so that more trials than that are trained to the end"
        )
    total = sum(steps for _, steps in planned)
    if total < whole:
        cli.note(f"{total:,} steps of the program, {total / whole:.0%} of what all trials to the end would take")


def _is_search(path: Path) -> bool:
    return (path / settings.FILE).is_file()


def _default(found: Settings) -> Path:
    """Return the folder of a search for which none is named."""
    size = found.size if found.agent == "r2i" else f"{found.agent}-{found.size}"
    return rundir.RUNS / f"{re.sub('[/:]', '-', found.config['env'])}-{size}-search"


def _claim(path: Path) -> None:
    """Make the folder of a new search; exit 2 if that fails, or something else is in it."""
    try:
        if path.exists():
            others = sorted(entry.name for entry in path.iterdir() if entry.name not in _OURS)
            if others:
                cli.fail(f"{path} is not empty (it holds {others[0]}) and holds no search; choose another --out-dir")
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cli.fail(f"cannot write to --out-dir {path}: {error.strerror or error}")
