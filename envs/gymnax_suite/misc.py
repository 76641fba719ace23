"""Mazes, bandits and simple robots (gymnax/environments/misc)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState
from gymnax.environments.misc import (
    bernoulli_bandit,
    frozen_lake,
    gaussian_bandit,
    meta_maze,
    point_robot,
    pong,
    reacher,
    rooms,
    swimmer,
)

from envs.gymnax_suite.drawing import board, maze
from envs.gymnax_suite.game import Game, bits, box
from envs.observation import Binary, Categorical, Continuous, Part

_COMPASS = ("up", "right", "down", "left")


class FourRooms(Game):
    """Walk from one room through doors to a goal in another; one step in three goes somewhere else.

    Observation: row and column of the player and of the goal, float32 (4,). Both begin at the same places in every
    episode. Action: up, right, down, left. Reward: 1 at the goal. Ends: terminated, at the goal; truncated, after 500
    steps. Mended: the observation is float32 as its space says, where gymnax's is int32.
    """

    raw_type = rooms.FourRooms
    action_names = _COMPASS

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Two places on the map of 13 x 13, float32."""
        return spaces.Box(1.0, 11.0, (4,), jnp.float32)

    def render(self, state: EnvState, params: EnvParams, hidden: bool = False) -> str:
        """Return the map: G is the goal, A the player. Nothing is hidden. Host only."""
        return maze(np.asarray(self.raw.env_map), [(state.goal, "G"), (state.pos, "A")])


class MetaMaze(Game):
    """Find a goal that is not shown, and find it again from wherever it has put you, as often as there is time for.

    The goal stays where it is for an episode: a player that remembers the way is faster the second time. Observation:
    the walls of the 3 x 3 cells around the player (9 bits), the last action (4), the last reward, the time, float32
    (15,). Action: up, right, down, left. Reward: 10 at the goal. Ends: truncated, after 200 steps; and terminated, when
    the goal puts the player onto itself, as gymnax has it.

    Mended: the time is from -1 to 3 (`normalize_time`), where gymnax shows 0 to 200; and the space says so, and that
    the last reward is up to 10.
    """

    raw_type = meta_maze.MetaMaze
    action_names = _COMPASS
    reward_scale = 0.1

    def _mended(self, params: Any) -> Any:
        return params.replace(normalize_time=True)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Walls, the last action, reward and time."""
        return (Binary(9), Categorical(4), Continuous(2))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Bits, an action, a reward and a time, float32."""
        return box([0.0] * 14 + [-1.0], [1.0] * 13 + [10.0, 3.0])

    def render(self, state: EnvState, params: EnvParams, hidden: bool = False) -> str:
        """Return the map with the player, A, and with `hidden` the goal, G. Host only."""
        return maze(np.asarray(self.raw.env_map), [(state.goal, "G")] * hidden + [(state.pos, "A")])


class BernoulliBandit(Game):
    """Of two arms one pays 1 with chance 0.9, the other with chance 0.1; which is which is drawn for an episode.

    Observation: the last reward, the last action (2), the time from -1 to 1, float32 (4,). Ends: truncated, after 100
    steps. Mended: the reward is float32; the limit is a whole number; the space says that a reward is at most 1.
    """

    raw_type = bernoulli_bandit.BernoulliBandit

    def _mended(self, params: Any) -> Any:
        return params.replace(max_steps_in_episode=int(params.max_steps_in_episode))

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Reward, action and time."""
        return (Binary(1), Categorical(2), Continuous(1))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Reward, action and time, float32."""
        return box([0.0, 0.0, 0.0, -1.0], [1.0, 1.0, 1.0, 1.0])


