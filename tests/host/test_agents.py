"""`--agent`: another agent's preset, from the command line to the run that is resumed. About a minute."""

import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.presets import AGENTS, SIZES, preset
from experiments.running import cli
from r2i_jit import Trainer, load, trained
from r2i_jit import description as describing
from r2i_jit.config import ConfigError
from tests.agents import small_config


def test_the_command_line_offers_the_agents_that_there_are():
    assert cli.AGENTS == AGENTS


@pytest.mark.parametrize("size", ["tiny", *(pytest.param(size, marks=pytest.mark.heavy) for size in SIZES[1:])])
@pytest.mark.parametrize("env", ["popgym/RepeatPreviousEasy", "popgym/ConcentrationEasy", "gymnax/Pendulum-v1"])
def test_dreamerv3_is_the_rules_configuration_with_a_memory_as_large(size, env):
    """Nothing but the world model's kind and width differs, and its recurrence has the S3M's parameters within 15 %."""
    ours, other = preset(None, size, env), preset(None, size, env, "dreamerv3")
    model = other.model
    assert (model.sequence, model.posterior, model.block) == ("gru", "recurrent", "bare")
    assert other.hypers == ours.hypers and other.replay == ours.replay and other.loop == ours.loop
    sizes = []
    for config in (ours, other):
        small = config.override(["replay.capacity=4096", "replay.prefill=64", "loop.num_envs=2"])
        stack = Trainer(small).state_shapes(1).seeds.agent.model["stack"]
        recurrent = [block["ssm"] if "ssm" in block else block["cell"] for block in stack.values()]
        sizes.append(sum(leaf.size for cell in recurrent for leaf in cell.values()))
    gates = ours.model.ssm_layers * 2 * ours.model.units**2  # of the S3M's blocks, which a bare GRU has inside
    assert abs(sizes[1] / (sizes[0] + gates) - 1) < 0.15


@pytest.mark.parametrize("size", ["tiny", *(pytest.param(size, marks=pytest.mark.heavy) for size in SIZES[1:])])
@pytest.mark.parametrize("env", ["popgym/RepeatPreviousEasy", "popgym/ConcentrationEasy", "gymnax/Pendulum-v1"])
def test_ppo_has_the_memory_of_the_agent_it_is_compared_with(size, env):
    """`ppo-gru` DreamerV3's and `ppo-s5` R2I's, each as wide; neither has a replay or the world model's settings."""
    for name, peer in (("ppo-gru", "dreamerv3"), ("ppo-s5", "r2i")):
        config, other = preset(None, size, env, name), preset(None, size, env, peer)
        assert config.algorithm == "ppo" and other.algorithm == "world_model"
        same = ("sequence", "block", "units", "ssm_layers", "ssm_state")
        assert [getattr(config.model, key) for key in same] == [getattr(other.model, key) for key in same]
        assert config.hypers.discount == other.hypers.discount and config.env == other.env
        trainer = Trainer(config.override(["loop.num_envs=4"]))
        assert not jax.tree.leaves(trainer.state_shapes(1).seeds.replay) and trainer.prefill_steps == 0


def test_a_trained_ppo_plays_from_a_file_and_says_what_it_cannot_do(tmp_path):
    trainer = Trainer(small_config("bsuite/memory_len_3", algorithm="ppo", loop__num_envs=4, ppo__steps=4))
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape[1:], leaf.dtype), trainer.state_shapes(1).seeds.agent)
    weights = trained.Weights(state.model, state.actor, state.critic, state.slow_critic)
    description = describing.of_trainer(trainer)
    trained.write(tmp_path / "agent", trained.Trained(trainer.config, description, weights, 7, {"seed": 0}, None, {}))
    policy = load(tmp_path / "agent")
    memory = policy.start(2)
    obs = np.zeros((2, *policy.observation[0].shape), policy.observation[0].dtype)
    action, memory = policy.act(memory, obs, np.ones(2, bool))
    assert action.shape == (2,) and policy.value(memory).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"this agent \(ppo\) has no world model"):
        policy.predict(memory, action[:, None])


def test_an_unknown_agent_is_named():
    with pytest.raises(ConfigError, match="unknown agent 'ppo': expected one of r2i, dreamerv3, ppo-gru, ppo-s5"):
        preset("popgym", agent="ppo")


def test_a_run_knows_its_agent(fake, capsys):
    words = ("fake", "--steps", "200", "--set", "hypers.actor_lr=0.5")
    assert fake(*words, "--agent", "dreamerv3") == 0
    (name,) = os.listdir("runs")
    assert "-dreamerv3-tiny-" in name
    assert json.loads(Path("runs", name, "run.json").read_text())["agent"] == "dreamerv3"
    assert "fake/A (dreamerv3, tiny)" in capsys.readouterr().err
    assert fake("fake", "--agent", "dreamerv3", "--resume", "--steps", "240") == 0
    assert os.listdir("runs") == [name]
    assert fake("fake", "--agent", "r2i", "--resume") == 2
    assert "no train run of fake/A" in capsys.readouterr().err
