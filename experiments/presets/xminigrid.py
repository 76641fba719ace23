"""xminigrid's configurations: the rule's, changed for games that pay once, at an episode's end, if at all.

What such a game asks for is seldom seen in random play: MemoryS8's object and the choice after it some 2,000 times in a
million steps. So a full run has many steps, most of them random play, and few updates (docs/decisions/035).
"""

from typing import Any

from experiments.presets import rule
from r2i_jit.config import Config

DEFAULT_ENV = "xminigrid/MiniGrid-MemoryS8"
SUITE_STEPS = {**rule.SUITE_STEPS, "tiny": 9_000_000}
STEPS: dict[str, int] = {}

_SETTINGS = (
    "replay.batch_size=16",  # there is a reward or two in a sequence
    "replay.train_ratio=1.5",  # what is seen again and again is known by heart
    "replay.capacity=2000000",
    "replay.prefill=16000",
    "model.reward_init=16",
    "model.unimix=0.001",
    "model.dt_min=0.001",
    "model.dt_max=0.1",
    "hypers.model_clip=1",
    "hypers.free_nats=0",
    "hypers.rep_scale=0",
    "hypers.sparse_reward_scale=0.3",
    "hypers.critic_lr=1e-3",
    "hypers.entropy_scale=0.003",  # what is to be won is 1, over hundreds of steps: more would pay for dallying
    "hypers.head_start=1500",  # before, the model does not recall, and an actor would learn to choose without looking
    "hypers.critic_head_start=300",
    "behavior.actor_init=0",
)


def _tiny(env: str, environment: Any) -> Config:
    """About 0.3M parameters, some twenty minutes of a core for each agent."""
    return rule.by_rule("tiny")(env, environment).override(_SETTINGS)


PRESETS = {"tiny": _tiny, "small": rule.by_rule("small"), "paper": rule.by_rule("paper")}
