"""PPO learns to recall, to the optimum. Half a minute on one core."""

import jax
import numpy as np
import pytest

from r2i_jit import Trainer
from tests.agents import small_config


@pytest.mark.parametrize("sequence", ["gru", "s3m"])
def test_a_bit_is_recalled_after_three_steps(sequence):
    """`bsuite/memory_len_3`: 1 for the answer that the first step showed, -1 for the other; 0 without memory."""
    config = small_config(
        "bsuite/memory_len_3", algorithm="ppo", model__sequence=sequence, loop__num_envs=32, loop__chunk_updates=64,
        ppo__steps=20, ppo__epochs=4, ppo__minibatches=4, hypers__model_lr=3e-3, hypers__ssm_lr=3e-3,
        hypers__reward_scale=1.0, hypers__model_clip=0.5, hypers__entropy_scale=0.01, hypers__discount=0.9,
        behavior__actor_unimix=0.0,
    )  # fmt: skip
    trainer = Trainer(config, quick_compile=True)
    state = trainer.init(jax.random.split(jax.random.key(0), 2))
    for _ in range(40):
        state, metrics = trainer.train_chunk(state)
        if np.min(metrics["episode_return"]) > 0.98:
            break
    assert trainer.evaluate(state, jax.random.key(1), episodes=64)["episode_return"].min() == 1.0
    forgetful = trainer.evaluate(state, jax.random.key(1), episodes=64, forget=1)["episode_return"].mean()
    assert abs(forgetful) < 0.5
