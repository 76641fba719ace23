"""Small environments of the older kind, whose `step` returns `obs, state, reward, done, info`, for the adapter's tests.

The spaces have the names of gymnax's and are none of its: many packages carry a copy.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct


class Discrete:
    """As in gymnax 0.x."""

    def __init__(self, num_categories):
        self.n, self.shape, self.dtype = num_categories, (), jnp.int32


class Box:
    """As in gymnax 0.x."""

    def __init__(self, low, high, shape, dtype=jnp.float32):
        self.low, self.high, self.shape, self.dtype = low, high, shape, dtype


class MultiDiscrete:
    """As popjaxrl's."""

    def __init__(self, num_categories):
        self.num_categories, self.shape, self.dtype = np.array(num_categories), (len(num_categories),), jnp.int32


class Dict:
    """As in gymnax 0.x."""

    def __init__(self, spaces):
        self.spaces = spaces


class Tuple(Dict):
    """As in gymnax 0.x."""


@struct.dataclass
class WalkState:
    """Where the walker is, since when, and a key of its own."""

    time: jax.Array
    place: jax.Array
    key: jax.Array


@struct.dataclass
class WalkParams:
    """The end of the road, and of the time."""

    goal: int = 3
    max_steps_in_episode: int = 9


class Walk:
    """gymnax 0.x: `step` starts the next episode by itself, `step_env` does not. The wind is drawn from the key."""

    action_names = ("left", "right")

    @property
    def default_params(self):
        return WalkParams()

    def observation_space(self, params):
        return Dict({"place": Box(-10.0, 10.0, (2,)), "late": Discrete(2)})

    def action_space(self, params=None):
        return Discrete(2)

    def get_obs(self, state, params):
        return {
            "place": jnp.stack([state.place, state.time / 10]).astype(jnp.float32),
            "late": (state.time > 4).astype(jnp.int32),
        }

    def reset_env(self, key, params):
        state = WalkState(jnp.int32(0), jax.random.randint(key, (), -1, 2), jax.random.fold_in(key, 1))
        return self.get_obs(state, params), state

    def step_env(self, key, state, action, params):
        own, wind = jax.random.split(state.key)
        moved = 2 * action - 1 + jax.random.randint(key, (), 0, 2) - jax.random.bernoulli(wind)
        state = WalkState(state.time + 1, jnp.clip(state.place + moved, -10, 10), own)
        won = state.place >= params.goal
        done = won | (state.time >= params.max_steps_in_episode)
        return self.get_obs(state, params), state, won.astype(jnp.float32), done, {"discount": 1.0 - won}

    @partial(jax.jit, static_argnums=0)
    def reset(self, key, params=None):
        return self.reset_env(key, self.default_params if params is None else params)

    @partial(jax.jit, static_argnums=0)
    def step(self, key, state, action, params=None):
        params = self.default_params if params is None else params
        old = self.step_env(key, state, action, params)
        new = self.reset_env(key, params)
        obs, state = jax.tree.map(lambda x, y: jax.lax.select(old[3], x, y), new, old[:2])
        return obs, state, *old[2:]


class Bare:
    """Neither parameters nor a clock; `done` is a float, the reward an integer and the information a tuple."""

    observation_space = Box(0, 255, (3,), jnp.uint8)
    action_space = MultiDiscrete([2, 3])
    max_episode_steps = 20
    reward_scale = 4.0

    def reset(self, key):
        state = jax.random.randint(key, (3,), 0, 100)
        return state.astype(jnp.uint8), state

    @partial(jax.jit, static_argnames="self")
    def step(self, key, state, action):
        state = state + 1 + 10 * action.sum()
        done = (state.max() > 200).astype(jnp.float32)
        return state.astype(jnp.uint8), state, action[0], done, (state[0],)


class Recall(Bare):
    """popjaxrl's way: no `step_env`, the clock in the state; terminated or cut off at 7 steps, whichever is first."""

    name = "Recall"
    default_params = WalkParams(max_steps_in_episode=7)

    def observation_space(self, params):
        return Box(0, 1, (4,))

    def action_space(self, params):
        return Discrete(4)

    def reset(self, key, params):
        state = WalkState(jnp.int32(0), jax.random.randint(key, (), 0, 4), key)
        return jax.nn.one_hot(state.place, 4), state

    def step(self, key, state, action, params):
        right = action == state.place
        state = WalkState(state.time + 1, jax.random.randint(key, (), 0, 4), state.key)
        done = (right & (state.time > 3)) | (state.time >= params.max_steps_in_episode)
        return jax.nn.one_hot(state.place, 4), state, jnp.where(right, 1.0, -0.5), done.astype(jnp.int32), {}


@struct.dataclass
class CraftState:
    """A short clock."""

    timestep: jax.Array
    health: jax.Array


@struct.dataclass
class CraftParams:
    """Craftax's name for it. No number of steps that uint8 holds."""

    max_timesteps: int = 300


class Craft(Walk):
    """Craftax's names. The clock is of 8 bits, so that 300 steps are never reached."""

    @property
    def default_params(self):
        return CraftParams()

    def observation_space(self, params):
        return Tuple((Box(0.0, 1.0, (16, 16, 3)), Discrete(10)))

    def get_obs(self, state, params):
        return jnp.full((16, 16, 3), state.health / 10), state.timestep.astype(jnp.int32) % 10

    def reset_env(self, key, params):
        state = CraftState(jnp.uint8(0), jax.random.randint(key, (), 2, 9))
        return self.get_obs(state, params), state

    def step_env(self, key, state, action, params):
        state = CraftState(state.timestep + jnp.uint8(1), state.health - jax.random.randint(key, (), 0, 2) * action)
        done = (state.health <= 0) | (state.timestep >= params.max_timesteps)
        return self.get_obs(state, params), state, jnp.float32(0.1), done, {}


GAMES = (Walk, Bare, Recall, Craft)
