"""Let the agent run on every environment of a suite, or on your own: `python -m experiments.smoke popgym`.

A small agent collects, learns for a few updates and plays an evaluation on each; losses must be finite. It shows that
an environment and the agent fit together, not that anything is learned. Takes about ten seconds an environment on one
CPU core, nearly all of it compilation. Exit code 1 if one fails.
"""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from experiments.running import cli, process, startup


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("smoke"), __doc__)
    parser.add_argument("suite", nargs="?", help="a suite of environments, such as popgym")
    parser.add_argument("--env", nargs="+", metavar="ID|MODULE:NAME", help="environments, in the place of a suite")
    cli.add_import_argument(parser)
    parser.add_argument(
        "--only", nargs="+", default=["*"], metavar="PATTERN", help="ids to run, such as '*Easy' (default: all)"
    )
    args = parser.parse_args(argv)
    if (args.suite is None) == (args.env is None):
        parser.error("give a suite or --env, not both" if args.env else "give a suite or --env")
    startup.prepare()
    import jax

    from experiments.running import asking, importing

    importing.prepare(args.imports)
    failed = []
    for env_id in args.env or asking.environments(args.suite, args.only):
        begin = time.monotonic()
        try:
            metrics = run(env_id)
            bad = [name for name, value in metrics.items() if value != value or abs(value) == float("inf")]
            outcome = f"not finite: {', '.join(bad)}" if bad else f"loss {metrics['model/loss']:.2f}"
        except Exception as error:  # Whatever goes wrong with one is said, and the others still run.
            bad, outcome = ["error"], f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        if bad:
            failed.append(env_id)
        print(f"{'FAILED' if bad else 'ok':6s} {env_id:42s} {time.monotonic() - begin:5.1f} s  {outcome}", flush=True)
        jax.clear_caches()
    print(f"{len(failed)} failed: {', '.join(failed)}" if failed else "all ran")
    return 1 if failed else 0


def small(env_id: str) -> Any:
    """Return the tiny preset with everything that costs time cut down."""
    from experiments.presets import preset

    config = preset(size="tiny", env=env_id)
    length = min(32, config.replay.sequence_length)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(
            config.model, ssm_layers=1, ssm_state=16, units=32, deter=32, head_layers=1, head_units=32
        ),
        behavior=dataclasses.replace(
            config.behavior, horizon=3, imagination_starts=16, actor_layers=1, critic_layers=1
        ),
        replay=dataclasses.replace(
            config.replay, capacity=2048, batch_size=2, sequence_length=length, train_ratio=4.0, prefill=0
        ),
        loop=dataclasses.replace(config.loop, num_envs=2, chunk_updates=4),
    )


def run(env_id: str) -> dict[str, float]:
    """Train for one chunk, play two episodes, and return the chunk's metrics and the evaluation's mean return."""
    import jax
    import numpy as np

    from r2i_jit import Trainer

    trainer = Trainer(small(env_id), quick_compile=True)
    state = trainer.init(jax.random.split(jax.random.key(0), 1))
    state, metrics = trainer.train_chunk(state)
    played = trainer.evaluate(state, jax.random.key(1), 2)
    # No episode may have ended within the chunk: those figures are then undefined, not wrong.
    report = {name: float(np.asarray(value)[0]) for name, value in metrics.items() if not name.startswith("episode")}
    return {**report, "evaluation": float(np.mean(np.asarray(played["episode_return"])))}


if __name__ == "__main__":
    process.run(main)
