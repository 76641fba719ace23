"""Environments of brax 0.14 behind gymnax 1.0's interface.

`envs.make("brax/hopper")` makes one by its id. Another of brax's kind, or one with settings of its own:

    import brax.envs
    from envs.adapters.brax import Brax
    from envs.registry import register

    register("mine/ant", lambda: Brax(brax.envs.get_environment("ant", backend="mjx"), "ant on mjx"))

Ref: brax/envs/base.py, brax/envs/*.py (0.14.2).
"""

from typing import Any

import jax
import jax.numpy as jnp

from envs.adapters.foreign import promoting, silenced
from envs.adapters.physics import Physics, PhysicsState
from envs.brax import LIMIT, SPRING

with promoting(), silenced():
    import brax.envs
    import brax.fluid
    import mujoco


class _Numpy:
    """jax.numpy, with a `clip` that takes `a_min`, as brax gives it (fluid.py:73) and JAX 0.10 no longer has it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    @staticmethod
    def clip(array: jax.Array, a_min: float) -> jax.Array:
        return jnp.clip(array, min=a_min)


brax.fluid.jp = _Numpy()  # Of use to the swimmer alone.


class Brax(Physics):
    """A body of brax's, to be moved.

    Rewards, resets and ends are brax's, which are those of Gymnasium's MuJoCo games in most but not all: docs/brax.md.
    """

    def __init__(self, env: Any, name: str = "", *, limit: int = LIMIT):
        """Adapt an environment of brax.

        Args:
          env: without wrappers.
          name: of this one; by default that of the class.
          limit: steps of an episode; brax's own environments have none.

        Raises:
          ValueError: if it is wrapped, or its observation is not one vector.
        """
        if isinstance(env, brax.envs.Wrapper):
            raise ValueError(f"{type(env).__name__} is a wrapper: give the environment inside, env.unwrapped")
        super().__init__(env, name or type(env).__name__, limit=limit)

    def _coordinates(self, inner: Any) -> Any:
        return inner.pipeline_state.q, inner.pipeline_state.qd

    def _posed(self, state: PhysicsState) -> tuple[Any, Any]:
        model = self.env.sys.mj_model
        data = mujoco.MjData(model)
        data.qpos, data.qvel = state.inner.pipeline_state.q, state.inner.pipeline_state.qd
        mujoco.mj_forward(model, data)
        return model, data


def named(name: str) -> Brax:
    """Return an environment by brax's name: on the backend `spring` if it is one of `SPRING`, else on `generalized`."""
    with promoting(), silenced():
        return Brax(brax.envs.get_environment(name, backend="spring" if name in SPRING else "generalized"), name)
