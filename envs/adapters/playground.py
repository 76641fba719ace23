"""MuJoCo Playground 0.2's control suite behind gymnax 1.0's interface.

`envs.make("dmc/walker_walk")` makes a task by dm_control's name. Any other of Playground's kind:

    from mujoco_playground import dm_control_suite
    from envs.adapters.playground import Playground
    from envs.registry import register

    register("mine/Walker", lambda: Playground(dm_control_suite.load("WalkerWalk", config_overrides={"impl": "jax"})))

Ref: mujoco_playground/_src/mjx_env.py, mujoco_playground/_src/dm_control_suite/*.py (0.2.0); dm_control/rl/control.py,
dm_control/suite/*.py (1.0.50).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from envs.adapters.foreign import promoting, silenced
from envs.adapters.physics import Physics, PhysicsState
from envs.dmc import LIMIT, NAMES, REPEAT

with promoting(), silenced():
    import mujoco
    from mujoco import mjx
    from mujoco_playground import dm_control_suite

Start = Callable[[Any, jax.Array, jax.Array], jax.Array]
Correction = Callable[[Any, Any, jax.Array], jax.Array]
_TRIES = 16  # places of which the first without contact is taken


class Playground(Physics):
    """A task of Playground's.

    It is never terminated but by numbers that are not finite: an episode ends by time alone.

    What is seen and paid is that of the moment, as in dm_control. Playground's own observation and reward mix it with
    the places before the last physics step: MuJoCo's step leaves those behind, and dm_control computes them anew.
    """

    def __init__(
        self,
        env: Any,
        name: str = "",
        *,
        limit: int = LIMIT,
        repeat: int = REPEAT,
        current: bool = True,
        start: Start | None = None,
        correction: Correction | None = None,
    ):
        """Adapt an environment of Playground.

        Args:
          env: without wrappers.
          name: of this one; by default that of the class.
          limit: steps of an episode, of `repeat` control steps each.
          repeat: control steps with the same action; their rewards are summed.
          current: whether what is seen and paid is that of the moment; else it is Playground's own. True asks the
            environment for `_get_obs` and `_get_reward`, which all of the control suite have.
          start: (env, key, coordinates) -> coordinates at an episode's start, in place of Playground's.
          correction: (env, data, observation) -> observation, in place of Playground's; only with `current`.

        Raises:
          ValueError: if its observation is not one vector, or `current` is asked of an environment without these.
        """
        missing = [method for method in ("_get_obs", "_get_reward") if not hasattr(env, method)]
        if current and missing:
            raise ValueError(f"{type(env).__name__} has no {' and no '.join(missing)}: give current=False")
        self._current, self._places, self._correction = current, start, correction
        super().__init__(env, name or type(env).__name__, limit=limit, repeat=repeat)

    def _coordinates(self, inner: Any) -> Any:
        return inner.data.qpos, inner.data.qvel

    def _start(self, key: jax.Array) -> Any:
        if self._places is None:
            return self.env.reset(key)
        key, key_places = jax.random.split(key)
        state = self.env.reset(key)
        data = state.data.replace(qpos=self._places(self.env, key_places, state.data))
        return state.replace(data=mjx.forward(self.env.mjx_model, data))

    def _seen(self, state: Any, action: jax.Array | None) -> Any:
        if not self._current:
            return state
        # What dm_control has after a step: mj_step1's places, velocities and their sensors, and mj_step2's forces.
        model, data = self.env.mjx_model, state.data
        for part in (mjx.kinematics, mjx.com_pos, mjx.sensor_pos, mjx.com_vel, mjx.sensor_vel):
            data = part(model, data)
        state = state.replace(data=data)
        obs = self.env._get_obs(data, state.info)
        if self._correction is not None:
            obs = self._correction(self.env, data, obs)
        reward = state.reward
        if action is not None:
            reward = self.env._get_reward(data, action, state.info, state.metrics)
        return state.replace(obs=obs, reward=reward)

    def _posed(self, state: PhysicsState) -> tuple[Any, Any]:
        model, inner = self.env.mj_model, state.inner.data
        data = mujoco.MjData(model)
        data.qpos, data.qvel = inner.qpos, inner.qvel
        if model.nmocap:
            data.mocap_pos, data.mocap_quat = inner.mocap_pos, inner.mocap_quat
        mujoco.mj_forward(model, data)
        return model, data


@dataclass(frozen=True)
class Options:
    """How dm_control computes a domain's physics, where Playground has it otherwise.

    Attributes:
      timestep: seconds of a physics step; None: Playground's is the same.
      integrator: of MuJoCo's.
      elliptic: whether friction cones are elliptic, and not pyramids.
      solver: iterations and those of each line search, at most. dm_control allows 100 and 50 and ends when nothing
        changes; in float32 something always does. With these the result is the same to a millionth.
    """

    timestep: float | None = None
    integrator: mujoco.mjtIntegrator = mujoco.mjtIntegrator.mjINT_EULER
    elliptic: bool = False
    solver: tuple[int, int] = (4, 8)


_RUNGE_KUTTA = Options(integrator=mujoco.mjtIntegrator.mjINT_RK4)
_OPTIONS = {
    "acrobot": _RUNGE_KUTTA,
    "cartpole": _RUNGE_KUTTA,
    "finger": Options(0.01, elliptic=True, solver=(8, 16)),
    "fish": Options(0.004),
    "hopper": Options(solver=(8, 16)),
    "humanoid": Options(solver=(16, 32)),
    "pendulum": Options(0.02),
    "reacher": Options(0.02),
    "swimmer": Options(0.002),
    "walker": Options(solver=(8, 16)),
}


def named(name: str) -> Playground:
    """Return a task by dm_control's domain and name, with its physics, in MuJoCo's own program for JAX.

    Playground's default is the program for warp, with longer or fewer steps, a simpler integrator, fewer iterations of
    the solver, and damping that is not implicit: a cheetah's joints then move quite differently.
    """
    domain = name.rpartition("_")[0] if name.startswith("ball") else name.partition("_")[0]
    options = _OPTIONS.get(domain, Options())
    overrides = {"impl": "jax"} if options.timestep is None else {"impl": "jax", "sim_dt": options.timestep}
    with promoting(), silenced(), _no_warnings():
        env = dm_control_suite.load(NAMES[name], config_overrides=overrides)
        _set(env, options)
        return Playground(env, name, start=_STARTS.get(domain), correction=_CORRECTIONS.get(domain))


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Drop what MuJoCo's own program warns of, which it prints past Python and into a file where one is."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda _: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _set(env: Any, options: Options) -> None:
    """Give an environment of Playground another way to compute physics."""
    opt = env.mj_model.opt
    opt.integrator, opt.cone = options.integrator, int(options.elliptic)
    opt.iterations, opt.ls_iterations = options.solver
    opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)
    env._mjx_model = mjx.put_model(env.mj_model, impl="jax")


def _apart(env: Any, data: Any, places: jax.Array) -> jax.Array:
    """Return the first of these coordinates (tries, n) at which nothing touches."""

    def gap(qpos):
        moved = mjx.collision(env.mjx_model, mjx.kinematics(env.mjx_model, data.replace(qpos=qpos)))
        return jnp.min(moved._impl.contact.dist)

    return places[jnp.argmax(jax.vmap(gap)(places) > 0)]


def _ball(env: Any, key: jax.Array, data: Any) -> jax.Array:
    """Put the ball anywhere above the cup: Playground always hangs it below (dm_control/suite/ball_in_cup.py:88)."""
    ball = jax.random.uniform(
        key, (_TRIES, 2), data.qpos.dtype, minval=jnp.array([-0.2, 0.2]), maxval=jnp.array([0.2, 0.5])
    )
    joints = [env.mj_model.joint(name).qposadr[0] for name in ("ball_x", "ball_z")]
    return _apart(env, data, jnp.tile(data.qpos, (_TRIES, 1)).at[:, jnp.array(joints)].set(ball))


def _finger(env: Any, key: jax.Array, data: Any) -> jax.Array:
    """Turn finger and spinner by themselves and apart from each other (dm_control/suite/finger.py, 210).

    Playground draws the spinner's angle with the same key as the finger's.
    """
    ranges = env.mj_model.jnt_range[:2]
    low, high = jnp.array([*ranges[:, 0], -jnp.pi]), jnp.array([*ranges[:, 1], jnp.pi])
    return _apart(env, data, jax.random.uniform(key, (_TRIES, 3), data.qpos.dtype, low, high))


def _pendulum(env: Any, key: jax.Array, data: Any) -> jax.Array:
    """Turn the pole to either side: Playground's always starts on one (dm_control/suite/pendulum.py:91)."""
    return jax.random.uniform(key, data.qpos.shape, data.qpos.dtype, -jnp.pi, jnp.pi)


def _fish_order(env: Any, data: Any, obs: jax.Array) -> jax.Array:
    """Show how upright the fish is after its joints, where Playground has it first (dm_control/suite/fish.py:118)."""
    return jnp.concatenate([obs[1:8], obs[:1], obs[8:]])


def _walker_height(env: Any, data: Any, obs: jax.Array) -> jax.Array:
    """Show how high the torso is, where Playground shows a second time how upright (dm_control/suite/walker.py:83)."""
    return obs.at[14].set(data.xpos[env.mj_model.body("torso").id, 2])


def _pole_order(env: Any, data: Any, obs: jax.Array) -> jax.Array:
    """Show the pole's height before its side: Playground has them the other way (dm_control/suite/pendulum.py:62)."""
    return obs[jnp.array([1, 0, 2])]


_STARTS: dict[str, Start] = {"ball_in_cup": _ball, "finger": _finger, "pendulum": _pendulum}
_CORRECTIONS: dict[str, Correction] = {"fish": _fish_order, "pendulum": _pole_order, "walker": _walker_height}
