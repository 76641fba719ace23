"""XLand-MiniGrid's environments: what the adapter returns is what the package does. About a minute.

The other half of this file's promises, shapes and dtypes, is tests/unit/test_check_environment.py's.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import episodes, xminigrid
from envs.observation import Categorical, observation_parts
from experiments import presets
from experiments.oracles import oracles
from experiments.oracles import xminigrid as memory
from experiments.running.references import references
from r2i_jit.compiling import quick
from r2i_jit.observations import flatten_observation

package = pytest.importorskip("xminigrid")
adapter = pytest.importorskip("envs.adapters.xminigrid")

S8 = "xminigrid/MiniGrid-MemoryS8"
STEPS = 1000
# One of each class, with doors, keys and goals; the rules of XLand by a ruleset made here.
CHOSEN = ("MiniGrid-MemoryS8", "MiniGrid-Unlock", "MiniGrid-EmptyRandom-5x5", "XLand-MiniGrid-R1-9x9")
make = functools.cache(envs.make)


def stepped(env_id, state, *actions):
    """Return the last (obs, state, reward, terminated, truncated) after some actions from a state."""
    env, params = make(env_id)
    for action in actions:
        obs, state, reward, terminated, _ = _step(env_id)(state, jnp.int32(action))
    return obs, state, float(reward), bool(terminated), bool(env.is_truncated(state, params))


@functools.cache
def _step(env_id):
    env, params = make(env_id)
    step = lambda state, action: env.step_env(jax.random.key(0), state, action, params)
    return jax.jit(step, compiler_options=quick())


def memory_states(count=64):
    """Return some first states of MemoryS8."""
    env, params = make(S8)
    reset = jax.jit(jax.vmap(env.reset_env, (0, None)), compiler_options=quick())
    _, states = reset(jax.random.split(jax.random.key(2), count), params)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], states) for i in range(count)]


def ruleset():
    """Return rules under which whoever stands beside a blue ball has won, and a red pyramid that was touched is one."""
    from xminigrid.core import constants, goals, rules
    from xminigrid.types import RuleSet

    tile = constants.TILES_REGISTRY
    ball = tile[constants.Tiles.BALL, constants.Colors.BLUE]
    pyramid = tile[constants.Tiles.PYRAMID, constants.Colors.RED]
    return RuleSet(
        goal=goals.AgentNearGoal(tile=ball).encode(),
        rules=rules.AgentNearRule(tile=pyramid, prod_tile=ball).encode()[None],
        init_tiles=jnp.stack([pyramid, tile[constants.Tiles.KEY, constants.Colors.GREEN]]),
    )


def pair(name):
    """Return (the environment here, that of the package, the parameters of that)."""
    kwargs = {"ruleset": ruleset()} if name.startswith("XLand") else {}
    if "Empty" in name:
        kwargs["max_steps"] = 20
    theirs, inner = package.make(name, **kwargs)
    return adapter.XMiniGrid(theirs, inner), theirs, inner


@pytest.mark.parametrize("name", CHOSEN)
def test_a_thousand_steps_are_those_of_the_package(name):
    """Ours as an agent steps it, with resets; theirs from its own reset with the same keys and actions."""
    env, theirs, inner = pair(name)
    params, start = env.default_params, jax.random.key(5)
    forward = jnp.arange(STEPS) % 3 < 1  # or nobody gets anywhere
    actions = jnp.where(forward, 0, jax.random.randint(jax.random.key(6), (STEPS,), 0, 6))
    keys = jax.random.split(jax.random.key(7), STEPS)

    @functools.partial(jax.jit, compiler_options=quick())
    def ours(actions, keys):
        def step(stream, inputs):
            action, key = inputs
            stream = episodes.advance(env, params, stream, action[None], key)
            return stream, stream.step

        first = episodes.start(env, params, start, 1)
        return first.step, jax.lax.scan(step, first, (actions, keys))[1]

    first, found = jax.tree.map(lambda leaf: np.asarray(leaf)[..., 0, :] if leaf.ndim > 3 else np.asarray(leaf), ours(actions, keys))
    reset = jax.jit(functools.partial(theirs.reset, inner), compiler_options=quick())
    step = jax.jit(functools.partial(theirs.step, inner), compiler_options=quick())
    timestep = reset(jax.random.split(start, 1)[0])
    ends, starts = {"terminated": 0, "truncated": 0, "paid": 0}, set()
    assert first.is_first.all()
    for index in range(STEPS):
        last = bool(timestep.last())
        if last:
            timestep = reset(jax.random.split(jax.random.split(keys[index])[1], 1)[0])
            starts.add(np.asarray(timestep.state.grid).tobytes() + np.asarray(timestep.state.agent.position).tobytes())
        else:
            timestep = step(timestep, actions[index])
        terminal = bool(timestep.last()) and float(timestep.discount) == 0
        now = jax.tree.map(lambda leaf, index=index: leaf[index], found)
        np.testing.assert_array_equal(now.obs.reshape(timestep.observation.shape), timestep.observation)
        assert now.reward == np.float32(timestep.reward) and now.is_first == last
        assert now.is_last == timestep.last() and now.is_terminal == terminal
        ends["terminated"] += terminal
        ends["truncated"] += bool(timestep.last()) and not terminal
        ends["paid"] += float(timestep.reward) > 0
    assert ends["terminated"] > 0 or ends["truncated"] > 0
    assert len(starts) > 1, "the next episode would be the same one again"
    if "Empty" in name:
        assert min(ends.values()) > 0, ends
