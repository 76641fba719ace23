"""Reference players: what perfect memory, or full knowledge of the hidden state, is worth.

One module per group of games, each with `ORACLES`: game, or experiment of bsuite -> its players, best of those that see
what an agent sees first, and `SUITE`, where that is not popgym. `python -m experiments.oracles` plays them and prints
their returns beside the reference figures.
"""

import functools
import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import envs
from envs.bsuite import ALIASES


@dataclass(frozen=True)
class Oracle:
    """A player as JAX functions.

    Attributes:
      label: what it is called in tables and plots, such as "hunt-and-target play".
      sees: "history" for what an agent sees (observations, and the actions it chose itself), "state" for everything.
      start: (env, params) -> memory, any pytree of arrays.
      act: (env, params, memory, obs, state, key) -> (action, memory); `state` is None for one that sees the history,
        `obs` for one that sees the state.
      reference: name of its entry in the reference data (`players` of `experiments.running.references`), or "".
      exact: the return is the same in every episode.
    """

    label: str
    sees: Literal["history", "state"]
    start: Callable[..., Any]
    act: Callable[..., tuple[jax.Array, Any]]
    reference: str = ""
    exact: bool = False

    def play(self, env_id: str, key: jax.Array, episodes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (episode returns, lengths), each (episodes,), float64 and int."""
        returns, lengths = _compiled(self, env_id, episodes)(key)
        return np.asarray(returns, np.float64), np.asarray(lengths)


@functools.lru_cache(maxsize=4)
def _compiled(oracle: Oracle, env_id: str, episodes: int) -> Callable:
    """Return a jitted function that plays `episodes` episodes side by side to the end of each."""
    env, params = envs.make(env_id)

    def episode(key):
        key_reset, key_play = jax.random.split(key)
        obs, state = env.reset_env(key_reset, params)

        all_seen = oracle.sees == "state"
        # Nobody reads the observations then, and XLA computes none: no picture is drawn.
        shown = lambda obs: None if all_seen else obs

        def step(carry, key):
            obs, state, memory, done, total, length = carry
            key_act, key_step = jax.random.split(key)
            action, memory = oracle.act(env, params, memory, obs, state if all_seen else None, key_act)
            obs, state, reward, terminated, _ = env.step_env(key_step, state, action, params)
            total, length = total + jnp.where(done, 0.0, reward), length + ~done
            done = done | terminated | env.is_truncated(state, params)
            return (shown(obs), state, memory, done, total, length), None

        zero = jnp.zeros((), jnp.int32)
        carry = (shown(obs), state, oracle.start(env, params), jnp.zeros((), bool), jnp.zeros(()), zero)
        carry, _ = jax.lax.scan(step, carry, jax.random.split(key_play, env.max_episode_steps))
        return carry[4], carry[5]

    return jax.jit(lambda key: jax.vmap(episode)(jax.random.split(key, episodes)))


def no_memory(env: Any, params: Any) -> tuple:
    """Return the memory of a player without one."""
    return ()


def _any_action(
    env: Any, params: Any, memory: tuple, obs: jax.Array, state: Any, key: jax.Array
) -> tuple[jax.Array, tuple]:
    return env.action_space(params).sample(key), memory


RANDOM = Oracle("random play", "state", no_memory, _any_action, "random")


def strolling(repeat: float) -> Oracle:
    """Return random play that does again what it did with chance `repeat`, as in `ReplayConfig.prefill_repeat`."""

    def start(env, params):
        return env.action_space(params).sample(jax.random.key(0)), jnp.zeros((), bool)  # no action yet

    def act(env, params, memory, obs, state, key):
        last, acted = memory
        key_repeat, key_action = jax.random.split(key)
        again = acted & jax.random.bernoulli(key_repeat, repeat)
        action = jnp.where(again, last, env.action_space(params).sample(key_action))
        return action, (action, jnp.ones((), bool))

    return Oracle(f"random play that repeats with chance {repeat:g}", "state", start, act)


def oracles(env_id: str) -> tuple[Any, ...]:
    """Return the players of an environment, best of those that see the history first; none for an unknown one."""
    suite, _, name = ALIASES.get(env_id, env_id).partition("/")
    game = name
    if suite == "popgym":
        game = name.removesuffix("Easy").removesuffix("Medium").removesuffix("Hard")
    elif suite == "bsuite":  # memory_len/22, or memory_len_300, which is none of the sweep
        game = re.sub(r"(_delay)?_\d+$", "", name.partition("/")[0])
    return _all().get((suite, game), ())


@functools.cache
def _all() -> dict[tuple[str, str], tuple[Any, ...]]:
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        suite = getattr(module, "SUITE", "popgym")
        found.update({(suite, game): players for game, players in getattr(module, "ORACLES", {}).items()})
    return found
