"""Experiments with other rewards: noise on them (*_noise), or a factor (*_scale).

Ref: bsuite/utils/wrappers.py (0.3.6).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.bsuite.game import Game
from envs.observation import Part


@struct.dataclass
class NoiseParams(EnvParams):
    """Setting.

    Attributes:
      game: parameters of the experiment inside.
      noise_scale: standard deviation of what is added to every reward.
    """

    game: Any = None
    noise_scale: float = 1.0


@struct.dataclass
class ScaleParams(EnvParams):
    """Setting.

    Attributes:
      game: parameters of the experiment inside.
      factor: by which every reward is multiplied.
    """

    game: Any = None
    factor: float = 1.0


class Noise(NamedTuple):
    """What is drawn at every step.

    Attributes:
      noise: standard normal number, float32 ().
      game: what the experiment inside draws.
    """

    noise: jax.Array
    game: Any


class OtherRewards(Game):
    """An experiment that is the one inside, but for its rewards."""

    def __init__(self, game: Game | Callable[[], Game]):
        """Wrap an experiment, or what a function returns."""
        self.game = game if isinstance(game, Game) else game()

    @property
    def num_actions(self) -> int:
        """Those of the experiment inside."""
        return self.game.num_actions

    @property
    def action_names(self) -> tuple[str, ...]:
        """Those of the experiment inside."""
        return self.game.action_names

    @property
    def max_episode_steps(self) -> int:
        """Those of the experiment inside."""
        return self.game.max_episode_steps

    def observation_parts(self, params: Any) -> tuple[Part, ...]:
        """Those of the experiment inside."""
        return self.game.observation_parts(params.game)

    def observation_space(self, params: Any) -> spaces.Box:
        """That of the experiment inside."""
        return self.game.observation_space(params.game)

    def begin(self, key: jax.Array, params: Any) -> EnvState:
        """Begin an episode of the experiment inside."""
        return self.game.begin(key, params.game)

    def is_terminated(self, state: EnvState, params: Any) -> jax.Array:
        """Return whether the episode is over, bool ()."""
        return self.game.is_terminated(state, params.game)

    def tally(self, state: EnvState, action: jax.Array, after: EnvState, params: Any) -> dict[str, jax.Array]:
        """Return that of the experiment inside, without noise and factor (wrappers.py:305, :368)."""
        return self.game.tally(state, action, after, params.game)

    def render(self, state: EnvState, params: Any, hidden: bool = False) -> str:
        """Return what the experiment inside returns. Host only."""
        return self.game.render(state, params.game, hidden)


class RewardNoise(OtherRewards):
    """Every reward has noise added to it, standard normal times `noise_scale`, rewards of 0 too (wrappers.py:278)."""

    def __init__(self, game: Game | Callable[[], Game], noise_scale: float = 1.0):
        """Set the noise's standard deviation.

        Raises:
          ValueError: if it is negative or not finite.
        """
        super().__init__(game)
        if not 0.0 <= noise_scale < float("inf"):
            raise ValueError(f"{self.name}: noise_scale={noise_scale} should be at least 0, and finite")
        self.noise_scale = noise_scale

    @property
    def name(self) -> str:
        """Name of the experiment inside, and what is other."""
        return f"{self.game.name} with noise"

    @property
    def reward_scale(self) -> float:
        """One over the size of the noise, where that is larger than the rewards."""
        return 1.0 / max(1.0, self.noise_scale)

    @property
    def default_params(self) -> NoiseParams:
        """The deviation of the constructor."""
        return NoiseParams(self.max_episode_steps, self.game.default_params, self.noise_scale)

    def draw(self, key: jax.Array, params: NoiseParams) -> Noise:
        """Draw noise, and what the experiment inside draws."""
        key_noise, key_game = jax.random.split(key)
        return Noise(jax.random.normal(key_noise, (), jnp.float32), self.game.draw(key_game, params.game))

    def transition(
        self, state: EnvState, action: jax.Array, drawn: Noise, params: NoiseParams
    ) -> tuple[EnvState, jax.Array]:
        """Take a step and disturb its reward."""
        state, reward = self.game.transition(state, action, drawn.game, params.game)
        return state, reward + jnp.asarray(params.noise_scale, jnp.float32) * drawn.noise

    def show(self, state: EnvState, drawn: Noise, params: NoiseParams) -> jax.Array:
        """Return the observation of the experiment inside."""
        return self.game.show(state, drawn.game, params.game)


class RewardScale(OtherRewards):
    """Every reward is multiplied by `factor` (wrappers.py:341).

    How an agent bears that is the experiment's question. So `reward_scale`, which an agent may apply, is that of the
    experiment inside, and does not undo it.
    """

    def __init__(self, game: Game | Callable[[], Game], factor: float = 1.0):
        """Set the factor."""
        super().__init__(game)
        self.factor = factor

    @property
    def name(self) -> str:
        """Name of the experiment inside, and what is other."""
        return f"{self.game.name} times {self.factor:g}"

    @property
    def reward_scale(self) -> float:
        """That of the experiment inside."""
        return self.game.reward_scale

    @property
    def default_params(self) -> ScaleParams:
        """The factor of the constructor."""
        return ScaleParams(self.max_episode_steps, self.game.default_params, self.factor)

    def draw(self, key: jax.Array, params: ScaleParams) -> Any:
        """Draw what the experiment inside draws."""
        return self.game.draw(key, params.game)

    def transition(
        self, state: EnvState, action: jax.Array, drawn: Any, params: ScaleParams
    ) -> tuple[EnvState, jax.Array]:
        """Take a step and scale its reward."""
        state, reward = self.game.transition(state, action, drawn, params.game)
        return state, reward * jnp.asarray(params.factor, jnp.float32)

    def show(self, state: EnvState, drawn: Any, params: ScaleParams) -> jax.Array:
        """Return the observation of the experiment inside."""
        return self.game.show(state, drawn, params.game)
