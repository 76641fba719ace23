"""Reference players of gymnax's suite, its configurations, and what is imported for its names."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import envs
from envs.gymnax_suite import IDS, MASKED
from experiments import presets
from experiments.oracles import RANDOM, oracles
from experiments.running.references import references, sources
from r2i_jit.config import ConfigError

EPISODES = 64
# Those whose programs are small; `python -m experiments.oracles 'gymnax/*'` plays the others as well.
DAILY = (
    "CartPole-v1",
    "CartPole-v1-Masked",
    "Acrobot-v1-Masked",
    "MountainCarContinuous-v0-Masked",
    "Catch-bsuite",
    "DeepSea-bsuite",
    "MemoryChain-bsuite",
    "UmbrellaChain-bsuite",
    "DiscountingChain-bsuite",
    "SimpleBandit-bsuite",
    "BernoulliBandit-misc",
    "FourRooms-misc",
    "FrozenLake-misc",
    "PointRobot-misc",
)
PLAYED = [
    pytest.param(env_id, marks=[pytest.mark.slow] * (env_id not in DAILY))
    for env_id in (*IDS, *MASKED)
    if oracles(f"gymnax/{env_id}")
]


@pytest.mark.heavy
@pytest.mark.parametrize("env_id", PLAYED)
def test_players_reach_what_is_said_of_them(env_id):
    (oracle,), best = oracles(f"gymnax/{env_id}"), references(f"gymnax/{env_id}")["best"]
    returns, lengths = oracle.play(f"gymnax/{env_id}", jax.random.key(5), EPISODES)
    assert best["label"] == oracle.label and lengths.max() <= envs.make(f"gymnax/{env_id}")[0].max_episode_steps
    if oracle.exact:
        np.testing.assert_allclose(returns, best["mean"], atol=1e-5)
    else:
        assert abs(returns.mean() - best["mean"]) < 4.5 * returns.std(ddof=1) / EPISODES**0.5 + 2e-3


@pytest.mark.parametrize("env_id", ["CartPole-v1", "BernoulliBandit-misc", "PointRobot-misc"])
def test_chance_reaches_what_is_said_of_it(env_id):
    returns, _ = RANDOM.play(f"gymnax/{env_id}", jax.random.key(6), EPISODES)
    known = references(f"gymnax/{env_id}")["random"]["mean"]
    assert abs(returns.mean() - known) < 4.5 * returns.std(ddof=1) / EPISODES**0.5


def test_every_id_has_references_with_sources():
    for env_id in (*IDS, *MASKED):
        known = references(f"gymnax/{env_id}")
        assert known["random"]["source"] in sources()
        assert ("best" in known) == bool(oracles(f"gymnax/{env_id}")) != env_id.endswith("MinAtar")
        if "best" in known:
            assert known["best"]["mean"] > known["random"]["mean"] and known["best"]["source"] in sources()


@pytest.mark.parametrize("size", presets.SIZES)
def test_configurations_come_from_the_rule(size):
    config = presets.preset("gymnax", size)
    assert config.env == "gymnax/CartPole-v1-Masked" and presets.default_steps(config, size) > 0
    plain = presets.preset(None, size, "gymnax/CartPole-v1")
    by_rule = presets.rule.configuration("gymnax/CartPole-v1", *envs.make("gymnax/CartPole-v1"), size)
    assert plain == by_rule  # Its reward scale is 1.
    torque = presets.preset("gymnax", size, "gymnax/Pendulum-v1-Masked")
    assert torque.hypers.reward_scale == 0.125
    with pytest.raises(ConfigError, match="left out"):
        presets.preset("gymnax", size, "gymnax/MNISTBandit-bsuite")


def test_names_cost_no_environment():
    script = (
        "import sys, envs; envs.registered(); print([m for m in sys.modules if m.startswith('envs.gymnax_suite.')])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
