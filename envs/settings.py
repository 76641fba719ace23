"""Environments that differ in their parameters only: one program plays them all, each under a `vmap` over those."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.environment import Environment, EnvParams

from envs import registry
from envs.episodes import longest_episode


@dataclass(frozen=True)
class Settings:
    """What an environment argument stands for (`envs.registry.settings`): one environment, or several settings of one.

    Attributes:
      ids: of the settings.
      env: the environment, the one with the longest episodes.
      default: its number.
      params: the parameters of each setting.
      reward_scales: of each setting.
      steps: of the longest episode of each; None where it does not say.
    """

    ids: tuple[str, ...]
    env: Environment
    default: int
    params: tuple[EnvParams, ...]
    reward_scales: tuple[float, ...]
    steps: tuple[int | None, ...]

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return len(self.ids) > 1

    @property
    def env_params(self) -> EnvParams:
        """The parameters of the setting with the longest episodes."""
        return self.params[self.default]

    @property
    def longest(self) -> int | None:
        """The steps of the longest episode of all; None if one does not say."""
        return self.steps[self.default]

    def number(self, env_id: str | None) -> int:
        """Return the number of a setting; of None, where there is one only, that one's."""
        return self.ids.index(env_id) if env_id is not None and self.several else self.default

    def of_rows(self, rows: int) -> np.ndarray:
        """Return the number of each row's setting, int32 (rows,): an equal share of the rows for each, in order.

        Raises:
          ValueError: if the settings do not divide the rows.
        """
        if rows % len(self.ids):
            raise ValueError(f"{rows} rows cannot be shared by {len(self.ids)} settings; give a multiple of that")
        return np.repeat(np.arange(len(self.ids), dtype=np.int32), rows // len(self.ids))

    def stacked(self, rows: int) -> Any:
        """Return the parameters of each row, leaves (rows, ...) int32, float32 or bool; () where there is one setting.

        Raises:
          ValueError: as `of_rows`.
        """
        if not self.several:
            return ()
        chosen = self.of_rows(rows)
        return jax.tree.map(lambda *leaves: _array(leaves)[chosen], *self.params)

    def reward_factors(self, rows: int) -> jax.Array:
        """Return each row's reward scale over that of `env`, float32 (rows,)."""
        scales = np.asarray(self.reward_scales, np.float64)
        return jnp.asarray((scales / scales[self.default])[self.of_rows(rows)], jnp.float32)


def make(env_id: str) -> Settings:
    """Build what an environment argument stands for.

    Raises:
      ValueError: as `envs.make` and `envs.registry.settings`.
    """
    ids = registry.settings(env_id)
    made = [registry.make(setting) for setting in ids]
    steps = tuple(longest_episode(env, params) for env, params in made)
    default = 0 if None in steps else int(np.argmax([count or 0 for count in steps]))
    scales = tuple(float(env.reward_scale) for env, _ in made)
    return Settings(ids, made[default][0], default, tuple(params for _, params in made), scales, steps)


def _array(values: Sequence[Any]) -> jax.Array:
    """Return numbers of one kind as an array of 32 bits."""
    stacked = np.stack([np.asarray(value) for value in values])
    kinds = {"i": np.int32, "u": np.uint32, "f": np.float32}
    return jnp.asarray(stacked.astype(kinds.get(stacked.dtype.kind, stacked.dtype)))
