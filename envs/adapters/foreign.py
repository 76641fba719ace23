"""What the adapters of other people's packages have in common."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams

from envs.episodes import AutoReset


@contextlib.contextmanager
def promoting() -> Iterator[None]:
    """Let dtypes and ranks be promoted, as the packages rely on it; they also call each other's deprecated parts."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Drop what the packages print and warn of while they are imported and an environment is built."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def strong(leaf: Any, like: Any = None) -> jax.Array:
    """Return an array of a dtype that is no guess, as those change over the first step.

    Args:
      leaf: an array or a number; typed PRNG keys stay as they are.
      like: of whose dtype it is to be, or a dtype; by default its own.
    """
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    return leaf.astype(leaf.dtype if like is None else getattr(like, "dtype", like))


class Foreign(AutoReset):
    """An environment of a package, with a name and a time limit; its actions are choices unless it says otherwise."""

    action_names: Any = ()
    _name: str
    _limit: int

    @property
    def name(self) -> str:
        """Name of the environment inside."""
        return self._name

    @property
    def max_episode_steps(self) -> int:
        """Steps of the longest episode."""
        return self._limit

    @property
    def default_params(self) -> EnvParams:
        """The limit; a lower one cuts episodes off earlier."""
        return EnvParams(max_steps_in_episode=self._limit)

    @property
    def num_actions(self) -> int:
        """Number of actions."""
        return len(self.action_names)

    def action_space(self, params: EnvParams) -> spaces.Space:
        """One of the actions."""
        return spaces.Discrete(self.num_actions)

    def is_terminated(self, state: Any, params: EnvParams) -> jax.Array:
        """Return whether the episode is over for good, bool ()."""
        return state.terminated

    def is_truncated(self, state: Any, params: EnvParams) -> jax.Array:
        """Return whether time is up and the episode is not over for good, bool ()."""
        return (state.time >= params.max_steps_in_episode) & ~state.terminated
