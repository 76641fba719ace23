"""What an agent sees and does, written and read again: the networks are those of its environment. About 5 s."""

import json

import jax
import numpy as np
import pytest

import envs
from envs import registry
from envs.observation import Categorical, Continuous, Image
from r2i_jit import Trainer, description
from r2i_jit.description import Description
from tests.agents import small_config
from tests.equivalence.test_spaces import TABLE, Static, registered, tiny
from tests.host import little_games

KINDS = {
    "little/Guess": ((5,), "float32", (Categorical(4), Continuous(1)), (), "int32"),
    "little/Pair": ((5,), "float32", (Categorical(4), Continuous(1)), (2,), "int32"),
    "little/Numbered": ((5,), "float32", (Categorical(4), Continuous(1)), (), "int32"),
    "popgym/PositionOnlyPendulumEasy": ((2,), "float32", (Continuous(2),), (1,), "float32"),
    "memory_maze/9x9": ((64, 64, 3), "uint8", (Image((64, 64, 3)),), (), "int32"),
}


@pytest.fixture(autouse=True)
def games(monkeypatch):
    little_games.register(monkeypatch)


@pytest.mark.parametrize("env_id", [*list(KINDS)[:-1], pytest.param("memory_maze/9x9", marks=pytest.mark.heavy)])
def test_an_agent_is_built_without_its_environment(env_id, monkeypatch):
    config = small_config(env_id)
    trainer = Trainer(config)
    found = Description.from_json(json.loads(json.dumps(description.of_trainer(trainer).to_json())))
    monkeypatch.setattr(registry, "_entries", {})
    with pytest.raises(ValueError):
        envs.make(env_id)
    (seen,), action = found.observation, found.action
    assert (seen.shape, seen.dtype, seen.parts, action.env_shape, action.env_dtype) == KINDS[env_id]
    agent = description.build_agent(config, found)
    shapes = [
        jax.eval_shape(lambda key, a=a: a.init(key, config.hypers), jax.random.key(0)) for a in (agent, trainer.agent)
    ]
    assert shapes[0] == shapes[1]
    if not action.discrete:
        np.testing.assert_array_equal(action.high, trainer.agent.spec.high)


@pytest.mark.parametrize("kind", TABLE)
def test_every_kind_of_observation_and_action_comes_back(kind, monkeypatch):
    observations, actions, parts = TABLE[kind]
    with registered(lambda: Static(observations, actions, parts)):
        trainer = Trainer(tiny())
    found = Description.from_json(json.loads(json.dumps(description.of_trainer(trainer).to_json())))
    assert found.observation == description.of_trainer(trainer).observation
    spec, wanted = found.action, trainer.agent.spec
    stored = wanted.random(jax.random.key(0), 5)
    assert spec.stored_shape == wanted.stored_shape and spec.env_shape == wanted.env_shape
    sent = spec.to_env(stored)
    assert sent.dtype == wanted.to_env(stored).dtype == spec.env_dtype
    np.testing.assert_array_equal(sent, wanted.to_env(stored))
    np.testing.assert_array_equal(spec.from_env(sent), wanted.from_env(sent))


def test_something_else_is_refused():
    good = description.of_trainer(Trainer(small_config("little/Guess"))).to_json()
    leaf = good["observation"][0]
    for change in (
        {"observation": []},
        {"observation": [leaf, leaf]},
        {"observation": [{**leaf, "path": [1.5]}]},
        {"observation": [{**leaf, "shape": [4]}]},
        {"observation": [{**leaf, "dtype": "no"}]},
        {"observation": [{**leaf, "parts": [{"kind": "sound", "size": 5}]}]},
        {"observation": [{**leaf, "parts": [{"kind": "continuous", "size": 5.0}]}]},
        {"action": {"kind": "discrete", "size": 0}},
        {"action": {"kind": "choices", "nvec": [2, 3], "joint": 1, "offset": None, "shape": [2], "dtype": "int32"}},
        {"action": {"kind": "choices", "nvec": [2, 3], "joint": True, "offset": [1], "shape": [2], "dtype": "int32"}},
        {"action": {"kind": "choices", "nvec": [2, 3], "joint": True, "offset": None, "shape": [3], "dtype": "int32"}},
        {"action": {"kind": "box", "shape": [1], "low": [1.0], "high": [0.0]}},
        {"action": {"kind": "box", "shape": [2], "low": [1.0], "high": [2.0]}},
        {"action": None},
    ):
        with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
            Description.from_json({**good, **change})
