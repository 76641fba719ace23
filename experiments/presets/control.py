"""Configurations for bodies under physics, brax's and DM Control's: the rule's, and the published agent's."""

from typing import Any

from experiments.presets import rule
from r2i_jit.config import BehaviorConfig, Config, Hypers, LoopConfig, ModelConfig, ReplayConfig


def paper(env: str, environment: Any) -> Config:
    """Return R2I's configuration for DM Control from joint angles (the release's `dmc_proprio`).

    Its encoder and decoder have five layers of 1,024; here as many of the model's own 512. A step is one of
    the agent's: the published run has 5e5 of them, its curves count the control steps, two in each.
    """
    return Config(
        env=env,
        model=ModelConfig(
            ssm_layers=4, ssm_state=128, ssm_blocks=8, units=512, deter=512, encoder_layers=5, decoder_layers=5
        ),
        behavior=BehaviorConfig(policy_input="full"),
        replay=ReplayConfig(capacity=1_000_000, batch_size=4, sequence_length=1024, train_ratio=512.0),
        loop=LoopConfig(num_envs=4, chunk_updates=64),
        hypers=Hypers(),
    )


PRESETS = {"tiny": rule.by_rule("tiny"), "small": rule.by_rule("small"), "paper": paper}
