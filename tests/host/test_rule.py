"""The configuration of an environment that is in no suite: by rule from its spaces and its length. About 5 s."""

import itertools
import math

import jax.numpy as jnp
import pytest
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams

from envs.adapters import classic
from experiments.presets import SIZES, SUITES, default_steps, preset, rule
from r2i_jit import Trainer
from r2i_jit.config import Config, ConfigError
from r2i_jit.schedule import schedule
from tests.envs import old_style
from tests.unit.test_observations import Any_

IMAGE = spaces.Box(0, 255, (64, 64, 3), jnp.uint8)
LENGTHS = (1, 2, 3, 10, 51, 97, 255, 256, 257, 333, 500, 1000, 1023, 1024, 10_000, 10**6, None)


class Numbers(Any_):
    """The time, in episodes of three steps."""


class Pictures(Any_):
    """An image, and an action of two numbers."""

    space = IMAGE
    actions = spaces.Box(-1.0, 1.0, (2,))

    def shown(self, state):
        return jnp.zeros((64, 64, 3), jnp.uint8)


class Both(Pictures):
    """A number and an image."""

    space = spaces.Dict({"speed": spaces.Box(-9.0, 9.0, (2,)), "view": IMAGE})
    reward_scale = 5.0

    def shown(self, state):
        return {"speed": jnp.zeros(2), "view": super().shown(state)}


class Unsupported(Any_):
    """An observation of no entries."""

    space = spaces.Box(0, 1, (0,))


def adapted():
    return classic(old_style.Craft())


def lasting(steps, space=Any_.space, actions=Any_.actions, size="tiny") -> Config:
    """Return the configuration of an environment whose episodes last so many steps, of no known number for None."""
    env = type("Game", (Any_,), {"space": space, "actions": actions})()
    return rule.configuration("x:Game", env, EnvParams(max_steps_in_episode=math.inf if steps is None else steps), size)


@pytest.mark.parametrize(("space", "longest"), [(spaces.Discrete(4), (256, 1024)), (IMAGE, (64, 256))])
def test_a_sequence_is_a_whole_episode_where_it_is_not_too_long(space, longest):
    for size, most in zip(("tiny", "small"), longest, strict=True):
        for steps in LENGTHS:
            replay = lasting(steps, space, size=size).replay
            # The last observation is a step of its own.
            assert replay.sequence_length == (most if steps is None else min(steps + 1, most)), steps
            assert replay.batch_size >= 1


def test_the_paper_sizes_discount_is_the_papers_whatever_the_length():
    for steps, space in itertools.product((1, 50, 5000, None), (spaces.Discrete(4), IMAGE)):
        assert lasting(steps, space, size="paper").hypers.discount == 1 - 1 / 333


def test_imagination_counts_chances_of_an_end_but_in_the_papers_configuration():
    for size, expected in (("tiny", "mean"), ("small", "mean"), ("paper", "mode")):
        for space in (spaces.Box(-9.0, 9.0, (3,)), spaces.Discrete(4), IMAGE):
            assert lasting(50, space, size=size).behavior.continue_mode == expected


def test_numbers_get_what_they_need_and_nothing_else_is_changed():
    numbers = lasting(50, spaces.Box(-9.0, 9.0, (3,)))
    assert (numbers.model.stoch, numbers.model.number_loss, numbers.hypers.free_nats) == (12, "unexplained", 0)
    assert lasting(50, spaces.Box(-9.0, 9.0, (30,))).model.stoch == 32
    for space in (spaces.Discrete(4), spaces.Box(0, 1, (5,), jnp.uint8)):
        config = lasting(50, space)
        assert (config.model.number_loss, config.hypers.free_nats) == ("squared", 1)
    mixed = lasting(50, spaces.Dict({"sign": spaces.Discrete(3), "place": spaces.Box(-9.0, 9.0, (1,))}))
    assert (mixed.model.stoch, mixed.model.number_loss) == (5, "unexplained")
    assert lasting(50, spaces.Box(-9.0, 9.0, (3,)), size="paper").model.number_loss == "squared"


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_the_horizon_of_the_discount_is_the_episodes_length_within_bounds(size):
    for steps, horizon in ((1, 20), (20, 20), (50, 50), (333, 333), (5000, 333), (None, 333)):
        for space in (spaces.Discrete(4), IMAGE):
            assert 1 / (1 - lasting(steps, space, size=size).hypers.discount) == pytest.approx(horizon)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("space", [spaces.Discrete(4), IMAGE, spaces.Dict({"a": IMAGE, "b": IMAGE})])
