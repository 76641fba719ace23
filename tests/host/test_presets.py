"""What the presets promise. About 10 seconds."""

import pytest

from experiments.presets import TINY_GAMES, default_steps, preset
from r2i_jit import Trainer


@pytest.mark.parametrize("game", ["RepeatPreviousEasy", "ConcentrationMedium", "PositionOnlyCartPoleHard"])
def test_small_makes_one_update_per_step_of_all_environments(game):
    """With another train ratio a turn could be five hundred updates long, and nothing would be seen of a run."""
    config = preset("popgym", "small", f"popgym/{game}")
    trainer = Trainer(config)
    assert (trainer.turn_steps, trainer.turn_updates) == (1, 1)
    assert 32 <= config.replay.train_ratio <= 64


@pytest.mark.parametrize("level", ["Easy", "Medium", "Hard"])
def test_a_game_with_settings_of_its_own_gets_them_at_every_level(level):
    config = preset("popgym", "tiny", f"popgym/Autoencode{level}")
    assert config == config.override(TINY_GAMES["popgym/Autoencode"])
    assert config.model.reward_init != preset("popgym", "tiny").model.reward_init


def test_a_full_run_of_autoencode_is_longer_than_its_prefill():
    config = preset("popgym", "tiny", "popgym/AutoencodeEasy")
    assert default_steps(config, "tiny") > 10 * config.replay.prefill
