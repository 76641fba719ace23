"""Which keys of a Config nothing reads: what another key has chosen has no use for them.

Not among them are keys that hang on a value (`replay.rewarded` where no reward is paid) or on what the environment
shows (`model.image_net` without images).

Owned by tests/unit/test_relevance.py, which looks for every key in what is compiled.
"""

from collections.abc import Iterator

from r2i_jit.config import MEMAX, Config, PPOConfig, ReplayConfig
from r2i_jit.ranges import keys_of

# Read by the S3M alone.
_S3M = ("ssm_state", "ssm_blocks", "discretization", "dt_min", "dt_max", "clip_eigenvalues", "scan")
# Of what makes latents of observations and observations of latents.
_CODERS = (
    "stoch", "classes", "encoder_layers", "decoder_layers", "image_net", "image_depth", "decoded_steps",
    "observation_loss", "number_loss",
)  # fmt: skip
# Read by the world model's agent alone.
_WORLD_MODEL = (
    "reset", "posterior", "stoch", "classes", "unimix", "latent_gain", "dynamics_input", "prior_skip", "action_scale",
    "decoder_layers", "head_layers", "head_units", "reward_init", "decoded_steps", "observation_loss", "number_loss",
    "bins",
)  # fmt: skip
_MODEL_LOSS = (
    "observation_scale", "reward_loss_scale", "sparse_reward_scale", "continue_scale", "dyn_scale", "rep_scale",
    "free_nats", "head_start", "critic_head_start",
)  # fmt: skip
_IMAGINATION = ("horizon", "imagination_starts", "first_starts", "continue_mode", "unroll")
_SLOW_CRITIC = ("slow_critic_rate", "slow_critic_scale")


def unread(config: Config) -> dict[str, str]:
    """Return the full names of the keys that nothing reads, each with why: what is read in its place, if anything."""
    of_algorithm = _by_ppo(config) if config.algorithm == "ppo" else _by_world_model(config)
    return dict([*_by_memory(config), *of_algorithm])


def _by_memory(config: Config) -> Iterator[tuple[str, str]]:
    """Yield what the recurrence and what is around it do not read."""
    model = config.model
    if model.sequence != "s3m":
        chosen = f"model.sequence={model.sequence}"
        for name in _S3M:
            yield f"model.{name}", f"it is for model.sequence=s3m, and this is {chosen}"
        yield "hypers.ssm_lr", f"it is for model.sequence=s3m, and {chosen} learns by hypers.model_lr"
    if model.sequence in MEMAX:
        yield "model.initial_state", f"model.sequence={model.sequence} has an initial state of its own"
    if model.block == "bare":
        yield "model.deter", "with model.block=bare h is what the recurrence puts out, as wide as model.units"


def _by_world_model(config: Config) -> Iterator[tuple[str, str]]:
    """Yield what the world model's agent does not read."""
    for name in keys_of(PPOConfig):
        yield f"ppo.{name}", "it is PPO's, and this agent learns from its replay (replay.*)"
    yield "hypers.clip_range", "it is PPO's, and this agent learns in imagination"
    yield "hypers.value_scale", "it is PPO's, and this agent's critic learns at a rate of its own, hypers.critic_lr"
    if config.model.posterior == "recurrent":
        yield "model.scan", "with model.posterior=recurrent a sequence is observed step by step"
    if config.model.posterior == "observation":
        for name in _CODERS:
            yield f"model.{name}", f"the latent of {config.env} is the observation itself (model.posterior=observation)"


def _by_ppo(config: Config) -> Iterator[tuple[str, str]]:
    """Yield what PPO does not read."""
    for network in ("actor", "critic"):
        yield f"hypers.{network}_lr", "PPO has one learning rate, hypers.model_lr"
        for name in ("eps", "clip"):
            yield f"hypers.{network}_{name}", f"PPO has one optimiser, with hypers.model_{name}"
    for name in keys_of(ReplayConfig):
        yield f"replay.{name}", "PPO has no replay: it learns from ppo.steps steps at a time, ppo.epochs times"
    for name in _IMAGINATION:
        yield f"behavior.{name}", "PPO imagines nothing"
    yield "behavior.policy_input", "PPO's actor and critic read what its memory puts out"
    yield "behavior.actor_gradient", "PPO's is that of its clipped ratio (hypers.clip_range)"
    for name in _WORLD_MODEL:
        yield f"model.{name}", "PPO has no world model"
    yield "model.deter", "PPO has no world model; what its memory puts out is as wide as model.units"
    for name in _MODEL_LOSS:
        yield f"hypers.{name}", "PPO has no world model"
    for name in _SLOW_CRITIC:
        yield f"hypers.{name}", "PPO has no slow critic"
    yield "hypers.return_decay", "PPO brings its advantages to deviation 1 in each minibatch"
