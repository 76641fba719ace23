"""DM Control's configurations: those of `control`. None of its tasks has settings of its own."""

from experiments.presets import control

DEFAULT_ENV = "dmc/cartpole_swingup"
SUITE_STEPS = {"tiny": 200_000, "small": 1_000_000, "paper": 500_000}
STEPS: dict[str, int] = {}
PRESETS = control.PRESETS
