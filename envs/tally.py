"""What an episode adds up to, beside its return: sums of the numbers that its steps give as `info`."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments.environment import EnvParams, EnvState

from envs.wrappers import Wrapper


class TallyState(struct.PyTreeNode):
    """The environment's own state, and the sums since the episode's start, each float32 ()."""

    inner: Any
    sums: dict[str, jax.Array]


class Tally(Wrapper):
    """An environment whose state holds the sums, over the running episode, of the numbers in `info`.

    Summed is what has the shape () and is a number or a flag; anything else is left out.
    """

    def __getattr__(self, name: str) -> Any:
        """Look up on the environment inside; what it says of a state, it says of its own."""
        found = super().__getattr__(name)
        return (lambda state, params: found(state.inner, params)) if name == "is_diverged" else found

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[Any, TallyState]:
        """Start an episode, with sums of 0."""
        obs, state = self.env.reset_env(key, params)
        action = jax.eval_shape(self.action_space(params).sample, key)
        info = jax.eval_shape(self.env.step_env, key, state, action, params)[4]
        return obs, TallyState(state, {name: jnp.zeros((), jnp.float32) for name in _summed(info)})

    def step_env(
        self, key: jax.Array, state: TallyState, action: jax.Array, params: EnvParams
    ) -> tuple[Any, TallyState, jax.Array, jax.Array, dict[Any, Any]]:
        """Take one step, without auto-reset."""
        obs, inner, reward, terminated, info = self.env.step_env(key, state.inner, action, params)
        sums = {name: total + jnp.asarray(info[name]).astype(jnp.float32) for name, total in state.sums.items()}
        return obs, TallyState(inner, sums), reward, terminated, info

    def observe(self, key: jax.Array, state: TallyState, action: jax.Array | None, params: EnvParams) -> Any:
        """Return the observation of a state."""
        return self.env.observe(key, state.inner, action, params)

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Return whether the episode is over for good."""
        return self.env.is_terminated(state.inner, params)

    def is_truncated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Return whether the episode is cut off."""
        return self.env.is_truncated(state.inner, params)


def _summed(info: dict[Any, Any]) -> list[str]:
    """Return the names of what is summed, sorted."""
    numbers = [name for name, leaf in info.items() if isinstance(name, str) and getattr(leaf, "shape", None) == ()]
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    return sorted(name for name in numbers if any(jnp.issubdtype(info[name].dtype, kind) for kind in kinds))
