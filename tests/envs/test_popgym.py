"""What must hold of every POPGym game, whatever the deck and the actions. About 25 s, most of it compilation."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.observation import observation_parts
from envs.popgym import deck
from envs.popgym.autoencode import Autoencode
from envs.popgym.concentration import Concentration
from envs.popgym.repeat_previous import RepeatPrevious
from tests.envs.playing import BEYOND, EPISODES, POPGYM, RECALL, make, play, replay, start

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "popgym_returns.json").read_text())
EASY = tuple(env_id for env_id in POPGYM if env_id.endswith("Easy"))
seeds = st.integers(0, 2**32 - 1)


def random_actions(env, seed: int, spread: int) -> np.ndarray:
    """Return uniform actions (EPISODES, T) that leave the action space by up to `spread` on both sides."""
    shape = (EPISODES, env.max_episode_steps + BEYOND)
    return np.random.default_rng(seed).integers(-spread, env.num_actions + spread, shape)


@pytest.mark.parametrize("env_id", POPGYM)
@settings(max_examples=5, deadline=None)
@given(seed=seeds, spread=st.sampled_from([0, 1, 1000]))
def test_any_play_stays_in_bounds(env_id, seed, spread):
    env, params = make(env_id)
    obs, start_state = jax.device_get(start(env_id, seed))
    actions = random_actions(env, seed, spread)
    played = play(env_id, start_state, actions)
    np.testing.assert_array_equal(obs, played.first)

    offset = 0
    for part in env.observation_parts(params):
        groups = played.observations[..., offset : offset + part.size].reshape(-1, part.classes)
        assert (groups.sum(-1) == 1).all() and (groups <= 1).all()
        offset += part.size
    assert offset == played.observations.shape[-1]

    over = played.terminated | played.truncated
    assert over[:, env.max_episode_steps - 1].all()
    assert (np.abs(played.rewards) <= 2.0 / env.reward_scale).all()
    assert (played.last.time == actions.shape[1]).all()
    if env_id in RECALL:
        assert (over.argmax(1) == env.max_episode_steps - 1).all() and not played.truncated.any()
        np.testing.assert_array_equal(played.last.suits, start_state.suits)
        assert (np.sort(start_state.suits) == np.sort(deck.suits(env.num_decks))).all()
    else:
        np.testing.assert_array_equal(played.last.cards, start_state.cards)
        np.testing.assert_array_equal(played.last.face_up.sum(1), 2 * (played.rewards > 0).sum(1))
        assert ((played.last.turned >= -1) & (played.last.turned < env.num_cards)).all()


@pytest.mark.parametrize("env_id", POPGYM)
def test_shapes_and_dtypes_are_those_promised(env_id):
    env, params = make(env_id)
    key, action = jax.random.key(0), jnp.zeros((), jnp.int32)
    obs, state = jax.eval_shape(env.reset, key, params)
    stepped = jax.eval_shape(env.step, key, state, action, params)
    space = env.observation_space(params)
    assert (obs.shape, obs.dtype) == (space.shape, jnp.uint8)
    assert obs.shape == (sum(part.size for part in observation_parts(env, params)),)
    assert stepped[:2] == (obs, state)  # Same treedef, shapes and dtypes: it can be scanned,
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((obs, state, stepped)))  # and never retraces.
    assert [(x.shape, x.dtype) for x in stepped[2:5]] == [((), jnp.float32), ((), jnp.bool_), ((), jnp.bool_)]


@pytest.mark.parametrize("env_id", POPGYM)
def test_random_play_returns_what_it_does_in_the_original(env_id):
    env, _ = make(env_id)
    golden, returns, lengths = GOLDEN[env_id], [], []
    for seed in range(16):
        played = play(env_id, start(env_id, seed)[1], random_actions(env, seed, spread=0))
        ends = (played.terminated | played.truncated).argmax(1)
        returns += [rewards[: end + 1].sum() for rewards, end in zip(played.rewards, ends, strict=True)]
        lengths += list(ends + 1)
    error = np.hypot(np.std(returns) / len(returns) ** 0.5, golden["return_std"] / golden["episodes"] ** 0.5)
    assert abs(np.mean(returns) - golden["return_mean"]) < 4 * error
    assert np.mean(lengths) == pytest.approx(golden["length_mean"], abs=0.1)


@pytest.mark.parametrize("env_id", RECALL)
def test_perfect_memory_returns_exactly_one(env_id):
    env, _ = make(env_id)
    _, states = start(env_id, seed=5)
    suits, steps = np.asarray(states.suits, np.int32), np.arange(env.max_episode_steps)
    if "RepeatFirst" in env_id:
        asked = np.zeros_like(steps)
    elif "RepeatPrevious" in env_id:
        asked = np.maximum(steps - (env.k - 1), 0)
    else:
        asked = np.minimum(2 * (env.num_cards - 1) - steps, env.num_cards - 1)
    rewards = play(env_id, states, suits[:, asked]).rewards[:, : env.max_episode_steps]
    assert set(np.unique(rewards)) <= {np.float32(0), np.float32(1 / env.reward_scale)}
    assert ((rewards > 0).sum(1) == env.reward_scale).all()
    np.testing.assert_allclose(rewards.sum(1), 1.0, atol=1e-5)


@pytest.mark.parametrize("env_id", EASY)
def test_one_key_one_episode_in_a_batch_or_alone(env_id):
    env, params = make(env_id)
    actions = random_actions(env, seed=2, spread=1)
    keys = jax.random.split(jax.random.key(9), EPISODES)
    together = play(env_id, start(env_id, seed=9)[1], actions)

    @jax.jit
    def alone(key, actions):
        return replay(env, params, env.reset_env(key, params)[1], actions)

    for i in (0, 7, EPISODES - 1):
        for got, want in zip(jax.tree.leaves(alone(keys[i], actions[i])), jax.tree.leaves(together), strict=True):
            np.testing.assert_array_equal(got, want[i])


@pytest.mark.parametrize("env_id", [env_id for env_id in EASY if env_id in RECALL])
@pytest.mark.parametrize("action", [-1, 4, 256, 2**31 - 1])
def test_an_invalid_suit_is_a_wrong_answer(env_id, action):
    env, params = make(env_id)
    _, state = env.reset(jax.random.key(0), params)
    state = state.replace(time=jnp.int32(env.max_episode_steps - 2), suits=jnp.zeros_like(state.suits))
    wrong = env.step(jax.random.key(1), state, 1, params)
    for invalid in (action, jnp.asarray(action)):  # A Python number is weakly typed.
        for got, want in zip(
            jax.tree.leaves(env.step(jax.random.key(1), state, invalid, params)), jax.tree.leaves(wrong), strict=True
        ):
            np.testing.assert_array_equal(got, want)
    assert wrong[2] == pytest.approx(-1 / env.reward_scale)


def test_an_invalid_position_is_the_nearest_valid_one():
    env, params = make("popgym/ConcentrationEasy")
    _, state = env.reset(jax.random.key(0), params)
    for invalid, valid in ((-1, 0), (-1000, 0), (52, 51), (2**31 - 1, 51)):
        got, want = (
            jax.tree.leaves(env.step(jax.random.key(1), state, jnp.int32(a), params)) for a in (invalid, valid)
        )
        for one, other in zip(got, want, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_shorter_limit_truncates_concentration_and_no_recall_game():
    for env_id, truncated in (("popgym/ConcentrationEasy", True), ("popgym/RepeatPreviousEasy", False)):
        env, params = make(env_id)
        params = params.replace(max_steps_in_episode=1)
        _, state = env.reset(jax.random.key(0), params)
        assert [bool(flag) for flag in env.step(jax.random.key(1), state, 0, params)[3:5]] == [False, truncated]


def test_shuffled_decks_are_uniform():
    # 20 000 decks: shares of a suit at a position have a standard error of .0031, of equal neighbours .003 / deck slot.
    decks = np.asarray(jax.vmap(deck.shuffle, (0, None))(jax.random.split(jax.random.key(0), 20_000), deck.suits(1)))
    assert (np.sort(decks) == np.sort(deck.suits(1))).all()
    for suit in range(4):
        assert np.abs((decks == suit).mean(0) - 0.25).max() < 5 * 0.0031
    equal_neighbours = (decks[:, 1:] == decks[:, :-1]).mean(0)
    assert np.abs(equal_neighbours - 12 / 51).max() < 5 * 0.003
    first_by_last = np.histogram2d(decks[:, 0], decks[:, -1], bins=4)[0] / len(decks)
    expected = np.where(np.eye(4, dtype=bool), 13 * 12, 13 * 13) / (52 * 51)
    assert np.abs(first_by_last - expected).max() < 5 * 0.0017


def test_cards_have_the_original_ranks_suits_and_colours():
    original = pytest.importorskip("popgym.core.deck").Deck(3)
    np.testing.assert_array_equal(deck.ranks(3), original.ranks_idx)
    np.testing.assert_array_equal(deck.suits(3), original.suits_idx)
    np.testing.assert_array_equal(deck.colors(3), original.colors_idx)


@pytest.mark.parametrize(
    ("construct", "message"),
    [
        (lambda: RepeatPrevious(num_decks=1, k=52), "k=52 should be at least 1 and below the number of cards, 52"),
        (lambda: RepeatPrevious(num_decks=1, k=0), "k=0 should be"),
        (lambda: Autoencode(num_decks=0), "num_decks=0 should be at least 1"),
        (lambda: Concentration(match="suits"), "match='suits' should be one of colors, ranks"),
    ],
)
def test_impossible_games_are_refused(construct, message):
    with pytest.raises(ValueError, match=message):
        construct()


def test_concentration_optimum_by_hand_and_beside_the_greedy_player():
    """Two cards of each colour; and the measured return of a greedy player of perfect memory on the original."""
    from experiments.concentration_optimum import optimum

    # Turn two unseen cards: a match (1/3) leaves the other pair known to match; otherwise (2/3) all four are found.
    first = 1 / 3 * (0.5 + 0.5) + 2 / 3 * (-2 / 8 + 0.5 + 0.5)
    assert optimum(4, 8) == pytest.approx(first)
    assert optimum(52, 104) == pytest.approx(0.8137, abs=1e-4)
    assert abs(optimum(52, 104) - 0.814) < 3 * 0.036 / np.sqrt(500)
