"""craftax's configurations: those of the rule. None of its games has settings of its own yet.

At size paper the rule takes, for the symbolic games, R2I's POPGym configuration (`vectors.paper`), and for the pictures
its Memory Maze configuration: the paper has no Craftax.
"""

from experiments.presets import rule

DEFAULT_ENV = "craftax/Classic-Symbolic"
SUITE_STEPS = {"tiny": 1_000_000, "small": 10_000_000, "paper": 10_000_000}
STEPS: dict[str, int] = {}
PRESETS = {size: rule.by_rule(size) for size in SUITE_STEPS}
