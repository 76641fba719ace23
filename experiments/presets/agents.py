"""Other agents in the same loop: what their world model is, on top of any preset.

R2I took losses, heads, latents, actor and critic over from DreamerV3 (its version of 2023). What differs is the memory:
there it is one gated recurrent unit, which the posterior reads, so that sequences are observed step by step.
"""

import math

from r2i_jit.config import Config, ConfigError

AGENTS = ("r2i", "dreamerv3")
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


def configured(agent: str, config: Config) -> Config:
    """Return a preset's configuration for an agent.

    Raises:
      ConfigError: if there is no such agent.
    """
    if agent not in AGENTS:
        raise ConfigError(f"unknown agent {agent!r}: expected one of {', '.join(AGENTS)}")
    if agent == "r2i":
        return config
    return config.override([*_DREAMER, f"model.units={_as_large(config)}"])


def _as_large(config: Config) -> int:
    """Return the width of a GRU with as many parameters as the preset's S3M."""
    model = config.model
    s3m = model.ssm_layers * (4 * model.ssm_state * model.units + 2 * model.units**2)
    return max(_WIDTHS, _WIDTHS * round(math.sqrt(s3m / 6) / _WIDTHS))
