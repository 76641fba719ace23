"""The loop on pictures, with the options of the maze's tiny preset at a toy's sizes. About half a minute."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

import envs
from envs import registry
from envs.observation import Image
from experiments.presets import preset
from r2i_jit import Trainer
from tests.host.little_games import Guess, Secret

SIDE = 16
pytestmark = pytest.mark.heavy


class Dot(Guess):
    """As `Guess`; a white picture whose first pixel says the time."""

    def observation_parts(self, params):
        return (Image((SIDE, SIDE, 3)),)

    def observation_space(self, params):
        return spaces.Box(0, 255, (SIDE, SIDE, 3), jnp.uint8)

    def reset_env(self, key, params):
        state = Secret(jnp.zeros((), jnp.int32), jax.random.randint(key, (), 0, 3, jnp.int32))
        return self.observe(key, state, None, params), state

    def observe(self, key, state, action, params):
        return jnp.full((SIDE, SIDE, 3), 255, jnp.uint8).at[0, 0].set(state.time.astype(jnp.uint8))


def config():
    tiny = preset("memory_maze", size="tiny")
    return dataclasses.replace(
        tiny,
        env="little/Dot",
        model=dataclasses.replace(
            tiny.model, ssm_layers=1, ssm_state=8, ssm_blocks=1, units=16, deter=16, stoch=4, classes=4, head_units=16,
            image_depth=2, decoded_steps=3,
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
    with pytest.MonkeyPatch.context() as patch:
        envs.registered()  # Load the suites first: they register once per process.
        patch.setattr(registry, "_entries", dict(registry._entries))
        envs.registry.register("little/Dot", Dot)
        trainer = Trainer(config(), quick_compile=True)
        single = Trainer(config(), quick_compile=True)
    keys = jax.random.split(jax.random.key(0), 2)
    state, metrics = trainer.train_chunk(trainer.init(keys))
    return trainer, state, metrics, single.train_chunk(single.init(keys[1:]))[1]


def test_pictures_are_stored_as_the_environment_emits_them(chunk):
    trainer, state, _, _ = chunk
    steps = state.seeds.replay
    assert steps.obs.dtype == jnp.uint8
    assert steps.obs.shape == (2, 64, 2, SIDE, SIDE, 3)  # seeds, steps, environments
    assert trainer.replay_bytes_per_step == SIDE * SIDE * 3 + 4 + 4 + 1 + 1 + 4
    stored = np.asarray(steps.obs[:, : int(state.written)])
    np.testing.assert_array_equal(stored[..., 0, 0, 0], steps.age[:, : int(state.written)])
    assert (stored[..., 1:, :, :] == 255).all()
    assert not np.asarray(steps.obs[:, int(state.written) :]).any()


def test_everything_is_finite_and_compiled_once(chunk):
    trainer, state, metrics, _ = chunk
    for name, value in metrics.items():
        assert np.isfinite(value).all(), name
    assert trainer.trace_counts == {"init": 1, "prefill": 1, "train_chunk": 1, "evaluate": 0}
    assert (np.asarray(state.seeds.agent.updates) == trainer.updates_per_chunk).all()


def test_a_seed_is_its_single_run(chunk):
    _, _, metrics, alone = chunk
    for name in ("model/observation_loss", "model/reward_loss", "actor/entropy", "critic/loss"):
        np.testing.assert_allclose(alone[name][0], metrics[name][1], rtol=1e-3, err_msg=name)
