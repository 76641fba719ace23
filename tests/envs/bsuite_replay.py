"""Our bsuite experiments, replayed with what the original hid and drew. One compilation for each shape."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

import envs
from envs.bsuite.deep_sea import Current, DeepSea
from envs.bsuite.rewards import Noise, OtherRewards, RewardNoise
from envs.bsuite.umbrella_chain import UmbrellaChain, Weather
from r2i_jit.compiling import quick

make = functools.cache(envs.make)
_programs: dict[Any, Any] = {}


class Replayed(NamedTuple):
    """Episodes side by side."""

    first: np.ndarray  # (E, ...)
    observations: np.ndarray  # (E, T, ...)
    rewards: np.ndarray  # (E, T)
    terminated: np.ndarray  # (E, T)
    truncated: np.ndarray  # (E, T)
    tallies: dict[str, np.ndarray]  # (E, T) each


def replayed(env_id: str, recording: dict[str, np.ndarray], free: bool = False) -> Replayed:
    """Return what our environment says to a recording's actions; `free` leaves physics to itself."""
    env, params = make(f"bsuite/{env_id}")
    fresh = _shapes(env, params)

    def group(prefix: str) -> dict[str, Any]:
        dtype = lambda name: getattr(fresh, name).dtype if hasattr(fresh, name) else np.float32
        found = {name.partition(".")[2]: value for name, value in recording.items() if name.startswith(prefix)}
        return {name: value.astype(dtype(name)) for name, value in found.items()}

    trail = {} if free else group("trail.")
    drawn = arranged(env, group("draws."))
    state = type(fresh)(**group("start."))
    # 20 settings of one shape are one program.
    key = (*kind(env), jax.tree.structure(drawn), env.observation_space(params).shape, bool(trail))
    program = _programs.setdefault(
        key, jax.jit(jax.vmap(functools.partial(_replay, env), (None, 0, 0, 0, 0)), compiler_options=quick())
    )
    found = program(params, state, recording["actions"].astype(np.int32), drawn, trail)
    return Replayed(*jax.device_get(found))


def kind(env: Any) -> tuple[Any, ...]:
    """Return what two environments of one program have in common, beside their shapes."""
    return (type(env), *(kind(env.game) if isinstance(env, OtherRewards) else ()))


def _shapes(env: Any, params: Any) -> Any:
    return jax.eval_shape(env.reset_env, jax.random.key(0), params)[1]


def arranged(env: Any, drawn: dict[str, np.ndarray]) -> Any:
    """Return recorded draws as the environment takes them."""
    if isinstance(env, RewardNoise):
        return Noise(drawn["noise"], arranged(env.game, drawn))
    if isinstance(env, OtherRewards):
        return arranged(env.game, drawn)
    if isinstance(env, UmbrellaChain):
        return Weather(drawn["reward"], drawn["distractors"])
    if isinstance(env, DeepSea) and not env.deterministic:
        return Current(drawn["noise"], drawn["gust"])
    return None


def _replay(env: Any, params: Any, state: Any, actions: Any, drawn: Any, trail: Any) -> tuple[Any, ...]:
    at = lambda where: jax.tree.map(lambda leaf: leaf[where], drawn)

    def step(state, inputs):
        action, drawn, trail = inputs
        before = state.replace(**trail)
        state, reward = env.transition(before, action, drawn, params)
        over = env.is_terminated(state, params), env.is_truncated(state, params)
        return state, (env.show(state, drawn, params), reward, *over, env.tally(before, action, state, params))

    first = env.show(state, at(0), params)
    return first, *jax.lax.scan(step, state, (actions, at(slice(1, None)), trail))[1]


def compare(env_id: str, recording: dict[str, np.ndarray], atol: float = 0.0, rtol: float = 0.0) -> None:
    """Compare every step: flags and lengths exactly, numbers within the tolerance (0: to the bit)."""
    ours, lengths = replayed(env_id, recording), recording["lengths"].astype(int)
    during = np.arange(recording["actions"].shape[1]) < lengths[:, None]
    ends = np.arange(recording["actions"].shape[1]) == lengths[:, None] - 1
    shape = ours.first.shape
    theirs = recording["observations"].reshape(*during.shape[:1], during.shape[1] + 1, *shape[1:])
    close = functools.partial(np.testing.assert_allclose, atol=atol, rtol=rtol)
    assert ours.observations.dtype == ours.rewards.dtype == np.float32
    close(ours.first, theirs[:, 0])
    close(ours.observations[during], theirs[:, 1:][during])
    close(ours.rewards[during], recording["rewards"][during])
    np.testing.assert_array_equal(ours.terminated[during], ends[during])
    assert not ours.truncated.any()
    assert (recording["discounts"] == 0).all()
    assert lengths.max() <= make(f"bsuite/{env_id}")[0].max_episode_steps
