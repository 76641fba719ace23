"""What all POPGym games have in common: spaces, time limits, and the numbers that an agent or a test asks for."""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.episodes import AutoReset
from envs.observation import Categorical, Part
from envs.spaces import num_actions


class Game(AutoReset):
    """A POPGym game as a gymnax 1.0 environment.

    A subclass defines `max_episode_steps`, `reward_scale`, `observation_parts`, `reset_env`, `observe`, `step_env`,
    `is_terminated`, `render(state, params, hidden=False)` (lines of text that show what the observation shows, and on
    request what it hides), and either `num_actions` (for a Discrete action space) or `action_space`. One whose
    observation is not one-hot defines `observation_space` too, and one without a time limit `is_truncated`
    (`no_time_limit`).

    An action of any number type is accepted, and one that is not in the action space does no harm: it is a wrong answer
    where a game judges answers, elsewhere it is taken as the nearest one inside. Where whole numbers are expected a
    float loses its fraction and NaN is -1 (`envs.spaces.as_index`); in a Box NaN is 0, or the middle of the box where 0
    is not in it (`envs.spaces.contained`).
    """

    @property
    def max_episode_steps(self) -> int:
        """Number of `step` calls in the longest episode."""
        raise NotImplementedError

    @property
    def reward_scale(self) -> float:
        """Factor that brings the size of a typical non-zero reward to about one."""
        raise NotImplementedError

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """What the numbers of an observation mean, in order."""
        raise NotImplementedError

    @property
    def default_params(self) -> EnvParams:
        """Parameters with the original's episode length."""
        return EnvParams(max_steps_in_episode=self.max_episode_steps)

    @property
    def num_actions(self) -> int:
        """Number of actions, or of the entries of a continuous one."""
        if type(self).action_space is Game.action_space:  # Which would ask here again.
            raise NotImplementedError(f"{self.name}: define num_actions or action_space")
        return num_actions(self.action_space(self.default_params))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """One-hot groups side by side, uint8."""
        parts = self.observation_parts(params)
        if not all(isinstance(part, Categorical) for part in parts):
            raise NotImplementedError(f"{self.name}: define observation_space")
        return spaces.Box(0, 1, (sum(part.size for part in parts),), jnp.uint8)

    def action_space(self, params: EnvParams) -> spaces.Space:
        """One of `num_actions` ids."""
        return spaces.Discrete(self.num_actions)


def no_time_limit(state: EnvState, params: Any) -> jax.Array:
    """Return False, bool (): what `is_truncated` says of a game that ends by itself."""
    return jnp.zeros((), bool)
