"""Configurations by suite and size: what `just train` uses before `--set`.

`paper` is the published agent's configuration, corrected where the release says it is wrong. `tiny` learns on two CPU
cores while a person waits; `small` is for one GPU. docs/results.md has what they reach.
"""

import dataclasses
from fractions import Fraction

import envs
from envs.observation import Categorical, observation_parts
from r2i_jit.config import BehaviorConfig, Config, ConfigError, Hypers, LoopConfig, ModelConfig, ReplayConfig

SUITES = ("popgym", "memory_maze")
SIZES = ("tiny", "small", "paper")
DEFAULT_ENV = {"popgym": "popgym/RepeatPreviousEasy", "memory_maze": "memory_maze/9x9"}
# Environment steps of a full run, where the suite's default is not enough or more than is needed.
STEPS = {
    "popgym/RepeatFirstEasy": 200_000,
    "popgym/RepeatPreviousEasy": 40_000,
    "popgym/RepeatPreviousMedium": 150_000,
    "popgym/AutoencodeEasy": 1_500_000,
    "popgym/ConcentrationEasy": 3_500_000,
}
# Where the tiny preset's own settings do not teach a game, or an environment (docs/decisions/014, 017 to 019).
TINY_GAMES = {
    "popgym/RepeatFirst": ("hypers.decay_updates=2000",),  # what is learned drifts at full rates (docs/results.md)
    "popgym/Autoencode": (
        "model.reward_init=16",
        "model.unimix=0.001",
        "hypers.rep_scale=0",
        "behavior.policy_input=full",
        "replay.train_ratio=8",
        "replay.prefill=50000",
        "hypers.head_start=300",
    ),
    "popgym/ConcentrationEasy": (
        "model.posterior=observation",
        "model.dynamics_input=change",
        "model.prior_skip=true",
        "model.units=256",
        "model.deter=256",
        "model.dt_min=0.001",
        "model.head_units=128",
        "model.reward_init=16",
        "model.unimix=0.0002",
        "behavior.policy_input=output",
        "behavior.actor_gates=4",
        "behavior.actor_units=256",
        "behavior.critic_units=128",
        "behavior.imagination_starts=256",
        "hypers.actor_lr=0.001",
        "hypers.critic_lr=0.001",
        "hypers.free_nats=0",  # a card recalled is worth less than one nat
        "hypers.rep_scale=0",
        "hypers.entropy_scale=0.02",
        "hypers.decay_updates=6000",
        "hypers.head_start=300",  # the reward head's first guesses are large
        "replay.capacity=50000",  # imagination begins where the policy of now gets to
        "replay.train_ratio=2",
        "replay.prefill=50000",
    ),
}
SUITE_STEPS = {
    ("memory_maze", "tiny"): 1_500_000,
    ("memory_maze", "small"): 10_000_000,
    ("memory_maze", "paper"): 400_000_000,
}


def preset(suite: str, size: str = "tiny", env: str | None = None) -> Config:
    """Return the configuration for a suite's environment at a size.

    Args:
      suite: "popgym" or "memory_maze".
      size: "tiny", "small" or "paper".
      env: an id of the suite; by default the suite's first example.

    Raises:
      ConfigError: for an unknown suite, size or environment, naming what there is.
    """
    if suite not in SUITES:
        raise ConfigError(f"unknown suite {suite!r}: expected one of {', '.join(SUITES)}")
    if size not in SIZES:
        raise ConfigError(f"unknown size {size!r}: expected one of {', '.join(SIZES)}")
    env = env or DEFAULT_ENV[suite]
    if not env.startswith(f"{suite}/"):
        raise ConfigError(f"environment {env!r} is not of suite {suite!r}; its ids start with {suite}/")
    try:
        environment, _ = envs.make(env)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    config = _PRESETS[suite, size](env, environment)
    hypers = config.hypers.replace(reward_scale=config.hypers.reward_scale * float(environment.reward_scale))
    return dataclasses.replace(config, hypers=hypers)


def default_steps(config: Config, size: str) -> int:
    """Return how many environment steps a full run of this configuration takes."""
    suite = config.env.partition("/")[0]
    return STEPS.get(config.env) or SUITE_STEPS.get((suite, size), 500_000)


