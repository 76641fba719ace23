"""The loop on pictures: Memory Maze with the tiny preset's options at a toy's sizes. About half a minute."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.presets import preset
from r2i_jit import Trainer


def config():
    tiny = preset("memory_maze", size="tiny")
    return dataclasses.replace(
        tiny,
        model=dataclasses.replace(
            tiny.model, ssm_layers=1, ssm_state=8, ssm_blocks=1, units=16, deter=16, stoch=4, classes=4, head_units=16,
            cnn_depth=2, decoded_steps=3,
        ),
        behavior=dataclasses.replace(tiny.behavior, horizon=2, imagination_starts=8, actor_units=16, critic_units=16),
        replay=dataclasses.replace(
            tiny.replay, capacity=128, batch_size=2, sequence_length=8, train_ratio=4.0, prefill=32
        ),
        loop=dataclasses.replace(tiny.loop, num_envs=2, chunk_updates=2),
    )  # fmt: skip


@pytest.fixture(scope="module")
def chunk():
    """Return a trainer and what it made of a chunk with two seeds."""
    trainer = Trainer(config(), quick_compile=True)
    state = trainer.init(jax.random.split(jax.random.key(0), 2))
    return trainer, *trainer.train_chunk(state)


def test_pictures_are_stored_as_the_environment_emits_them(chunk):
    trainer, state, _ = chunk
    obs = state.seeds.replay.obs
    assert obs.dtype == jnp.uint8
    assert obs.shape == (2, 64, 2, 64, 64, 3)  # seeds, steps, environments
    assert trainer.replay_bytes_per_step == 64 * 64 * 3 + 4 + 4 + 1 + 1 + 4
    stored = np.asarray(obs[:, : int(state.written)])
    assert (stored[..., 0, 0, :] == stored[..., -1, -1, :]).all()  # the frame is of one colour
    assert stored.std(axis=(-3, -2, -1)).min() > 0
    assert not np.asarray(obs[:, int(state.written) :]).any()


def test_everything_is_finite_and_compiled_once(chunk):
    trainer, state, metrics = chunk
    for name, value in metrics.items():
        if not name.startswith("episode"):
            assert np.isfinite(value).all(), name
    assert trainer.trace_counts == {"init": 1, "prefill": 1, "train_chunk": 1, "evaluate": 0}
    assert (np.asarray(state.seeds.agent.updates) == trainer.updates_per_chunk).all()
