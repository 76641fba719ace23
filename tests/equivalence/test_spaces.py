"""The loop on every kind of observation and action, and what must be equal to what. About two minutes."""

import contextlib
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams

import envs
from envs import registry
from envs.observation import Binary, Categorical, Continuous, Image, arrange
from envs.spaces import MultiDiscrete
from envs.wrappers import Wrapper
from experiments.presets import preset
from experiments.smoke import small
from r2i_jit import Trainer
from r2i_jit.world_model import WorldModel
from tests.trees import assert_close, assert_same, leaves

LENGTH = 5


@struct.dataclass
class Drawn:
    time: jax.Array
    key: jax.Array


def sample(space, key):
    """Return what is in a space: gymnax draws numbers without end from a Box without bounds."""
    if isinstance(space, spaces.Dict):
        keys = jax.random.split(key, len(space.spaces))
        return {name: sample(inner, key) for (name, inner), key in zip(space.spaces.items(), keys, strict=True)}
    if isinstance(space, spaces.Tuple):
        keys = jax.random.split(key, len(space.spaces))
        return tuple(sample(inner, key) for inner, key in zip(space.spaces, keys, strict=True))
    if isinstance(space, spaces.Box) and jnp.issubdtype(space.dtype, jnp.floating):
        return jax.random.uniform(key, space.shape, jnp.float32).astype(space.dtype)
    if isinstance(space, spaces.Box):
        high = int(np.max(space.high)) + 1
        return jax.random.randint(key, space.shape, 0, high, jnp.int32).astype(space.dtype)
    return space.sample(key)


class Static(Environment):
    """Noise of any kind; a reward for the size of the action."""

    max_episode_steps = LENGTH

    def __init__(self, observations, actions, parts=None):
        self._observations, self._actions = observations, actions
        if parts is not None:
            self.observation_parts = lambda params: parts

    name = "Static"

    @property
    def default_params(self):
        return EnvParams(max_steps_in_episode=LENGTH)

    def observation_space(self, params):
        return self._observations

    def action_space(self, params):
        return self._actions

    def reset_env(self, key, params):
        state = Drawn(jnp.int32(0), key)
        return self.shown(state), state

    def shown(self, state):
        return sample(self._observations, jax.random.fold_in(state.key, state.time))

    def step_env(self, key, state, action, params):
        state = Drawn(state.time + 1, state.key)
        reward = jnp.tanh(jnp.mean(jnp.asarray(action).astype(jnp.float32)))
        return self.shown(state), state, reward, state.time >= LENGTH, {}

    def is_truncated(self, state, params):
        return jnp.zeros((), bool)


def box(shape, low=0, high=1, dtype=jnp.float32):
    return spaces.Box(low, high, shape, dtype)


BYTES = functools.partial(box, high=255, dtype=jnp.uint8)
MIXED = spaces.Dict(
    {
        "eyes": spaces.Tuple((BYTES((20, 17, 3)), BYTES((16, 18)))),
        "body": box((2, 2), -np.inf, np.inf),
        "bits": box((3,), dtype=jnp.bool_),
        "place": spaces.Discrete(4),
        "hands": MultiDiscrete([2, 3]),
    }
)
TABLE = {
    "mixed, choice": (MIXED, spaces.Discrete(3), None),
    "mixed, half-bounded": (MIXED, box((2,), [-np.inf, 0.0], [np.inf, np.inf]), None),
    "matrix, independent choices": (box((3, 3)), MultiDiscrete([9, 8, 7]), None),
    "scalar, joint choices": (box(()), MultiDiscrete([3, 2]), None),
    "classes, integers": (MultiDiscrete([3, 2]), box((1, 2), [[-1, 5]], [[1, 6]], jnp.int32), None),
    "grey floats, box": (box((17, 20)), box((2, 2), -2.0, 3.0), (Image((17, 20)),)),
    "channels first, scalar box": (BYTES((3, 17, 18)), box((), -1.0), (Image((3, 17, 18), channels_first=True),)),
    "declared parts, bytes": (box((2, 3)), BYTES((2,)), (Categorical(3), Binary(2), Continuous(1))),
}


# Those that share their parts with the others; minutes.
SLOW = ("mixed, half-bounded", "scalar, joint choices", "channels first, scalar box", "declared parts, bytes")


@contextlib.contextmanager
def registered(factory):
    with pytest.MonkeyPatch.context() as patch:
        envs.registered()  # Load the suites first: they register once per process.
        patch.setattr(registry, "_entries", dict(registry._entries))
        registry.register("any/Static", factory)
        yield


def tiny(**model):
    config = small("any/Static")
    return dataclasses.replace(
        config,
        model=dataclasses.replace(
            config.model, ssm_state=8, ssm_blocks=2, units=16, deter=12, stoch=3, classes=4, image_depth=2,
            image_net="patches", decoded_steps=0, **model,
        ),
        behavior=dataclasses.replace(config.behavior, imagination_starts=4, actor_units=16, critic_units=16),
        replay=dataclasses.replace(config.replay, capacity=128, sequence_length=6, prefill=0),
    )  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("kind", [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in TABLE])
