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


@pytest.mark.parametrize("env_id", KINDS)
def test_an_agent_is_built_without_its_environment(env_id, monkeypatch):
    config = small_config(env_id)
    trainer = Trainer(config)
    found = Description.from_json(json.loads(json.dumps(description.of_trainer(trainer).to_json())))
    monkeypatch.setattr(registry, "_entries", {})
    with pytest.raises(ValueError):
        envs.make(env_id)
    seen, action = found.observation, found.action
    assert (seen.shape, seen.dtype, seen.parts, action.shape, action.dtype) == KINDS[env_id]
    agent = description.build_agent(config, found)
    shapes = [
        jax.eval_shape(lambda key, a=a: a.init(key, config.hypers), jax.random.key(0)) for a in (agent, trainer.agent)
    ]
    assert shapes[0] == shapes[1]
    if not action.spec.discrete:
        np.testing.assert_array_equal(action.spec.high, trainer.agent.spec.high)


def test_vectors_are_numbered_as_the_trainer_does():
    config = small_config("little/Pair")
    action = description.of_trainer(Trainer(config)).action
    vectors = action.unflatten(np.arange(6))
    assert vectors.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]] and vectors.dtype == np.int32
    assert action.flatten(vectors).tolist() == list(range(6))
    env, params = envs.make("little/Pair")
    assert env.action_space(params).unravel(np.int32(4)).tolist() == vectors[4].tolist()
    for wrong in ([[2, 0]], [[0, -1]]):
        with pytest.raises(ValueError):
            action.flatten(np.array(wrong))


def test_something_else_is_refused():
    good = description.of_trainer(Trainer(small_config("little/Guess"))).to_json()
    leaf = good["observation"][0]
    for change in (
        {"observation": []},
        {"observation": [leaf, leaf]},
        {"observation": [{**leaf, "shape": [4]}]},
        {"observation": [{**leaf, "dtype": "no"}]},
        {"observation": [{**leaf, "parts": [{"kind": "sound", "size": 5}]}]},
        {"observation": [{**leaf, "parts": [{"kind": "continuous", "size": 5.0}]}]},
        {"action": {"kind": "discrete", "size": 0, "sizes": None}},
        {"action": {"kind": "discrete", "size": 5, "sizes": [2, 3]}},
        {"action": {"kind": "box", "low": [0.0], "high": [float("inf")]}},
        {"action": None},
    ):
        with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
            Description.from_json({**good, **change})
