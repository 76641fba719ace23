"""The classic games of gymnax's suite against Gymnasium's: a step from each of many states, rewards and ends."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from r2i_jit.compiling import quick

COUNT = 400
PI = np.pi
# Id -> the fields of gymnax's state in the order of Gymnasium's, and bounds to draw them from: beyond the ends.
GAMES = {
    "CartPole-v1": (("x", "x_dot", "theta", "theta_dot"), [(-2.5, 2.5), (-3, 3), (-0.22, 0.22), (-3, 3)]),
    "Pendulum-v1": (("theta", "theta_dot"), [(-9, 9), (-8, 8)]),
    "Acrobot-v1": (
        ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
        [(-PI, PI), (-PI, PI), (-6, 6), (-9, 9)],
    ),
    "MountainCar-v0": (("position", "velocity"), [(-1.2, 0.6), (-0.07, 0.07)]),
    "MountainCarContinuous-v0": (("position", "velocity"), [(-1.2, 0.6), (-0.07, 0.07)]),
}
# What a rounding to float32 may come to: Acrobot's forces are large, and a wall or a goal may be just missed.
CLOSE = {"Acrobot-v1": 2e-4}


def chosen(env_id):
    """Return random states (COUNT, n) as float32 and actions in the action space, some at the walls."""
    rng = np.random.default_rng(0)
    states = np.stack([rng.uniform(*bounds, COUNT) for bounds in GAMES[env_id][1]], -1)
    if env_id.startswith("MountainCar"):
        states[:100, 0] = rng.choice([-1.2, -1.19, 0.5, 0.6], 100)
    game = gymnasium.make(env_id)
    space = game.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        actions = rng.integers(space.n, size=COUNT).astype(np.int32)
    else:
        actions = rng.uniform(space.low, space.high, (COUNT, 1)).astype(np.float32)
    return game.unwrapped, states.astype(np.float32), actions


@pytest.mark.parametrize("env_id", GAMES)
def test_a_step_is_gymnasiums(env_id):
    game, states, actions = chosen(env_id)
    env, params = envs.make(f"gymnax/{env_id}")
    names, _ = GAMES[env_id]
    blank = env.reset_env(jax.random.key(0), params)[1]

    def step(numbers, action):
        state = blank.replace(**dict(zip(names, numbers, strict=True)))
        obs, state, reward, terminated, _ = env.step_env(jax.random.key(0), state, action, params)
        return obs, jnp.stack([getattr(state, name) for name in names]), reward, terminated

    ours = jax.device_get(jax.jit(jax.vmap(step), compiler_options=quick())(states, actions))
    game.reset(seed=0)
    theirs = []
    for numbers, action in zip(states, actions, strict=True):
        game.state = np.array(numbers, np.float64)
        if env_id == "CartPole-v1":
            game.steps_beyond_terminated = None
        obs, reward, terminated, _, _ = game.step(action)
        theirs.append((obs, np.array(game.state), reward, terminated))
    close = CLOSE.get(env_id, 1e-5)
    expected = [np.stack(values) for values in zip(*theirs, strict=True)]
    np.testing.assert_array_equal(ours[3], expected[3])
    # gymnax pays nothing for a step from beyond the end, which no episode takes; Gymnasium does, as told above.
    fallen = (np.abs(states[:, 0]) > 2.4) | (np.abs(states[:, 2]) > 12 * PI / 180) if env_id == "CartPole-v1" else None
    paid = np.ones(COUNT, bool) if fallen is None else ~fallen
    np.testing.assert_allclose(ours[2][paid], expected[2][paid], rtol=1e-5, atol=close)
    np.testing.assert_allclose(ours[0], expected[0], rtol=1e-5, atol=close)
    if env_id != "Acrobot-v1":  # whose angles may be wrapped to either end
        np.testing.assert_allclose(ours[1], expected[1], rtol=1e-5, atol=close)
    assert env_id == "Pendulum-v1" or 10 < expected[3].sum() < COUNT - 10


@pytest.mark.parametrize("env_id", GAMES)
def test_limits_and_starts_are_gymnasiums(env_id):
    game = gymnasium.make(env_id)
    env, params = envs.make(f"gymnax/{env_id}")
    assert env.max_episode_steps == game.spec.max_episode_steps
    space = env.action_space(params)
    if isinstance(game.action_space, gymnasium.spaces.Discrete):
        assert space.n == game.action_space.n
    else:
        assert (space.low, space.high, space.shape) == (game.action_space.low, game.action_space.high, (1,))
    ours = np.asarray(jax.vmap(lambda key: env.reset_env(key, params)[0])(jax.random.split(jax.random.key(0), 2000)))
    theirs = np.stack([game.reset(seed=seed)[0] for seed in range(2000)])
    np.testing.assert_allclose(ours.min(0), theirs.min(0), atol=0.05 * np.ptp(theirs, 0).max())
    np.testing.assert_allclose(ours.max(0), theirs.max(0), atol=0.05 * np.ptp(theirs, 0).max())
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=0.05 * np.ptp(theirs, 0).max())
    low, high = np.asarray(env.observation_space(params).low), np.asarray(env.observation_space(params).high)
    np.testing.assert_allclose(np.nan_to_num(low), np.nan_to_num(game.observation_space.low), rtol=1e-6)
    np.testing.assert_allclose(np.nan_to_num(high), np.nan_to_num(game.observation_space.high), rtol=1e-6)
