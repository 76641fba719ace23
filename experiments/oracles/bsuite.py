"""Players of bsuite's chains, boards and bandits, and of all its experiments with other rewards.

What an experiment hides for a whole run (which arm pays, which action goes right) an agent can only learn over
episodes; a player that "sees the state" knows it from the start.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from experiments.oracles import Oracle, no_memory
from experiments.oracles.bsuite_control import BALANCE, PLANNED, PUMPING, SWING_UP

SUITE = "bsuite"


def _no_bits(env: Any, params: Any) -> jax.Array:
    """Return the bits before they are shown, float32 (num_bits,)."""
    return jnp.zeros(env.num_bits, jnp.float32)


def _recall(env: Any, params: Any, bits: jax.Array, obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Write the bits down while they are shown (as -1 and +1), and look up the one that is asked for."""
    bits = jnp.where(jnp.any(obs[2:] != 0), obs[2:], bits)
    return (bits[obs[1].astype(jnp.int32)] > 0).astype(jnp.int32), bits


def _best_choice(env: Any, params: Any, memory: tuple[()], obs: Any, state: Any, key: jax.Array) -> Any:
    """Choose the delay that pays more."""
    return jnp.asarray(params.bonus_arm, jnp.int32), memory


def _as_the_weather_needs(env: Any, params: Any, memory: tuple[()], obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Take the umbrella if it is needed; only the first action matters, and the need is shown at all times."""
    return obs[0].astype(jnp.int32), memory


def _best_arm(env: Any, params: Any, memory: tuple[()], obs: Any, state: Any, key: jax.Array) -> Any:
    """Pull the arm that pays 1."""
    return jnp.argmax(jnp.stack([jnp.asarray(reward, jnp.float32) for reward in params.rewards])), memory


def _under_the_ball(env: Any, params: Any, memory: tuple[()], obs: jax.Array, state: Any, key: jax.Array) -> Any:
    """Move towards the ball's column: there are more steps than columns."""
    board = obs.reshape(env.rows, env.columns)  # An agent gets it as one vector.
    ball, paddle = jnp.argmax(jnp.sum(board[:-1], 0)), jnp.argmax(board[-1])
    return jnp.sign(ball - paddle) + 1, memory


def _down_the_diagonal(env: Any, params: Any, memory: tuple[()], obs: Any, state: Any, key: jax.Array) -> Any:
    """Go right as long as the treasure can be reached, and left when a gust has put it out of reach: left is free."""
    last = env.size - 1
    row = jnp.minimum(state.time, last)
    right = jnp.asarray(env.rights)[row, state.column]
    return jnp.where(state.column == row, right, 1 - right), memory


def inside(player: Oracle, *, exact: bool) -> Oracle:
    """Return a player of an experiment as one of the same experiment with other rewards."""
    return replace(
        player,
        start=lambda env, params: player.start(env.game, params.game),
        act=lambda env, params, *seen: player.act(env.game, params.game, *seen),
        exact=exact,
    )


_MEMORY = Oracle("optimal (perfect memory)", "history", _no_bits, _recall, "perfect_memory", exact=True)
_UMBRELLA = Oracle("optimal (as the weather needs)", "history", no_memory, _as_the_weather_needs, "as_needed")
_DIAGONAL = Oracle("optimal (knows which action is right)", "state", no_memory, _down_the_diagonal, "diagonal")
_BANDIT = Oracle("optimal (knows the best arm)", "state", no_memory, _best_arm, "best_arm", exact=True)
_CATCH = Oracle("optimal (under the ball)", "history", no_memory, _under_the_ball, "under_the_ball", exact=True)

ORACLES: dict[str, tuple[Oracle, ...]] = {
    "memory_len": (_MEMORY,),
    "memory_size": (_MEMORY,),
    "discounting_chain": (
        Oracle("optimal (knows the bonus)", "state", no_memory, _best_choice, "best_choice", exact=True),
    ),
    "umbrella_length": (_UMBRELLA,),
    "umbrella_distract": (_UMBRELLA,),
    "bandit": (_BANDIT,),
    "catch": (_CATCH,),
    "deep_sea": (replace(_DIAGONAL, exact=True),),
    "deep_sea_stochastic": (_DIAGONAL,),
    "cartpole": (BALANCE,),
    "cartpole_swingup": (SWING_UP,),
    "mountain_car": (PLANNED, PUMPING),
}
for _experiment in ("bandit", "catch", "cartpole", "mountain_car"):
    for _kind in ("noise", "scale"):
        ORACLES[f"{_experiment}_{_kind}"] = tuple(
            inside(player, exact=player.exact and _kind == "scale") for player in ORACLES[_experiment]
        )
