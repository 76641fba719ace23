"""Train several agents on the same games and compare them: `python -m experiments.compare popgym --minutes 10`.

Every agent has a folder of runs of its own below --out-dir, as `suite` makes it (its table is there too). One game is
trained by all agents before the next one, with the same seeds and the same --steps or --minutes, so that what there is
can be compared at any time. The same command again goes on where it was stopped; more --minutes, --steps, games or
agents add to it. One that fails is named, and the rest go on (exit code 1 at the end). --jobs trains several at a time,
as `suite` does.

The comparison, written anew after each game into the folder `report`, is that of `report`: a table with intervals,
scores over steps and over minutes, and the numbers of each seed. Minutes are of training and of the evaluations in it,
without compilation: other work on the same cores makes a comparison over minutes an unfair one.
"""

import collections
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import suite
from experiments.launching import results
from experiments.running import cli, folders, process, startup


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("compare"), __doc__)
    parser.add_argument("suite", help="a suite of environments, such as popgym")
    parser.add_argument("--out-dir", type=cli.path, metavar="DIR", help="default: runs/<suite>-<size>-compare")
    parser.add_argument(
        "--agents", nargs="+", choices=cli.AGENTS, default=list(cli.AGENTS), metavar="AGENT",
        help=f"what is trained (default: {' '.join(cli.AGENTS)})",
    )  # fmt: skip
    suite.add_game_arguments(parser)
    args = parser.parse_args(argv)
    args.go_on = shlex.join([*cli.program("compare").split(), *(sys.argv[1:] if argv is None else argv)])
    startup.prepare(all_cores=True, leave_memory=args.jobs > 1)
    from experiments.running import asking, rundir

    asked = asking.environments(args.suite, args.only)
    size = asking.resolved_size(args.size)
    out = args.out_dir or rundir.RUNS / f"{args.suite}-{size}-compare"
    games: dict[str, list[str]] = {}  # game, or what stands for several settings -> agents
    for agent in dict.fromkeys(args.agents):
        own = _of(args, agent)
        env_ids = results.units(args.suite, out / agent, asked)
        for env_id in env_ids:
            asking.asked_config(own, size, env_id)
            games.setdefault(env_id, []).append(agent)
        suite.refuse_others(own, env_ids, out / agent)
    return _train_all(args, games, out)


def _of(args: Any, agent: str) -> Namespace:
    """Return the options as `suite` has them for one agent."""
    return Namespace(**{**vars(args), "agent": agent})


def _train_all(args: Any, games: dict[str, list[str]], out: Path) -> int:
    """Train what is not finished yet and return the exit code: 0, or that of the signal that stopped it."""
    from experiments.running import rundir

    failures: dict[str, dict[str, int]] = {agent: {} for agents in games.values() for agent in agents}
    for agent in failures:
        rundir.make(out / agent)
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
        results.write(args.suite, out / agent, [game for game in games if agent in games[game]], failures[agent])
        left[task.env_id] -= 1
        if not left[task.env_id] and not stopped:
            text = _report(list(failures), out)
    if stopped:
        return stopped
    print(text or _report(list(failures), out), end="")
    for agent, failed in failures.items():
        for env_id, code in failed.items():
            cli.note(f"{env_id}, {agent}: failed (exit {code})")
    return 1 if any(failures.values()) else 0


def _report(agents: Sequence[str], out: Path) -> str:
    """Write the comparison of the agents that have runs, and return its text."""
    from experiments.comparing import document, sets
    from experiments.running.runinfo import RunFileError

    try:
        found = [sets.read(out / agent, agent) for agent in agents if any((out / agent).glob("*/run.json"))]
        return document.write(found, out / "report", None) if found else ""
    except (OSError, RunFileError) as error:
        cli.fail(f"no report: {error}")


if __name__ == "__main__":
    process.run(main)
