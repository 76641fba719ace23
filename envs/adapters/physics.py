"""Bodies under physics behind gymnax 1.0's interface: what brax and MuJoCo Playground have in common.

Both packages give an environment as `reset(key) -> State` and `step(State, action) -> State`, with `obs`, `reward` and
`done` in the state. That raw step is used, and nothing around it: their wrappers begin the next episode by themselves,
all from the first state that a slot ever had, and lose the last observation.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.adapters.foreign import Foreign, promoting, strong

# Of MuJoCo's kinds of geoms: capsules and cylinders, which lie along their third axis, and ellipsoids and boxes.
_SPHERE, _ROUND, _LONG = 2, (2, 3, 5), (4, 6)


@struct.dataclass
class PhysicsState(EnvState):
    """One episode in progress.

    Attributes:
      time: steps taken, int32 ().
      inner: the package's own state.
      terminated: whether the last step ended the episode for good, bool ().
      diverged: whether that was because its numbers were no longer finite, bool ().
    """

    time: jax.Array
    inner: Any
    terminated: jax.Array
    diverged: jax.Array


class Shape(NamedTuple):
    """A body's part, for a drawing: what lies within a radius of a line.

    Attributes:
      ends: of the line, in metres, (2, 3), the third upwards; twice the same place for a ball.
      radius: in metres.
      moves: whether it belongs to a body, and not to the world.
    """

    ends: np.ndarray
    radius: float
    moves: bool


class Physics(Foreign):
    """An environment of bodies and motors.

    Observation: what the package gives, float32 (n,).
    Action: one number from -1 to 1 for each motor; what lies outside is taken as the nearest inside. It is held for
    `repeat` of the package's steps, whose rewards are summed.
    Ends: terminated where the package says that it is done, truncated after `max_steps_in_episode`.

    Physics can blow up. A step whose observation, reward or coordinates are not finite ends its episode (terminated and
    `diverged`): its observation is 0 and its reward counts 0, so that nothing else is touched by it. `info["diverged"]`
    and `is_diverged` tell.
    """

    def __init__(self, env: Any, name: str, *, limit: int, repeat: int = 1):
        """Adapt an environment of a package.

        Args:
          env: without wrappers.
          name: of this one.
          limit: steps of an episode, of as many of the package's as `repeat` says each.
          repeat: the package's steps in one.

        Raises:
          ValueError: if a number is below 1, or the observation is not one vector.
        """
        if limit < 1 or repeat < 1:
            raise ValueError(f"{name}: limit={limit} and repeat={repeat} should be at least 1")
        self.env, self.repeat = env, repeat
        self._name, self._limit = name, limit
        shape = getattr(self._example.obs, "shape", None)
        if shape is None or len(shape) != 1:
            raise ValueError(f"{name}: observations should be one vector, not {jax.tree.map(jnp.shape, shape)}")

    @functools.cached_property
    def _example(self) -> Any:
        """Shapes and dtypes of the package's state: its own `observation_size` may compute a whole reset."""
        return jax.eval_shape(self._fresh, jax.random.key(0))

    @property
    def num_actions(self) -> int:
        """Number of motors."""
        return int(self.env.action_size)

    def action_space(self, params: EnvParams) -> spaces.Box:
        """A number from -1 to 1 for each motor."""
        return spaces.Box(-1.0, 1.0, (self.num_actions,), jnp.float32)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Numbers without bounds."""
        return spaces.Box(-jnp.inf, jnp.inf, self._example.obs.shape, jnp.float32)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, PhysicsState]:
        """Begin an episode: a reset of its own, not the first one again."""
        inner, no = self._fresh(key), jnp.zeros((), bool)
        return inner.obs.astype(jnp.float32), PhysicsState(jnp.zeros((), jnp.int32), inner, no, no)

    def step_env(
        self, key: jax.Array, state: PhysicsState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, PhysicsState, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step."""
        action = jnp.clip(jnp.asarray(action, jnp.float32), -1.0, 1.0)

        def once(carry, _):
            inner, total, terminated, diverged = carry
            after, reward, over, bad = self._stepped(inner, action)
            inner = jax.tree.map(lambda old, new: jnp.where(terminated, old, new), inner, after)
            total = total + jnp.where(terminated, 0.0, reward)
            return (inner, total, terminated | over, diverged | (bad & ~terminated)), None

        no = jnp.zeros((), bool)
        carry = state.inner, jnp.zeros((), jnp.float32), no, no
        if self.repeat == 1:
            carry, _ = once(carry, None)
        else:
            carry, _ = jax.lax.scan(once, carry, None, length=self.repeat)
        inner, reward, terminated, diverged = carry
        state = PhysicsState(state.time + 1, inner, terminated, diverged)
        return inner.obs.astype(jnp.float32), state, reward, terminated, {"diverged": diverged}

    def is_diverged(self, state: PhysicsState, params: EnvParams) -> jax.Array:
        """Return whether the last step's numbers were not finite, bool ()."""
        return state.diverged

    def observe(
        self, key: jax.Array | None, state: PhysicsState, action: jax.Array | None, params: EnvParams
    ) -> jax.Array:
        """Return the observation of a state."""
        return state.inner.obs.astype(jnp.float32)

    def picture(self, state: PhysicsState, size: int) -> np.ndarray:
        """Return MuJoCo's picture of a state, uint8 (size, size, 3).

        Host only. Raises whatever MuJoCo raises where it cannot draw: it needs a display, EGL or OSMesa.
        """
        import mujoco

        model, data = self._posed(state)
        with mujoco.Renderer(model, size, size) as renderer:
            renderer.update_scene(data, camera=0 if model.ncam else -1)
            return renderer.render()

    def shapes(self, state: PhysicsState) -> list[Shape]:
        """Return the parts of all bodies, planes left out. Host only."""
        model, data = self._posed(state)
        found = []
        for geom in range(model.ngeom):
            kind, size = int(model.geom_type[geom]), model.geom_size[geom]
            if kind in _ROUND:
                axis, half, radius = (0, 0.0, size[0]) if kind == _SPHERE else (2, size[1], size[0])
            elif kind in _LONG:
                axis = int(np.argmax(size))
                radius = np.sort(size)[1]
                half = size[axis] - radius
            else:
                continue
            line = data.geom_xmat[geom].reshape(3, 3)[:, axis] * half
            ends = data.geom_xpos[geom] + np.stack([-line, line])
            found.append(Shape(ends, float(radius), bool(model.geom_bodyid[geom])))
        return found

    def _posed(self, state: PhysicsState) -> tuple[Any, Any]:
        """Return MuJoCo's model and data of a state. Host only."""
        raise NotImplementedError

    def _coordinates(self, inner: Any) -> Any:
        """Return the numbers of a state from which all others follow, a pytree."""
        raise NotImplementedError

    def _start(self, key: jax.Array) -> Any:
        """Return the package's state at an episode's start."""
        return self.env.reset(key)

    def _seen(self, state: Any, action: jax.Array | None) -> Any:
        """Return the package's state with what is seen and paid in it; `action` led to it and is None at a start."""
        return state

    def _fresh(self, key: jax.Array) -> Any:
        """Return a state at an episode's start, of the types that it has after a step, too."""
        with promoting():
            return jax.tree.map(strong, self._seen(self._start(key), None))

    def _stepped(self, inner: Any, action: jax.Array) -> tuple[Any, jax.Array, jax.Array, jax.Array]:
        """Take one of the package's steps.

        Returns:
          (its state, reward float32 (), whether the episode is over, whether its numbers are not finite), bool () each.
        """
        with promoting():
            # Dicts in the state are changed in place.
            after = self._seen(self.env.step(jax.tree.map(lambda leaf: leaf, inner), action), action)
            after = jax.tree.map(strong, after, inner)
        finite = [
            jnp.all(jnp.isfinite(leaf))
            for leaf in jax.tree.leaves((after.obs, after.reward, after.done, self._coordinates(after)))
        ]
        diverged = ~jnp.all(jnp.stack(finite))
        clean = lambda value: jnp.where(diverged, jnp.zeros_like(value), value)
        after = after.replace(obs=clean(after.obs), reward=clean(after.reward))
        over = diverged | (after.done > jnp.zeros_like(after.done))
        return after, after.reward.astype(jnp.float32), over, diverged
