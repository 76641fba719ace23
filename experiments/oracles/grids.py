"""Players of the bandit and of the games on a board."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.popgym.grid import GridGame
from experiments.oracles import Oracle, no_memory
from experiments.oracles.mine_probabilities import LikeliestClear

_OPTIMISM = 0.9  # posterior standard deviations


class Pulls(NamedTuple):
    """What a player of the bandit remembers.

    Attributes:
      paid: number of payouts of each arm, float32 (arms,).
      unpaid: number of times that it did not pay, float32 (arms,).
      arm: the arm pulled last as a one-hot vector, all zeros before the first step, float32 (arms,).
    """

    paid: jax.Array
    unpaid: jax.Array
    arm: jax.Array


def _no_pulls(env: Any, params: Any) -> Pulls:
    none = jnp.zeros(env.num_actions)
    return Pulls(none, none, none)


def _by_index(index: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]) -> Callable:
    """Return a player that pulls the arm of largest index (key, a, b), given each arm's posterior Beta(a, b)."""

    def act(env, params, memory, obs, state, key):
        paid = memory.paid + memory.arm * obs[1]
        unpaid = memory.unpaid + memory.arm * obs[0]
        arm = jnp.argmax(index(key, 1 + paid, 1 + unpaid))
        return arm, Pulls(paid, unpaid, jax.nn.one_hot(arm, env.num_actions))

    return act


def _upper(key: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    n = a + b
    return a / n + _OPTIMISM * jnp.sqrt(a * b / (n * n * (n + 1)))


def _best_arm(env, params, memory, obs, state, key):
    return jnp.argmax(state.arms), memory


class Shots(NamedTuple):
    """What a player of Battleship remembers.

    Attributes:
      shot: the squares shot at, bool (board_size, board_size).
      hit: those of them that were hits, bool (board_size, board_size).
      last: the square shot at last, bool (board_size, board_size).
    """

    shot: jax.Array
    hit: jax.Array
    last: jax.Array


def _no_shots(env: GridGame, params: Any) -> Shots:
    none = jnp.zeros((env.board_size, env.board_size), bool)
    return Shots(none, none, none)


def _by_score(score: Callable[[jax.Array, Shots], jax.Array]) -> Callable:
    """Return a player that shoots at the square of largest score (key, memory) among those not shot at."""

    def act(env, params, memory, obs, state, key):
        memory = memory._replace(hit=memory.hit | memory.last & (obs[1] == 1))
        scores = jnp.where(memory.shot, -jnp.inf, score(key, memory))
        best = jnp.argmax(scores)
        last = (jnp.arange(scores.size) == best).reshape(scores.shape)
        return _square(env, best), memory._replace(shot=memory.shot | last, last=last)

    return act


def _square(env: GridGame, number: jax.Array) -> jax.Array:
    return jnp.stack(jnp.divmod(number, env.board_size))


def _random(key: jax.Array, memory: Shots) -> jax.Array:
    return jax.random.uniform(key, memory.shot.shape)


def _first(key: jax.Array, memory: Shots) -> jax.Array:
    return jnp.zeros(memory.shot.shape)


def _hunt_and_target(key: jax.Array, memory: Shots) -> jax.Array:
    """Prefer squares beside a hit; else those of one colour of a chessboard, where every ship has a square."""
    hit = jnp.pad(memory.hit, 1)
    beside = hit[:-2, 1:-1] | hit[2:, 1:-1] | hit[1:-1, :-2] | hit[1:-1, 2:]
    of_one_color = np.indices(memory.shot.shape).sum(0) % 2 == 0
    return 2.0 * beside + 1.0 * of_one_color * ~beside + _random(key, memory)


def _first_marked(board: Callable[[Any], jax.Array]) -> Callable:
    """Return a player that chooses the first square marked on a board that is made of the state."""

    def act(env, params, memory, obs, state, key):
        marks = board(state)[:, None] >> jnp.arange(env.board_size, dtype=jnp.uint32) & 1
        return _square(env, jnp.argmax(marks)), memory

    return act


ORACLES = {
    "MultiarmedBandit": (
        Oracle("posterior mean + 0.9 sd", "history", _no_pulls, _by_index(_upper), "posterior_mean_plus_0.9sd"),
        Oracle("Thompson sampling", "history", _no_pulls, _by_index(jax.random.beta), "thompson_sampling"),
        Oracle("best arm", "state", no_memory, _best_arm, "knows_arms"),
    ),
    "Battleship": (
        Oracle("hunt and target", "history", _no_shots, _by_score(_hunt_and_target), "memory_hunt_and_target"),
        Oracle("row by row", "history", _no_shots, _by_score(_first), "memory_row_major_scan"),
        Oracle("random without repetition", "history", _no_shots, _by_score(_random), "memory_random_no_repeats"),
        Oracle(
            "ships only",
            "state",
            no_memory,
            _first_marked(lambda state: state.ships & ~state.shots),
            "full_state",
            exact=True,
        ),
    ),
    "MineSweeper": (
        LikeliestClear(),
        Oracle(
            "clear squares only",
            "state",
            no_memory,
            _first_marked(lambda state: ~(state.mines | state.viewed)),
            "full_state",
            exact=True,
        ),
    ),
}
