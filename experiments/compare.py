"""Train several agents on the same games and compare them: `python -m experiments.compare popgym --minutes 10`.

Every agent has a folder of runs of its own below --out-dir, as `suite` makes it (its table is there too). One game is
trained by all agents before the next one, with the same seeds and the same --steps or --minutes, so that what there is
can be compared at any time. The same command again goes on where it was stopped; more --minutes, --steps, games or
agents add to it. What is not typed then, agents and games too, is as it was typed before (compare.json). One that fails
is named, and the rest go on (exit code 1 at the end). --jobs trains several at a time, as `suite` does.

The comparison, written anew after each game into the folder `report`, is that of `report`, of all agents that have runs
in the folder: a table with intervals, scores over steps and over minutes, and the numbers of each seed. Minutes are of
training and of the evaluations in it, without compilation and what is played before the first update: other work on the
same cores makes a comparison over minutes an unfair one.
"""

import collections
import json
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments import suite
from experiments.launching import results
from experiments.running import cli, folders, process, startup

_FILE = "compare.json"
_DEFAULTS = {"seeds": 1, "seed": 0}
_OPTIONS = {"assignments": "set", "eval_every": "eval-every"}  # what one is called, where that differs


class _Common(NamedTuple):
    """What the runs of a comparison have in common, by the options' names."""

    sound: Callable[[Any], bool]  # whether a value can be that of the file
    wanted: str
    fixed: bool = False  # whether another value would be another comparison


