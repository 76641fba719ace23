"""Let agents play bsuite 0.3.6 with its own CSV logger, have it score them, and write bsuite_scores.json.gz.

Needs the original with its analysis (`pip install --no-deps bsuite==0.3.6 dm-env immutabledict termcolor scikit-image
lazy-loader networkx imageio tifffile dm-tree` and `pip install plotnine statsmodels` beside the project). Minutes:

    python -m tests.golden.record_bsuite_scores

The original's deep_sea scores call `Series.append`, which pandas dropped in 2.0. It is put back here, as it was:
`concat` of the two. Everything else is the original's.

The file has of every agent its runs, each with the episodes as an agent of ours would hand them over (`return`,
`length`, the sums of the tallies; read off the original's `bsuite_info` after every episode) and the text of the
original's CSV file, and what the original says of all of them: the scores and the means by tag. One more agent,
`made_up`, plays nothing: the original logs and scores episodes that are close to what its rules ask for, and go on
after the last one that counts. Of it there are only the CSV files.
"""

import contextlib
import gzip
import io
import json
import pathlib
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.record_bsuite import RECIPES, load

FILE = pathlib.Path(__file__).with_name("bsuite_scores.json.gz")
AGENTS = ("random", "good", "learner")
Player = Callable[[Any, int], int]  # (raw environment, step of the episode) -> action


def _balance(env: Any, step: int) -> int:
    x, x_dot, theta, theta_dot = env._state[:4]
    angle = (theta + np.pi) % (2 * np.pi) - np.pi
    force = 20 * angle + 4 * theta_dot + 0.6 * x + 1.2 * x_dot
    return 1 + int(np.sign(force)) * int(abs(force) > 0.05)


GOOD: dict[str, Player] = {
    "bandit": lambda env, step: int(np.argmax(env._rewards)),
    "catch": lambda env, step: int(np.sign(env._ball_x - env._paddle_x)) + 1,
    "mountain_car": lambda env, step: 2 if env._velocity >= 0 else 0,
    "cartpole": _balance,
    "cartpole_swingup": _balance,
    "deep_sea": lambda env, step: int(env._action_mapping[env._row, env._column]),
    "umbrella": lambda env, step: int(env._need_umbrella),
    "discounting_chain": lambda env, step: int(np.argmax(env._rewards)),
    "memory": lambda env, step: int(env._context[env._query]),
}

# Experiment -> settings and episodes. Complete, stopped early, past the end, and with settings that differ in how far
# they are: every case that the original's scores tell apart.
PLAN: dict[str, tuple[tuple[int, ...], int]] = {
    "bandit": ((0, 7), 10_000),
    "bandit_noise": ((0, 1, 5, 9, 13, 17), 300),
    "bandit_scale": ((0, 4, 5, 8, 12, 16), 300),
    "catch": ((0, 1), 12_000),
    "catch_noise": ((0, 4, 8, 12, 13, 16), 300),
    "catch_scale": ((0, 4, 8, 12, 13, 16), 300),
    "mountain_car": ((0, 1, 2), 30),
    "mountain_car_noise": ((0, 4, 8, 12, 16), 12),
    "mountain_car_scale": ((0, 4, 8, 12, 16), 12),
    "cartpole": ((0, 1, 2), 30),
    "cartpole_noise": ((0, 4, 8, 12, 16, 17), 20),
    "cartpole_scale": ((0, 4, 8, 12, 16, 17), 20),
    "cartpole_swingup": ((0, 5, 10, 19), 14),
    "deep_sea": ((1, 2, 0, 5, 20, 10), 2_000),
    "deep_sea_stochastic": ((1, 3, 0, 10, 20, 5), 2_000),
    "umbrella_length": ((0, 3, 9, 12, 22), 200),
    "umbrella_distract": ((0, 9, 15, 22), 300),
    "discounting_chain": ((0, 1, 4, 8), 1_200),
    "memory_len": ((0, 1, 6, 12, 16, 22), 400),
    "memory_size": ((0, 1, 5, 9, 16, 12), 1_000),
}


def episodes_of(experiment: str, place: int, agent: str) -> int:
    """Return how many episodes are played in the setting at a place of the plan; learners are not all as far."""
    episodes = PLAN[experiment][1]
    return episodes * (3 if agent == "learner" and place == 1 else 4) // 4


