"""What all bsuite experiments have in common: how a step is put together, spaces, and what an agent or a test asks."""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.episodes import AutoReset
from envs.observation import Part

LARGEST = 16_000_000  # entries of an observation: more would not fit beside each other in any replay


class Game(AutoReset):
    """A bsuite experiment as a gymnax 1.0 environment.

    A subclass defines `num_actions`, `max_episode_steps`, `default_params`, `observation_space`, `observation_parts`,
    and the rules: `begin`, `transition`, `show`, `is_terminated` and `render(state, params, hidden=False)`. What the
    original draws after a reset's hidden state is drawn apart from the rules, by `draw`, so that a test can put
    the original's own draws into `transition` and `show`.

    What bsuite's scores need beside return and length is counted by `tally`, and is the `info` of a step.

    Every episode of bsuite ends with discount 0, the ones that run out of time too: nothing is ever truncated.

    Settings that are numbers are parameters, so that many settings can be one `vmap`. `max_episode_steps` is that of
    the constructor's setting. An action of any number type is accepted, and one that is not in the action space is
    taken as the nearest one inside, NaN as 0; where an answer is judged (`MemoryChain`) it is a wrong answer.
    """

    @property
    def num_actions(self) -> int:
        """Number of actions."""
        raise NotImplementedError

    @property
    def max_episode_steps(self) -> int:
        """Number of `step` calls in the longest episode."""
        raise NotImplementedError

    @property
    def action_names(self) -> tuple[str, ...]:
        """What a person calls the actions; empty where numbers say it."""
        return ()

    @property
    def reward_scale(self) -> float:
        """Factor that brings the size of a typical non-zero reward to about one."""
        return 1.0

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """What the numbers of an observation mean, in order."""
        raise NotImplementedError

    def action_space(self, params: EnvParams) -> spaces.Discrete:
        """One of `num_actions` ids."""
        return spaces.Discrete(self.num_actions)

    def begin(self, key: jax.Array, params: EnvParams) -> EnvState:
        """Return the state of a new episode."""
        raise NotImplementedError

    def draw(self, key: jax.Array, params: EnvParams) -> Any:
        """Return what chance adds to one observation and to the step before it; None if nothing."""
        return None

    def transition(
        self, state: EnvState, action: jax.Array, drawn: Any, params: EnvParams
    ) -> tuple[EnvState, jax.Array]:
        """Return the next state and the reward, float32 ()."""
        raise NotImplementedError

    def show(self, state: EnvState, drawn: Any, params: EnvParams) -> jax.Array:
        """Return the observation of a state that was just reached."""
        raise NotImplementedError

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Return whether the episode is over, bool ()."""
        raise NotImplementedError

    def tally(self, state: EnvState, action: jax.Array, after: EnvState, params: EnvParams) -> dict[str, jax.Array]:
        """Return what one step adds to the numbers that the original keeps for its scores (its `bsuite_info`).

        Summed over the steps of an episode, and the sums over episodes, they give all of them; the greatest sum of
        `raw_return` is the best episode. They do not depend on what was drawn, nor on the noise or the factor of other
        rewards. Nothing is counted for an observation without a step before it, the first of an episode.

        Args:
          state: before the step; of an episode that is not over.
          action: of the step.
          after: what `transition` returned.
          params: as in `transition`.

        Returns:
          The same names at every step, each float32 (). None at all where return and length are enough. Every number
          is whole, so that a sum of float32 is exact, but for the regret of a bandit, whose episodes have one step.
        """
        return {}

    def is_truncated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Return False, bool (): the original ends episodes in no other way than with discount 0."""
        return jnp.zeros((), bool)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Begin an episode."""
        key_begin, key_draw = jax.random.split(key)
        state = self.begin(key_begin, params)
        return self.observe(key_draw, state, None, params), state

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step."""
        drawn = self.draw(key, params)
        after, reward = self.transition(state, action, drawn, params)
        info = self.tally(state, action, after, params)
        return self.show(after, drawn, params), after, reward, self.is_terminated(after, params), info

    def observe(self, key: jax.Array, state: EnvState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return an observation of a state."""
        return self.show(state, self.draw(key, params), params)


def share(count: Any, whole: Any) -> jax.Array:
    """Return count / whole, float32, as it is rounded from the original's float64; count lies in 0..whole.

    The maximum is `whole`. The compiler does not know that: a divisor that it takes for the same in all rows, or for a
    constant, it would replace by a factor, the rounded inverse.
    """
    count, whole = jnp.asarray(count, jnp.float32), jnp.asarray(whole, jnp.float32)
    return count / jnp.maximum(whole, count)


def at_least(name: str, least: int, most: int | None = None, **settings: int) -> None:
    """Check that settings are whole numbers that are large enough, and with `most` not larger than that.

    Raises:
      ValueError: for one that is not, naming it.
    """
    for setting, value in settings.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: {setting}={value!r} should be a whole number of at least {least}")
        if most is not None and value > most:
            raise ValueError(f"{name}: {setting}={value!r} should be at most {most:,}, or an observation is too large")
