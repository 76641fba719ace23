"""The settings of a world model of pictures, which Memory Maze has and the rule starts from: by size.

They were measured on Memory Maze: many small latents; rewards are rare and drawn more often.
"""

from r2i_jit.config import BehaviorConfig, Config, Hypers, LoopConfig, ModelConfig, ReplayConfig

_HYPERS = Hypers(
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


def tiny(env: str) -> Config:
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


def small(env: str) -> Config:
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
        hypers=_HYPERS.replace(
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


def paper(env: str) -> Config:
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
        hypers=_HYPERS,
    )


BY_SIZE = {"tiny": tiny, "small": small, "paper": paper}
