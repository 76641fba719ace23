"""XLand-MiniGrid's environments: what the adapter returns is what the package does. About a minute."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import episodes, xminigrid
from envs.observation import Categorical, observation_leaves, observation_parts
from experiments import presets
from experiments.oracles import oracles
from experiments.oracles import xminigrid as memory
from experiments.running.references import references
from r2i_jit.compiling import quick
from r2i_jit.observations import check_environment, flatten_observation

package = pytest.importorskip("xminigrid")
adapter = pytest.importorskip("envs.adapters.xminigrid")

S8 = "xminigrid/MiniGrid-MemoryS8"
STEPS = 1000
# One with a step of its own, one of the others, and XLand with a ruleset made here.
CHOSEN = ("MiniGrid-MemoryS8", "MiniGrid-EmptyRandom-5x5", "XLand-MiniGrid-R1-9x9")
_OTHER_SIZES = ("6x6", "8x8", "11x11", "13x13", "15x15", "17x17", "19x19")
KINDS = [name for name in xminigrid.NAMES if not name.endswith(_OTHER_SIZES)]
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


@pytest.mark.parametrize("name", [CHOSEN[0], *(pytest.param(name, marks=pytest.mark.heavy) for name in CHOSEN[1:])])
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

    first, found = jax.device_get(ours(actions, keys))
    found = jax.tree.map(lambda leaf: leaf[:, 0], found)  # of the one environment
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
        np.testing.assert_array_equal(now.obs, timestep.observation)
        np.testing.assert_allclose(now.reward, timestep.reward, rtol=1e-6)  # Compiled alone it is rounded otherwise.
        assert now.is_first == last
        assert (now.is_last, now.is_terminal) == (timestep.last(), terminal)
        ends["terminated"] += terminal
        ends["truncated"] += bool(timestep.last()) and not terminal
        ends["paid"] += float(timestep.reward) > 0
    assert ends["terminated"] > 0 or ends["truncated"] > 0
    assert len(starts) > 1, "the next episode would be the same one again"
    if "Empty" in name:
        assert min(ends.values()) > 0, ends


def test_the_ids_are_those_of_the_package():
    ours = [env_id.partition("/")[2] for env_id in envs.registered() if env_id.startswith("xminigrid/")]
    assert sorted(ours) == sorted(package.registered_environments()) == sorted(xminigrid.NAMES) and len(ours) == 44


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_keeps_its_word(name):
    env, params = make(f"xminigrid/{name}")
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        check_environment(env, params, observation_leaves(env, params))
    limit = package.make(name)[1].max_steps
    assert params.max_steps_in_episode == env.max_episode_steps == limit and params == env.default_params
    assert (env.name, env.reward_scale) == (name, 1.0)


def test_the_names_of_tiles_and_colours_are_those_of_the_package():
    from xminigrid.core import constants

    kinds = [constants.Tiles.__dataclass_fields__, constants.Colors.__dataclass_fields__]
    theirs, shades = ({field.default: name for name, field in fields.items()} for fields in kinds)
    words = [" ".join(reversed(theirs[i].lower().split("_"))) for i in range(constants.NUM_TILES)]
    assert [{"hex": "hexagon"}.get(word, word) for word in words] == list(xminigrid.TILES)
    assert [shades[i].lower() for i in range(constants.NUM_COLORS)][1:] == list(xminigrid.COLORS)[1:]
    assert len({adapter._SYMBOLS[i] for i in range(13)}) == 13 and len(set(adapter._SHADES)) == 12


def near(state):
    """Return the state with the agent at the corridor's end, looking up."""
    agent = state.inner.agent.replace(position=jnp.array([3, 6]), direction=jnp.array(0))
    return state.replace(inner=state.inner.replace(agent=agent))


def test_the_right_choice_pays_and_the_wrong_one_ends_the_game_too():
    seen = set()
    for state in memory_states(16):
        up = np.asarray(state.inner.grid[1, 6, 0]) == state.inner.grid[2, 1, 0]
        for actions, right in (((0,), up), ((1, 1, 0), not up)):
            *_, reward, terminated, truncated = stepped(S8, near(state), *actions)
            assert terminated and not truncated
            assert reward == pytest.approx(1 - 0.9 * len(actions) / 320 if right else 0, abs=1e-6)
            seen.add((len(actions), bool(right)))
    assert len(seen) == 4


