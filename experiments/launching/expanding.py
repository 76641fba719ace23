"""From one command line to jobs: environments, sizes that shape the program, and shards of the seeds."""

import itertools
import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.launching.plan import Job
from experiments.running import cli, folders
from r2i_jit import shards

COMMANDS = ("train", "sweep", "suite")
# What the plan says itself, of every job.
_OURS = {"run_dir": "--out-dir says where the runs lie", "resume": "the same launch goes on with what is left",
         "shard": "--shards says how many", "max_time": "it goes before the command"}  # fmt: skip

# What is said of each run by one value.
_OF_A_RUN = ("size", "agent", "seeds", "seed", "devices_per_seed", "steps", "minutes", "eval_every", "checkpoint_every",
             "record_every", "log_episodes", "init_from")  # fmt: skip


def parser(command: str, prog: str) -> cli.Parser:
    """Return the parser of the words that follow the command."""
    found = cli.Parser(prog, f"What `{command}` takes; --grid takes any key: hypers.* share a program.")
    cli.add_run_arguments(found)
    found.add_argument("--grid", nargs="+", action="extend", default=[], metavar="KEY=V1,V2,...")
    if command == "suite":
        found.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN")
    return found


def parse(command: str, words: Sequence[str], prog: str) -> Namespace:
    """Return what the words say; exit 2 if they are wrong."""
    args = parser(command, prog).parse_args(words)
    for name, instead in _OURS.items():
        if getattr(args, name):
            cli.fail(f"--{name.replace('_', '-')} is not for launch: {instead}")
    if args.distributed is not None and args.distributed.processes:
        cli.fail("--distributed takes no I/N@HOST:PORT in a launch: the queue says which process is which")
    if command == "suite" and (args.suite is None or args.env):
        cli.fail("launch suite takes the name of a suite, and --only for some of its environments")
    if args.suite is None and args.env is None:
        cli.fail("give a suite, such as popgym, or --env")
    if command == "sweep" and not args.grid:
        cli.fail("launch sweep needs at least one --grid KEY=V1,V2,...")
    return args


def jobs(command: str, args: Namespace, parts: int | None) -> list[Job]:
    """Return the jobs of a launch, each environment's together; exit 2 if one of them would be wrong.

    Args:
      command: one of COMMANDS.
      args: what `parse` gave.
      parts: shards of each run's seeds; None for as few as the memory of this machine's device allows.
    """
    from experiments.running import asking  # which imports JAX

    size = asking.resolved_size(args.size)
    traced, fixed = _axes(args.grid)
    if command == "train" and traced:
        cli.fail(f"--grid {traced[0]}: that is a sweep; `launch sweep` trains it")
    found = []
    for env_id in _environments(command, args, size):
        for assignments in _combinations(fixed):
            own = Namespace(**{**vars(args), "assignments": [*args.assignments, *assignments]})
            config = asking.asked_config(own, size, env_id)
            asking.refuse_unread(config, [text.partition("=")[0].strip() for text in traced], "--grid")
            folder = folders.folder(Path(",".join(assignments)), env_id)
            words = tuple(_words("sweep" if traced else "train", own, traced, env_id))
            count = _parts(parts, config, args)
            if count == 1:
                found.append(Job(str(folder), words, str(folder)))
                continue
            for number in range(count):
                name = str(folder / shards.name(number, count))
                found.append(Job(name, (*words, "--shard", f"{number}/{count}"), str(folder)))
    return found


def parse_job(job: Job) -> Namespace:
    """Return what the command line of a job says."""
    return parser("sweep", "r2i").parse_args(job.command[1:])


def _environments(command: str, args: Namespace, size: str) -> list[str]:
    """Return what is trained, a run each."""
    from experiments.running import asking

    if command != "suite":
        return [asking.asked_config(args, size, args.env, new=False).env]
    from envs import registry

    return registry.together(asking.environments(args.suite, args.only))


def _axes(grid: Sequence[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return the entries of a grid that share a program, and (key, values) of those that shape it."""
    traced, fixed = list[str](), list[tuple[str, list[str]]]()
    for text in grid:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            cli.fail(f"--grid {text!r}: expected key=value,value such as model.units=64,128")
        if key.startswith("hypers."):
            traced.append(text)
            continue
        words = [value.strip() for value in values.split(",")]
        if len(set(words)) < len(words) or key in dict(fixed):
            cli.fail(f"--grid {text!r}: {key} is given a value twice")
        fixed.append((key, words))
    return traced, fixed


def _combinations(fixed: Sequence[tuple[str, list[str]]]) -> list[list[str]]:
    """Return the assignments of every combination of values."""
    each = [[f"{key}={value}" for value in values] for key, values in fixed]
    return [list(combination) for combination in itertools.product(*each)]


def _words(command: str, args: Namespace, traced: Sequence[str], env_id: str) -> list[str]:
    """Return the command line of one run, but for its folder."""
    from experiments import presets

    words = [command, *([args.suite] if args.suite else []), "--env", env_id]
    log = args.log_episodes or presets.log_episodes(env_id)
    for option, value in {**vars(args), "log_episodes": log}.items():
        if option in _OF_A_RUN and value is not None:
            words += [f"--{option.replace('_', '-')}", str(value)]
    words += ["--distributed"] if args.distributed else []
    words += ["--wandb"] if args.wandb else []
    words += ["--import", *args.imports] if args.imports else []
    words += ["--set", *args.assignments] if args.assignments else []
    return [*words, *(["--grid", *traced] if traced else [])]


def _parts(parts: int | None, config: Any, args: Namespace) -> int:
    """Return into how many shards a run's agents of one setting go."""
    agents = (args.seeds or 1) * math.prod(text.count(",") + 1 for text in args.grid if text.startswith("hypers."))
    if parts is not None and parts > agents:
        cli.fail(f"--shards {parts}: there are {agents} agents to share out")
    if parts is not None or agents == 1:
        return parts or 1
    from experiments.running import memory
    from r2i_jit import Trainer

    fit = memory.seeds_that_fit(config, Trainer(config).replay_bytes_per_step)
    return min(agents, math.ceil(agents / fit))
