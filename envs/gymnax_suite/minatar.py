"""MinAtar's five games as gymnax plays them (gymnax/environments/minatar).

An observation is a board of bits, float32 (10, 10, channels). Differences to MinAtar that are kept: actions never
stick, and a time limit truncates.
"""

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState
from gymnax.environments.minatar import asterix, breakout, freeway, seaquest, space_invaders

from envs.gymnax_suite.drawing import board
from envs.gymnax_suite.game import Game, bits
from envs.observation import Binary, Part


class MinAtar(Game):
    """A game of MinAtar.

    Attributes:
      characters: with what a channel is drawn.
    """

    characters: str = ""

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Bits."""
        return (Binary(100 * len(self.characters)),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """A board of bits, float32."""
        return bits((10, 10, len(self.characters)))

    def render(self, state: EnvState, params: EnvParams, hidden: bool = False) -> str:
        """Return the board that is observed. Nothing is added with `hidden`. Host only."""
        obs = self.observe(jax.random.key(0), jax.tree.map(jnp.asarray, state), None, params)
        return board(np.asarray(obs), self.characters)


class Asterix(MinAtar):
    """Collect treasure and avoid enemies, which cross the board in both directions.

    Drawn: A you, E an enemy, - where something came from, $ treasure. Reward: 1 for a treasure. Ends: terminated, by an
    enemy; truncated, after 1,000 steps.
    """

    raw_type = asterix.MinAsterix
    action_names = ("nothing", "left", "up", "right", "down")
    characters = "AE-$"


class Breakout(MinAtar):
    """Bounce a ball off the paddle against three rows of bricks.

    Drawn: = the paddle, o the ball, - where it was, # a brick. Reward: 1 for a brick. Ends: terminated, when the ball
    is lost; truncated, after 1,000 steps.
    """

    raw_type = breakout.MinBreakout
    action_names = ("nothing", "left", "right")
    characters = "=o-#"


class Freeway(MinAtar):
    """Cross eight lanes of cars, again and again.

    Drawn: A you, # a car; behind it 1 to 5, its speed. Reward: 1 for a crossing. Ends: truncated, after 2,500 steps.
    """

    raw_type = freeway.MinFreeway
    action_names = ("nothing", "up", "down")
    characters = "A#12345"


class Seaquest(MinAtar):
    """Shoot fish and submarines, pick up divers, and surface before the oxygen is gone.

    Drawn: A you, a your stern, * your bullet, - where something came from, x a bullet of theirs, f a fish, S a
    submarine, below = oxygen and @ divers on board, d a diver. Ends: terminated, when hit or out of oxygen; truncated,
    after 1,000 steps. It steps some forty times slower than the other games.
    """

    raw_type = seaquest.MinSeaquest
    action_names = ("nothing", "left", "up", "right", "down", "fire")
    characters = "Aa*-xfS=@d"


class SpaceInvaders(MinAtar):
    """Shoot the aliens that march down.

    Drawn: A you, W an alien, * your bullet, x one of theirs. Reward: 1 for an alien. Ends: terminated, when hit or
    reached; truncated, after 1,000 steps.
    """

    raw_type = space_invaders.MinSpaceInvaders
    action_names = ("nothing", "left", "right", "fire")
    characters = "AWWW*x"
