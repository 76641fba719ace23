"""DM Control's tasks in MuJoCo Playground, beside that and dm_control itself. Minutes, where it is installed.

tests/golden/dm_control.npz has what dm_control did (`record_dm_control.py`): coordinates, actions, what was seen and
paid. MuJoCo's own program for processors says what follows from those, so that most of it compiles nothing.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import dmc, episodes
from envs.adapters.foreign import promoting, silenced
from envs.observation import observation_leaves
from experiments import presets
from experiments.drawing.scene import on_host
from r2i_jit.compiling import quick
from r2i_jit.observations import check_environment
from tests.envs.playing import make
from tests.envs.raw_physics import check_the_same, side_by_side

package = pytest.importorskip("mujoco_playground")
adapter = pytest.importorskip("envs.adapters.playground")
mujoco = pytest.importorskip("mujoco")

PENDULUM = "dmc/pendulum_swingup"
GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden" / "dm_control.npz")
TASKS = sorted({name.partition("/")[0] for name in GOLDEN})
LOOKS = (0, 1, 30, 77, 100)  # the steps at which what is seen is compared


def golden(task):
    """Return what was recorded of a task, float64."""
    return {key: GOLDEN[f"{task}/{key}"].astype(float) for key in ("qpos", "qvel", "action", "target", "obs", "reward")}


def names(task):
    """Return the names of what is observed, in order, with the size of each."""
    return [entry.split(":") for entry in GOLDEN[f"{task}/names"]]


def placed(task, t):
    """Return MuJoCo's data at step t of the recording."""
    env, rows = make(f"dmc/{task}")[0].env, golden(task)
    data = mujoco.MjData(env.mj_model)
    data.qpos, data.qvel = rows["qpos"][t], rows["qvel"][t]
    if rows["target"].size:  # The finger's target moves in a plane.
        axes = [0, 2] if task.startswith("finger") else [0, 1, 2]
        data.mocap_pos[0, axes] = rows["target"][axes]
    data.ctrl = rows["action"][max(0, t - 1)]
    return data


def test_making_a_task_says_nothing_and_leaves_no_file(tmp_path, monkeypatch, capfd):
    """MuJoCo warns of the cheetah's mass, past Python."""
    monkeypatch.chdir(tmp_path)
    handler = mujoco.get_mju_user_warning()
    adapter.named("cheetah_run")
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())
    assert mujoco.get_mju_user_warning() is handler


def test_the_ids_are_those_of_the_package():
    from mujoco_playground import dm_control_suite

    assert sorted(dmc.NAMES.values()) == sorted(dm_control_suite.ALL_ENVS) and len(dmc.NAMES) == 25
    assert envs.make("dmc/cup_catch")[0].name == "ball_in_cup_catch"


@pytest.mark.parametrize("name", dmc.NAMES)
def test_each_keeps_its_word(name):
    env, params = make(f"dmc/{name}")
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        check_environment(env, params, observation_leaves(env, params))
    assert (env.name, env.max_episode_steps, env.repeat) == (name, 500, 2)
    assert env.env.mjx_model.impl.value == "jax", "warp compiles kernels of its own"
    state = jax.eval_shape(lambda key: env.reset_env(key, params)[1], jax.random.key(0))
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state) if hasattr(leaf.dtype, "itemsize")]
    assert sum(sizes) < 65_536, "bytes of a state"


