"""Measure what a run's agents remember, and what it is worth to them: `python -m experiments.memory runs/...`.

Printed, and written into the run's folder as memory.json and plots/memory.png, are

- the return with a memory that is emptied every K steps, for several K and never: what is lost hung on older steps;
- what is paid in each tenth of an episode: who has learned something in an episode is paid more at its end;
- where the environment says where the agent is (Memory Maze), in how many cells it has been;
- how much of what is hidden a linear probe reads off what the agent has in memory. Hidden is what the environment's
  `extras` name, else its state. With objects that can be in view (Memory Maze), also by how many steps ago they were.

It can be used on a run that is still training.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.running import cli, process, restoring, startup

_MOST_STEPS = 10_000  # of an episode, where nobody says less


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("memory"), __doc__)
    parser.add_argument("run_dir", type=cli.path, help="a run directory")
    parser.add_argument(
        "--episodes", type=cli.whole(8, 10**5), metavar="N",
        help="of each agent, for parts and probes (default: what makes 20,000 steps, between 16 and 512)",
    )  # fmt: skip
    parser.add_argument(
        "--forget", type=cli.whole(1, 10**9), nargs="*", metavar="K",
        help="steps after which memory is emptied (default: 1, 3, 10, 30, ... below an episode's length)",
    )  # fmt: skip
    parser.add_argument(
        "--forget-episodes", type=cli.whole(2, 10**6), default=128, metavar="N",
        help="of each agent, for each K (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--max-steps", type=cli.whole(2), metavar="N", help="of an episode (default: all, at most 10,000)"
    )
    parser.add_argument(
        "--seed", type=cli.whole(0, 2**32 - 1), default=0, metavar="S", help="of the episodes (default: %(default)s)"
    )
    restoring.add_step_argument(parser)
    cli.add_import_argument(parser)
    args = parser.parse_args(argv)
    if restoring.is_exported(args.run_dir):
        cli.fail(f"{args.run_dir} is one exported agent, and memory.json is written into a run's folder: give a run")

    startup.prepare()
    from experiments.running import importing

    importing.prepare(args.imports)
    for folder in restoring.parts(args.run_dir):
        print(_measured(folder, args))
    return 0


def _measured(folder: Path, args: Any) -> str:
    """Measure the agents of a run or of one of its shards, write what was found and return the text."""
    import jax
    import numpy as np

    from experiments.remembering import collecting, document, measures
    from experiments.running import evaluation
    from experiments.running.waiting import wait_for

    trainer, info, step, state = restoring.restore(folder, args.step)
    longest = args.max_steps or min(trainer.settings.longest or _MOST_STEPS, _MOST_STEPS)
    episodes = args.episodes or collecting.enough_episodes(longest)
    key, places = evaluation.evaluation_key(args.seed, evaluation.SEPARATE, step), evaluation.draws(info)
    played, lost = [], [bool(diverged) for diverged in np.asarray(state.seeds.diverged)]
    if all(lost):
        cli.fail(f"{folder}: all agents have diverged", cli.NOT_FINITE)
    if any(lost):
        cli.note(f"{folder}: {sum(lost)} of {len(lost)} agents have diverged and are left out")
    for number, member in enumerate(info.members):
        if lost[number]:
            continue
        own = jax.random.fold_in(key, places[number])
        env_id = member.get("env", trainer.config.env)
        play = partial(collecting.play, trainer, state, number, env_id, own, episodes, longest)
        played.append(wait_for(play, "compiling and playing"))
    parts = [measures.by_part(one, longest) for one in played]
    cells = [rows for one in played if (rows := measures.explored(one, longest)) is not None]
    probed = [wait_for(partial(measures.probed, one), "probing") for one in played]
    found = {
        "env": trainer.config.env,
        "env_steps": step,
        "agents": len(played),
        "greedy": trainer.config.loop.evaluation_greedy,
        "episodes": args.forget_episodes,
        "probe_episodes": episodes,
        "forget": _forgotten(trainer, state, info, key, places, longest, args),
        "by_part": document.agents_mean(parts, "first", "last"),
        "explored": document.agents_mean(cells, "step") if cells else [],
        "probes": document.probes_mean(probed),
    }
    return document.write(found, folder)


def _forgotten(trainer: Any, state: Any, info: Any, key: Any, places: Any, longest: int, args: Any) -> list[dict]:
    """Return the mean return for each number of steps after which memory is emptied, None for never."""
    import numpy as np

    from experiments.remembering import measures
    from experiments.running.waiting import wait_for

    usual = [steps for power in range(10) for steps in (10**power, 3 * 10**power) if steps < longest]
    rows = []
    for every in [*(usual if args.forget is None else sorted(set(args.forget))), None]:
        play = partial(trainer.evaluate, state, key, args.forget_episodes, forget=every, max_steps=longest, rows=places)
        returns = np.asarray(wait_for(play, "compiling and playing")["episode_return"], np.float64)
        returns = returns[~np.asarray(state.seeds.diverged)]
        # Over agents, where there are several: the episodes of one share what it has learned.
        rows.append({"every": every, **measures.mean(returns.mean(1) if len(returns) > 1 else returns[0])})
    return rows


if __name__ == "__main__":
    process.run(main)
