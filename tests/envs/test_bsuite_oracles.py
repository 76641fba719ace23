"""The reference players of bsuite reach what they are said to reach, in ours and in the original. About 90 s."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.bsuite import ALIASES, EXPERIMENTS
from envs.bsuite.mountain_car import GOAL, MountainCar, MountainCarState
from experiments.oracles import RANDOM, bsuite_control, oracles
from experiments.oracles.__main__ import main
from experiments.oracles.bsuite_returns import diver
from experiments.running.references import references, sources

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "bsuite_returns.json"
ORIGINAL = json.loads(GOLDEN.read_text())["returns"]
EPISODES = 64
IDS = [env_id for env_id in envs.registered() if env_id.startswith("bsuite/")]
# Most of the time goes into compiling: one number of each game is for every day.
SELDOM = ("_noise/", "_scale/", "deep_sea/10", "stochastic/10", "swingup/10", "swingup/19", "memory_len/0", "distract/")
CASES = [
    pytest.param(
        env_id,
        player,
        id=f"{env_id}-{player.label}",
        marks=[pytest.mark.slow] * any(part in env_id for part in SELDOM),
    )
    for env_id in ORIGINAL
    for player in (*oracles(env_id), RANDOM)
]


def numbers(experiment: str) -> list[str]:
    return [env_id for env_id in IDS if env_id.startswith(f"bsuite/{experiment}/")]


@pytest.mark.heavy
@pytest.mark.parametrize(("env_id", "player"), CASES)
def test_players_reach_what_they_do_on_the_original(env_id, player):
    long = envs.make(env_id)[0].max_episode_steps > 200
    episodes = EPISODES if player is not RANDOM else 4 * EPISODES if long else 64 * EPISODES  # A treasure is rare.
    returns, lengths = player.play(env_id, jax.random.key(5), episodes)
    mean, spread, count = ORIGINAL[env_id][player.reference]
    known = references(env_id)
    assert (lengths > 0).all()
    if player.exact:
        np.testing.assert_allclose(returns, mean, rtol=1e-6)
        np.testing.assert_allclose(returns, known["best"]["mean"], rtol=1e-6)
        return
    error, rare = returns.std(ddof=1) / episodes**0.5, 1e-3 * abs(mean)  # One car in thousands gets up by chance.
    assert abs(returns.mean() - mean) <= 4 * np.hypot(error, spread / count**0.5) + rare
    name = "random" if player is RANDOM else "best"
    if player is RANDOM or player is oracles(env_id)[0]:
        assert abs(returns.mean() - known[name]["mean"]) <= 4.2 * error + rare  # Some references are measured, too.


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_number_has_its_players_and_its_returns(experiment):
    ids = numbers(experiment)
    assert len({oracles(env_id) for env_id in ids}) == 1 and oracles(ids[0])
    for env_id in ids:
        known = references(env_id)
        assert known["random"]["mean"] < known["best"]["mean"]
        assert {known[name]["source"] for name in ("random", "best")} <= set(sources())
        assert known["best"]["label"] == oracles(env_id)[0].label
        assert known.get("players") == ORIGINAL.get(env_id)
    assert any(env_id in ORIGINAL for env_id in ids)


@pytest.mark.parametrize("game", ["bandit", "catch", "cartpole", "mountain_car"])
def test_other_rewards_have_the_returns_of_the_game_times_their_factor(game):
    base = references(f"bsuite/{game}/0")
    for kind in ("noise", "scale"):
        for env_id in numbers(f"{game}_{kind}"):
            factor = getattr(envs.make(env_id)[1], "factor", 1.0)
            for name in ("random", "best"):
                assert references(env_id)[name]["mean"] == pytest.approx(base[name]["mean"] * factor, rel=1e-5)


def test_an_id_that_says_its_setting_has_what_its_number_has():
    for alias, env_id in ALIASES.items():
        assert references(alias) == references(env_id) and oracles(alias) == oracles(env_id)
    for unknown in ("catch/20", "catch", "catch/x", "nothing/0", "deep_sea_stochastic_60"):
        assert references(f"bsuite/{unknown}") == {}
    assert references("bsuite/memory_len_11") == references("bsuite/memory_len_100")  # past the sweep, and paid alike
    assert oracles("bsuite/nothing/0") == ()
    assert oracles("bsuite/memory_len_300") == oracles("bsuite/memory_len/0")
    assert oracles("bsuite/discounting_chain_delay_300") == oracles("bsuite/discounting_chain/0")


def best_of_the_sea(size: int, success: float) -> float:
    """Return the optimum of the stochastic sea, whose noise is 0 on average, by dynamic programming over its cells."""
    value, cost = np.zeros(size), 0.01 / size
    column = np.arange(size)
    for _ in range(size):
        beside = value[np.minimum(column + 1, size - 1)]
        right = -cost + (column == size - 1) + success * beside + (1 - success) * value
        value = np.maximum(right, value[np.maximum(column - 1, 0)])
    return value[0]


def test_the_way_down_the_diagonal_is_the_best_one():
    for experiment, gusts in (("deep_sea", 0.0), ("deep_sea_stochastic", 1.0)):
        for env_id in numbers(experiment):
            size = envs.make(env_id)[0].size
            success = 1.0 - gusts / size
            assert best_of_the_sea(size, success) == pytest.approx(diver(size, success), abs=1e-12)
            assert references(env_id)["best"]["mean"] == pytest.approx(diver(size, success), abs=1e-6)


def test_random_play_finds_the_treasure_as_seldom_as_is_said():
    """All ways down a small sea, each as likely: the sum over them is the expectation."""
    for size in (10, 12):
        ways = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
        treasure = ways.all(1)  # Any move to the left leaves the diagonal for good.
        expected = np.mean(treasure - 0.01 / size * ways.sum(1))
        env_id = next(env_id for env_id in numbers("deep_sea") if envs.make(env_id)[0].size == size)
        assert references(env_id)["random"]["mean"] == pytest.approx(expected, abs=1e-6)


def fastest_with_two_turns(starts: np.ndarray) -> np.ndarray:
    """Return the fewest steps to the hill of pushing one way, then the other, then the first again, int (starts,)."""
    turns = np.stack(np.meshgrid(np.arange(0, 120, 2), np.arange(0, 120, 1), indexing="ij"), -1).reshape(-1, 2)
    first, second = turns[turns[:, 0] <= turns[:, 1]].T
    side = np.array([-1, 1])[:, None, None]
    position = np.broadcast_to(starts[None, :, None], (2, len(starts), len(first))).copy()
    velocity, found = np.zeros_like(position), np.full(position.shape, 1000)
    for time in range(120):
        push = side * np.where((first <= time) & (time < second), -1, 1)
        velocity = np.clip(velocity + 0.001 * push - 0.0025 * np.cos(3 * position), -0.07, 0.07)
        position = np.clip(position + velocity, -1.2, 0.6)
        velocity = np.where(position <= -1.2, np.maximum(velocity, 0), velocity)
        found = np.where((position >= GOAL) & (found == 1000), time + 1, found)
    return found.min((0, 2))


@pytest.mark.heavy
def test_value_iteration_is_about_as_fast_as_the_best_of_all_ways_with_two_turns():
    env = MountainCar()
    params = env.default_params
    starts = np.linspace(-0.6, -0.4, 9)

    def drive(position, values):
        state = MountainCarState(jnp.zeros((), jnp.int32), position, jnp.zeros((), jnp.float32))

        def step(carry, _):
            state, count, over = carry
            action, _ = bsuite_control.PLANNED.act(env, params, values, env.show(state, None, params), None, None)
            state, _ = env.transition(state, action, None, params)
            return (state, count + ~over, over | env.is_terminated(state, params)), None

        carry = state, jnp.zeros((), jnp.int32), jnp.zeros((), bool)
        return jax.lax.scan(step, carry, length=130)[0][1]

    values = jax.jit(lambda: bsuite_control.PLANNED.start(env, params))()
    ours = np.asarray(jax.jit(jax.vmap(drive, (0, None)))(starts.astype(np.float32), values))
    best = fastest_with_two_turns(starts)
    assert (ours <= best + 2).all() and ours.mean() < best.mean() + 0.5


def test_a_player_of_catch_takes_the_board_as_an_agent_does():
    (player,) = oracles("bsuite/catch/0")
    env, params = envs.make("bsuite/catch/0")
    for seed in range(8):
        obs, _ = env.reset_env(jax.random.key(seed), params)
        one, other = (player.act(env, params, (), seen, None, None)[0] for seen in (obs, obs.reshape(-1)))
        assert one == other == 1 + np.sign(int(obs[0].argmax()) - 2)


@pytest.mark.heavy
def test_the_command_plays_an_environment_of_two_ids_once(capsys):
    assert main(["bsuite/discounting_chain/2", "bsuite/discounting_chain_delay_10", "--episodes", "2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 + 2 and "1.100 ± 0.000" in out[2] and "random play" in out[3]
    assert main(["bsuite/discounting_chain_delay_1*0", "--episodes", "2"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[2::2]] == [
        f"bsuite/discounting_chain_delay_{delay}" for delay in (10, 100)
    ]