@pytest.mark.parametrize("task", TASKS)
def test_what_is_seen_and_paid_is_what_dm_control_shows_and_pays(task):
    from mujoco import mjx

    env, rows = make(f"dmc/{task}")[0], golden(task)
    # What is felt is of the step before, in dm_control and ours: the stepping below is what shows it.
    felt = np.concatenate([[name.startswith("touch")] * int(size) for name, size in names(task)])
    for t in LOOKS:
        data = placed(task, t)
        mujoco.mj_forward(env.env.mj_model, data)
        with promoting():
            data = mjx.put_data(env.env.mj_model, data, impl="jax")
            obs = env.env._get_obs(data, {})
            obs = obs if env._correction is None else env._correction(env.env, data, obs)
            np.testing.assert_allclose(obs[~felt], rows["obs"][t][~felt], rtol=1e-5, atol=2e-6)
            if t:
                reward = env.env._get_reward(data, jnp.asarray(rows["action"][t - 1], jnp.float32), {}, {})
                assert float(reward) == pytest.approx(rows["reward"][t - 1], abs=2e-6)


@pytest.mark.parametrize("task", [task for task in TASKS if task != "fish_swim"])  # Playground's is ten times heavier
def test_the_physics_are_those_of_dm_control(task):
    """With MuJoCo's program in float64, a control step from each of the 100 states."""
    env, rows = make(f"dmc/{task}")[0].env, golden(task)
    wrong = []
    for t in range(len(rows["action"])):
        data = placed(task, t)
        data.ctrl = rows["action"][t]
        mujoco.mj_step(env.mj_model, data, env.n_substeps)
        wrong.append(np.abs(data.qvel - rows["qvel"][t + 1]) / (1 + np.abs(rows["qvel"][t + 1])))
    assert np.max(wrong) < 1e-4, np.max(wrong)
    assert np.median(wrong) < 1e-6


def test_a_thousand_steps_with_resets_are_those_of_the_package():
    raw = adapter.Playground(make(PENDULUM)[0].env, current=False)
    both = side_by_side(raw, 0)
    check_the_same(both)
    assert both.ours[3].sum() == 1000 // 90 and not both.ours[2].any(), "nothing ends but by time"


def after_one_step(task):
    """Return coordinates, what is seen and what is paid after a control step from each state of the recording."""
    env, rows = make(f"dmc/{task}")[0], golden(task)

    def step(qpos, qvel, action, state):
        data = state.data.replace(qpos=qpos, qvel=qvel)
        if rows["target"].size:
            axes = jnp.array([0, 2] if task.startswith("finger") else [0, 1, 2])
            data = data.replace(
                mocap_pos=data.mocap_pos.at[0, axes].set(jnp.asarray(rows["target"], jnp.float32)[axes])
            )
        state, reward, _, diverged = env._stepped(state.replace(data=data), action)
        return state.data.qvel, state.obs, reward, diverged

    numbers = [jnp.asarray(rows[key][:100], jnp.float32) for key in ("qpos", "qvel", "action")]
    state = jax.jit(env._fresh, compiler_options=quick())(jax.random.key(0))
    many = jax.jit(jax.vmap(step, (0, 0, 0, None)), compiler_options=quick())
    return [np.asarray(each) for each in many(*numbers, state)]


def compared(task):
    """Return how far a step is from dm_control's, in velocities, what is seen and what is paid: worst, and medians."""
    rows = golden(task)
    qvel, obs, reward, diverged = after_one_step(task)
    assert not diverged.any()
    off = lambda ours, theirs: np.abs(ours - theirs) / (1 + np.abs(theirs))
    found = off(qvel, rows["qvel"][1:]), off(obs, rows["obs"][1:]), off(reward, rows["reward"])
    return [each.max() for each in found], [float(np.median(each)) for each in found]


def test_a_step_leads_to_where_it_does_in_dm_control():
    worst, _ = compared("pendulum_swingup")
    assert max(worst) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("task", [task for task in TASKS if task != "fish_swim"])
def test_a_step_of_each_leads_to_where_it_does_in_dm_control(task):
    """In float32 where dm_control has float64. Contacts are stiff: a few states of legged bodies differ by more."""
    worst, median = compared(task)
    print(task, "worst", *(f"{each:.1e}" for each in worst), "median", *(f"{each:.1e}" for each in median))
    assert max(median) < 1e-4


