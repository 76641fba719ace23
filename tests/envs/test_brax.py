"""brax's environments, as they are in brax. About 70 s, where it is installed (`just test-extras`)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import brax as names
from envs import episodes
from envs.observation import Continuous, observation_leaves
from experiments import presets
from r2i_jit.compiling import quick
from r2i_jit.observations import check_environment
from tests.envs.playing import make
from tests.envs.raw_physics import check_the_same, side_by_side

package = pytest.importorskip("brax")
adapter = pytest.importorskip("envs.adapters.brax")

PENDULUM = "brax/inverted_pendulum"


def test_the_ids_are_those_of_the_package_but_for_its_stand_in():
    from brax.envs import _envs

    ours = [env_id.partition("/")[2] for env_id in envs.registered() if env_id.startswith("brax/")]
    assert sorted(ours) == sorted(set(_envs) - {"fast"}) and len(ours) == 11
    with pytest.raises(ValueError, match="brax/fast' is left out: it has no physics"):
        envs.make("brax/fast")


@pytest.mark.parametrize("name", [*names.NAMES])
def test_each_keeps_its_word(name):
    env, params = make(f"brax/{name}")
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        leaves = observation_leaves(env, params)
        check_environment(env, params, leaves)
    assert (env.name, env.max_episode_steps, params.max_steps_in_episode) == (name, 1_000, 1_000)
    assert env.env.backend == ("spring" if name in names.SPRING else "generalized")
    assert leaves[0].parts == (Continuous(env.observation_space(params).shape[0]),)
    state = jax.eval_shape(lambda key: env.reset_env(key, params)[1], jax.random.key(0))
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state) if hasattr(leaf.dtype, "itemsize")]
    assert sum(sizes) < 16_384, "bytes of a state: thousands of these are kept side by side"


def test_a_thousand_steps_with_resets_are_those_of_the_package():
    env, _ = make(PENDULUM)
    both = side_by_side(env, 0)
    check_the_same(both)
    assert both.ours[2].sum() > 20


def test_nothing_around_the_environment_steps_it():
    from brax.envs import Wrapper
    from brax.envs.wrappers.training import AutoResetWrapper, EpisodeWrapper

    env, _ = make(PENDULUM)
    assert not isinstance(env.env, Wrapper) and env.env.unwrapped is env.env
    for wrapped in (AutoResetWrapper(env.env), EpisodeWrapper(env.env, 1_000, 1)):
        with pytest.raises(ValueError, match="is a wrapper: give the environment inside, env.unwrapped"):
            adapter.Brax(wrapped)


@functools.cache
def stepping():
    env, params = make(PENDULUM)
    return jax.jit(functools.partial(episodes.advance, env, params), compiler_options=quick())


def test_a_poisoned_state_ends_alone():
    env, params = make(PENDULUM)
    begin = jax.jit(lambda key: episodes.start(env, params, key, 3), compiler_options=quick())
    stream = begin(jax.random.key(0))
    q = stream.env_state.inner.pipeline_state.q.at[1].set(jnp.nan)
    inner = stream.env_state.inner
    inner = inner.replace(pipeline_state=inner.pipeline_state.replace(q=q))
    poisoned = stream._replace(env_state=stream.env_state.replace(inner=inner))
    action, key = jnp.zeros((3, 1)), jax.random.key(1)
    healthy, after = (stepping()(each, action, key) for each in (stream, poisoned))
    np.testing.assert_array_equal(after.step.is_terminal, [False, True, False])
    np.testing.assert_array_equal(after.step.reward, [1, 0, 1])
    np.testing.assert_array_equal(after.step.obs[1], np.zeros(4))
    for row in (0, 2):
        np.testing.assert_array_equal(after.step.obs[row], healthy.step.obs[row])
    np.testing.assert_array_equal(episodes.diverged(env, params, after.env_state), [False, True, False])
    fresh = stepping()(after, action, key)
    np.testing.assert_array_equal(fresh.step.is_first, [False, True, False])
    assert np.isfinite(fresh.step.obs).all() and np.abs(fresh.step.obs[1]).max() < 0.011


def test_time_is_no_end():
    env, params = make(PENDULUM)
    stream = jax.jit(lambda key: episodes.start(env, params, key, 3), compiler_options=quick())(jax.random.key(0))
    late = stream.env_state.replace(time=jnp.array([998, 999, 999], jnp.int32))
    angle = late.inner.pipeline_state.q.at[2, 1].set(0.5)  # fallen, with the last step
    late = late.replace(inner=late.inner.replace(pipeline_state=late.inner.pipeline_state.replace(q=angle)))
    after = stepping()(stream._replace(env_state=late), jnp.zeros((3, 1)), jax.random.key(1)).step
    np.testing.assert_array_equal(after.is_last, [False, True, True])
    np.testing.assert_array_equal(after.is_terminal, [False, False, True])


def test_its_parts_can_be_drawn_without_a_display():
    from experiments.drawing import bodies

    env, params = make(PENDULUM)
    _, state = jax.jit(lambda key: env.reset_env(key, params), compiler_options=quick())(jax.random.key(0))
    shapes = env.shapes(state)
    assert [shape.moves for shape in shapes] == [False, True, True]
    ((heading, image),) = bodies.view_of(env)(state)
    assert image.shape == (256, 256, 3) and image.std() > 5 and heading
    axis, reach = bodies._scale(shapes)
    drawn = bodies._lines(shapes, axis, reach)
    assert axis == 2 and len(np.unique(drawn.reshape(-1, 3), axis=0)) >= 4


def test_the_configuration_is_by_rule_and_learns_from_gradients_through_the_model():
    config = presets.preset("brax")
    assert config.env == PENDULUM and config.behavior.actor_gradient == "auto"
    assert presets.preset("brax", "paper").model.encoder_layers == 5
    assert presets.default_steps(config, "tiny") == 200_000