def skill(agent: str, place: int, episode: int, episodes: int, rng: np.random.Generator) -> bool:
    """Return whether an episode is played well: a learner begins to at a time that differs between settings."""
    if agent == "learner":
        return episode / episodes > (0.25, 0.1, 0.7, 0.4, 0.05, 0.9)[place % 6] and rng.random() < 0.95
    return agent == "good"


def play(bsuite_id: str, agent: str, place: int, folder: str) -> dict[str, list[float]]:
    """Play with the original's CSV logger and return the episodes."""
    from bsuite.logging import csv_logging

    experiment = bsuite_id.partition("/")[0]
    base = experiment.removesuffix("_noise").removesuffix("_scale").removesuffix("_stochastic")
    good = GOOD[base] if base in GOOD else GOOD[base.partition("_")[0]]
    env = csv_logging.wrap_environment(load(bsuite_id), bsuite_id, folder)
    raw = env.raw_env
    rng = np.random.default_rng([AGENTS.index(agent), *map(ord, bsuite_id)])
    actions, episodes = env.action_spec().num_values, episodes_of(experiment, place, agent)
    found: dict[str, list[float]] = {}
    before: dict[str, float] = {}
    for episode in range(episodes):
        timestep, returned, steps, pushes = env.reset(), 0.0, 0, 0
        well = skill(agent, place, episode, episodes, rng)
        if well and experiment == "cartpole_swingup":  # A pole that hangs is more than this player can do.
            RECIPES[experiment].prepare(raw, rng, 0)
        while not timestep.last():
            action = good(raw, steps) if well else int(rng.integers(actions))
            timestep = env.step(action)
            returned, steps, pushes = returned + timestep.reward, steps + 1, pushes + (action != 1)
        counted = {name: float(value) for name, value in env.bsuite_info().items()}
        added = {name: value - before.get(name, 0.0) for name, value in counted.items()}
        before = counted
        for name, value in {"return": returned, "length": steps, **_tallies(experiment, added, pushes)}.items():
            found.setdefault(name, []).append(_as_float32(value))
    return found


def _tallies(experiment: str, added: dict[str, float], pushes: int) -> dict[str, float]:
    """Return what an episode added to the original's numbers, by our names."""
    if experiment == "cartpole_swingup":
        return {"upright": added["total_upright"], "pushes": pushes}
    ours = lambda name: name.removeprefix("total_").replace("episodes", "episode")
    return {ours(name): value for name, value in added.items() if name != "best_episode"}


def _as_float32(value: float) -> float | int:
    """Return the number that a device would hand over, in the shortest text that reads as the same."""
    number = float(str(np.float32(value)))
    return int(number) if number.is_integer() else number


def _made_up(base: str, good: bool, rng: np.random.Generator) -> tuple[float, dict[str, float]]:
    """Return the return of an episode that went well or not, and what it adds to the original's numbers."""
    wrong = float(not good)
    if base == "cartpole":
        returned = float(rng.integers(450, 504) if good else rng.integers(20, 60))
        return returned, {"raw_return": returned, "best_episode": returned}
    if base == "cartpole_swingup":
        upright, pushes = (rng.integers(90, 140), 300) if good else (0, 800)
        returned = upright - 0.1 * pushes + 28 * good
        return returned, {"raw_return": returned - 1, "total_upright": float(upright), "best_episode": returned}
    if base.startswith("deep_sea"):
        return 0.99 - wrong, {"total_bad_episodes": int(wrong), "denoised_return": 1 - wrong}
    if base.startswith("memory"):
        return 1 - 2 * wrong, {"total_perfect": int(good), "total_regret": 2 * wrong}
    if base == "mountain_car":
        returned = -120.0 if good else -1000.0
        return returned, {"raw_return": returned}
    if base == "discounting_chain":
        return 1.1 - 0.1 * wrong, {}
    return 1 - 2 * wrong, {"total_regret": wrong if base == "bandit" else 2 * wrong}


