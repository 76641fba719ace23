"""An environment is held to its word before anything is compiled; what is wrong is one line. About 20 s."""

import contextlib
import functools

import gymnax
import jax
import jax.numpy as jnp
import pytest
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

import envs
import envs.registry
from envs.observation import observation_leaves
from envs.spaces import MultiDiscrete
from experiments.presets import preset
from r2i_jit import Trainer
from r2i_jit.config import ConfigError
from tests.agents import small_config
from tests.envs.chosen import distinct
from tests.unit.test_observations import Any_, N, State, checked, refused, with_


@contextlib.contextmanager
def promoting():
    """Let dtypes and ranks be promoted, as gymnax does in its games."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@functools.cache
def known(env_id):
    return gymnax.make(env_id) if env_id in gymnax.registered_envs else envs.make(env_id)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "env_id",
    [env_id for env_id in gymnax.registered_envs if "MNIST" not in env_id]  # Which downloads a data set.
    + [env_id for env_id in distinct() if not env_id.startswith("memory_maze/1")],  # Larger ones are no other.
)
def test_every_known_environment_keeps_its_word(env_id):
    ours = env_id in envs.registered()
    if not ours and jax.config.jax_enable_x64:
        pytest.skip("with x64 some of gymnax's games have other dtypes after a step than after a reset")
    with contextlib.nullcontext() if ours else promoting():
        env, params = known(env_id)
        obs = checked(env, params)
    (leaf,) = observation_leaves(env, params)
    assert obs.shape == leaf.arranged_shape


BROKEN = {
    "shape": ({"space": spaces.Box(0, 1, (3,)), "shown": lambda s, _: jnp.zeros(4)}, ["(4,)", "(3,)", "reset_env's"]),
    "picture": (
        {
            "space": spaces.Box(0, 255, (16, 16, 3), jnp.uint8),
            "shown": lambda s, _: jnp.zeros(s.space.shape, jnp.float32),
        },
        ["float32", "uint8"],
    ),
    "class": ({"shown": lambda s, state: state.time.astype(jnp.float32)}, ["float32", "int32"]),
    "one-hot class": ({"shown": lambda s, state: jax.nn.one_hot(state.time, N)}, ["(4,)", "()"]),
    "tree": ({"shown": lambda s, state: {"a": state.time}}, ["'a'", "one array", "reset_env's observation has leaves"]),
    "complex": (
        {"space": spaces.Box(0, 1, (3,)), "shown": lambda s, _: jnp.zeros(3, jnp.complex64)},
        ["complex64", "float32"],
    ),
    "no such array": (
        {"space": spaces.Dict({"b": spaces.Discrete(N)}), "shown": lambda s, state: {"a": state.time}},
        ["there is no ['b']"],
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_observation_that_is_not_of_its_space_is_refused_in_a_line(kind):
    attributes, words = BROKEN[kind]
    env = with_(**attributes)
    message = refused(checked, env, env.default_params)
    assert message.startswith("env='Any': ") and all(word in message for word in words), message


def stepping(state=None, reward=0.0, terminated=False, obs=None, more=()):
    """Return a `step_env` that returns these."""

    def step_env(self, key, old, action, params):
        shown = self.shown(old) if obs is None else obs
        new = State(old.time + 1) if state is None else state
        return shown, new, reward, terminated, {}, *more

    return {"step_env": step_env}


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        (stepping(State(jnp.float32(1))), ["state.time", "int32 ()", "float32 ()"]),
        (stepping(State(jnp.zeros(2, jnp.int32))), ["state.time", "int32 ()", "int32 (2,)"]),
        (stepping((State(jnp.int32(1)),)), ["state", "after"]),
        (stepping(State({"x": jnp.int32(1)})), ["state.time", "reset_env", "step_env"]),
        (stepping(obs=jnp.int8(0)), ["observation is int32 ()", "int8 ()"]),
        (stepping(reward=jnp.zeros(1, jnp.float32)), ["reward", "float32 (1,)", "a number of shape ()"]),
        (stepping(reward=jnp.complex64(1j)), ["reward", "complex64"]),
        (stepping(terminated=jnp.zeros(1, bool)), ["terminated", "bool (1,)"]),
        (stepping(terminated=jnp.float32(0.0)), ["terminated", "float32", "a truth value"]),
        (stepping(more=(1,)), ["step_env returns 6 values", "terminated"]),
        ({"reset_env": lambda self, key, params: self.shown(State(jnp.int32(0)))}, ["reset_env returns 1 values"]),
        ({"is_truncated": lambda self, state, params: jnp.zeros(3, bool)}, ["is_truncated", "bool (3,)"]),
    ],
)
def test_what_no_loop_could_carry_is_refused_in_a_line(attributes, words):
    kind = {**attributes}
    if "step_env" in kind and kind["step_env"].__closure__:
        kind["is_truncated"] = lambda self, state, params: jnp.zeros((), bool)
    env = with_(**kind)
    message = refused(checked, env, env.default_params)
    assert message.startswith("env='Any': ") and all(word in message for word in words), message


def test_what_does_no_harm_is_taken():
    env = with_(**stepping(State(jnp.int32(1)), reward=jnp.int32(1), terminated=jnp.int32(0)))
    checked(env, env.default_params)
    env = with_(space=spaces.Box(0, 1, (2,)), shown=lambda self, state: jnp.zeros(2, bool))
    checked(env, env.default_params)
    for actions in (spaces.Box(-1, 1, (2,)), MultiDiscrete([2, 3])):
        env = with_(actions=actions)
        checked(env, env.default_params)


def broken(*args, **kwargs):
    raise KeyError("board")


@pytest.mark.parametrize("method", ["reset_env", "step_env", "is_truncated"])
def test_what_an_environment_raises_is_one_line_with_its_place(method):
    env = with_(**{method: broken})
    message = refused(checked, env, env.default_params)
    assert message.startswith(f"env='Any': {method} raises KeyError: 'board' (test_check_environment.py:")


def test_a_truth_value_that_is_traced_is_one_line_with_its_place():
    env = with_(is_truncated=lambda self, state, params: jnp.array(True) if state.time > 2 else jnp.array(False))
    message = refused(checked, env, env.default_params)
    assert "is_truncated raises TracerBoolConversionError" in message and "(test_check_environment.py:" in message


@pytest.mark.parametrize("method", ["observation_space", "action_space"])
def test_a_space_that_is_missing_is_one_line(method, monkeypatch):
    kind = type("Any_", (Any_,), {method: getattr(Environment, method)})
    registry = envs.registry
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    envs.register("any/Spaceless", kind)
    for tried in (lambda: Trainer(small_config("any/Spaceless")), lambda: preset(env="any/Spaceless")):
        with pytest.raises(ConfigError) as caught:
            tried()
        assert "'any/Spaceless': its spaces or parameters: NotImplementedError" in str(caught.value)
