"""Play the recordings of record_bsuite.py once more in bsuite 0.3.6, and add what it counts for its scores.

Needs the original, as record_bsuite.py does. Seconds:

    python -m tests.golden.record_bsuite_info [EXPERIMENT ...]

Many settings of the sweep have no seed, so the episodes are played again from their recorded hidden states and
draws. What there is in a file stays as it is; `<number>/info.<name>` is added.
"""

import sys
from typing import Any

import numpy as np

from tests.golden.record_bsuite import FOLDER, RECIPES, load

# A field of our state -> the original's attribute. The clocks count by themselves, and so does the diver.
ATTRIBUTES = {
    "context": "_context",
    "query": "_query",
    "need": "_need_umbrella",
    "has": "_has_umbrella",
    "ball": "_ball_x",
    "paddle": "_paddle_x",
    "position": "_position",
    "velocity": "_velocity",
}
POLE = {"position": "x", "velocity": "x_dot", "angle": "theta", "angular_velocity": "theta_dot"}


class Given:
    """In the place of a RandomState: gives what was recorded."""

    noise = gust = 0.0

    def randn(self) -> float:
        return self.noise

    def rand(self) -> float:
        return self.gust


def info(env_id: str, recording: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the original's `bsuite_info` after each episode of a recording.

    Args:
      env_id: `experiment/number`.
      recording: what `record_bsuite.record` returned.

    Returns:
      `info.<name>` (E,) float32, each summed by the original over all episodes so far. Empty where it counts nothing.
    """
    env = load(env_id)
    raw = getattr(env, "raw_env", env)
    given = Given()
    if "draws.gust" in recording:  # What else is drawn has no effect on what is counted.
        raw._rng = given
    found: dict[str, list[float]] = {}
    for episode, length in enumerate(recording["lengths"]):
        env.reset()
        _put(raw, recording, "start.", episode)
        for step in range(length):
            _put(raw, recording, "trail.", (episode, step))
            if "draws.gust" in recording:
                given.noise, given.gust = (recording[f"draws.{name}"][episode, step + 1] for name in ("noise", "gust"))
            timestep = env.step(int(recording["actions"][episode, step]))
            assert timestep.last() == (step == length - 1), f"{env_id}: episode {episode} is not the recorded one"
        for name, value in env.bsuite_info().items():
            found.setdefault(f"info.{name}", []).append(value)
    return {name: np.asarray(values, np.float32) for name, values in found.items()}


def _put(raw: Any, recording: dict[str, np.ndarray], prefix: str, where: Any) -> None:
    """Set the original's hidden state."""
    fields = {name.partition(".")[2]: array[where] for name, array in recording.items() if name.startswith(prefix)}
    if hasattr(raw, "_state"):
        fields = {POLE[field]: float(value) for field, value in fields.items() if field in POLE}
        raw._state = raw._state._replace(**fields)
        return
    for field, value in fields.items():
        if field in ATTRIBUTES:
            setattr(raw, ATTRIBUTES[field], value if np.ndim(value) else value.item())


def main() -> None:
    """Add to the files."""
    for experiment in sys.argv[1:] or RECIPES:
        path = FOLDER / f"{experiment}.npz"
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files if "/info." not in name}
        for number in RECIPES[experiment].ids:
            start = f"{number}/"
            recording = {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
            found = info(f"{experiment}/{number}", recording)
            arrays |= {start + name: values for name, values in found.items()}
        np.savez_compressed(path, **arrays)
        print(experiment, path.stat().st_size, file=sys.stderr)


if __name__ == "__main__":
    main()
