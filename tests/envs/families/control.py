"""What the families of control games share: reading and playing the two physical systems, and feeding noise.

Both are unstable when upright: a rounding error grows 50-fold in a second, so float32 and float64 part for good within
an episode of several seconds in which a player that sees the one keeps balance for both.
"""

import functools
import math
from typing import Any

import jax
import numpy as np

from tests.envs.families import LEVELS, Family

POSITION_LIMIT, ANGLE_LIMIT = 2.4, math.radians(12)
RESYNC = 10  # steps
OBSERVATION_ATOL, REWARD_ATOL = 2e-6, 2e-8
CART_POLE_FIELDS = ("position", "velocity", "angle", "angular_velocity")


def cart_pole_family(game: str, **more: Any) -> Family:
    """Return the family of a CartPole game; `more` are further attributes."""
    return Family(
        game=game,
        hidden=lambda env: dict(zip(CART_POLE_FIELDS, np.asarray(env.state, np.float64), strict=True)),
        policies=(
            lambda env, step, rng: int(rng.integers(2)),
            lambda env, step, rng: 0,
            lambda env, step, rng: 1,
            lambda env, step, rng: balance(env.state),
            fall_at_the_end,
            # Leaning a little the pole stays up, and the cart leaves the track.
            lambda env, step, rng: int(env.state[2] + 0.25 * env.state[3] > 0.1),
            lambda env, step, rng: int(env.state[2] + 0.25 * env.state[3] > -0.1),
        ),
        label=lambda env, action: _next_end(env.state),
        labels=dict.fromkeys(LEVELS, ("stands", "leaves the track", "falls")),
        ends=dict.fromkeys(LEVELS, frozenset({(True, False), (False, True), (True, True)})),
        resync=RESYNC,
        steady=(0, 1, 2),
        steady_atol=2e-4,
        observation_atol=OBSERVATION_ATOL,
        reward_atol=REWARD_ATOL,
        statistics=lambda hidden: _statistics({name: hidden[name] / 0.05 for name in CART_POLE_FIELDS}),
        **more,
    )


def balance(state: np.ndarray) -> int:
    """Return the push of a linear controller, which keeps the pole up for ever."""
    position, velocity, angle, angular_velocity = state
    return int(0.05 * position + 0.1 * velocity + angle + 0.25 * angular_velocity > 0)


def fall_at_the_end(env: Any, step: int, rng: np.random.Generator) -> int:
    """Keep the pole up and let it fall on the last step, if it is possible to hit that by pushing one way."""
    remaining = env.max_episode_length - step
    if remaining < 15:
        for push in (0, 1):
            if _steps_to_fall(env.state, push, remaining) == remaining:
                return push
    return balance(env.state)


def _steps_to_fall(state: np.ndarray, push: int, limit: int) -> int:
    """Return after how many equal pushes the pole has fallen, `limit` + 1 if that many are not enough."""
    env = _scratch()
    env.state, env.steps_beyond_terminated = state, None
    return next((n for n in range(1, limit + 1) if env.step(push)[2]), limit + 1)


@functools.cache
def _scratch() -> Any:
    from gymnasium.envs.classic_control import CartPoleEnv

    return CartPoleEnv()


def _next_end(state: np.ndarray) -> str:
    """Return what the next step does, which the velocities of now decide whatever the push."""
    position, velocity, angle, angular_velocity = state
    if abs(angle + 0.02 * angular_velocity) > ANGLE_LIMIT:
        return "falls"
    return "leaves the track" if abs(position + 0.02 * velocity) > POSITION_LIMIT else "stands"


def pendulum_family(game: str, **more: Any) -> Family:
    """Return the family of a Pendulum game; `more` are further attributes."""
    return Family(
        game=game,
        hidden=_pendulum_state,
        policies=(
            lambda env, step, rng: rng.uniform(-2, 2, 1).astype(np.float32),
            lambda env, step, rng: np.array([2], np.float32),
            lambda env, step, rng: np.array([3 * np.sign(env.state[1])], np.float32),
            swing_up,
        ),
        label=_pendulum_label,
        labels=dict.fromkeys(LEVELS, ("free", "torque clipped", "top speed")),
        ends=dict.fromkeys(LEVELS, frozenset({(False, True)})),
        resync=RESYNC,
        steady=(0, 1),
        steady_atol=0.2,
        observation_atol=OBSERVATION_ATOL,
        reward_atol=REWARD_ATOL,
        statistics=lambda hidden: _statistics(
            {"angle": hidden["angle"] / np.pi, "angular_velocity": hidden["angular_velocity"]}
        ),
        **more,
    )


def _pendulum_state(env: Any) -> dict[str, np.ndarray]:
    angle, velocity = env.state
    return {"angle": np.float64((angle + np.pi) % (2 * np.pi) - np.pi), "angular_velocity": np.float64(velocity)}


def swing_up(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    """Bring the pendulum to the energy of the upright rest, and hold it there."""
    angle, velocity = _pendulum_state(env).values()
    energy = velocity**2 / 2 + 15 * (math.cos(angle) - 1)
    near = abs(angle) < 0.6 and abs(velocity) < 3
    torque = -(10 * angle + 3 * velocity) if near else -2 * np.sign(velocity) * np.sign(energy)
    return np.array([np.clip(torque, -2, 2)], np.float32)


def _pendulum_label(env: Any, action: np.ndarray) -> str:
    if abs(action[0]) > 2:
        return "torque clipped"
    return "top speed" if abs(env.state[1]) == 8 else "free"


def _statistics(scaled: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return each of some numbers in [-1, 1] in 20 bins, and which of them are positive together."""
    bins = {name: np.clip((10 * (values + 1)).astype(int), 0, 19) for name, values in scaled.items()}
    signs = sum(2**k * (values > 0) for k, values in enumerate(scaled.values()))
    return {**bins, "signs": signs}


def noise_draws(env: Any, params: Any, keys: jax.Array) -> np.ndarray:
    """Return the standard normal numbers behind our noise."""
    return np.asarray(_noise(env)(keys)) / env.noise_sigma


@functools.cache
def _noise(env: Any) -> Any:
    return jax.jit(jax.vmap(env.noise))


def feed_noise(env: Any, row: np.ndarray) -> None:
    """Make the original's next normal draw give `row` times the size that it asks for."""
    generator = env.np_random
    env.np_random = _Fed(getattr(generator, "source", generator), row)


class _Fed:
    """A numpy generator with a normal draw known beforehand."""

    def __init__(self, source: np.random.Generator, row: np.ndarray):
        self.source, self.row = source, row

    def normal(self, loc: float, scale: np.ndarray) -> np.ndarray:
        return loc + scale * self.row

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)