class GaussianBandit(Game):
    """The first arm pays nothing, the second one N(m, 0.1), where m is drawn from N(-1, 1) for an episode.

    Observation: the last reward, the last action (2), the time from -1 to 1, float32 (4,). Ends: truncated, after 100
    steps. Mended: the space, which gymnax says begins at 0 and has bounds for the reward.
    """

    raw_type = gaussian_bandit.GaussianBandit

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Reward, action and time."""
        return (Continuous(1), Categorical(2), Continuous(1))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Reward, action and time, float32."""
        return box([-np.inf, 0.0, 0.0, -1.0], [np.inf, 1.0, 1.0, 1.0])


class PointRobot(Game):
    """Find a goal that is not shown, somewhere on a half circle, and find it again from where it has put you.

    Observation: position (2), the last reward, the last action (2), the time from -1 to 1, float32 (6,). Action: a step
    of up to 0.1 in each direction. Reward: 1 within 0.2 of the goal. Ends: truncated, after 100 steps.
    """

    raw_type = point_robot.PointRobot

    def action_space(self, params: Any) -> spaces.Box:
        """Steps, float32 (2,)."""
        return spaces.Box(-params.max_force, params.max_force, (2,), jnp.float32)


class Reacher(Game):
    """Bring the tip of a two-joint arm to a goal, which may be out of reach.

    Not MuJoCo's. Observation: cosines, sines and velocities of both angles, the goal, float32 (8,). Action:
    accelerations from -1 to 1 (2,). Reward: exp(-distance^2). Ends: truncated, after 100 steps.
    """

    raw_type = reacher.Reacher

    def action_space(self, params: EnvParams) -> spaces.Box:
        """Accelerations, float32 (2,)."""
        return spaces.Box(-1.0, 1.0, (2,), jnp.float32)


class Swimmer(Game):
    """Swim to a goal, past five urchins.

    Not MuJoCo's. Observation: places of the urchins (10), position, velocity, goal, float32 (16,). Action:
    accelerations from -1 to 1 (2,). Reward: exp(-distance^2 / 2), less near an urchin. Ends: truncated, after 500
    steps.
    """

    raw_type = swimmer.Swimmer

    def action_space(self, params: EnvParams) -> spaces.Box:
        """Accelerations, float32 (2,)."""
        return spaces.Box(-1.0, 1.0, (2,), jnp.float32)


class Pong(Game):
    """Keep a ball in play against a paddle that follows it.

    Observation: paddles, ball, ball one step before, float32 (30, 40, 3), taken as bits: as an image one pixel of 1,200
    would hardly count. Action: 0 nothing, 1 up, 2 down. Reward: 1 for every step that the ball stays in play. Ends:
    terminated, when it is lost; truncated, after 1,000 steps. Mended: the space is from 0 to 1, where gymnax says 2.
    """

    raw_type = pong.Pong
    action_names = ("nothing", "up", "down")

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Bits."""
        return (Binary(self.raw.height * self.raw.width * 3),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """A board of bits, float32."""
        return bits((self.raw.height, self.raw.width, 3))

    def render(self, state: EnvState, params: EnvParams, hidden: bool = False) -> str:
        """Return the board: | paddles, o the ball, . where it was. Nothing is hidden. Host only."""
        obs = self.observe(jax.random.key(0), jax.tree.map(jnp.asarray, state), None, params)
        return board(np.asarray(obs), "|o.", " ")


class FrozenLake(Game):
    """Cross a lake to the goal past four holes; two steps in three slip to the side.

    Gymnasium's FrozenLake-v1. Observation: the number of the cell, one of 16. Action: left, down, right, up. Reward: 1
    at the goal. Ends: terminated, at the goal or in a hole; truncated, after 100 steps.
    """

    raw_type = frozen_lake.FrozenLake
    action_names = ("left", "down", "right", "up")

    def render(self, state: EnvState, params: EnvParams, hidden: bool = False) -> str:
        """Return the lake: O are holes, G the goal, A the player. Nothing is hidden. Host only."""
        rows = np.array(list(".." + "OG"))[np.asarray(self.raw.desc)]
        rows.reshape(-1)[int(state.position)] = "A"
        return "\n".join("".join(row) for row in rows)