def test_time_ends_an_episode_as_a_truncation_unless_the_last_step_won():
    for state in memory_states(2):
        late = state.replace(time=jnp.int32(318), inner=state.inner.replace(step_num=jnp.array(318)))
        _, after, reward, terminated, truncated = stepped(S8, late, 4)
        assert (reward, terminated, truncated) == (0, False, False)
        assert stepped(S8, after, 4)[2:] == (0, False, True)
        won = [stepped(S8, near(after), 0)[2:], stepped(S8, near(after), 1)[2:]]
        assert won[0][1:] == (True, False) and won[1] == (0, False, True)


def test_a_lower_limit_cuts_an_episode_off_earlier():
    env, params = make(S8)
    (state,) = memory_states(1)
    short = params.replace(max_steps_in_episode=2)
    state = stepped(S8, state, 4)[1]
    assert not env.is_truncated(state, short)
    state = stepped(S8, state, 4)[1]
    assert env.is_truncated(state, short) and not env.is_truncated(state, params)


@pytest.mark.parametrize("name", ["MiniGrid-MemoryS8", "MiniGrid-Playground"])
def test_what_an_agent_sees_of_a_tile_is_its_kind_and_its_colour(name):
    env, params = make(f"xminigrid/{name}")
    obs, state = jax.jit(env.reset_env, compiler_options=quick())(jax.random.key(1), params)
    parts = observation_parts(env, params)
    assert parts == (Categorical(13, one_hot=False), Categorical(12, one_hot=False)) * (obs.size // 2)
    flat = np.asarray(flatten_observation(parts, obs.ravel()))
    expected = [np.eye(n, dtype=np.float32)[number] for number, n in zip(obs.ravel(), itertools.cycle((13, 12)))]
    np.testing.assert_array_equal(flat, np.concatenate(expected))
    assert env.observation_space(params).contains(obs)
    np.testing.assert_array_equal(env.observe(jax.random.key(0), state, None, params), obs)


def test_a_batch_is_as_many_single_ones():
    env, params = make(S8)
    states = memory_states(8)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    batch = jax.jit(jax.vmap(lambda state, action: env.step_env(jax.random.key(0), state, action, params)[:4]))
    together = batch(stacked, jnp.arange(8) % 3)
    for number, state in enumerate(states):
        obs, _, reward, terminated, _ = stepped(S8, state, number % 3)
        np.testing.assert_array_equal(together[0][number], obs)
        assert (together[2][number], together[3][number]) == (reward, terminated)


def test_no_step_begins_the_next_episode_by_itself():
    for state in memory_states(4):
        _, after, *_ = stepped(S8, near(state), 0)
        assert after.time == 1 and after.inner.step_num == 1
        np.testing.assert_array_equal(after.inner.grid, state.inner.grid)
        assert list(after.inner.agent.position) == [2, 6]


def test_actions_of_no_space_are_the_nearest_ones():
    (state,) = memory_states(1)
    for action, inside in ((-7, 0), (99, 5)):
        jax.tree.map(np.testing.assert_array_equal, stepped(S8, state, action), stepped(S8, state, inside))


def test_a_state_is_shown_as_text():
    env, params = make(S8)
    state = near(memory_states(1)[0])
    shown = env.render(state, params).split("\n")
    assert shown[0].startswith("step 0") and len(shown) == 4 and shown[3] == ". ^ ##"
    lines = env.render(state, params, hidden=True).split("\n")
    assert lines[: len(shown)] == shown and lines[4] == "carries nothing" and len(lines) == 5 + 7
    assert lines[5] == "##" * 8 and lines[5 + 3].endswith(". ^ ##")
    cue, upper, lower = lines[5 + 2][2:4], lines[5 + 1][12:14], lines[5 + 5][12:14]
    assert {upper, lower} == {"Bg", "Kg"} and cue in (upper, lower)
    pocket = state.inner.agent.replace(pocket=jnp.array([7, 5], jnp.uint8))
    assert "carries yellow key" in env.render(state.replace(inner=state.inner.replace(agent=pocket)), params, True)


def fewest_steps():
    """Return the steps of the best play of MemoryS8 that always succeeds, mean over starts, by value iteration.

    States are place, direction and what is known: the cue, the upper object, and, from both, which side is right.
    """
    grid = np.asarray(memory_states(1)[0].inner.grid[..., 0])
    clear = {tuple(place) for place in np.argwhere(np.isin(grid, [1])).tolist()}
    sides, moves = ((2, 6), (4, 6)), ((-1, 0), (0, 1), (1, 0), (0, -1))
    objects = {(2, 1): 0, (1, 6): 1, (5, 6): 1}

    def look(place, direction, known):
        """Return the equally likely states of knowledge after a look from a place."""
        (y, x), (dy, dx) = place, moves[direction]
        tiles = itertools.product(range(3), range(-1, 2))
        seen = {objects.get((y + dy * ahead - dx * side, x + dx * ahead + dy * side)) for ahead, side in tiles}
        cue, upper, up = known[0] or 0 in seen, known[1] or 1 in seen, known[2]
        return [(cue, upper, up)] if up is not None or not (cue and upper) else [(True, True, u) for u in (True, False)]

    def after(place, direction, known):
        options = look(place, direction, known)
        return sum(value[place, direction, option] for option in options) / len(options)

    beliefs = [(False, False, None), (True, False, None), (False, True, None), (True, True, True), (True, True, False)]
    states = [state for state in itertools.product(clear - set(sides), range(4), beliefs)]
    value = dict.fromkeys(states, 0.0)
    while True:
        new = {}
        for place, direction, known in states:
            ahead = tuple(np.add(place, moves[direction]).tolist())
            if ahead in sides:
                forward = 0.0 if known[2] is not None and known[2] == (ahead == sides[0]) else 1000.0
            else:
                forward = after(ahead if ahead in clear else place, direction, known)
            turns = [after(place, (direction + turn) % 4, known) for turn in (1, -1)]
            new[place, direction, known] = 1 + min(forward, *turns)
        if all(abs(new[state] - value[state]) < 1e-9 for state in states):
            return np.mean([after((3, x), 1, beliefs[0]) for x in range(1, 6)])
        value = new


@pytest.mark.heavy
def test_the_player_of_the_memory_games_is_as_fast_as_can_be():
    """Each start, cue and side is as likely as the others: the mean is exact where all occur equally often."""
    steps = fewest_steps()
    assert steps == pytest.approx(9.8)
    (player,) = oracles(S8)
    returns, lengths = player.play(S8, jax.random.key(3), 512)
    assert abs(lengths.mean() - steps) < 4 * lengths.std() / 512**0.5
    np.testing.assert_allclose(returns, 1 - 0.9 * lengths / 320, rtol=1e-6)
    known = references(S8)
    assert known["best"]["mean"] == pytest.approx(1 - 0.9 * steps / 320, abs=1e-4)
    assert known["random"]["mean"] < 0.5 < returns.min()
    assert {f"xminigrid/{name}" for name in memory.ORACLES} == {name for name in envs.registered() if "-Memory" in name}


def test_the_player_takes_observations_as_an_agent_has_them():
    """In one row: so it can be recorded."""
    env, params = make(S8)
    (player,) = oracles(S8)
    obs, _ = env.reset_env(jax.random.key(3), params)
    start, key = player.start(env, params), jax.random.key(0)
    chosen = [player.act(env, params, start, seen, None, key) for seen in (obs, obs.reshape(-1))]
    assert jax.tree.all(jax.tree.map(np.array_equal, *chosen))


def test_an_agent_gets_a_configuration_by_rule():
    config = presets.preset("xminigrid")
    assert config.env == S8 and config.replay.sequence_length == 256
    assert presets.default_steps(config, "tiny") == 9_000_000
    assert presets.preset("xminigrid", env="xminigrid/MiniGrid-Empty-5x5").replay.sequence_length == 101


def test_wrappers_of_the_package_and_missing_limits_are_refused():
    from xminigrid.wrappers import DirectionObservationWrapper

    env, params = package.make("MiniGrid-Empty-5x5")
    with pytest.raises(ValueError, match="should be a number of steps"):
        adapter.XMiniGrid(env, params.replace(max_steps=None))
    with pytest.raises(ValueError, match=r"should be \(side, side, 2\)"):
        adapter.XMiniGrid(DirectionObservationWrapper(env), params)
