"""brax's configurations: those of `control`. None of its environments has settings of its own."""

from experiments.presets import control

DEFAULT_ENV = "brax/inverted_pendulum"
SUITE_STEPS = {"tiny": 200_000, "small": 1_000_000, "paper": 1_000_000}
STEPS: dict[str, int] = {}
PRESETS = control.PRESETS
