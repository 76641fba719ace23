"""gymnax's ports of bsuite as gymnax plays them (gymnax/environments/bsuite); the faithful games are `bsuite/*`."""

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from gymnax.environments.bsuite import bandit, catch, deep_sea, discounting_chain, memory_chain, umbrella_chain
from gymnax.environments.environment import EnvParams, EnvState

from envs.gymnax_suite.drawing import Canvas
from envs.gymnax_suite.game import Game, bits, box, within
from envs.observation import Binary, Continuous, Part


class Catch(Game):
    """A ball falls one row a step; the last step pays 1 if the paddle is under it, else -1.

    The same game as `bsuite/catch/0`. Observation: the board, 1 for ball and paddle, float32 (10, 5). Action: 0 left, 1
    nothing, 2 right. Ends: terminated, after nine steps. Mended: the space says float32, as the observation is, where
    gymnax says int32.
    """

    raw_type = catch.Catch
    action_names = ("left", "nothing", "right")
    times_out = False

    def _mended(self, params: EnvParams) -> EnvParams:
        return params.replace(max_steps_in_episode=self.raw.rows - 1)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Bits."""
        return (Binary(self.raw.rows * self.raw.columns),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """A board of bits, float32."""
        return bits((self.raw.rows, self.raw.columns))

    def render(self, state: EnvState, params: EnvParams, hidden: bool = False) -> str:
        """Return the board: o is the ball, = the paddle. Nothing is hidden. Host only."""
        canvas = Canvas(self.raw.rows, self.raw.columns, ".")
        canvas.put(int(state.paddle_y), int(state.paddle_x), "=")
        canvas.put(int(state.ball_y), int(state.ball_x), "o")
        return str(canvas)


class DeepSea(Game):
    """A diver moves left or right and sinks; the treasure lies at the bottom right, every step to the right costs.

    Observation: where the diver is, one bit of the board, float32 (8, 8), none at the end. Action: 0 or 1; which one is
    right differs from cell to cell, the same in every episode. Reward: 1 for the treasure, -0.01 / 8 for a step to the
    right. Ends: terminated, after eight steps; gymnax says truncated as well.

    `bsuite/deep_sea_10` and larger ones have the original's sizes, and its own map of actions.
    """

    raw_type = deep_sea.DeepSea
    times_out = False

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Bits."""
        return (Binary(self.raw.size**2),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """A board of bits, float32."""
        return bits((self.raw.size, self.raw.size))

    def render(self, state: EnvState, params: EnvParams, hidden: bool = False) -> str:
        """Return the sea, with `hidden` the action that is right in each cell. Host only."""
        canvas = Canvas(self.raw.size, self.raw.size, ".")
        if hidden:
            for (row, column), action in np.ndenumerate(np.asarray(state.action_mapping)):
                canvas.put(row, column, str(int(action)))
        canvas.put(int(state.row), int(state.column), "o")
        return str(canvas)


class MemoryChain(Game):
    """A bit is shown at first and asked for after five steps.

    Observation: share of the time that is left, the number of the bit asked for (of one: 0), the bit as -1 or 1 while
    it is shown and else 0, float32 (3,). Action: the bit. Reward: 1 or -1 for the last step. Ends: terminated, after
    six steps. Mended: the space, which gymnax says is from 0 to 2; and `memory_length` may be any number, where gymnax
    cuts off what is longer than 999 without a reward.

    `bsuite/memory_len/*` has the original's lengths.
    """

    raw_type = memory_chain.MemoryChain
    times_out = False

    def _mended(self, params: EnvParams) -> EnvParams:
        return params.replace(max_steps_in_episode=params.memory_length + 1)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Time, query and bit, float32."""
        return box([0.0, 0.0, -1.0], [1.0, 0.0, 1.0])

    def _shown(self, obs: jax.Array, params: EnvParams) -> jax.Array:
        return within(super()._shown(obs, params), self.observation_space(params))


class UmbrellaChain(Game):
    """The first step decides whether to take an umbrella; the tenth pays 1 if that was right, else -1.

    Observation: whether it will rain, whether there is an umbrella, share of the time that is left, float32 (3,).
    Action: 1 takes the umbrella. Reward: noise of -1 or 1 on the other steps. Ends: terminated, after ten steps.
    Mended: the reward is float32; the clock ends at 0 and not below; `chain_length` may be any number, where gymnax
    cuts off what is longer than 100 without a reward, and ends one of 100 in both ways.

    `bsuite/umbrella_length/*` has the original's lengths, and distractors.
    """

    raw_type = umbrella_chain.UmbrellaChain
    times_out = False

    def _mended(self, params: EnvParams) -> EnvParams:
        return params.replace(max_steps_in_episode=params.chain_length)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Two bits and a number."""
        return (Binary(2), Continuous(1))

    def _shown(self, obs: jax.Array, params: EnvParams) -> jax.Array:
        return within(super()._shown(obs, params), self.observation_space(params))


class DiscountingChain(Game):
    """The first action chooses after how many steps, 1, 3, 10, 30 or 100, there is a reward of 1, or of 1.1.

    Observation: the choice, -1 before it, and the share of time that has passed, float32 (2,). Ends: truncated, after
    100 steps, as gymnax has it; bsuite ends it for good. The first choice pays 1.1.

    `bsuite/discounting_chain/*` has all the original's settings, and its end.
    """

    raw_type = discounting_chain.DiscountingChain

    @property
    def name(self) -> str:
        """Gymnax's id, which the class itself calls otherwise."""
        return "DiscountingChain-bsuite"

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Choice and time, float32."""
        return box([-1.0, 0.0], [self.raw.n_actions - 1.0, 1.0])


class SimpleBandit(Game):
    """Eleven arms pay 0, 0.1, ... 1; an episode is one pull.

    Observation: 1, float32 (1, 1). Ends: terminated, after one step. Which arm pays what is drawn anew at every reset,
    as gymnax has it, so nothing can be learned: every player gets 0.5 on average.

    `bsuite/bandit/*` has the original's bandits, whose arms stay.
    """

    raw_type = bandit.SimpleBandit
    times_out = False

    def _mended(self, params: EnvParams) -> EnvParams:
        return params.replace(max_steps_in_episode=1)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """The number 1, float32."""
        return spaces.Box(jnp.float32(1), jnp.float32(1), (1, 1), jnp.float32)