def test_every_length_has_a_schedule_of_short_turns(size, space):
    for steps, actions in itertools.product(LENGTHS, (spaces.Discrete(2), spaces.Box(-1.0, 1.0, (2,)))):
        config = lasting(steps, space, actions, size)
        plan = schedule(config)
        assert plan.turn_updates <= 8 and plan.turn_steps <= 4096, steps
        assert plan.prefill_turns * plan.turn_steps >= config.replay.sequence_length
        assert config.model.decoded_steps <= config.replay.sequence_length
        assert plan.capacity * config.loop.num_envs >= 4 * config.replay.prefill
        assert config == Config.from_json(config.to_json())


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_where_there_is_an_image_the_networks_are_the_mazes(size):
    maze, cards = preset("memory_maze", size).model, preset("popgym", size, "popgym/RepeatPreviousEasy").model
    keys = ("units", "deter", "classes", "image_net", "image_depth", "latent_gain", "head_layers")
    of = lambda model: [getattr(model, key) for key in keys]
    for space in (IMAGE, Both.space):
        assert of(lasting(300, space, size=size).model) == of(maze)
    assert of(lasting(300, spaces.Box(-1.0, 1.0, (64, 64)), size=size).model) == of(cards)


def test_what_the_maze_alone_has_is_left_out():
    """Its rewards are a tenth's of other games' and rare, and its first strolls are long."""
    maze = preset("memory_maze", "tiny")
    config = lasting(300, IMAGE)
    assert (config.hypers.reward_scale, maze.hypers.reward_scale) == (1.0, 10.0)
    assert config.replay.prefill < maze.replay.prefill / 10 and config.replay.prefill_repeat == 0
    assert config.loop.evaluation_greedy and not maze.loop.evaluation_greedy


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("space", [spaces.Discrete(4), IMAGE])
def test_continuous_actions_have_a_smaller_bonus_for_entropy(size, space):
    numbered, steered = (lasting(100, space, actions, size) for actions in (Any_.actions, Pictures.actions))
    counted = lasting(100, space, spaces.Box(0, 3, (2,), jnp.int32), size)  # which are choices
    assert counted.hypers == numbered.hypers
    assert steered.hypers.entropy_scale == min(3e-3, numbered.hypers.entropy_scale)
    assert steered.hypers.replace(entropy_scale=0.0) == numbered.hypers.replace(entropy_scale=0.0)
    assert (steered.model, steered.behavior, steered.replay) == (numbered.model, numbered.behavior, numbered.replay)


@pytest.mark.parametrize("size", SIZES)
def test_an_environment_named_by_its_module_gets_it(size):
    for name, steps in (("Numbers", 3), ("Pictures", 3), ("Both", 3), ("adapted", 300)):
        config = preset(size=size, env=f"{__name__}:{name}")
        assert config.env == f"{__name__}:{name}"
        horizon = 333 if size == "paper" else max(20, min(333, steps))
        assert config.hypers.discount == pytest.approx(1 - 1 / horizon)
        assert default_steps(config, size) == rule.SUITE_STEPS[size]
    both, pictures = (preset(size=size, env=f"{__name__}:{name}").hypers for name in ("Both", "Pictures"))
    assert both.reward_scale == 5.0 * pictures.reward_scale


@pytest.mark.parametrize("name", ["Numbers", "Pictures", "Both", "adapted"])
@pytest.mark.parametrize("size", ["tiny", "small"])
def test_a_trainer_takes_it(name, size):
    trainer = Trainer(preset(size=size, env=f"{__name__}:{name}"))
    assert 1 <= trainer.turn_updates <= 8


def test_what_is_not_supported_or_not_there_is_refused_in_one_line():
    for arguments, expected in (
        ({"env": f"{__name__}:Unsupported"}, "(0,)"),
        ({"env": f"{__name__}:Number"}, "did you mean Numbers?"),
        ({"env": f"{__name__}:Numbers", "suite": "popgym"}, "is not of suite 'popgym'"),
        ({"env": f"{__name__}:Numbers", "size": "huge"}, "unknown size 'huge'"),
        ({}, f"give a suite ({', '.join(SUITES)}) or an environment"),
        ({"suite": "mine/Corridor"}, "an environment is given by --env mine/Corridor"),
        ({"suite": "corridor:Corridor"}, "an environment is given by --env corridor:Corridor"),
    ):
        with pytest.raises(ConfigError) as caught:
            preset(**arguments)
        assert expected in str(caught.value) and "\n" not in str(caught.value)
