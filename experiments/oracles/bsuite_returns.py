"""What random play and the best known player are expected to return in every experiment of bsuite, as JSON.

    python -m experiments.oracles.bsuite_returns > experiments/running/bsuite_returns.json

Where the rules say it, it is computed; the rest is measured. Ten minutes. `--original FILE` adds what players returned
on the original (tests/golden/bsuite_returns.json). A list has a figure for each number of the sweep.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from experiments.running import cli, process, startup

EXACT, MEASURED = "bsuite exact", "bsuite measured"
RANDOM_PLAY = "random play"
KINDS = ("_noise", "_scale")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("oracles.bsuite_returns"), __doc__)
    parser.add_argument("--episodes", type=cli.whole(2, 10**6), default=4096, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=cli.whole(0, 2**32 - 1), default=0, metavar="S", help="default: %(default)s")
    parser.add_argument("--original", metavar="FILE", help="what was measured on the original")
    args = parser.parse_args(argv)
    startup.prepare()
    played: dict[str, Any] = {}
    if args.original is not None:
        with open(args.original, encoding="utf-8") as file:
            played = json.load(file)["returns"]
    document = {
        "sources": {
            EXACT: "bsuite 0.3.6's rules: exact expectation",
            MEASURED: f"our bsuite, {args.episodes:,} episodes (python -m experiments.oracles.bsuite_returns)",
        },
        "experiments": _experiments(args.episodes, args.seed, played),
    }
    print(_text(document))
    return 0


def diver(size: int, success: float) -> float:
    """Return what the way down DeepSea's diagonal is worth to a player that stops to pay when it has lost it.

    Args:
      size: of the grid.
      success: probability that a move to the right succeeds.
    """
    cost = sum(success**row for row in range(size)) * 0.01 / size
    return success ** (size - 1) - cost


def _experiments(episodes: int, seed: int, played: dict[str, Any]) -> dict[str, Any]:
    """Return every experiment's number of settings and its figures."""
    import envs
    from envs.bsuite import ALIASES, EXPERIMENTS

    numbered = [env_id for env_id in envs.registered() if env_id.startswith("bsuite/") and env_id not in ALIASES]
    found: dict[str, Any] = {}
    for experiment in sorted(EXPERIMENTS, key=lambda name: name.endswith(KINDS)):  # The others stand on these.
        ids = [env_id for env_id in numbered if env_id.split("/")[1] == experiment]
        base, _, kind = experiment.rpartition("_")
        if f"_{kind}" in KINDS:
            factors = [getattr(envs.make(env_id)[1], "factor", 1.0) for env_id in ids]
            figures = {
                name: _times(known, factors) for name, known in found[base].items() if name in ("random", "best")
            }
        else:
            figures = _exact(experiment, ids) or _measured(ids, episodes, seed)
        players = {env_id.rpartition("/")[2]: played[env_id] for env_id in ids if env_id in played}
        found[experiment] = {"numbers": len(ids), **figures, **({"players": players} if players else {})}
    return dict(sorted(found.items()))


def _exact(experiment: str, ids: Sequence[str]) -> dict[str, Any]:
    """Return the expectations of an experiment whose rules say them, or nothing."""
    import envs
    from experiments.oracles import oracles

    known: dict[str, tuple[Any, Any]] = {
        "memory_len": (0.0, 1.0),
        "memory_size": (0.0, 1.0),
        "discounting_chain": (1.02, 1.1),
        "umbrella_length": (0.0, 1.0),
        "umbrella_distract": (0.0, 1.0),
        "bandit": (0.5, 1.0),
        "catch": (-0.6, 1.0),  # The ball's column is one of five, whatever the paddle does.
    }
    if experiment.startswith("deep_sea"):
        sizes = [envs.make(env_id)[0].size for env_id in ids]
        steady = experiment == "deep_sea"
        success = [1.0 if steady else 1.0 - 1.0 / size for size in sizes]
        # Half of all moves go right; all of them do, and succeed, with this probability.
        chance = [0.5**size * likely ** (size - 1) for size, likely in zip(sizes, success, strict=True)]
        best = [diver(size, likely) for size, likely in zip(sizes, success, strict=True)]
        known[experiment] = [-0.005 + treasure for treasure in chance], 0.99 if steady else best
    if experiment not in known:
        return {}
    random, best = known[experiment]
    return {
        "random": {"mean": _rounded(random), "label": RANDOM_PLAY, "source": EXACT},
        "best": {"mean": _rounded(best), "label": oracles(ids[0])[0].label, "source": EXACT},
    }


def _measured(ids: Sequence[str], episodes: int, seed: int) -> dict[str, Any]:
    """Return the mean returns in an experiment; of one number where all are the same."""
    import jax

    import envs
    from experiments.oracles import RANDOM, oracles

    same = len({repr(envs.make(env_id)[1]) for env_id in ids}) == 1
    figures: dict[str, Any] = {}
    for name, player in (("random", RANDOM), ("best", oracles(ids[0])[0])):
        means = []
        for env_id in ids[:1] if same else ids:
            means.append(float(player.play(env_id, jax.random.key(seed), episodes)[0].mean()))
            print(env_id, player.label, means[-1], sep="  ", file=sys.stderr, flush=True)
            jax.clear_caches()
        mean = means[0] if same else means
        figures[name] = {"mean": _rounded(mean, 3), "label": player.label, "source": MEASURED}
    return figures


def _times(known: dict[str, Any], factors: Sequence[float]) -> dict[str, Any]:
    """Return figures with each number's mean times its factor."""
    if set(factors) == {1.0}:
        return known
    return {**known, "mean": [float(f"{known['mean'] * factor:.6g}") for factor in factors]}


def _rounded(mean: Any, digits: int = 6) -> Any:
    return [round(one, digits) for one in mean] if isinstance(mean, list) else round(mean, digits)


def _text(document: dict[str, Any]) -> str:
    """Return JSON with a line for each figure."""
    experiments = ",\n".join(
        f"    {json.dumps(name)}: {{\n"
        + ",\n".join(f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in known.items())
        + "\n    }"
        for name, known in document["experiments"].items()
    )
    sources = json.dumps(document["sources"], indent=4)[:-1] + "  }"
    return f'{{\n  "sources": {sources},\n  "experiments": {{\n{experiments}\n  }}\n}}'


if __name__ == "__main__":
    process.run(main)
