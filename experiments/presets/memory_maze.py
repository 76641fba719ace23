"""Memory Maze's configurations: those of pictures, or by rule where the agent sees rays."""

from collections.abc import Callable
from typing import Any

from envs.observation import Image, observation_leaves
from experiments.presets import images, rule
from r2i_jit.config import Config

DEFAULT_ENV = "memory_maze/9x9"
STEPS: dict[str, int] = {}  # of single environments: none differs
SUITE_STEPS = {"tiny": 1_500_000, "small": 10_000_000, "paper": 400_000_000}
# What the game asks for and not what is seen of it: random play is paid once in seven thousand steps.
_RAYS = (
    "replay.rewarded=0.5",
    "replay.prefill=150000",
    "replay.prefill_repeat=0.75",
    "replay.train_ratio=8",
    "hypers.reward_scale=10",
    "loop.evaluation_greedy=false",
    "loop.evaluation_episodes=16",
)


def _by_what_is_seen(size: str) -> Callable[[str, Any], Config]:
    def configured(env: str, environment: Any) -> Config:
        params = environment.default_params
        pictures = isinstance(observation_leaves(environment, params)[0].parts[0], Image)
        if pictures:
            return images.BY_SIZE[size](env)
        config = rule.configuration(env, environment, params, size)
        return config if size == "paper" else config.override(_RAYS)

    return configured


PRESETS = {size: _by_what_is_seen(size) for size in images.BY_SIZE}