class MadeUp:
    """In the place of an environment of the original: episodes of one step, some good, more or fewer from one on."""

    def __init__(self, base: str, episodes: int, shares: tuple[float, float], turn: int, seed: list[int]):
        self.bsuite_num_episodes = episodes
        self._base, self._shares, self._turn = base, shares, turn
        self._rng, self._episode, self._info = np.random.default_rng(seed), 0, {}

    def reset(self) -> Any:
        import dm_env

        return dm_env.restart(None)

    def step(self, action: Any) -> Any:
        import dm_env

        good = self._rng.random() < self._shares[int(self._episode >= self._turn)]
        self._episode += 1
        returned, added = _made_up(self._base, bool(good), self._rng)
        for name, value in added.items():
            before = self._info.get(name, 0)
            self._info[name] = max(before, value) if name == "best_episode" else before + value
        return dm_env.termination(returned, None)

    def bsuite_info(self) -> dict[str, float]:
        return self._info


def make_up(folder: str) -> list[str]:
    """Let the original log made-up episodes of eight settings of every experiment; return the ids."""
    from bsuite import sweep
    from bsuite.logging import csv_logging

    found = []
    for experiment in PLAN:
        base = experiment.removesuffix("_noise").removesuffix("_scale")
        ids = [bsuite_id for bsuite_id in sweep.SWEEP if bsuite_id.startswith(f"{experiment}/")]
        for place, bsuite_id in enumerate(ids[:2] + ids[2 :: len(ids) // 6][:6]):
            rng = np.random.default_rng([7, *map(ord, bsuite_id)])
            counted = sweep.EPISODES[bsuite_id]
            episodes = 137 if place == 3 else counted if place % 2 else counted * 6 // 5
            # Close to what is asked for: 62.5 % perfect, 75 % without regret, 10 % or 20 % on the diagonal.
            share = rng.uniform(0.05, 0.25) if base.startswith("deep_sea") else rng.uniform(0.55, 0.85)
            first, turn = ((share, 0), (1.0, 10), (0.0, counted), (0.0, counted // 9))[place % 4 if place > 3 else 0]
            shares = (first, share if place != 5 else 0.0)
            if base.startswith("deep_sea") and place == 0:  # Solved, but no sooner than chance would have.
                shares, turn = (0.0, 0.5), 1_080
            env = MadeUp(base, episodes, shares, turn, [8, *map(ord, bsuite_id)])
            logged = csv_logging.wrap_environment(env, bsuite_id, folder)
            for _ in range(episodes):
                logged.reset()
                logged.step(0)
            found.append(bsuite_id)
    return found


def _played(agent: str, folder: str) -> list[dict[str, Any]]:
    runs = []
    for experiment, (numbers, _) in PLAN.items():
        for place, number in enumerate(numbers):
            bsuite_id = f"{experiment}/{number}"
            runs.append({"bsuite_id": bsuite_id, "episodes": play(bsuite_id, agent, place, folder)})
        print(agent, experiment, file=sys.stderr)
    return runs


def main() -> None:
    """Play, score and write."""
    import pandas

    pandas.Series.append = lambda self, other: pandas.concat([self, other])
    from bsuite.experiments import summary_analysis
    from bsuite.logging import csv_load

    document = {}
    for agent in (*AGENTS, "made_up"):
        with tempfile.TemporaryDirectory() as folder:
            runs = [{"bsuite_id": found} for found in make_up(folder)] if agent == "made_up" else _played(agent, folder)
            for run in runs:
                name = run["bsuite_id"].replace("/", "-")
                run["csv"] = (pathlib.Path(folder) / f"bsuite_id_-_{name}.csv").read_text()
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                frame, _ = csv_load.load_bsuite(folder)
                scored = summary_analysis.bsuite_score(frame)
                by_tag = summary_analysis.ave_score_by_tag(scored, None)
        scores = {
            row.bsuite_env: {"score": float(row.score), "finished": bool(row.finished)} for row in scored.itertuples()
        }
        tags = {row.tag: float(row.score) for row in by_tag.itertuples()}
        document[agent] = {"runs": runs, "scores": scores, "tags": dict(sorted(tags.items()))}
        print(agent, json.dumps(scores, indent=1), file=sys.stderr)
    FILE.write_bytes(gzip.compress(json.dumps(document).encode(), mtime=0))
    print(FILE.stat().st_size, file=sys.stderr)


if __name__ == "__main__":
    main()
