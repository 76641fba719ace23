"""The reference players reach what the same players reach on the original. Two minutes without the slow ones."""

import json
import pathlib

import jax
import numpy as np
import pytest

import envs
from experiments.oracles import RANDOM, oracles, strolling
from experiments.oracles.__main__ import main
from experiments.running.references import references
from tests.envs.playing import POPGYM

MAZES = tuple(f"memory_maze/{size}x{size}" for size in (9, 11, 13, 15))
RECORDED = pathlib.Path(__file__).parents[1] / "golden" / "memory_maze" / "returns.json"

EPISODES = 128
MANY = {"HigherLower": 4096}  # where the best player is just a little better than one without memory
CASES = [
    pytest.param(
        env_id,
        oracle,
        id=f"{env_id}-{oracle.label}",
        # Most of the time goes into compiling, and test_popgym_parity.py plays all levels: one a game is played often.
        marks=pytest.mark.heavy if env_id.endswith("Easy") else pytest.mark.slow,
    )
    for env_id in POPGYM
    for oracle in oracles(env_id)
    if oracle.reference
]


@pytest.mark.parametrize(("env_id", "oracle"), CASES)
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


def test_strolling_does_again_what_it_did():
    env, params = envs.make("memory_maze/9x9")
    player = strolling(0.75)

    def step(memory, key):
        action, memory = player.act(env, params, memory, None, None, key)
        return memory, action

    keys = jax.random.split(jax.random.key(0), 20_000)
    _, actions = jax.jit(lambda keys: jax.lax.scan(step, player.start(env, params), keys))(keys)
    share = np.mean(np.asarray(actions[1:]) == np.asarray(actions[:-1]))
    assert abs(share - (0.75 + 0.25 / env.num_actions)) < 0.015
    assert np.bincount(actions, minlength=6).min() > 20_000 / 6 / 1.3
    # The first action of an episode is as random as the others.
    firsts = jax.jit(jax.vmap(lambda key: step(player.start(env, params), key)[1]))(keys[:6000])
    assert np.bincount(firsts, minlength=6).min() > 850


MAZE_CASES = [(env_id, RANDOM, "random", 32) for env_id in MAZES]
MAZE_CASES += [(env_id, *oracles(env_id), "oracle", 64) for env_id in MAZES]
# Most of the time goes into compiling: the smallest maze is for every day.
SLOW = [case[0] != MAZES[0] for case in MAZE_CASES]


@pytest.mark.parametrize(
    ("env_id", "oracle", "known", "episodes"),
    [
        pytest.param(*case, marks=pytest.mark.slow if slow else pytest.mark.heavy)
        for case, slow in zip(MAZE_CASES, SLOW, strict=True)
    ],
)
def test_players_of_mazes_reach_what_they_do_on_the_original(env_id, oracle, known, episodes):
    returns, lengths = oracle.play(env_id, jax.random.key(12), episodes)
    mean, spread, count = references(env_id)["players"][oracle.reference]
    error = returns.std(ddof=1) / episodes**0.5
    assert abs(returns.mean() - mean) < 4 * np.hypot(error, spread / count**0.5), (returns.mean(), error)
    # Our own figure, of many episodes.
    assert abs(returns.mean() - references(env_id)[known]["mean"]) < 4 * error, (returns.mean(), error)
    assert (lengths == {9: 1000, 11: 2000, 13: 3000, 15: 4000}[int(env_id.rpartition("x")[2])]).all()


def test_the_references_of_mazes_are_the_recordings():
    recorded = json.loads(RECORDED.read_text())["returns"]
    assert set(recorded) == set(MAZES)
    for env_id, players in recorded.items():
        for player, returns in players.items():
            expected = np.mean(returns), np.std(returns, ddof=1), len(returns)
            np.testing.assert_allclose(references(env_id)["players"][player], expected, atol=1e-3)


def test_every_game_has_players_and_every_reference_its_player():
    for env_id in POPGYM:
        assert {oracle.reference for oracle in oracles(env_id)} - {""} == set(references(env_id)["players"])
    for env_id in MAZES:
        players = (*oracles(env_id), RANDOM)
        assert {oracle.reference for oracle in players} == set(references(env_id)["players"])
    assert oracles("mine/9x9") == () and oracles("mine/RepeatFirst") == ()


@pytest.mark.heavy
def test_the_command_prints_players_beside_the_original(capsys):
    assert main(["popgym/RepeatFirstEasy", "--episodes", "2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "on the original" in out[0] and "random play" in out[-1]
    with pytest.raises(SystemExit) as ended:
        main(["popgym/Nothing*"])
    assert ended.value.code == 2 and capsys.readouterr().err.count("\n") == 1
