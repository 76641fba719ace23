"""What an observation is told by (its space, never its shape), and what is refused, in one line. About 20 s."""

import contextlib
import functools

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams

import envs
from envs.observation import Categorical, Continuous, Image, observation_parts
from envs.spaces import MultiDiscrete
from envs.wrappers import PreviousActionAndStart, Wrapper
from r2i_jit.config import ConfigError
from r2i_jit.observations import (
    check_environment,
    check_parts,
    flatten_observation,
    from_groups,
    latent_groups,
    observation_loss,
    to_groups,
)
from tests.agents import small_config

N = 4  # Classes, environments, steps: as many of each as of the others.
NUMBER = (Categorical(N, one_hot=False),)
PARTS = {"number": NUMBER, "one-hot": (Categorical(N),), "continuous": (Continuous(N),)}
MODEL = small_config().model


@struct.dataclass
class State:
    """The time."""

    time: jax.Array


class Any_(Environment):
    """Whatever a test says; by default a `Discrete(4)` observation of the time."""

    space = spaces.Discrete(N)
    actions = spaces.Discrete(2)

    @property
    def name(self):
        return "Any"

    @property
    def default_params(self):
        return EnvParams(max_steps_in_episode=3)

    def observation_space(self, params):
        return self.space

    def action_space(self, params):
        return self.actions

    def reset_env(self, key, params):
        state = State(jnp.int32(0))
        return self.shown(state), state

    def step_env(self, key, state, action, params):
        state = State(state.time + 1)
        return self.shown(state), state, jnp.float32(0), jnp.array(False), {}

    def shown(self, state):
        return state.time


def with_(**attributes):
    """Return an environment with other attributes or methods than `Any_`."""
    return type("Any_", (Any_,), attributes)()


def refused(function, *args, error=ConfigError) -> str:
    with pytest.raises(error) as caught:
        function(*args)
    message = str(caught.value)
    assert "\n" not in message and "Any" in message
    return message


@pytest.mark.parametrize("shape", [(), (N,), (N, N), (N, N, N)])
def test_class_numbers_become_one_hot_whatever_the_batch(shape):
    obs = jax.random.randint(jax.random.key(0), shape, 0, N)
    flat = flatten_observation(NUMBER, obs)
    assert (flat.shape, flat.dtype) == ((*shape, N), jnp.float32)
    np.testing.assert_array_equal(flat, np.eye(N)[np.asarray(obs)])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64, bool])
@pytest.mark.parametrize("kind", ["one-hot", "continuous"])
def test_vectors_stay_vectors_of_float32(kind, dtype):
    obs = np.eye(N, dtype=dtype)
    with jax.enable_x64(dtype == np.float64):
        flat = flatten_observation(PARTS[kind], jnp.asarray(obs))
        assert (flat.shape, flat.dtype) == ((N, N), jnp.float32)
        np.testing.assert_array_equal(flat, np.eye(N))
        image = flatten_observation((Image((16, 16, 3)),), jnp.full((N, 16, 16, 3), 255, jnp.uint8))
        assert image.dtype == jnp.float32 and (image == 0.5).all()


@pytest.mark.parametrize("loss", ["categorical", "symlog_mse"])
def test_the_loss_of_class_numbers_is_that_of_their_one_hot_vectors(loss):
    config = small_config(model__observation_loss=loss).model
    obs = jax.random.randint(jax.random.key(0), (N, N), 0, N)
    prediction = jax.random.normal(jax.random.key(1), (N, N, N))
    of = lambda parts, obs: observation_loss(config, parts, prediction, obs)
    got = of(NUMBER, obs)
    assert (got.shape, got.dtype) == ((N, N), jnp.float32)
    np.testing.assert_array_equal(got, of(PARTS["one-hot"], jax.nn.one_hot(obs, N, dtype=jnp.uint8)))
    if loss == "categorical":
        expected = -jnp.take_along_axis(jax.nn.log_softmax(prediction), obs[..., None], -1)[..., 0]
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_class_numbers_are_a_latent_of_one_group():
    config = small_config(model__posterior="observation").model
    assert latent_groups(config, NUMBER) == (1, N)
    flat = flatten_observation(NUMBER, jax.random.randint(jax.random.key(0), (N, N), 0, N))
    groups = to_groups(NUMBER, flat)
    assert groups.shape == (N, N, 1, N)
    np.testing.assert_array_equal(groups[:, :, 0], flat)
    np.testing.assert_array_equal(from_groups(NUMBER, groups), flat)


def test_parts_come_from_the_space_whatever_the_environment_declares():
    bare = with_()
    declared = with_(observation_parts=lambda self, params: (Categorical(N),))
    for env in (bare, declared, Wrapper(bare), Wrapper(declared)):
        assert observation_parts(env, env.default_params) == NUMBER
        wrapped = PreviousActionAndStart(env)
        parts = observation_parts(wrapped, env.default_params)
        assert parts == (Categorical(N), Categorical(2), Categorical(2)) and all(part.one_hot for part in parts)
        obs, _ = wrapped.reset_env(jax.random.key(0), env.default_params)
        np.testing.assert_array_equal(flatten_observation(parts, obs), obs)
    lake, params = gymnax.make("FrozenLake-misc")
    assert observation_parts(lake, params) == (Categorical(16, one_hot=False),)


