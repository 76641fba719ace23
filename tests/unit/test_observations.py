"""What an observation is told by: its space, never its shape; and what is refused, in one line. A few seconds."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams

from envs.observation import Binary, Categorical, Continuous, Image, arrange, observation_leaves, observation_parts
from envs.spaces import MultiDiscrete
from envs.wrappers import ArrangeObservations, PreviousActionAndStart, Wrapper, arranged
from r2i_jit.config import ConfigError
from r2i_jit.observations import (
    check_environment,
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


def checked(env, params):
    return check_environment(env, params, observation_leaves(env, params))


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


BYTES, UNIT = ((0, 255), jnp.uint8), ((0, 1), jnp.float32)


def box(shape, bounds=(-1, 1), dtype=jnp.float32):
    return spaces.Box(*bounds, shape, dtype)


HANDLED = {
    "scalar": (box(()), (Continuous(1),)),
    "vector": (box((4,)), (Continuous(4),)),
    "half": (box((4,), dtype=jnp.float16), (Continuous(4),)),
    "unbounded": (box((4,), (-np.inf, np.inf)), (Continuous(4),)),
    "integers": (box((4,), (0, 9), jnp.int32), (Continuous(4),)),
    "bytes": (box((4,), *BYTES), (Continuous(4),)),
    "unit vector": (box((4,), *UNIT), (Continuous(4),)),
    "bits": (box((4,), (0, 1), jnp.int32), (Binary(4),)),
    "bits of bytes": (box((5, 5, 2), (0, 1), jnp.uint8), (Binary(50),)),
    "bools": (box((2, 3), (0, 1), jnp.bool_), (Binary(6),)),
    "matrix": (box((9, 9), *UNIT), (Continuous(81),)),
    "rank 4": (box((2, 16, 16, 3), *BYTES), (Continuous(1536),)),
    "codes": (box((7, 7, 3), *BYTES), (Continuous(147),)),
    "large codes": (box((20, 20, 3), (0, 10), jnp.uint8), (Continuous(1200),)),
    "flat picture": (box((64, 4, 3), *BYTES), (Continuous(768),)),
    "picture": (box((84, 65, 4), *BYTES), (Image((84, 65, 4)),)),
    "float picture": (box((84, 65, 3), *UNIT), (Image((84, 65, 3)),)),
    "grey picture": (box((84, 65), *BYTES), (Image((84, 65)),)),
    "classes": (spaces.Discrete(N), NUMBER),
    "several classes": (
        MultiDiscrete([2, 3]),
        (Categorical(2, one_hot=False), Categorical(3, one_hot=False)),
    ),
    "dict": (
        spaces.Dict({"eye": box((32, 20, 3), *BYTES), "body": spaces.Tuple((box((2, 2)), spaces.Discrete(N)))}),
        ((Image((32, 20, 3)),), (Continuous(4),), NUMBER),
    ),
    "one in a dict": (spaces.Dict({"only": box((4,))}), (Continuous(4),)),
}


@pytest.mark.parametrize("kind", HANDLED)
def test_a_space_says_what_an_observation_is(kind):
    space, parts = HANDLED[kind]
    env = with_(space=space)
    for tried in (env, Wrapper(env)):
        assert observation_parts(tried, env.default_params) == parts


DECLARED = {
    "bits in floats": (box((4,), *UNIT), (Binary(4),), (Binary(4),)),
    "grey floats": (box((20, 20), *UNIT), (Image((20, 20)),), (Image((20, 20, 1)),)),
    "small": (box((7, 5, 3), *BYTES), (Image((7, 5, 3)),), (Image((7, 5, 3)),)),
    "channels first": (
        box((3, 24, 20), *BYTES), (Image((3, 24, 20), channels_first=True),), (Image((24, 20, 3)),),
    ),
    "class numbers": (box((2,), (0, 3), jnp.int32), (Categorical(4, 2, one_hot=False),), None),
    "a class number": (box((1,), (0, 3), jnp.int32), (Categorical(4, one_hot=False),), None),
    "mixed": (box((3, 3)), (Categorical(3), Continuous(4), Binary(2)), None),
}  # fmt: skip


@pytest.mark.parametrize("kind", DECLARED)
def test_an_environment_says_what_its_space_cannot(kind):
    space, parts, arranged_parts = DECLARED[kind]
    env = with_(space=space, observation_parts=lambda self, params: parts)
    (leaf,) = observation_leaves(env, env.default_params)
    assert leaf.parts == parts and leaf.arranged_parts == (arranged_parts or parts)
    inside = with_(
        space=spaces.Dict({"a": spaces.Tuple((space, spaces.Discrete(2))), "b": box((2,))}),
        observation_parts=lambda self, params: {"a": (parts, None)},
    )
    for tried in (inside, Wrapper(inside)):
        assert observation_parts(tried, None) == (parts, (Categorical(2, one_hot=False),), (Continuous(2),))


@pytest.mark.parametrize("kind", HANDLED | DECLARED)
@pytest.mark.parametrize("lead", [(), (1,), (3, 2)])
def test_observations_are_arranged_as_their_parts_say(kind, lead):
    space = {**HANDLED, **DECLARED}[kind][0]
    attributes = {"observation_parts": lambda self, params: DECLARED[kind][1]} if kind in DECLARED else {}
    env = with_(space=space, **attributes)
    leaves = observation_leaves(env, env.default_params)

    def made(space):
        if isinstance(space, spaces.Dict):
            return {name: made(inner) for name, inner in space.spaces.items()}
        if isinstance(space, spaces.Tuple):
            return [made(inner) for inner in space.spaces]
        return np.arange(int(np.prod((*lead, *space.shape)))).reshape((*lead, *space.shape)).astype(space.dtype)

    found = arrange(leaves, made(space), len(lead))
    for leaf, array in zip(leaves, found if len(leaves) > 1 else (found,), strict=True):
        assert (array.shape, array.dtype.name) == ((*lead, *leaf.arranged_shape), leaf.dtype)
        flat = flatten_observation(leaf.arranged_parts, jnp.asarray(array))
        sizes = sum(part.size for part in leaf.arranged_parts)
        assert flat.dtype == jnp.float32 and flat.reshape(*lead, -1).shape == (*lead, sizes)
    wrapped = ArrangeObservations(env)
    inner = wrapped.observation_space(None)
    members = inner.spaces if isinstance(inner, spaces.Tuple) else (inner,)
    assert [tuple(member.shape) for member in members] == [leaf.arranged_shape for leaf in leaves]
    assert observation_parts(wrapped, None) == wrapped.observation_parts(None)  # its space agrees


def test_channels_that_come_first_are_moved_and_grey_pictures_get_one():
    obs = np.arange(2 * 3 * 17 * 18).reshape(2, 3, 17, 18).astype(np.uint8)
    env = with_(space=box((3, 17, 18), *BYTES), observation_parts=lambda s, p: Image((3, 17, 18), channels_first=True))
    np.testing.assert_array_equal(arrange(observation_leaves(env, None), obs, 1), np.moveaxis(obs, 1, -1))
    env = with_(space=box((17, 18), *BYTES))
    np.testing.assert_array_equal(arrange(observation_leaves(env, None), obs[0], 1), obs[0][..., None])
    plain = with_(space=box((17, 18, 3), *BYTES))
    assert arranged(plain, None) is plain and arranged(env, None) is not env


UNUSABLE = {
    "empty": (box((0,)), "should be 0"),
    "channels first": (box((3, 64, 64), *BYTES), "channels should come last"),
    "floats, channels first": (box((3, 64, 64), *UNIT), "channels_first=True"),
    "stacked channels first": (box((12, 84, 96), *BYTES), "channels should come last"),
    "complex": (spaces.Box(0, 1, (4,), jnp.complex64), "float, an integer or bool"),
    "nothing": (spaces.Discrete(0), "give a Box, a Discrete"),
    "no space": (spaces.Space(), "give a Box, a Discrete"),
    "no array": (spaces.Dict({}), "holds no array"),
    "in a dict": (
        spaces.Dict({"ok": box((3,)), "bad": spaces.Tuple((spaces.Discrete(0),))}),
        "['bad'][0]: observation",
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_space_that_nothing_can_handle_is_refused_in_a_line(kind):
    space, rule = UNUSABLE[kind]
    env = with_(space=space)
    for tried in (env, Wrapper(env)):
        message = refused(observation_parts, tried, env.default_params, error=ValueError)
        assert message.startswith("Any") and ": observation space " in message and rule in message
        assert type(space).__name__ in message or kind == "in a dict"


@pytest.mark.parametrize(
    "parts",
    [
        (Categorical(3),),
        (Continuous(2), Continuous(3)),
        (Image((2, 2, 1)),),
        (Categorical(4, 4, one_hot=False),),
        ("x",),
    ],
)
def test_parts_that_are_not_those_of_the_space_are_refused(parts):
    env = with_(space=spaces.Box(0, 1, (4,)), observation_parts=lambda self, params: parts)
    assert "should describe the observation space" in refused(
        observation_parts, env, env.default_params, error=ValueError
    )


def test_what_makes_a_vector_itself_takes_boxes_of_any_shape():
    env = PreviousActionAndStart(with_(space=spaces.Box(-1, 1, (3, 3)), shown=lambda self, state: jnp.zeros((3, 3))))
    assert observation_parts(env, env.default_params) == (Continuous(9), Categorical(2), Categorical(2))
    checked(env, env.default_params)
