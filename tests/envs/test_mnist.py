"""bsuite's mnist experiments on a small training set made here: random pictures, as idx files. About 20 s."""

import gzip
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import episodes
from envs.bsuite import mnist
from envs.bsuite.mnist import IMAGES, LABELS, Mnist
from envs.observation import Continuous, observation_leaves, observation_parts
from r2i_jit.compiling import quick
from r2i_jit.observations import check_environment

COUNT = 40
EXPERIMENTS = ("mnist", "mnist_noise", "mnist_scale")


def idx(array, head=(0, 0, 8)):
    """Return an array of bytes as an idx file."""
    return bytes((*head, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def pictures():
    """Return pictures in which every byte occurs, and digits of which each occurs."""
    rng = np.random.default_rng(0)
    return rng.permuted(np.resize(np.arange(256, dtype=np.uint8), (COUNT, 28, 28)), axis=0), np.arange(COUNT) % 10


@pytest.fixture
def folder(tmp_path, monkeypatch, pictures):
    """Return a folder with the two files, one of them packed, to which the environment variable points."""
    images, labels = pictures
    (tmp_path / IMAGES).write_bytes(idx(images))
    (tmp_path / f"{LABELS}.gz").write_bytes(gzip.compress(idx(labels.astype(np.uint8))))
    monkeypatch.setenv("R2I_MNIST", str(tmp_path))
    return tmp_path


def original_picture(image):
    """Return what the original shows: signed bytes by 255 (datasets.py:55-56, mnist.py:64), written down anew."""
    signed = image.astype(np.int64)
    return (np.where(signed > 127, signed - 256, signed).astype(np.float32) / np.float32(255)).astype(np.float32)


def test_every_picture_and_answer_is_as_in_the_original(folder, pictures):
    env, params = envs.make("bsuite/mnist/0")
    images, labels = pictures

    @jax.jit
    @jax.vmap
    def play(index, action):
        state = mnist.MnistState(jnp.zeros((), jnp.int32), index)
        first = env.show(state, None, params)
        return first, *env.step_env(jax.random.key(0), state, action, params)[:4], env.is_truncated(state, params)

    index, action = (grid.ravel() for grid in np.meshgrid(np.arange(COUNT), np.arange(10)))
    first, after, state, reward, terminated, truncated = jax.device_get(play(index, action))
    np.testing.assert_array_equal(first, original_picture(images)[index])
    assert first.min() == np.float32(-128 / 255) and first.max() == np.float32(127 / 255)
    np.testing.assert_array_equal(after, np.zeros_like(first))
    np.testing.assert_array_equal(reward, np.where(labels[index] == action, 1.0, -1.0))
    assert terminated.all() and not truncated.any() and (state.time == 1).all()


def test_every_picture_is_as_likely_as_the_others(folder):
    env, params = envs.make("bsuite/mnist/7")
    index = jax.jit(jax.vmap(lambda key: env.begin(key, params).index))(jax.random.split(jax.random.key(0), 8000))
    counts = np.bincount(index, minlength=COUNT)
    assert len(counts) == COUNT and (abs(counts - 200) < 5 * 200**0.5).all()


@pytest.mark.parametrize("action", [-1, 10, 2**31 - 1, np.float32("nan"), np.float32(1e30)])
def test_what_is_no_digit_is_a_wrong_answer(folder, action):
    env, params = envs.make("bsuite/mnist/0")
    step = jax.jit(lambda state, action: env.step_env(jax.random.key(0), state, action, params)[2])
    for index in range(10):
        assert step(mnist.MnistState(jnp.int32(0), jnp.int32(index)), jnp.asarray(action)) == -1


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_keeps_its_word(experiment, folder):
    env, params = envs.make(f"bsuite/{experiment}/19")
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        shown = check_environment(env, params, observation_leaves(env, params))
    assert (shown.shape, shown.dtype) == ((784,), jnp.float32)
    assert observation_parts(env, params) == (Continuous(784),)
    space = env.observation_space(params)
    obs, state = env.reset_env(jax.random.key(1), params)
    assert space.contains(obs) and obs.shape == space.shape == (28, 28) and env.max_episode_steps == 1
    lines = env.render(state, params, hidden=True).split("\n")
    assert len(lines) == 29 and lines[-1] == f"hidden: it is a {int(state.index) % 10}"
    assert env.render(state, params) == "\n".join(lines[:-1])


def test_noise_and_factors_are_those_of_the_sweep(folder):
    noises, factors = ([envs.make(f"bsuite/mnist_{kind}/{i}")[1] for i in range(20)] for kind in ("noise", "scale"))
    assert [params.noise_scale for params in noises] == np.repeat([0.1, 0.3, 1.0, 3.0, 10.0], 4).tolist()
    assert [params.factor for params in factors] == np.repeat([0.001, 0.03, 1.0, 30.0, 1000.0], 4).tolist()


def test_an_agent_answers_every_other_step(folder):
    env, params = envs.make("bsuite/mnist/0")
    advance = jax.jit(lambda *args: episodes.advance(env, params, *args), compiler_options=quick())
    stream = episodes.start(env, params, jax.random.key(0), 32)
    seen = set()
    for number in range(1, 9):
        stream = advance(stream, jnp.zeros(32, jnp.int32), jax.random.key(number))
        assert (stream.step.is_last == (number % 2 == 1)).all() and (stream.step.is_first == (number % 2 == 0)).all()
        assert ((stream.step.obs == 0).all((1, 2)) == stream.step.is_last).all()
        seen |= set(np.asarray(stream.env_state.index).tolist())
    assert len(seen) > 30


def test_the_ids_are_listed_where_the_folder_is_named(folder, monkeypatch):
    wanted = {f"bsuite/{experiment}/{number}" for experiment in EXPERIMENTS for number in range(20)}
    named = set(envs.registered())
    monkeypatch.delenv("R2I_MNIST")
    assert named - set(envs.registered()) == wanted


def test_without_the_folder_a_line_says_what_to_do(monkeypatch):
    monkeypatch.delenv("R2I_MNIST", raising=False)
    for experiment in EXPERIMENTS:
        with pytest.raises(ValueError) as caught:
            envs.make(f"bsuite/{experiment}/0")
        message = str(caught.value)
        assert all(word in message for word in ("set R2I_MNIST", IMAGES, LABELS)) and "\n" not in message


def test_all_settings_share_the_pictures_until_a_file_changes(folder, pictures):
    first, second = Mnist(), envs.make("bsuite/mnist_scale/3")[0].game
    assert first.images is not second.images and first.images.base is second.images.base
    (folder / IMAGES).write_bytes(idx(255 - pictures[0]))
    np.testing.assert_array_equal(Mnist().images, 255 - first.images)


def test_a_fraction_is_of_the_first_pictures(folder):
    assert len(Mnist(0.25).labels) == len(Mnist(0.25).images) == 10
    for fraction in (0.0, 0.001, 1.5, float("nan")):
        with pytest.raises(ValueError, match="should be one or more"):
            Mnist(fraction)


def cut(content):
    return content[:-1]


BROKEN = {
    "missing": (IMAGES, lambda _: None, "there is no train-images"),
    "cut": (IMAGES, cut, "is damaged"),
    "empty": (IMAGES, lambda _: b"", "is damaged"),
    "other": (IMAGES, lambda _: idx(np.zeros((2, 2, 2), np.uint8), (0, 0, 13)), "no idx file of bytes"),
    "labels": (IMAGES, lambda _: idx(np.zeros(40, np.uint8)), "with 3 axes"),
    "fewer": (IMAGES, lambda _: idx(np.zeros((39, 28, 28), np.uint8)), "39 pictures and 40 digits"),
    "packed": (f"{LABELS}.gz", cut, "cannot be read"),
    "digits": (f"{LABELS}.gz", lambda _: idx(np.full(40, 10, np.uint8)), "from 0 to 9"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_is_missing_or_broken_is_said_in_a_line(kind, folder):
    name, change, words = BROKEN[kind]
    content = change((folder / name).read_bytes())
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        envs.make("bsuite/mnist/0")
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