def _popgym_tiny(env: str, environment) -> Config:
    """About 0.3M parameters; a training sequence is one whole episode (the final observation included)."""
    length = min(environment.max_episode_steps + 1, 1024)
    batch, num_envs = max(1, 832 // length), 16
    config = Config(
        env=env,
        model=ModelConfig(
            ssm_layers=3,
            ssm_state=128,
            ssm_blocks=8,
            units=96,
            deter=96,
            dt_min=0.01,
            dt_max=1.0,
            stoch=_latents(environment),
            classes=8,
            action_scale=3.0,
            head_layers=2,
            head_units=96,
            reward_init=1.0,
        ),
        behavior=BehaviorConfig(horizon=6, imagination_starts=128, actor_units=96, critic_units=96),
        replay=ReplayConfig(
            capacity=500_000,
            batch_size=batch,
            sequence_length=length,
            train_ratio=_train_ratio(32.0, batch * length, num_envs),
        ),
        loop=LoopConfig(num_envs=num_envs, chunk_updates=64),
        hypers=Hypers(
            model_lr=1e-3, ssm_lr=1e-3, actor_lr=3e-4, critic_lr=3e-4, rep_scale=0.03, entropy_scale=2e-2, discount=0.95
        ),
    )
    game = env.removesuffix("Easy").removesuffix("Medium").removesuffix("Hard")
    return config.override(TINY_GAMES.get(env) or TINY_GAMES.get(game, ()))


def _popgym_small(env: str, environment) -> Config:
    """About 5M parameters, for one GPU."""
    length = min(environment.max_episode_steps + 1, 1024)
    batch, num_envs = max(1, 4096 // length), 64
    return Config(
        env=env,
        model=ModelConfig(
            ssm_layers=3,
            ssm_state=128,
            ssm_blocks=8,
            units=256,
            deter=256,
            dt_max=1.0,
            stoch=16,
            classes=16,
            head_layers=2,
            head_units=256,
        ),
        behavior=BehaviorConfig(horizon=15, imagination_starts=1024, actor_units=256, critic_units=256),
        replay=ReplayConfig(
            capacity=1_000_000,
            batch_size=batch,
            sequence_length=length,
            train_ratio=_train_ratio(64.0, batch * length, num_envs),
        ),
        loop=LoopConfig(num_envs=num_envs, chunk_updates=64),
        hypers=Hypers(model_lr=6e-4, ssm_lr=6e-4, actor_lr=2e-4, critic_lr=2e-4, entropy_scale=3e-3),
    )


def _popgym_paper(env: str, environment) -> Config:
    """Return R2I's POPGym configuration with the authors' correction of its network sizes.

    Ref: R2I release, branch popgym (pull request 4): 5 layers, P = 512, H = 1024, deter = 512; B x T = 4 x 1024, 8
    environments, train ratio 64, replay 1e7 steps, policy input (z, x). The published run is 2e8 steps long. Kept from
    this project: categorical observation loss, episode-aligned windows and the reward scale (`--set` takes them back).
    """
    return Config(
        env=env,
        model=ModelConfig(ssm_layers=5, ssm_state=512, ssm_blocks=8, units=1024, deter=512, head_units=512),
        replay=ReplayConfig(capacity=10_000_000, batch_size=4, sequence_length=1024, train_ratio=64.0, prefill=32_768),
        loop=LoopConfig(num_envs=8, chunk_updates=64),
        hypers=Hypers(),
    )


def _maze_tiny(env: str, environment) -> Config:
    """About 3M parameters: what two CPU cores can teach something within an hour.

    Small batches: on a CPU the number of updates is what a picture needs (docs/decisions/009). Small latents, with a
    gain: docs/decisions/021. Beside 128 of them an unscaled action would be next to nothing of what the dynamics read.
    """
    return Config(
        env=env,
        model=ModelConfig(
            ssm_layers=3,
            ssm_state=128,
            ssm_blocks=8,
            units=256,
            deter=256,
            dt_min=0.01,
            dt_max=1.0,
            stoch=128,
            classes=4,
            unimix=0.001,
            latent_gain=3.0,
            action_scale=12.0,
            head_layers=1,
            head_units=256,
            image_net="patches",
            image_depth=32,
            decoded_steps=16,
        ),
        behavior=BehaviorConfig(horizon=15, imagination_starts=32, actor_units=256, critic_units=256),
        replay=ReplayConfig(
            capacity=300_000,
            batch_size=4,
            sequence_length=64,
            train_ratio=8.0,
            rewarded=0.5,
            prefill=150_000,
            prefill_repeat=0.75,
        ),
        loop=LoopConfig(num_envs=16, chunk_updates=64, evaluation_episodes=16, evaluation_greedy=False),
        hypers=Hypers(
            model_lr=2e-3,
            ssm_lr=1e-3,
            actor_lr=3e-4,
            critic_lr=3e-4,
            rep_scale=0.03,
            entropy_scale=2e-2,
            reward_scale=10.0,
            discount=0.99,
        ),
    )


def _maze_small(env: str, environment) -> Config:
    """About 11M parameters, for one GPU: whole episodes of 9x9 as sequences, an update per step of all environments.

    Patches: convolutions cost more there, too, and were not needed. Latents as in `tiny` (docs/decisions/021).
    docs/memory_maze.md has what it reached in minutes.
    """
    return Config(
        env=env,
        model=ModelConfig(
            ssm_layers=3,
            ssm_state=256,
            ssm_blocks=8,
            units=512,
            deter=512,
            dt_min=0.002,
            dt_max=1.0,
            stoch=128,
            classes=4,
            unimix=0.001,
            latent_gain=3.0,
            action_scale=6.0,
            head_layers=2,
            head_units=512,
            image_net="patches",
            image_depth=64,
            decoded_steps=128,
        ),
        behavior=BehaviorConfig(imagination_starts=1024, policy_input="full"),
        replay=ReplayConfig(
            capacity=1_000_000,
            batch_size=8,
            sequence_length=1024,
            train_ratio=32.0,
            rewarded=0.5,
            prefill=300_000,
            prefill_repeat=0.75,
        ),
        loop=LoopConfig(num_envs=256, chunk_updates=50, precision="bfloat16", evaluation_greedy=False),
        hypers=_MAZE_HYPERS.replace(
            model_lr=1.2e-3,
            ssm_lr=1.2e-3,
            actor_lr=3e-4,
            critic_lr=3e-4,
            dyn_scale=0.5,
            rep_scale=0.1,
            entropy_scale=3e-3,
            reward_scale=10.0,
            discount=0.99,
        ),
    )


def _maze_paper(env: str, environment) -> Config:
    """Return R2I's Memory Maze configuration.

    Ref: R2I release `configs.yaml:181-210`: 5 layers, P = 512, H = 1024, deter = 2048, CNN depth 48, heads 4 x 1024;
    B x T = 4 x 1024, 40 environments, train ratio 64, replay 1e7 steps, policy input (z, h, x); 4e8 steps. Kept from
    this project: windows begin at an episode's start where the episode fits, and bfloat16 stands for float16.
    """
    return Config(
        env=env,
        model=ModelConfig(
            ssm_layers=5,
            ssm_state=512,
            ssm_blocks=8,
            units=1024,
            deter=2048,
            head_layers=4,
            head_units=1024,
            image_depth=48,
        ),
        behavior=BehaviorConfig(
            policy_input="full", actor_layers=4, actor_units=1024, critic_layers=4, critic_units=1024
        ),
        replay=ReplayConfig(capacity=10_000_000, batch_size=4, sequence_length=1024, train_ratio=64.0),
        loop=LoopConfig(num_envs=40, chunk_updates=64, precision="bfloat16"),
        hypers=_MAZE_HYPERS,
    )


_MAZE_HYPERS = Hypers(
    model_lr=3e-4,
    ssm_lr=3e-4,
    actor_lr=1e-4,
    critic_lr=1e-4,
    model_clip=200.0,
    actor_clip=200.0,
    model_weight_decay=1e-2,
    dyn_scale=0.8,
    rep_scale=0.2,
    entropy_scale=1e-3,
)


def _train_ratio(wanted: float, tokens: int, num_envs: int) -> float:
    """Return the train ratio next to `wanted` for which collecting and at most eight updates can take turns.

    Batches hold whole episodes, so `tokens` is seldom round: a ratio to the letter can mean 512 updates at a time.
    """
    steps_per_update = Fraction(tokens / (wanted * num_envs)).limit_denominator(8)
    return float(tokens / (num_envs * steps_per_update))


def _latents(environment) -> int:
    """Return how many categorical latents a tiny model gets: as many as the observation has one-hot groups, in [2, 32].

    Spare latents encode the same thing again, each with its own sampling noise, and recall is learned later: on
    RepeatPreviousMedium after 1,900 updates with 8 latents, 1,000 with 2 (docs/decisions/005-tiny-preset.md).
    """
    parts = observation_parts(environment, environment.default_params)
    groups = sum(part.count if isinstance(part, Categorical) else part.size for part in parts)
    return min(32, max(2, groups))


_PRESETS = {
    ("popgym", "tiny"): _popgym_tiny,
    ("popgym", "small"): _popgym_small,
    ("popgym", "paper"): _popgym_paper,
    ("memory_maze", "tiny"): _maze_tiny,
    ("memory_maze", "small"): _maze_small,
    ("memory_maze", "paper"): _maze_paper,
}