_whole = lambda value, low: isinstance(value, int) and not isinstance(value, bool) and value >= low
_texts = lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value)
_COMMON = {
    "size": _Common(lambda value: value in cli.SIZES, f"one of {', '.join(cli.SIZES)}", fixed=True),
    "seeds": _Common(lambda value: _whole(value, 1), "a whole number of at least 1", fixed=True),
    "seed": _Common(lambda value: _whole(value, 0), "a whole number of at least 0", fixed=True),
    "assignments": _Common(_texts, "a list of texts", fixed=True),
    "eval_every": _Common(lambda value: value is None or _whole(value, 1), "a whole number of at least 1, or null"),
    "steps": _Common(lambda value: value is None or _whole(value, 1), "a whole number of at least 1, or null"),
    "minutes": _Common(
        lambda value: value is None or (isinstance(value, int | float) and value > 0), "a number above 0, or null"
    ),
    "agents": _Common(lambda value: _texts(value) and set(value) <= set(cli.AGENTS), f"of {', '.join(cli.AGENTS)}"),
    "games": _Common(_texts, "a list of texts"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("compare"), __doc__)
    parser.add_argument("suite", nargs="?", help="a suite of environments, such as popgym; not needed with --env")
    parser.add_argument("--env", nargs="+", metavar="ID|MODULE:NAME", help="these environments, such as your own")
    cli.add_import_argument(parser)
    parser.add_argument("--out-dir", type=cli.path, metavar="DIR", help="default: runs/<suite>-<size>-compare")
    parser.add_argument(
        "--agents", nargs="+", choices=cli.AGENTS, metavar="AGENT",
        help=f"what is trained (default: {' '.join(cli.AGENTS)})",
    )  # fmt: skip
    suite.add_game_arguments(parser)
    parser.set_defaults(only=None)
    args = parser.parse_args(argv)
    if args.only and args.env:
        parser.error("--only is for a suite, and --env names environments: give one of them")
    if (args.suite is None) == (args.env is None):
        parser.error("give a suite, such as popgym, or environments by --env")
    args.go_on = shlex.join([*cli.program("compare").split(), *(sys.argv[1:] if argv is None else argv)])
    startup.prepare(all_cores=True, leave_memory=args.jobs > 1)
    from experiments.running import asking, importing, rundir

    importing.prepare(args.imports)
    size = asking.resolved_size(args.size)
    out = args.out_dir or rundir.RUNS / f"{args.suite or 'own'}-{size}-compare"
    args.games = _canonical(args.env or (asking.environments(args.suite, args.only) if args.only else []))
    before = _before(out)
    recalled = _recall(args, before, size, out)
    args.size = asking.resolved_size(args.size)
    args.agents = args.agents or list(cli.AGENTS)
    asked = args.games = args.games or asking.environments(args.suite, ["*"])
    games: dict[str, list[str]] = {}  # game, or what stands for several settings -> agents
    for agent in dict.fromkeys(args.agents):
        own = _of(args, agent)
        env_ids = results.units(args.suite, out / agent, asked) if args.suite else asked
        for env_id in env_ids:
            asking.asked_config(own, args.size, env_id)
            games.setdefault(env_id, []).append(agent)
        suite.refuse_others(own, env_ids, out / agent)
    _refuse_unequal(args, games, [*args.agents, *_there(out)])
    if recalled:
        cli.note(f"as before: {' '.join(recalled)}")
    for name in ("agents", "games"):  # all that there are, and not those of this command alone
        setattr(args, name, list(dict.fromkeys([*before.get(name, []), *getattr(args, name)])))
    return _train_all(args, games, out)


def _canonical(env_ids: Sequence[str]) -> list[str]:
    """Return environments, each by one name and once."""
    from envs import registry

    return list(dict.fromkeys(map(registry.canonical, env_ids)))


def _of(args: Any, agent: str) -> Namespace:
    """Return the options as `suite` has them for one agent."""
    return Namespace(**{**vars(args), "agent": agent})


def _there(out: Path) -> list[str]:
    """Return the agents that have runs in the folder of a comparison."""
    return [agent for agent in cli.AGENTS if any((out / agent).glob("*/run.json"))]


def _before(out: Path) -> dict[str, Any]:
    """Return what was typed before for this folder, nothing if it has no runs; exit 2 if the file does not read."""
    from experiments.running.runinfo import RunFileError, read_object

    if not (out / _FILE).is_file() or not _there(out):
        return {}
    try:
        before = read_object(out / _FILE)
    except RunFileError as error:
        cli.fail(error)
    for name in sorted(before.keys() ^ _COMMON.keys()):
        cli.fail(f"{out / _FILE}: key {name!r} is {'missing' if name in _COMMON else 'unknown'}")
    for name, common in _COMMON.items():
        if not common.sound(before[name]):
            cli.fail(f"{out / _FILE}: key {name!r} is {json.dumps(before[name])[:60]}: expected {common.wanted}")
    return before


def _recall(args: Any, before: dict[str, Any], size: str, out: Path) -> list[str]:
    """Take what is not typed from what was typed before; exit 2 if the two do not agree.

    Returned is what was taken, other than what it would be anyway: this size, one seed, the first.
    """
    taken = []
    for name, old in before.items():
        typed, option = getattr(args, name), _OPTIONS.get(name, name)
        if typed in (None, [], "auto"):
            setattr(args, name, old)
            if old not in (None, []) and old != {"size": size, **_DEFAULTS}.get(name):
                shown = f"--{option} {_shown(old)}"
                taken.append(f"{len(old)} {name}" if name in ("agents", "games") else shown)
        elif _COMMON[name].fixed and (sorted(typed) != sorted(old) if isinstance(old, list) else typed != old):
            words = f"--{option}: {_shown(old)} -> {_shown(typed)}"
            cli.fail(f"{out} was started otherwise ({words}); choose another --out-dir")
    return taken


def _shown(value: Any) -> str:
    return (" ".join(value) or "none") if isinstance(value, list) else str(value)


def _refuse_unequal(args: Any, games: dict[str, list[str]], agents: Sequence[str]) -> None:
    """Exit 2 naming a size that is set for all, though the agents' presets differ in it so as to be equally large.

    Of another key in which they differ one line says that it is the same for all now.
    """
    from experiments.running import asking
    from r2i_jit.config import flatten

    keys = [word.partition("=")[0].strip() for word in args.assignments]
    said = set()
    for env_id in games if keys else ():
        own = {}
        for agent in dict.fromkeys(agents):
            plain = Namespace(**{**vars(args), "agent": agent, "assignments": []})
            own[agent] = flatten(asking.asked_config(plain, args.size, env_id).to_dict())
        for key in keys:
            if key in said or len({json.dumps(config[key]) for config in own.values()}) == 1:
                continue
            said.add(key)
            values = ", ".join(f"{agent} {config[key]}" for agent, config in own.items())
            if not key.startswith("model."):
                cli.note(f"--set {key}: the agents' presets differ in it ({values}); now it is the same for all")
                continue
            cli.fail(
                f"--set {key}: one value for all would make the agents unequal in size ({values}); train sets by "
                f"`{cli.program('suite')} --set ... --out-dir ...` and compare them by `{cli.program('report')}`"
            )


def _train_all(args: Any, games: dict[str, list[str]], out: Path) -> int:
    """Train what is not finished yet and return the exit code: 0, or that of the signal that stopped it."""
    from experiments.running import rundir

    failures: dict[str, dict[str, int]] = {agent: {} for agents in games.values() for agent in agents}
    for agent in failures:
        rundir.make(out / agent)
    common = {name: _DEFAULTS.get(name) if (value := getattr(args, name)) is None else value for name in _COMMON}
    rundir.replace_text(out / _FILE, json.dumps(common, indent=2) + "\n")
    tasks = [
        suite.Task(f"[{number}/{len(games)}] {env_id}, {agent}", _of(args, agent), env_id, out / agent)
        for number, (env_id, agents) in enumerate(games.items(), 1)
        for agent in agents
        if not suite.is_done(folders.folder(out / agent, env_id), env_id, _of(args, agent))
    ]
    left = collections.Counter(task.env_id for task in tasks)
    text, stopped = "", 0
    for task, code, by_signal in suite.train_each(tasks, args):
        agent = task.args.agent
        stopped = code if by_signal else stopped
        if code and not by_signal:
            failures[agent][task.env_id] = code
        own = [game for game in games if agent in games[game]]
        results.write(args.suite or "", out / agent, own, failures[agent])
        left[task.env_id] -= 1
        if not left[task.env_id] and not stopped:
            text = _report(out)
    if stopped:
        return stopped
    print(text or _report(out), end="")
    for agent, failed in failures.items():
        for env_id, code in failed.items():
            cli.note(f"{env_id}, {agent}: failed (exit {code})")
    return 1 if any(failures.values()) else 0


def _report(out: Path) -> str:
    """Write the comparison of the agents that have runs, and return its text."""
    from experiments.comparing import document, sets
    from experiments.running.runinfo import RunFileError

    try:
        found = [sets.read(out / agent, agent) for agent in _there(out)]
        return document.write(found, out / "report", None) if found else ""
    except (OSError, RunFileError) as error:
        cli.fail(f"no report: {error}")


if __name__ == "__main__":
    process.run(main)
