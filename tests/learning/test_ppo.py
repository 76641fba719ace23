"""PPO on environments whose optimum is known: it learns to act, to value what comes later, and to recall. A minute."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams

import envs
from envs import registry
from r2i_jit import Trainer
from r2i_jit.ppo import Core
from tests.agents import small_config

DISCOUNT, BONUS, EXPLORED = 0.6, 0.5, 0.2


@struct.dataclass
class Shown:
    time: jax.Array
    bit: jax.Array
    right: jax.Array


class Probe(Environment):
    """A bit is shown. The action that names it pays 1 at the end, two steps later, the other -1; between is BONUS."""

    name, max_episode_steps = "Probe", 2

    @property
    def default_params(self):
        return EnvParams(max_steps_in_episode=2)

    def observation_space(self, params):
        return spaces.Box(0, 1, (3,), jnp.float32)

    def action_space(self, params):
        return spaces.Discrete(2)

    def reset_env(self, key, params):
        state = Shown(jnp.int32(0), jax.random.bernoulli(key).astype(jnp.int32), jnp.zeros((), bool))
        return self.shown(state), state

    def shown(self, state):
        return jax.nn.one_hot(jnp.where(state.time == 0, state.bit, 2), 3, dtype=jnp.float32)

    def step_env(self, key, state, action, params):
        right = jnp.where(state.time == 0, action == state.bit, state.right)
        state = Shown(state.time + 1, state.bit, right)
        reward = jnp.where(state.time < 2, BONUS, jnp.where(right, 1.0, -1.0)).astype(jnp.float32)
        return self.shown(state), state, reward, state.time >= 2, {}

    def is_truncated(self, state, params):
        return jnp.zeros((), bool)


@pytest.mark.heavy
def test_what_comes_later_is_valued_by_its_discount_and_by_what_was_done(monkeypatch):
    """The optimum is BONUS + 1; the last value is that of the action that was taken, which no observation shows.

    One action in five is drawn evenly, so that the wrong one is valued from experience to the end.
    """
    envs.registered()  # loads the suites, once per process
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    registry.register("probe/Probe", Probe)
    config = small_config(
        "probe/Probe", algorithm="ppo", model__sequence="gru", loop__num_envs=32, loop__chunk_updates=64,
        ppo__steps=20, ppo__epochs=4, ppo__minibatches=4, hypers__model_lr=3e-3, hypers__reward_scale=1.0,
        hypers__model_clip=0.5, hypers__entropy_scale=0.01, hypers__discount=DISCOUNT, behavior__actor_unimix=EXPLORED,
    )  # fmt: skip
    trainer = Trainer(config, quick_compile=True)
    state = trainer.init(jax.random.split(jax.random.key(0), 2))
    for _ in range(30):
        state, _ = trainer.train_chunk(state)
    played = trainer.evaluate(state, jax.random.key(1), episodes=64)["episode_return"]
    np.testing.assert_allclose(played, BONUS + 1.0)
    agent = trainer.agent

    @jax.vmap
    def values(agent_state):
        """Of both bits and both first actions: before the first step, and before the last."""
        bit, action = jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 0, 1])
        see = partial(agent.model.apply, {"params": agent_state.model}, method=Core.step)
        eye, nothing = jnp.eye(3, dtype=jnp.float32), jnp.zeros((4, 2), jnp.float32)
        first = see(eye[bit], nothing, jnp.ones(4, bool), agent.initial_latent(agent_state, 4).hidden)
        taken = jax.nn.one_hot(action, 2, dtype=jnp.float32)
        last = see(eye[jnp.full(4, 2)], taken, jnp.zeros(4, bool), first.hidden)
        return agent.value(agent_state, first), agent.value(agent_state, last)

    first, last = values(state.seeds.agent)
    np.testing.assert_allclose(first, np.full((2, 4), BONUS + DISCOUNT * (1 - EXPLORED)), atol=0.15)
    np.testing.assert_allclose(last, np.tile([1.0, -1.0, -1.0, 1.0], (2, 1)), atol=0.15)


@pytest.mark.heavy
@pytest.mark.parametrize("sequence", [pytest.param("gru", marks=pytest.mark.heavy), "s3m"])
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
    worst = -1.0
    for _ in range(40):
        state, metrics = trainer.train_chunk(state)
        if np.min(metrics["episode_return"]) > 0.98:  # a policy may lose it for an update or two
            worst = trainer.evaluate(state, jax.random.key(1), episodes=64)["episode_return"].min()
            if worst == 1.0:
                break
    assert worst == 1.0
    forgetful = trainer.evaluate(state, jax.random.key(1), episodes=64, forget=1)["episode_return"].mean()
    assert abs(forgetful) < 0.5
