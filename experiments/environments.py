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

Observations are given part by part: `n` is a one-hot group of n entries, `k x n` are k such groups, `R^n` are n real
numbers. Length is the number of steps of the longest episode. Random is the mean return of uniformly random play, best
known that of the player named beside it; the letters say where a figure comes from.
"""


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
    body = table(columns, [row(env_id, letters) for env_id in envs.registered()])
    return f"{HEAD}\n{body}\n\nSources of the returns:\n\n{notes}\n"


def row(env_id: str, letters: dict[str, str]) -> list[str]:
    """Return the table's cells of one environment."""
    import envs
    from envs.observation import observation_parts
    from experiments.running.references import references
    from r2i_jit.observations import split

    env, params = envs.make(env_id)
    found = observation_parts(env, params)
    parts = ", ".join(_part(part) for array, _ in split(found, found) for part in array)
    known = references(env_id)
    figures = [
        f"{known[name]['mean']:.3g} ({letters[known[name]['source']]})" if name in known else "-"
        for name in ("random", "best")
    ]
    player = known["best"]["label"] if "best" in known else "-"
    return [env_id, parts, _actions(env.action_space(params)), str(params.max_steps_in_episode), *figures, player]


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
