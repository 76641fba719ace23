"""Small environments for the tests of what people see. All count steps and end after three."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams, EnvState

import envs
from envs import registry
from envs.observation import Categorical, Continuous, Image
from envs.spaces import MultiDiscrete
from envs.wrappers import FlattenActions

LENGTH = 3


@struct.dataclass
class Secret(EnvState):
    """Steps taken, and a number that only `hidden` shows."""

    time: jax.Array
    secret: jax.Array


class Guess(Environment):
    """Guess a secret number: +1 for it, 0 else. Terminated after three steps."""

    def __init__(self, space: Any = None):
        self._space = space or spaces.Discrete(3)

    @property
    def default_params(self) -> EnvParams:
        return EnvParams(max_steps_in_episode=LENGTH)

    def action_space(self, params: EnvParams) -> Any:
        return self._space

    def observation_space(self, params: EnvParams) -> Any:
        return spaces.Box(0, 1, (5,), jnp.float32)

    def observation_parts(self, params: EnvParams) -> Any:
        return Categorical(4), Continuous(1)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, Secret]:
        state = Secret(jnp.zeros((), jnp.int32), jax.random.randint(key, (), 0, 3, jnp.int32))
        return self.observe(key, state, None, params), state

    def observe(self, key: jax.Array, state: Secret, action: Any, params: EnvParams) -> jax.Array:
        place = state.time.astype(jnp.float32) / 4
        return jnp.append(jax.nn.one_hot(state.time, 4, dtype=jnp.float32), place)

    def step_env(self, key: jax.Array, state: Secret, action: Any, params: EnvParams) -> tuple:
        reward = jnp.all(action == state.secret).astype(jnp.float32)
        state = state.replace(time=state.time + 1)
        return self.observe(key, state, action, params), state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state: Secret, params: EnvParams) -> jax.Array:
        return state.time >= LENGTH

    def is_truncated(self, state: Secret, params: EnvParams) -> jax.Array:
        return jnp.zeros((), bool)


class Drawn(Guess):
    """As `Guess`, with text and with names for the actions; truncated as well."""

    action_names = ("left", "lower", "up")

    def render(self, state: Secret, params: EnvParams, hidden: bool = False) -> str:
        return f"┌ turn {state.time} ♥♠" + (f"\nsecret {state.secret}" if hidden else "")

    def is_truncated(self, state: Secret, params: EnvParams) -> jax.Array:
        return self.is_terminated(state, params)


class Seen(Drawn):
    """As `Drawn`, with a red image of 8 by 6 pixels whose first column grows blue."""

    def observation_parts(self, params: EnvParams) -> Any:
        return (Image((8, 6, 3)),)

    def observation_space(self, params: EnvParams) -> Any:
        return spaces.Box(0, 255, (8, 6, 3), jnp.uint8)

    def observe(self, key: jax.Array, state: Secret, action: Any, params: EnvParams) -> jax.Array:
        image = jnp.zeros((8, 6, 3), jnp.uint8).at[..., 0].set(255)
        return image.at[:, 0, 2].set((state.time * 80).astype(jnp.uint8))


GAMES = {
    "little/Guess": Guess,
    "little/Drawn": Drawn,
    "little/Seen": Seen,
    "little/Pair": lambda: Guess(MultiDiscrete([2, 3])),
    "little/Numbered": lambda: FlattenActions(Guess(MultiDiscrete([2, 3]))),
    "little/Steered": lambda: Guess(spaces.Box(-2.0, 2.0, (1,), jnp.float32)),
    "little/Many": lambda: Guess(spaces.Discrete(11)),
    "little/Untypable": lambda: Guess(spaces.Dict({})),
}


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the small environments until the end of the test."""
    envs.registered()  # Load the suites first: they register once per process.
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    for env_id, factory in GAMES.items():
        envs.register(env_id, factory)
