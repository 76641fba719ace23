"""What bsuite's one preset promises for every experiment. About 5 s."""

import dataclasses

import pytest

import envs
from envs.bsuite import EXPERIMENTS
from experiments.presets import SIZES, bsuite, default_steps, preset, rule
from r2i_jit.schedule import schedule


def preset_by_rule(config, env, size):
    return rule.configuration(config.env, env, env.default_params, size)


CONTROL = ("cartpole", "cartpole_swingup", "mountain_car")


def tiny(name):
    return preset("bsuite", "tiny", f"bsuite/{name}")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_has_a_schedule_of_short_turns_and_whole_episodes(experiment):
    env, _ = envs.make(f"bsuite/{experiment}/0")
    for size in SIZES:
        config = preset("bsuite", size, f"bsuite/{experiment}/0")
        plan = schedule(config)
        assert plan.turn_updates <= 8
        if experiment.startswith(CONTROL):
            assert size == "paper" or config.replay == preset_by_rule(config, env, size).replay
        else:
            assert config.replay.sequence_length >= min(env.max_episode_steps + 1, 1024)
        assert default_steps(config, size) > 2 * config.replay.prefill


def test_settings_differ_in_what_the_length_and_the_spaces_say_and_in_nothing_else():
    short, long = tiny("memory_len_150"), tiny("memory_len_300")
    for group in ("behavior", "model", "loop", "hypers"):
        assert getattr(short, group) == getattr(long, group)


def test_short_episodes_are_imagined_whole_and_no_critic_is_asked():
    for name, steps in (("discounting_chain/0", 100), ("catch/0", 9), ("bandit/0", 1)):
        config = tiny(name)
        assert (config.behavior.horizon, config.hypers.return_lambda) == (steps, 1.0)
        assert config.behavior.imagination_starts * steps <= max(32 * steps, 3_200)
        assert config.behavior.continue_mode == "mode"
    assert tiny("cartpole/0").hypers.return_lambda < 1 and tiny("cartpole/0").behavior.continue_mode == "mean"


def test_numbers_have_a_smaller_loss_than_bits_as_they_are_measured_by_their_variance():
    assert tiny("memory_len_100").hypers.observation_scale < tiny("deep_sea/0").hypers.observation_scale == 1


@pytest.mark.parametrize("experiment", ["catch", "discounting_chain", "memory_len", "memory_size", "deep_sea"])
def test_a_full_run_has_thousands_of_updates(experiment):
    config = tiny(f"{experiment}/0")
    replay = config.replay
    updates = default_steps(config, "tiny") * replay.train_ratio / (replay.batch_size * replay.sequence_length)
    assert updates > 2_000


def test_a_reward_at_the_end_of_a_short_episode_is_worth_what_it_is_at_its_beginning():
    """Else the discounting chain's larger reward after 100 steps is not the better one."""
    for delay in (1, 100):
        assert tiny(f"discounting_chain_delay_{delay}").hypers.discount == 1
    assert tiny("cartpole/0").hypers.discount == pytest.approx(1 - 1 / 333)


def test_a_batch_holds_several_episodes_however_long_they_are():
    for name in ("memory_len_100", "memory_len_1000"):
        assert tiny(name).replay.batch_size >= 4


def test_poles_and_cars_are_learned_as_in_any_suite_as_their_first_thousand_episodes_count():
    for experiment in CONTROL:
        config = tiny(f"{experiment}/0")
        env, params = envs.make(config.env)
        ours = rule.configuration(config.env, env, params, "tiny")
        assert (config.hypers, config.behavior) == (ours.hypers, ours.behavior)
        assert config.hypers.head_start == 0 and config.model.stoch == ours.model.stoch


def test_the_papers_size_is_the_papers():
    paper = preset("bsuite", "paper")
    assert paper.hypers == dataclasses.replace(preset("popgym", "paper").hypers, reward_scale=1.0)
    assert paper.env == bsuite.DEFAULT_ENV
