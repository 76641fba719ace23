"""Play environments under the settings of this process's JAX and save what they return: `python -m … OUT few|all|play`.

`few` and `all` only trace, and save dtypes and shapes; `play` saves values.
"""

import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

import envs
from envs import episodes
from envs.memory_maze.environment import MemoryMaze
from envs.popgym.battleship import Battleship
from envs.popgym.position_only_pendulum import PositionOnlyPendulum
from envs.wrappers import FlattenActions, PreviousActionAndStart
from r2i_jit.compiling import quick

ROWS, STEPS = 4, 40
MAZE_STEPS = 2


def chosen(what: str) -> dict[str, Any]:
    """Return the environments: a game of each class and the wrappers; `all` registered games; mazes."""
    names = [name for name in envs.registered() if name.startswith("popgym/")]
    names = [name for name in names if what == "all" or name.endswith("Easy")]
    found = {name: envs.make(name)[0] for name in names}
    found["wrapped/torque"] = PreviousActionAndStart(PositionOnlyPendulum())
    if what == "play":
        return {**found, "maze/sharp": MemoryMaze(9, samples=1)}
    found["wrapped/flat"] = PreviousActionAndStart(FlattenActions(Battleship(8)))
    found["wrapped/several"] = PreviousActionAndStart(Battleship(8))
    found["maze/vector"] = MemoryMaze(15, observation="vector", shuffled_colors=True)
    if what == "all":
        found.update({"maze/map": MemoryMaze(9, top_view=True), "maze/low": MemoryMaze(11, good_visibility=True)})
    return found


def actions(env: Any, steps: int) -> np.ndarray:
    """Return random actions (steps, ROWS, ...), some of them outside the space."""
    space, rng = env.action_space(env.default_params), np.random.default_rng(0)
    shape = (steps, ROWS, *space.shape)
    if isinstance(space, spaces.Box):
        return rng.uniform(-3.0, 3.0, shape).astype(np.float32)
    return rng.integers(-1, np.array(getattr(space, "nvec", None) or space.n) + 1, shape).astype(np.int32)


def play(env: Any, actions: jax.Array) -> Any:
    """Return the last stream and the steps of an agent's episodes, some of which end."""
    params, key = env.default_params, jax.random.key(1)
    stream = episodes.start(env, params, key, ROWS)
    late = jnp.array([0, env.max_episode_steps - 3, 0, 0], jnp.int32)
    stream = stream._replace(env_state=stream.env_state.replace(time=stream.env_state.time + late))

    def step(stream, inputs):
        stream = episodes.advance(env, params, stream, *inputs)
        return stream, stream.step

    return jax.lax.scan(step, stream, (actions, jax.random.split(key, actions.shape[0])))


def trace(env: Any, actions: jax.Array) -> Any:
    """Return what `play` does, a step of gymnax's kind, and a sampled action; of a picture of a maze just that."""
    params, key = env.default_params, jax.random.key(1)
    if isinstance(env, MemoryMaze) and len(env.observation_space(params).shape) == 3:  # Long programs.
        return env.reset_env(key, params)
    _, state = env.reset_env(key, params)
    return play(env, actions), env.step(key, state, actions[0, 0], params), env.action_space(params).sample(key)


def main() -> None:
    out, what = pathlib.Path(sys.argv[1]), sys.argv[2]
    results = {}
    for name, env in chosen(what).items():
        given = actions(env, MAZE_STEPS if isinstance(env, MemoryMaze) else STEPS)
        if what == "play":
            made = jax.jit(lambda given, env=env: play(env, given), compiler_options=quick())(given)
        else:
            made = jax.eval_shape(lambda given, env=env: trace(env, given), given)
        for path, leaf in jax.tree_util.tree_leaves_with_path(made):
            value = np.asarray(leaf) if what == "play" else np.array(f"{leaf.dtype} {leaf.shape}")
            results[f"{name} {jax.tree_util.keystr(path)}"] = value
    np.savez(out, **results)


if __name__ == "__main__":
    main()
