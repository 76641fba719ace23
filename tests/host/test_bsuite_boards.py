"""What is drawn of bsuite's experiments. About 15 s."""

import jax
import numpy as np
import pytest

import envs
from experiments.drawing import hidden, scene


def drawn(env_id, actions, seed=0):
    """Return the environment, its state after the actions, and what is drawn of that."""
    env, params = envs.make(env_id)
    obs, state = env.reset_env(jax.random.key(seed), params)
    for step, action in enumerate(actions):
        obs, state, *_ = env.step_env(jax.random.key(step), state, np.int32(action), params)
    look = hidden.look_of(env, params)
    return env, state, look(scene.on_host(state), np.asarray(obs), actions[-1] if actions else None)


@pytest.mark.parametrize("env_id", ["bsuite/catch/0", "bsuite/catch_noise/0", "bsuite/catch_scale/4"])
def test_catch_shows_ball_and_paddle_and_hides_nothing(env_id):
    _, state, view = drawn(env_id, [0, 0, 1])
    labels = np.array(view.seen.labels)
    assert labels.shape == (10, 5) and view.hidden == ()
    assert labels[3, int(state.ball)] == "o" and labels[9, 0] == "=" and (labels != "").sum() == 2


def test_a_caught_ball_hides_the_paddle():
    _, state, _ = drawn("bsuite/catch/0", [])
    side = int(np.sign(int(state.ball) - 2)) + 1
    _, state, view = drawn("bsuite/catch/0", [side] * abs(int(state.ball) - 2) + [1] * (9 - abs(int(state.ball) - 2)))
    labels = np.array(view.seen.labels)
    assert int(state.paddle) == int(state.ball) and (labels != "").sum() == 1 and labels[9, int(state.ball)] == "o"


def test_the_sea_hides_which_action_goes_right():
    env, _, _ = drawn("bsuite/deep_sea/0", [])
    way = [int(env.rights[row, row]) for row in range(4)]
    _, _, view = drawn("bsuite/deep_sea/0", way)
    (board,) = view.hidden
    assert (np.array(board.labels).astype(int) == env.rights).all()
    assert np.argwhere(np.array(view.seen.labels) == "o").tolist() == [[4, 4]]
    assert [cell.ring is not None for row in board.cells for cell in row].index(True) == 44
    below = drawn("bsuite/deep_sea/0", [0] * 10)[2]
    assert not any(cell.ring for row in below.seen.cells for cell in row)


def test_what_is_to_be_remembered_is_hidden_and_the_text_says_what_is_shown():
    _, state, view = drawn("bsuite/memory_size/12", [0])
    (board,) = view.hidden
    cells = [cell for row in board.cells for cell in row if cell is not None]
    assert view.seen is None and [cell.label for cell in cells] == [str(int(bit)) for bit in state.context]
    assert [bool(cell.ring) for cell in cells].index(True) == int(state.query)


@pytest.mark.parametrize("env_id", ["bsuite/bandit/3", "bsuite/bandit_scale/19"])
def test_arms_are_drawn_with_what_they_pay(env_id):
    env, _, view = drawn(env_id, [4])
    (row,) = view.hidden[0].cells
    rewards = getattr(env, "game", env).rewards
    assert [cell.label for cell in row] == [f"{reward:.1f}" for reward in rewards]
    assert [bool(cell.ring) for cell in row].index(True) == 4


def test_the_chain_shows_which_delay_pays_more():
    _, _, view = drawn("bsuite/discounting_chain/7", [3, 0])
    assert view.hidden[0].labels == [["1", "1", "1.1", "1", "1"]] and view.hidden[0].top == [
        "1",
        "3",
        "10",
        "30",
        "100",
    ]
    assert [bool(cell.ring) for cell in view.hidden[0].cells[0]].index(True) == 3
    assert all(panel.dtype == np.uint8 for _, panel in view.panels)


def test_a_longer_chain_is_headed_by_its_own_delays():
    _, _, view = drawn("bsuite/discounting_chain_delay_300", [3, 0])
    assert view.hidden[0].top == ["1", "3", "10", "30", "300"]


def test_physics_are_words():
    env, params = envs.make("bsuite/mountain_car/0")
    assert hidden.look_of(env, params) is None
