"""gymnax's configurations: all by rule (`experiments.presets.rule`), none of one game's own."""

from experiments.presets import rule

DEFAULT_ENV = "gymnax/CartPole-v1-Masked"
SUITE_STEPS = rule.SUITE_STEPS
STEPS: dict[str, int] = {}
PRESETS = {size: rule.by_rule(size) for size in SUITE_STEPS}
