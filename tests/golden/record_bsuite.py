"""Record episodes of bsuite 0.3.6 and write bsuite/<experiment>.npz beside this file.

Needs the original (`pip install --no-deps bsuite==0.3.6 dm-env immutabledict termcolor scikit-image lazy-loader
networkx imageio tifffile dm-tree` beside the project). Under a minute:

    python -m tests.golden.record_bsuite [EXPERIMENT ...]

A recording holds what the original hides and draws (`start`, `trail`, `draws`), so that an environment which is given
the same must return the same. tests/envs/test_bsuite_parity.py replays the files, and records anew where the original
is installed.
"""

import contextlib
import io
import pathlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

FOLDER = pathlib.Path(__file__).with_name("bsuite")
Hidden = dict[str, Any]


class Tape:
    """A RandomState that keeps what it gave since the last `take`, by the name of the method."""

    def __init__(self, rng: np.random.RandomState):
        """Record `rng`."""
        self._rng, self._given = rng, {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return the method, recorded."""

        def method(*args, **kwargs):
            value = getattr(self._rng, name)(*args, **kwargs)
            self._given.setdefault(name, []).append(np.asarray(value))
            return value

        return method

    def take(self) -> dict[str, list[np.ndarray]]:
        """Return what was given and forget it."""
        given, self._given = self._given, {}
        return given


@dataclass(frozen=True)
class Recipe:
    """How an experiment is recorded.

    Attributes:
      start: raw environment -> the fields of our state after a reset.
      act: (raw environment, NumPy generator, number of the episode, step) -> action, or None for a random one.
      draws: what the raw environment's generator gave, and its settings -> the names and values of our draws.
      prepare: (raw environment, generator, episode) -> None; changes the state after a reset. Returns whether it did.
      trail: whether our state is replaced by the original's before every step: float physics.
      ids: numbers of the sweep that go into the file.
      episodes: of each of them.
    """

    start: Callable[[Any], Hidden]
    act: Callable[[Any, np.random.Generator, int, int], int | None] = lambda env, rng, episode, step: None
    draws: Callable[[dict[str, list[np.ndarray]], Any], Hidden] = lambda given, env: {}
    prepare: Callable[[Any, np.random.Generator, int], None] = lambda env, rng, episode: None
    trail: bool = False
    ids: tuple[int, ...] = (0,)
    episodes: int = 8


def _memory(env: Any) -> Hidden:
    return {"time": env._timestep, "context": env._context, "query": env._query}


def _remember(env: Any, rng: np.random.Generator, episode: int, step: int) -> int | None:
    """Return the right answer in every third episode, a wrong one in every third."""
    right = int(env._context[env._query])
    return (right, 1 - right, None)[episode % 3]


def _umbrella(env: Any) -> Hidden:
    return {"time": env._timestep, "need": env._need_umbrella, "has": env._has_umbrella}


def _weather(given: dict[str, list[np.ndarray]], env: Any) -> Hidden:
    """Return the reward, drawn before the bits, and the bits. What a reset draws is no reward, and not used."""
    numbers = given["binomial"]
    return {"reward": int(numbers[0]) if numbers[0].ndim == 0 else 0, "distractors": numbers[-1]}


def _catch(env: Any) -> Hidden:
    return {"time": env._ball_y, "ball": env._ball_x, "paddle": env._paddle_x}


def _follow(env: Any, rng: np.random.Generator, episode: int, step: int) -> int | None:
    """Return the move towards the ball in every other episode."""
    return int(np.sign(env._ball_x - env._paddle_x)) + 1 if episode % 2 else None


def _sea(env: Any) -> Hidden:
    return {"time": env._row, "column": env._column}


def _dive(env: Any, rng: np.random.Generator, episode: int, step: int) -> int | None:
    """Go right always, seldom not, left always, or either."""
    right = int(env._action_mapping[env._row, env._column])
    return (right, right if rng.random() < 0.95 else 1 - right, 1 - right, None)[episode % 4]


def _current(given: dict[str, list[np.ndarray]], env: Any) -> Hidden:
    """Return what was drawn, or what does nothing."""
    return {"noise": given.get("randn", [0.0])[0], "gust": given.get("rand", [1.0])[0]}


def _car(env: Any) -> Hidden:
    return {"time": env._timestep, "position": env._position, "velocity": env._velocity}


def _swing(env: Any, rng: np.random.Generator, episode: int, step: int) -> int | None:
    """Push the way the car rolls: to the goal, or in some episodes up to the wall first."""
    if episode % 3 == 2:
        return None
    return 1 + (1 if env._velocity >= 0 else -1) if episode % 3 or env._position > -1.1 else 0


def _pole(env: Any) -> Hidden:
    state = env._state
    names = ("position", "velocity", "angle", "angular_velocity")
    return {"time": round(state.time_elapsed / 0.01), **dict(zip(names, state[:4], strict=True))}


def _balance(env: Any, rng: np.random.Generator, episode: int, step: int) -> int | None:
    """Hold pole and cart to the end, push one way, or play at random."""
    state = env._state
    if episode % 4 == 0:
        angle = (state.theta + np.pi) % (2 * np.pi) - np.pi
        force = 20 * angle + 4 * state.theta_dot + 0.6 * state.x + 1.2 * state.x_dot
        return 1 + int(np.sign(force)) * int(abs(force) > 0.05)
    return 2 * (episode // 4 % 2) if episode % 4 == 1 else None


def _outward(env: Any, rng: np.random.Generator, episode: int) -> None:
    """Begin some episodes at an end of the track: the pole would fall before the cart gets there."""
    if episode % 4 >= 2:
        side = 1 if episode % 4 == 2 else -1
        env._state = env._state._replace(x=side * rng.uniform(2.9, 2.98), x_dot=side * rng.uniform(0.5, 1.5))


def _upright(env: Any, rng: np.random.Generator, episode: int) -> None:
    """Begin some episodes of the swing-up near the top: random play would not get there."""
    if episode % 4 != 3:
        x, theta = rng.uniform(-1, 1), rng.uniform(-0.3, 0.3)
        env._state = env._state._replace(x=x, theta=theta, theta_dot=rng.uniform(-1.5, 1.5))


RECIPES: dict[str, Recipe] = {
    "memory_len": Recipe(_memory, _remember, ids=(0, 1, 2, 6, 12, 16, 22), episodes=12),
    "memory_size": Recipe(_memory, _remember, ids=(0, 1, 4, 9, 16), episodes=24),
    "discounting_chain": Recipe(
        lambda env: {"time": env._timestep, "arm": env._context},
        lambda env, rng, episode, step: episode % 5 if step == 0 else None,
        ids=(0, 1, 2, 3, 4, 7, 19),
        episodes=5,
    ),
    "umbrella_length": Recipe(_umbrella, draws=_weather, ids=(0, 1, 4, 12, 22), episodes=12),
    "umbrella_distract": Recipe(_umbrella, draws=_weather, ids=(0, 9, 22), episodes=12),
    "catch": Recipe(_catch, _follow, episodes=40),
    "bandit": Recipe(
        lambda env: {"time": 0}, lambda env, rng, episode, step: episode % 11, ids=(0, 1, 7, 19), episodes=11
    ),
    "deep_sea": Recipe(_sea, _dive, ids=(0, 1, 10, 20), episodes=8),
    "deep_sea_stochastic": Recipe(_sea, _dive, draws=_current, ids=(0, 10, 20), episodes=24),
    "mountain_car": Recipe(_car, _swing, trail=True, episodes=6),
    "cartpole": Recipe(_pole, _balance, prepare=_outward, trail=True, episodes=8),
    "cartpole_swingup": Recipe(_pole, _balance, prepare=_upright, trail=True, ids=(0, 10, 19), episodes=4),
}


# Other rewards of the same experiments.
for _name, _numbers in {"bandit": 22, "catch": 10, "mountain_car": 2, "cartpole": 4}.items():
    for _kind in ("noise", "scale"):
        _ids = (0, 19) if RECIPES[_name].trail else (0, 4, 9, 14, 19)
        RECIPES[f"{_name}_{_kind}"] = replace(RECIPES[_name], ids=_ids, episodes=_numbers)


def load(env_id: str) -> Any:
    """Return the original's environment of `experiment/number`, without the line that it prints."""
    import bsuite

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return bsuite.load_from_id(env_id)


def record(env_id: str, episodes: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Play episodes of the original.

    Returns:
      `actions` and `rewards` (E, T), `observations` (E, T + 1, ...), `lengths` and `discounts` (the last one's) (E,),
      `start.<field>` (E, ...), `trail.<field>` (E, T, ...) and `draws.<name>` (E, T + 1, ...), padded with zeros.
    """
    recipe = RECIPES[env_id.partition("/")[0]]
    env = load(env_id)
    raw = getattr(env, "raw_env", env)
    rng = np.random.default_rng([seed, *map(ord, env_id)])
    tape, outer = _taped(raw), _taped(env) if env is not raw else None
    actions = env.action_spec().num_values
    played = []
    for episode in range(episodes):
        step = env.reset()
        recipe.prepare(raw, rng, episode)
        observation = raw.observation if recipe.trail and hasattr(raw, "observation") else step.observation
        found: dict[str, list] = {"observations": [observation]}
        found |= {f"start.{name}": [value] for name, value in recipe.start(raw).items()}
        _note(found, recipe, raw, tape, outer)
        stay, usual = rng.random() < 0.5, rng.integers(actions)
        while not step.last():
            action = recipe.act(raw, rng, episode, len(found.get("actions", ())))
            if action is None:
                usual = usual if stay and rng.random() < 0.9 else rng.integers(actions)
                action = int(usual)
            if recipe.trail:
                for name, value in recipe.start(raw).items():
                    found.setdefault(f"trail.{name}", []).append(value)
            step = env.step(action)
            found.setdefault("actions", []).append(action)
            found.setdefault("rewards", []).append(step.reward)
            found["observations"].append(step.observation)
            _note(found, recipe, raw, tape, outer)
        found["lengths"], found["discounts"] = [len(found["actions"])], [step.discount]
        played.append(found)
    return {name: _stacked(name, [found[name] for found in played]) for name in played[0]}


def _taped(env: Any) -> Tape | None:
    if not hasattr(env, "_rng"):
        return None
    env._rng = Tape(env._rng)
    return env._rng


def _note(found: dict[str, list], recipe: Recipe, raw: Any, tape: Tape | None, outer: Tape | None) -> None:
    drawn = recipe.draws(tape.take() if tape else {}, raw)
    if outer is not None:
        drawn = {**drawn, "noise": (outer.take().get("randn") or [0.0])[0]}
    for name, value in drawn.items():
        found.setdefault(f"draws.{name}", []).append(value)


def _stacked(name: str, episodes: list[list]) -> np.ndarray:
    """Return episodes as one array, padded with zeros and in a small type."""
    rows = [np.stack([np.asarray(value) for value in values]) for values in episodes]
    steps = max(map(len, rows))
    full = np.stack([np.pad(row, [(0, steps - len(row))] + [(0, 0)] * (row.ndim - 1)) for row in rows])
    full = full[:, 0] if name.startswith(("start.", "lengths", "discounts")) else full
    if full.dtype.kind in "iub":
        return full.astype(np.int16)
    return full.astype(np.float32)


def main() -> None:
    """Record and write."""
    FOLDER.mkdir(exist_ok=True)
    for experiment in sys.argv[1:] or RECIPES:
        recipe = RECIPES[experiment]
        arrays = {}
        for number in recipe.ids:
            for name, value in record(f"{experiment}/{number}", recipe.episodes).items():
                arrays[f"{number}/{name}"] = value
        np.savez_compressed(FOLDER / f"{experiment}.npz", **arrays)
        print(experiment, (FOLDER / f"{experiment}.npz").stat().st_size, file=sys.stderr)


if __name__ == "__main__":
    main()