def test_an_agent_trains_on_it(kind):
    observations, actions, parts = TABLE[kind]
    with registered(lambda: Static(observations, actions, parts)):
        preset(size="small", env="any/Static"), preset(size="paper", env="any/Static")  # There is one for every size.
        trainer = Trainer(tiny(), quick_compile=True)
        state = trainer.init(jax.random.split(jax.random.key(0), 2))
        before = leaves(state.seeds.agent.model)
        state, metrics = trainer.train_chunk(state)
        assert all(np.isfinite(value).all() for value in leaves(metrics))
        assert any((a != b).any() for a, b in zip(before, leaves(state.seeds.agent.model), strict=True))
        played = trainer.evaluate(state, jax.random.key(1), 2, max_steps=LENGTH)
        assert (np.asarray(played["episode_length"]) == LENGTH).all()
        assert trainer.trace_counts == {"init": 1, "prefill": 1, "train_chunk": 1, "evaluate": 1}


def chunk(factory):
    with registered(factory):
        trainer = Trainer(tiny(), quick_compile=True)
        state, metrics = trainer.train_chunk(trainer.init(jax.random.split(jax.random.key(0), 1)))
    return state, metrics


class Concatenated(Wrapper):
    """Several vectors in one, which is what an agent makes of them."""

    def observation_parts(self, params):
        return Continuous(4), Binary(3), Categorical(4)

    def observation_space(self, params):
        return box((11,))

    def reset_env(self, key, params):
        obs, state = self.env.reset_env(key, params)
        return self.joined(obs), state

    def step_env(self, key, state, action, params):
        obs, *rest = self.env.step_env(key, state, action, params)
        return self.joined(obs), *rest

    def joined(self, obs):
        parts = obs["a"].ravel(), obs["b"].astype(jnp.float32), jax.nn.one_hot(obs["c"], 4, dtype=jnp.float32)
        return jnp.concatenate(parts)


@pytest.mark.heavy
def test_several_vectors_are_learned_as_if_they_were_one():
    several = spaces.Dict({"a": box((2, 2)), "b": box((3,), dtype=jnp.bool_), "c": spaces.Discrete(4)})
    make = lambda: Static(several, spaces.Discrete(3))
    (one, one_metrics), (other, other_metrics) = chunk(make), chunk(lambda: Concatenated(make()))
    assert_close(one_metrics, other_metrics)
    assert_close(one.seeds.agent.model, other.seeds.agent.model)


class Moved(Wrapper):
    """Channels last, of what has them first."""

    def observation_parts(self, params):
        return (Image((17, 18, 3)),)

    def observation_space(self, params):
        return BYTES((17, 18, 3))

    def reset_env(self, key, params):
        obs, state = self.env.reset_env(key, params)
        return obs.transpose(1, 2, 0), state

    def step_env(self, key, state, action, params):
        obs, *rest = self.env.step_env(key, state, action, params)
        return obs.transpose(1, 2, 0), *rest


@pytest.mark.heavy
def test_channels_that_come_first_are_as_if_they_came_last():
    first = lambda: Static(BYTES((3, 17, 18)), spaces.Discrete(3), (Image((3, 17, 18), channels_first=True),))
    (one, one_metrics), (other, other_metrics) = chunk(first), chunk(lambda: Moved(first()))
    assert_same(one_metrics, other_metrics)
    assert_same(one.seeds.agent.model, other.seeds.agent.model)


@pytest.mark.heavy
def test_acting_step_by_step_sees_what_training_sees_in_parallel():
    with registered(lambda: Static(MIXED, spaces.Discrete(3))):
        trainer = Trainer(tiny(), quick_compile=True)
    agent = trainer.agent
    state = jax.jit(functools.partial(agent.init, hypers=trainer.config.hypers))(jax.random.key(0))
    batch, steps = 3, 6
    keys = jax.random.split(jax.random.key(1), batch * steps)
    obs = jax.vmap(functools.partial(sample, MIXED))(keys)
    obs = jax.tree.map(lambda leaf: leaf.reshape(batch, steps, *leaf.shape[1:]), obs)
    obs = arrange(trainer.leaves, obs, 2)
    action = jax.random.uniform(jax.random.key(2), (batch, steps, 3), jnp.float32)
    is_first = jnp.zeros((batch, steps), bool).at[:, 0].set(True).at[1, 3].set(True)

    def apply(method, *args):
        return agent.model.apply({"params": state.model}, *args, method=method)

    carry = apply(WorldModel.initial, batch)
    whole = apply(WorldModel.observe, obs, action, is_first, carry, None).latent
    for t in range(steps):
        now = jax.tree.map(lambda leaf, t=t: leaf[:, t], obs)
        carry = apply(WorldModel.observe_step, now, action[:, t], is_first[:, t], carry, None)
        assert_close(carry, jax.tree.map(lambda leaf, t=t: leaf[:, t], whole))
    made = apply(WorldModel.reconstruct, whole)
    assert [image.shape for image in made[:2]] == [(batch, steps, 20, 17, 3), (batch, steps, 16, 18, 1)]
    assert [flat.shape[-1] for flat in made[2:]] == [4, 3, 4, 5]
