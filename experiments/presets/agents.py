"""Other agents in the same loop: what they are, on top of any preset.

R2I took losses, heads, latents, actor and critic over from DreamerV3 (its version of 2023). What differs is the memory:
there it is one gated recurrent unit, which the posterior reads, so that sequences are observed step by step.
"""

import math

from r2i_jit.config import Config, ConfigError

AGENTS = ("r2i", "dreamerv3", "ppo-gru", "ppo-s5")
_WIDTHS = 8  # widths are multiples of this

_DREAMER = (
    "model.sequence=gru",
    "model.ssm_layers=1",
    "model.block=bare",
    "model.posterior=recurrent",
    "model.dynamics_input=latent",
    "model.prior_skip=false",
    "behavior.policy_input=output",
)

# Recurrent PPO: learns from what it has just played, many environments at a time. `ppo-s5` has the preset's S3M, whose
# layers are S5's; `ppo-gru` one gated recurrent unit as large as that.
_PPO = (
    "algorithm=ppo",
    "model.posterior=learned",
    "model.dynamics_input=latent",
    "model.prior_skip=false",
    "behavior.actor_gates=0",
    "behavior.actor_init=0.01",
    "behavior.actor_unimix=0",
    "loop.num_envs=64",
    "loop.chunk_updates=128",
    "ppo.steps=64",
    "hypers.model_lr=3e-4",  # with 1e-3 RepeatFirst is learned and lost again (docs/ppo.md)
    "hypers.ssm_lr=3e-4",
    "hypers.model_eps=1e-5",
    "hypers.model_clip=0.5",
    "hypers.model_weight_decay=0",
    "hypers.warmup_updates=100",
    "hypers.decay_updates=0",
    "hypers.entropy_scale=0.01",
)
_GRU = ("model.sequence=gru", "model.ssm_layers=1", "model.block=bare")


def configured(agent: str, config: Config) -> Config:
    """Return a preset's configuration for an agent.

    Raises:
      ConfigError: if there is no such agent.
    """
    if agent not in AGENTS:
        raise ConfigError(f"unknown agent {agent!r}: expected one of {', '.join(AGENTS)}")
    if agent == "r2i":
        return config
    changes = {"dreamerv3": _DREAMER, "ppo-gru": (*_PPO, *_GRU), "ppo-s5": _PPO}[agent]
    if "model.sequence=gru" in changes:
        changes = (*changes, f"model.units={_as_large(config)}")
    return config.override(changes)


def _as_large(config: Config) -> int:
    """Return the width of a GRU with as many parameters as the preset's S3M."""
    model = config.model
    s3m = model.ssm_layers * (4 * model.ssm_state * model.units + 2 * model.units**2)
    return max(_WIDTHS, _WIDTHS * round(math.sqrt(s3m / 6) / _WIDTHS))
