"""A small agent for tests: every part present, few units."""

from r2i_jit.config import BehaviorConfig, Config, Hypers, LoopConfig, ModelConfig, ReplayConfig


def small_config(env: str = "popgym/RepeatPreviousEasy", **overrides) -> Config:
    """Return a configuration that compiles in seconds; `overrides` are `group__key=value`."""
    config = Config(
        env=env,
        model=ModelConfig(
            ssm_layers=2, ssm_state=8, ssm_blocks=2, units=16, deter=12, stoch=3, classes=4,
            head_layers=1, head_units=16, bins=31, image_depth=4,
        ),
        behavior=BehaviorConfig(horizon=3, imagination_starts=8, actor_units=16, critic_units=16),
        replay=ReplayConfig(capacity=640, batch_size=2, sequence_length=20, train_ratio=5.0),
        loop=LoopConfig(num_envs=4, chunk_updates=2, evaluation_episodes=3),
        hypers=Hypers(model_lr=1e-3, ssm_lr=1e-3, actor_lr=3e-4, critic_lr=3e-4, reward_scale=48.0),
    )  # fmt: skip
    return config.override([f"{key.replace('__', '.')}={value}" for key, value in overrides.items()])
