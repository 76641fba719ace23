"""What the presets promise. About 10 seconds."""

import pytest

from experiments.presets import default_steps, preset
from experiments.presets.popgym import TINY_GAMES
from r2i_jit import Trainer


@pytest.mark.parametrize(("size", "ratio"), [("tiny", 32), ("small", 64)])
@pytest.mark.parametrize(
    "game", ["RepeatPreviousEasy", "ConcentrationMedium", "MineSweeperHard", "PositionOnlyCartPoleHard"]
)
def test_turns_are_short_whatever_the_length_of_an_episode(size, ratio, game):
    """With the ratio to the letter a turn can be five hundred updates, and nothing is seen of a run for minutes."""
    config = preset("popgym", size, f"popgym/{game}")
    assert Trainer(config).turn_updates <= 8
    assert config.replay.train_ratio == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize("level", ["Easy", "Medium", "Hard"])
def test_a_game_with_settings_of_its_own_gets_them_at_every_level(level):
    config = preset("popgym", "tiny", f"popgym/Autoencode{level}")
    assert config == config.override(TINY_GAMES["popgym/Autoencode"])
    assert config.model.reward_init != preset("popgym", "tiny").model.reward_init


@pytest.mark.parametrize("size", ["tiny", "small", "paper"])
def test_a_maze_of_rays_is_by_the_rule_and_one_of_pictures_is_not(size):
    rays, pictures = (preset("memory_maze", size, f"memory_maze/9x9{seen}") for seen in ("-rays", ""))
    networks = lambda config: (config.model.units, config.model.number_loss, config.model.latent_gain)
    assert networks(rays) == networks(preset("gymnax", size, "gymnax/Pendulum-v1"))
    assert networks(rays) != networks(pictures) or size == "paper"
    assert rays.replay.rewarded == pictures.replay.rewarded and rays.loop.evaluation_greedy == (size == "paper")


def test_settings_may_be_for_one_level_alone():
    """What was measured on ConcentrationEasy is no setting for two decks."""
    easy, medium = (preset("popgym", "tiny", f"popgym/Concentration{level}") for level in ("Easy", "Medium"))
    assert easy == easy.override(TINY_GAMES["popgym/ConcentrationEasy"])
    assert (easy.model.posterior, medium.model.posterior) == ("observation", "learned")


def test_a_full_run_of_autoencode_is_longer_than_its_prefill():
    config = preset("popgym", "tiny", "popgym/AutoencodeEasy")
    assert default_steps(config, "tiny") > 10 * config.replay.prefill
