"""Atari's configurations: the rule's, and the published agent's. None of its games has settings of its own yet."""

from typing import Any

from experiments.presets import rule
from r2i_jit.config import BehaviorConfig, Config, Hypers, LoopConfig, ModelConfig, ReplayConfig

DEFAULT_ENV = "atari/pong"
SUITE_STEPS = {"tiny": 200_000, "small": 1_000_000, "paper": 150_000}
STEPS: dict[str, int] = {}


def _paper(env: str, environment: Any) -> Config:
    """Return R2I's configuration for Atari 100k.

    Ref: R2I release `configs.yaml`, atari100k: 4 layers, P = 128, H = 512, deter = 512, CNN depth 32, heads 2 x 512;
    B x T = 4 x 1024, one environment, train ratio 1024: an update in four steps of the agent, 16 frames. 1.5e5 steps
    are trained, of which the benchmark counts the first 1e5. The release itself does not run it (its issue 8).

    Other than there: the replay holds 2e5 steps, not 1e7, which is more than the run has; windows begin at an episode's
    start where the episode fits. The games are JAXtari's, not ALE's, and 8 of the 26 are missing (docs/atari.md).
    """
    return Config(
        env=env,
        model=ModelConfig(ssm_layers=4, ssm_state=128, ssm_blocks=8, units=512, deter=512, image_depth=32),
        behavior=BehaviorConfig(policy_input="full"),
        replay=ReplayConfig(capacity=200_000, batch_size=4, sequence_length=1024, train_ratio=1024.0),
        loop=LoopConfig(num_envs=1, chunk_updates=64),
        hypers=Hypers(),
    )


PRESETS = {"tiny": rule.by_rule("tiny"), "small": rule.by_rule("small"), "paper": _paper}
