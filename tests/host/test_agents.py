"""`--agent`: another agent's preset, from the command line to the run that is resumed. About a minute."""

import json
import os
from pathlib import Path

import pytest

from experiments.presets import AGENTS, SIZES, preset
from experiments.running import cli
from r2i_jit import Trainer
from r2i_jit.config import ConfigError


def test_the_command_line_offers_the_agents_that_there_are():
    assert cli.AGENTS == AGENTS


@pytest.mark.parametrize("size", SIZES)
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


def test_an_unknown_agent_is_named():
    with pytest.raises(ConfigError, match="unknown agent 'ppo': expected one of r2i, dreamerv3"):
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
