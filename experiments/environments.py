"""List the environments as a markdown table: `python -m experiments.environments > docs/environments.md`.

Everything in it is read from the registry, from the environments themselves and from reference_returns.json.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.running import cli, process

PAGE = Path(__file__).parents[1] / "docs" / "environments.md"
HEAD = """# Environments

Made by `python -m experiments.environments > docs/environments.md`; a test keeps it up to date.

Observations are given part by part: `n` is a one-hot group of n entries, `k x n` are k such groups, `k x (n, m)` are k
times a group of n and one of m, `R^n` are n real numbers. Length is the number of steps of the longest episode. Random
is the mean return of uniformly random play, best known that of the player named beside it; the letters say where a
figure comes from. A row of bsuite is an experiment: from its first number to its last one. Some of these have a second
id that says the setting, such as `bsuite/memory_len_100`. [brax](brax.md), [DM Control](dmc.md),
[Atari](atari.md) and [Craftax](craftax.md) have pages of their own.
"""
SUITES = ("popgym", "memory_maze", "bsuite", "gymnax", "xminigrid")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("environments"), __doc__)
    parser.parse_args(argv)
    print(document(), end="")
    return 0


def document() -> str:
    """Return the whole page."""
    import envs
    from experiments.running.display import table
    from experiments.running.references import sources

    letters = {name: chr(ord("a") + number) for number, name in enumerate(sources())}
    columns = ["environment", "observation", "actions", "length", "random", "best known", "played by"]
    notes = "\n".join(f"- {letters[name]}: {text}" for name, text in sources().items())
    body = table(columns, [row(name, ids, letters) for name, ids in grouped(envs.registered()).items()])
    return f"{HEAD}\n{body}\n\nSources of the returns:\n\n{notes}\n"


def grouped(env_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the rows of the table: the name of each and its ids; other names and other suites are left out."""
    from envs.bsuite import ALIASES

    found: dict[str, list[str]] = {}
    for env_id in env_ids:
        if env_id not in ALIASES and env_id.partition("/")[0] in SUITES:
            experiment, _, number = env_id.rpartition("/")
            found.setdefault(experiment if "/" in experiment and number.isdigit() else env_id, []).append(env_id)
    spans = {name: f"{ids[0]} .. {len(ids) - 1}" if len(ids) > 1 else name for name, ids in found.items()}
    return {spans[name]: ids for name, ids in found.items()}


def row(name: str, env_ids: Sequence[str], letters: dict[str, str]) -> list[str]:
    """Return the table's cells of one environment, or of an experiment's first and last setting."""
    first, last = _cells(env_ids[0], letters), _cells(env_ids[-1], letters)
    return [name, *(one if one == other else f"{one} .. {other}" for one, other in zip(first, last, strict=True))]


def _cells(env_id: str, letters: dict[str, str]) -> list[str]:
    import envs
    from envs.observation import observation_parts
    from experiments.running.references import references
    from r2i_jit.observations import split

    env, params = envs.make(env_id)
    found = observation_parts(env, params)
    parts = _parts([_part(part) for array, _ in split(found, found) for part in array])
    known = references(env_id)
    figures = [
        f"{_figure(known[name]['mean'])} ({letters[known[name]['source']]})" if name in known else "-"
        for name in ("random", "best")
    ]
    player = known["best"]["label"] if "best" in known else "-"
    return [parts, _actions(env.action_space(params)), str(params.max_steps_in_episode), *figures, player]


def _figure(mean: float) -> str:
    return f"{mean:,.0f}" if abs(mean) > 999 else f"{mean:.3g}"


def _parts(names: list[str]) -> str:
    """Return parts as one text; a few that come again and again are said once."""
    for few in range(2, len(names) // 2 + 1):
        times, rest = divmod(len(names), few)
        if not rest and names == names[:few] * times:
            return f"{times} x ({', '.join(names[:few])})"
    return ", ".join(names)


def _part(part: Any) -> str:
    from envs.observation import Binary, Categorical, Continuous

    if isinstance(part, Categorical):
        return f"{part.count} x {part.classes}" if part.count > 1 else str(part.classes)
    if isinstance(part, Binary):
        return f"{part.size} bits"
    if isinstance(part, Continuous):
        return f"R^{part.size}"
    return "image " + " x ".join(map(str, part.shape))


def _actions(space: Any) -> str:
    from gymnax.environments import spaces

    from envs.spaces import MultiDiscrete

    if isinstance(space, MultiDiscrete):
        return " x ".join(map(str, space.nvec))
    if isinstance(space, spaces.Discrete):
        return str(space.n)
    return f"[{float(space.low):g}, {float(space.high):g}]" + (f"^{space.shape[0]}" if space.shape[0] > 1 else "")


if __name__ == "__main__":
    process.run(main)