@functools.cache
def started(name):
    """Return 256 first states."""
    env, params = make(f"dmc/{name}")
    many = jax.jit(jax.vmap(lambda key: env.reset_env(key, params)), compiler_options=quick())
    return on_host(many(jax.random.split(jax.random.key(0), 256)))


def test_a_pole_starts_on_either_side():
    obs, state = started("pendulum_swingup")
    angle = state.inner.data.qpos[:, 0]
    assert angle.min() < -3 and angle.max() > 3 and abs(angle.mean()) < 0.5
    np.testing.assert_allclose(obs, np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1), atol=1e-6)


def test_a_ball_starts_anywhere_above_the_cup_and_free():
    env, (_, state) = make("dmc/ball_in_cup_catch")[0].env, started("ball_in_cup_catch")
    joints = [env.mj_model.joint(name).qposadr[0] for name in ("ball_x", "ball_z")]
    ball = state.inner.data.qpos[:, joints]
    assert (ball.min(0) > [-0.2, 0.2]).all() and (ball.max(0) < [0.2, 0.5]).all()
    assert (ball.min(0) < [-0.18, 0.22]).all() and (ball.max(0) > [0.18, 0.48]).all()
    data = mujoco.MjData(env.mj_model)
    for qpos in state.inner.data.qpos:
        data.qpos = qpos
        mujoco.mj_forward(env.mj_model, data)
        assert data.ncon == 0


def test_a_reacher_sees_its_own_target_from_the_first_step_on():
    """In Playground the first observation shows where the model file has it."""
    env, (obs, state) = make("dmc/reacher_easy")[0].env, started("reacher_easy")
    finger = state.inner.data.geom_xpos[:, env.mj_model.geom("finger").id, :2]
    np.testing.assert_allclose(obs[:, 2:4], state.inner.data.mocap_pos[:, 0, :2] - finger, atol=1e-6)
    assert len(np.unique(obs[:, 2], axis=0)) == 256


def test_a_poisoned_state_ends_alone():
    env, params = make(PENDULUM)
    step = jax.jit(functools.partial(episodes.advance, env, params), compiler_options=quick())
    stream = jax.jit(lambda key: episodes.start(env, params, key, 3), compiler_options=quick())(jax.random.key(0))
    inner = stream.env_state.inner
    data = inner.data.replace(qvel=inner.data.qvel.at[1].set(jnp.nan))
    poisoned = stream._replace(env_state=stream.env_state.replace(inner=inner.replace(data=data)))
    action, key = jnp.zeros((3, 1)), jax.random.key(1)
    healthy, after = (step(each, action, key) for each in (stream, poisoned))
    np.testing.assert_array_equal(after.step.is_terminal, [False, True, False])
    np.testing.assert_array_equal(after.step.obs[1], np.zeros(3))
    for row in (0, 2):
        np.testing.assert_array_equal(after.step.obs[row], healthy.step.obs[row])
    fresh = step(after, action, key).step
    np.testing.assert_array_equal(fresh.is_first, [False, True, False])
    assert np.isfinite(fresh.obs).all() and np.isfinite(fresh.reward).all()


def test_nothing_around_the_environment_steps_it():
    env = make(PENDULUM)[0].env
    assert type(env).__module__.startswith("mujoco_playground._src.dm_control_suite") and env.unwrapped is env


def test_an_environment_of_another_kind_has_to_say_how_it_is_seen():
    class Other:
        pass

    with pytest.raises(ValueError, match="Other has no _get_obs and no _get_reward: give current=False"):
        adapter.Playground(Other())


def test_the_configuration_is_by_rule():
    config = presets.preset("dmc")
    assert config.env == "dmc/cartpole_swingup" and config.behavior.actor_gradient == "auto"
    assert presets.preset("dmc", "paper").model.ssm_layers == 4
    with silenced():
        assert presets.preset(env="dmc/cup_catch").env == "dmc/cup_catch"
