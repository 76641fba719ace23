"""The reference players reach what the same players reach on the original. About a minute."""

import jax
import numpy as np
import pytest

from experiments.oracles import oracles
from experiments.references import references
from tests.envs.playing import POPGYM

EPISODES = 128
MANY = {"HigherLower": 4096}  # where the best player is just a little better than one without memory
CASES = [(env_id, oracle) for env_id in POPGYM for oracle in oracles(env_id) if oracle.reference]


@pytest.mark.parametrize(("env_id", "oracle"), CASES, ids=[f"{env_id}-{oracle.label}" for env_id, oracle in CASES])
def test_players_reach_the_reference(env_id, oracle):
    mean, spread, count = references(env_id)["players"][oracle.reference]
    episodes = next((count for game, count in MANY.items() if game in env_id), EPISODES)
    returns, lengths = oracle.play(env_id, jax.random.key(11), episodes)
    if oracle.exact:
        np.testing.assert_allclose(returns, mean, atol=2e-5)
        return
    # The reference's value iteration has a coarser grid than ours.
    margin = 0.01 if "value_iteration" in oracle.reference else 0.0
    error = np.hypot(returns.std(ddof=1) / episodes**0.5, spread / count**0.5)
    assert abs(returns.mean() - mean) < 4 * error + margin
    assert (lengths > 0).all()


def test_every_game_has_players_and_every_reference_its_player():
    for env_id in POPGYM:
        assert {oracle.reference for oracle in oracles(env_id)} - {""} == set(references(env_id)["players"])