UNUSABLE = {
    "rank 0": (spaces.Box(-1, 1, ()), "shape should be"),
    "rank 2": (spaces.Box(np.zeros((9, 9)), np.ones((9, 9)), (9, 9)), "shape should be"),
    "rank 4": (spaces.Box(0, 255, (2, 16, 16, 3), jnp.uint8), "shape should be"),
    "empty": (spaces.Box(-1, 1, (0,)), "shape should be"),
    "float picture": (spaces.Box(0, 1, (16, 16, 3)), "should be uint8"),
    "channels first": (spaces.Box(0, 255, (3, 64, 64), jnp.uint8), "channels should come last"),
    "stacked channels first": (spaces.Box(0, 255, (12, 84, 96), jnp.uint8), "channels should come last"),
    "bool": (spaces.Box(0, 1, (4,), jnp.bool_), "float or an integer"),
    "complex": (spaces.Box(0, 1, (4,), jnp.complex64), "float or an integer"),
    "nothing": (spaces.Discrete(0), "give a Box or a Discrete"),
    "several": (MultiDiscrete([2, 3]), "give a Box or a Discrete"),
    "dict": (spaces.Dict({"a": spaces.Discrete(2)}), "give a Box or a Discrete"),
    "tuple": (spaces.Tuple((spaces.Discrete(2),)), "give a Box or a Discrete"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_space_that_nothing_can_handle_is_refused_in_a_line(kind):
    space, rule = UNUSABLE[kind]
    env = with_(space=space)
    for tried in (env, Wrapper(env)):
        message = refused(observation_parts, tried, env.default_params, error=ValueError)
        assert message.startswith("Any: observation space ") and rule in message
        assert type(space).__name__ in message


@pytest.mark.parametrize(
    "parts",
    [(Categorical(3),), (Continuous(2), Continuous(3)), (Image((2, 2, 1)),), (Categorical(4, one_hot=False),), ()],
)
def test_parts_that_are_not_those_of_the_space_are_refused(parts):
    env = with_(space=spaces.Box(0, 1, (4,)), observation_parts=lambda self, params: parts)
    assert "should describe the observation space" in refused(
        observation_parts, env, env.default_params, error=ValueError
    )


@pytest.mark.parametrize("space", [spaces.Box(0, 1, (4,), dtype) for dtype in (jnp.float16, jnp.int32, jnp.uint8)])
def test_vectors_of_numbers_and_pictures_are_taken(space):
    env = with_(space=space)
    assert observation_parts(env, env.default_params) == (Continuous(4),)
    env = with_(space=spaces.Box(0, 255, (84, 64, 4), jnp.uint8))
    assert observation_parts(env, env.default_params) == (Image((84, 64, 4)),)


def test_what_makes_a_vector_itself_takes_boxes_of_any_shape():
    env = PreviousActionAndStart(with_(space=spaces.Box(-1, 1, (3, 3)), shown=lambda self, state: jnp.zeros((3, 3))))
    assert observation_parts(env, env.default_params) == (Continuous(9), Categorical(2), Categorical(2))
    check_environment(env, env.default_params)


@pytest.mark.parametrize(("net", "multiple"), [("convolutions", 16), ("patches", 8)])
def test_images_that_the_networks_cannot_halve_are_refused(net, multiple):
    model = small_config(model__image_net=net).model
    check_parts("Any", (Image((multiple, 3 * multiple, 3)),), model)
    for shape in ((84, 84, 3), (64, 4, 3), (12, 64, 1)):
        message = refused(check_parts, "Any", (Image(shape),), model)
        assert f"divide by {multiple}" in message and str(shape) in message and net in message
    check_parts("Any", (Continuous(3), Categorical(5)), model)


@contextlib.contextmanager
def promoting():
    """Let dtypes and ranks be promoted, as gymnax does in its games."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@functools.cache
def known(env_id):
    return gymnax.make(env_id) if env_id in gymnax.registered_envs else envs.make(env_id)


@pytest.mark.parametrize(
    "env_id",
    [env_id for env_id in gymnax.registered_envs if "MNIST" not in env_id]  # Which downloads a data set.
    + [env_id for env_id in envs.registered() if not env_id.startswith("memory_maze/1")],  # Larger ones are no other.
)
def test_every_known_environment_keeps_its_word(env_id):
    ours = env_id in envs.registered()
    if not ours and jax.config.jax_enable_x64:
        pytest.skip("with x64 some of gymnax's games have other dtypes after a step than after a reset")
    with contextlib.nullcontext() if ours else promoting():
        env, params = known(env_id)
        obs = check_environment(env, params)
    assert obs.shape == env.observation_space(params).shape


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
    "tree": ({"shown": lambda s, state: {"a": state.time}}, ["'a'", "one array"]),
    "complex": (
        {"space": spaces.Box(0, 1, (3,)), "shown": lambda s, _: jnp.zeros(3, jnp.complex64)},
        ["complex64", "float32"],
    ),
    "no shape": ({"space": spaces.Dict({})}, ["no shape"]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_observation_that_is_not_of_its_space_is_refused_in_a_line(kind):
    attributes, words = BROKEN[kind]
    env = with_(**attributes)
    message = refused(check_environment, env, env.default_params)
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
    message = refused(check_environment, env, env.default_params)
    assert message.startswith("env='Any': ") and all(word in message for word in words), message


def test_what_does_no_harm_is_taken():
    env = with_(**stepping(State(jnp.int32(1)), reward=jnp.int32(1), terminated=jnp.int32(0)))
    check_environment(env, env.default_params)
    env = with_(space=spaces.Box(0, 1, (2,)), shown=lambda self, state: jnp.zeros(2, bool))
    check_environment(env, env.default_params)
    for actions in (spaces.Box(-1, 1, (2,)), MultiDiscrete([2, 3])):
        env = with_(actions=actions)
        check_environment(env, env.default_params)
