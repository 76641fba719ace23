"""gymnax's environments as this package plays them: step for step gymnax's own, but for what is mended."""

import functools

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

import envs
from envs import episodes
from envs.gymnax_suite import IDS, MASKED
from envs.observation import Binary, Categorical, observation_parts
from r2i_jit.compiling import quick

ROWS, STEPS = 4, 160
LATE = 6  # steps before the time limit at which half of the rows begin
make = functools.cache(lambda env_id: envs.make(f"gymnax/{env_id}"))
SLOW = ("Asterix-MinAtar", "Freeway-MinAtar", "Seaquest-MinAtar")  # compile for a quarter of a minute and more
EACH = [pytest.param(env_id, marks=[pytest.mark.slow] * (env_id in SLOW)) for env_id in IDS]


def random_actions(env, params, seed, shape):
    space = env.action_space(params)
    sample = jax.vmap(space.sample)(jax.random.split(jax.random.key(seed), int(np.prod(shape))))
    return sample.reshape(*shape, *space.shape)


@functools.cache
def played(env_id):
    """Return what ours and gymnax's own show of the same keys and actions; both reset where gymnax's own ends.

    Each is (first observation, observations, rewards, terminated, truncated, states); leading axes ROWS, STEPS.
    """
    env, params = make(env_id)
    both = env, env.raw

    def begin(one, key, late):
        obs, state = one.reset_env(key, params)
        return obs, state.replace(time=state.time + jnp.asarray(late, jnp.asarray(state.time).dtype))

    def episode(key, late, actions):
        fresh = [begin(one, key, late) for one in both]
        states = [jax.tree.map(jnp.asarray, state) for _, state in fresh]

        def step(states, inputs):
            key, action = inputs
            shown, after = [], []
            for one, state in zip(both, states, strict=True):
                obs, new, reward, terminated, _ = one.step_env(key, state, action, params)
                shown.append((obs, reward, terminated, one.is_truncated(new, params), new))
                after.append(new)
            over = shown[1][2] | shown[1][3]
            again = [begin(one, key, 0)[1] for one in both]
            pick = lambda new, old: jnp.where(over, new, old).astype(jnp.asarray(old).dtype)
            states = [jax.tree.map(pick, *pair) for pair in zip(again, after, strict=True)]
            return jax.tree.map(lambda new, old: new.astype(old.dtype), states, states), shown

        start = [jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), state) for state in states]
        return [obs for obs, _ in fresh], jax.lax.scan(step, start, (jax.random.split(key, STEPS), actions))[1]

    actions = random_actions(env, params, 0, (ROWS, STEPS))
    late = np.array([0, 0, 1, 1]) * max(0, env.max_episode_steps - LATE) * env.times_out
    program = jax.jit(jax.vmap(episode), compiler_options=quick())
    first, shown = jax.device_get(program(jax.random.split(jax.random.key(7), ROWS), late.astype(np.int32), actions))
    return [(obs, *rest) for obs, rest in zip(first, shown, strict=True)]


def test_every_id_of_gymnax_is_there_but_for_the_one_that_downloads():
    assert sorted(IDS) == sorted(set(gymnax.registered_envs) - {"MNISTBandit-bsuite"})
    found = {env_id for env_id in envs.registered() if env_id.startswith("gymnax/")}
    assert found == {f"gymnax/{env_id}" for env_id in (*IDS, *MASKED)}
    for env_id in (*IDS, *MASKED):
        env, params = make(env_id)
        assert env.name == env_id and env.reward_scale > 0
        assert isinstance(params.max_steps_in_episode, int) and params.max_steps_in_episode == env.max_episode_steps
    with pytest.raises(ValueError, match="^environment 'gymnax/MNISTBandit-bsuite' is left out: it downloads[^\n]*$"):
        envs.make("gymnax/MNISTBandit-bsuite")


@pytest.mark.heavy
@pytest.mark.parametrize("env_id", EACH)
def test_play_is_gymnaxs_own(env_id):
    ours, raw = played(env_id)
    env, _ = make(env_id)
    for name, mine, its in zip(("first", "observation", "reward", "terminated"), ours, raw, strict=False):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(ours[4], raw[4] & ~raw[3] & env.times_out)
    for mine, its in zip(jax.tree.leaves(ours[5]), jax.tree.leaves(raw[5]), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-5)
    assert (ours[3] | ours[4]).any()  # An end was seen,
    assert not env.times_out or ours[4].any()  # and where there is one, the time limit.


@pytest.mark.parametrize("env_id", EACH)
def test_spaces_hold_what_is_observed(env_id):
    env, params = make(env_id)
    space = env.observation_space(params)
    first, observations, rewards, *_ = played(env_id)[0]
    found = np.concatenate([first, observations.reshape(-1, *observations.shape[2:])])
    assert (found.shape[1:], found.dtype) == (space.shape, space.dtype)
    assert np.isfinite(found).all() and np.isfinite(rewards).all()
    if isinstance(space, spaces.Discrete):
        assert ((found >= 0) & (found < space.n)).all()
        return
    low, high = np.asarray(space.low), np.asarray(space.high)
    assert (found >= low).all() and (found <= high).all()
    assert not (np.abs([low.min(), high.max()]) == np.finfo(np.float32).max).any()
    flat, offset = found.reshape(len(found), -1), 0
    for part in observation_parts(env, params):
        entries = flat[:, offset : offset + part.entries]
        if isinstance(part, Binary | Categorical):
            assert ((entries == 0) | (entries == 1)).all()
        if isinstance(part, Categorical):
            assert (entries.reshape(len(flat), part.count, part.classes).sum(-1) == 1).all()
        offset += part.entries
    assert offset == flat.shape[1]


@pytest.mark.parametrize("env_id", (*IDS, *MASKED))
def test_shapes_and_types_are_the_same_after_a_reset_and_a_step(env_id):
    env, params = make(env_id)
    space = env.action_space(params)
    key, action = jax.random.key(0), jax.ShapeDtypeStruct(space.shape, space.dtype)

    def traced():
        obs, state = jax.eval_shape(env.reset, key, params)
        return (obs, state), jax.eval_shape(env.step, key, state, action, params)

    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        fresh, stepped = traced()
    assert stepped[:2] == fresh
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((fresh, stepped)))
    assert [(x.shape, x.dtype) for x in stepped[2:5]] == [((), jnp.float32), ((), jnp.bool_), ((), jnp.bool_)]
    with jax.enable_x64(True):
        wide = traced()
    assert jax.tree.map(lambda leaf: leaf.dtype, wide) == jax.tree.map(lambda leaf: leaf.dtype, (fresh, stepped))


@pytest.mark.heavy
@pytest.mark.parametrize("env_id", ["Pendulum-v1-Masked", "UmbrellaChain-bsuite", "MetaMaze-misc", "FrozenLake-misc"])
def test_one_key_one_episode_with_64_bits_too(env_id):
    env, params = make(env_id)
    actions = random_actions(env, params, 2, (8,))

    def episode(key, params):
        obs, state = env.reset_env(key, params)
        step = lambda state, inputs: env.step_env(inputs[0], state, inputs[1], params)[1::-1]
        state, shown = jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))
        return obs, state, shown

    narrow = jax.jit(episode)(jax.random.key(3), params)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        wide = jax.jit(episode)(jax.random.key(3), params)
    for one, other in zip(jax.tree.leaves(narrow), jax.tree.leaves(wide), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


# What is mended


def step(env_id, state, action, key=0, **changed):
    """Return what one step from a state with some fields changed returns."""
    env, params = make(env_id)
    state = state.replace(**{name: jnp.asarray(value, getattr(state, name).dtype) for name, value in changed.items()})
    return _one_step(env)(jax.random.key(key), state, action, params)


@functools.cache
def _one_step(env):
    return jax.jit(env.step_env, compiler_options=quick())


def fresh(env_id, key=0):
    env, params = make(env_id)
    return env.reset_env(jax.random.key(key), params)[1]


def test_the_left_wall_stops_the_continuous_car_and_the_goal_does_not():
    state = fresh("MountainCarContinuous-v0")
    _, wall, reward, terminated, _ = step("MountainCarContinuous-v0", state, [-1.0], position=-1.19, velocity=-0.07)
    assert (wall.position, wall.velocity, terminated) == (np.float32(-1.2), 0, False)
    np.testing.assert_allclose(reward, -0.1)
    _, back, reward, terminated, _ = step("MountainCarContinuous-v0", state, [-1.0], position=0.6, velocity=-0.05)
    assert back.position > 0.45 and back.velocity < 0 and not terminated and reward < 0
    env, params = make("MountainCarContinuous-v0")
    bad = env.raw.step_env(jax.random.key(0), state.replace(position=0.6, velocity=-0.05), jnp.array([-1.0]), params)
    assert bad[3] and bad[2] > 99  # What gymnax pays for rolling back over the goal.


@pytest.mark.parametrize("env_id", ["UmbrellaChain-bsuite", "BernoulliBandit-misc"])
def test_rewards_that_gymnax_counts_in_integers_are_floats(env_id):
    ours, raw = played(env_id)
    assert (ours[2].dtype, raw[2].dtype) == (np.float32, np.int32)


def test_observations_are_of_the_type_of_their_space():
    ours, raw = played("FourRooms-misc")
    assert (ours[1].dtype, raw[1].dtype) == (np.float32, np.int32)
    env, params = make("Catch-bsuite")
    assert env.observation_space(params).dtype == jnp.float32
    assert env.raw.observation_space(params).dtype == jnp.int32


@pytest.mark.parametrize("env_id", ["GaussianBandit-misc", "MemoryChain-bsuite", "MetaMaze-misc"])
def test_gymnaxs_own_space_does_not_hold_what_it_shows(env_id):
    env, params = make(env_id)
    space, (ours, _) = env.raw.observation_space(params), played(env_id)
    low, high = np.asarray(space.low), np.asarray(space.high)
    assert not ((ours[1] >= low).all() and (ours[1] <= high).all())


@pytest.mark.parametrize("env_id", ["CartPole-v1", "PointRobot-misc", "Reacher-misc", "Swimmer-misc"])
def test_no_bounds_are_called_infinite(env_id):
    env, params = make(env_id)
    space = env.observation_space(params)
    assert np.isinf(np.asarray(space.low)).any() and np.isinf(np.asarray(space.high)).any()
    assert np.isfinite(np.asarray(env.raw.observation_space(params).high)).all()


def test_spaces_say_no_more_than_there_is():
    high = lambda env_id: np.asarray(make(env_id)[0].observation_space(make(env_id)[1]).high)
    np.testing.assert_array_equal(high("DiscountingChain-bsuite"), [4, 1])
    np.testing.assert_array_equal(high("BernoulliBandit-misc"), [1, 1, 1, 1])
    assert high("Pong-misc") == 1 and make("Catch-bsuite")[0].max_episode_steps == 9
    for env_id in ("PointRobot-misc", "Reacher-misc", "Swimmer-misc"):
        env, params = make(env_id)
        space, raw = env.action_space(params), env.raw.action_space(params)
        assert np.ndim(space.low) == np.ndim(space.high) == 0
        np.testing.assert_array_equal(raw.low, np.float32(space.low))
        np.testing.assert_array_equal(raw.high, np.float32(space.high))


def test_the_end_of_the_sea_is_one_for_good():
    ours, raw = played("DeepSea-bsuite")
    assert (raw[3] & raw[4]).any() and not ours[4].any()
    np.testing.assert_array_equal(ours[3], raw[3])


@pytest.mark.parametrize(
    ("env_id", "setting", "value", "last"),
    [
        ("UmbrellaChain-bsuite", "chain_length", 100, 99),
        ("UmbrellaChain-bsuite", "chain_length", 150, 149),
        ("MemoryChain-bsuite", "memory_length", 999, 999),
        ("MemoryChain-bsuite", "memory_length", 2000, 2000),
    ],
)
def test_chains_of_any_length_end_with_their_reward(env_id, setting, value, last):
    env, params = make(env_id)
    params = params.replace(**{setting: value})
    state = env.reset_env(jax.random.key(0), params)[1]
    before = _one_step(env)(jax.random.key(0), state.replace(time=jnp.int32(last - 1)), 1, params)
    assert not before[3] and not env.is_truncated(before[1], params)
    _, after, reward, terminated, _ = _one_step(env)(jax.random.key(0), before[1], 1, params)
    assert terminated and abs(reward) == 1 and not env.is_truncated(after, params)


def test_the_clock_of_the_chains_ends_at_0():
    for env_id, entry in (("UmbrellaChain-bsuite", 2), ("MemoryChain-bsuite", 0)):
        ours, _ = played(env_id)
        assert (ours[1][ours[3]][:, entry] == 0).all()


def test_the_maze_shows_a_time_of_unit_size():
    env, params = make("MetaMaze-misc")
    assert params.normalize_time and not env.raw.default_params.normalize_time
    ours, _ = played("MetaMaze-misc")
    assert ours[1][..., -1].max() == 3 and ours[1][..., -1].min() > -1


def test_an_action_that_is_in_no_space_is_the_nearest_one_inside():
    for env_id, wrong, right in (
        ("Acrobot-v1", -7, 0),
        ("MountainCar-v0", 9, 2),
        ("CartPole-v1", np.float32(np.inf), 1),
        ("Pendulum-v1", np.float32([-1e30]), np.float32([-2])),
        ("MountainCarContinuous-v0", np.float32([np.nan]), np.float32([0])),
    ):
        state = fresh(env_id)
        for one, other in zip(
            jax.tree.leaves(step(env_id, state, wrong)), jax.tree.leaves(step(env_id, state, right)), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_the_step_of_gymnax_begins_the_next_episode():
    env, params = make("MountainCar-v0")
    state = fresh("MountainCar-v0").replace(time=jnp.int32(199))
    obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 1, params)
    assert truncated and not terminated and state.time == 0 and reward == -1
    assert obs[1] == 0 and info["final_observation"][1] != 0


# Masked


@pytest.mark.parametrize("env_id", MASKED)
def test_masked_games_are_the_plain_ones_without_the_velocities(env_id):
    (masked, params), (plain, _) = make(env_id), make(env_id.removesuffix("-Masked"))
    left = {"CartPole-v1": [0, 2], "Pendulum-v1": [0, 1], "Acrobot-v1": [0, 1, 2, 3]}.get(plain.name, [0])
    key = jax.random.key(3)
    (obs, state), (whole, full) = masked.reset_env(key, params), plain.reset_env(key, params)
    for number, action in enumerate(random_actions(plain, params, 1, (5,))):
        np.testing.assert_array_equal(obs, whole[jnp.array(left)])
        assert all(map(np.array_equal, jax.tree.leaves(state), jax.tree.leaves(full)))
        step_key = jax.random.fold_in(key, number)
        obs, state, *rest = _one_step(masked)(step_key, state, action, params)
        whole, full, *others = _one_step(plain)(step_key, full, action, params)
        assert all(map(np.array_equal, jax.tree.leaves(rest), jax.tree.leaves(others)))
    space = masked.observation_space(params)
    assert space.shape == obs.shape == (len(left),) and sum(
        p.entries for p in observation_parts(masked, params)
    ) == len(left)
    assert (masked.reward_scale, masked.max_episode_steps) == (plain.reward_scale, plain.max_episode_steps)
    velocity = "moving" if "Cart" in env_id or "Car" in env_id else "turning"
    assert velocity in plain.render(state, params) and velocity in masked.render(state, params, hidden=True)
    assert velocity not in masked.render(state, params)


# As text


@pytest.mark.parametrize("env_id", EACH)
def test_states_are_shown_as_text_where_there_is_a_picture(env_id):
    env, params = make(env_id)
    if not hasattr(env, "render"):
        assert env_id in (
            "MemoryChain-bsuite",
            "UmbrellaChain-bsuite",
            "DiscountingChain-bsuite",
            "SimpleBandit-bsuite",
        ) or (
            env_id.endswith("-misc")
            and env_id.partition("-")[0] in ("BernoulliBandit", "GaussianBandit", "PointRobot", "Reacher", "Swimmer")
        )
        return
    state = jax.tree.map(np.asarray, fresh(env_id))
    shown, hidden = env.render(state, params), env.render(state, params, hidden=True)
    assert shown.strip() and shown.isascii() and max(map(len, shown.split("\n"))) < 100
    assert (shown != hidden) == (env_id in ("MetaMaze-misc", "DeepSea-bsuite"))
    if env.action_names:
        assert len(env.action_names) == env.num_actions


def test_pictures_show_what_there_is():
    env, params = make("Pendulum-v1")
    state = fresh("Pendulum-v1")
    upright = env.render(state.replace(theta=jnp.float32(0)), params).split("\n")
    assert upright[0].strip() == "*" and "+0.0 degrees" in upright[-1]
    assert env.render(state.replace(theta=jnp.float32(np.pi)), params).split("\n")[10].strip() == "*"
    env, params = make("MountainCar-v0")
    rows = env.render(fresh("MountainCar-v0").replace(position=jnp.float32(-1.2)), params).split("\n")
    assert any(row.startswith("#") for row in rows)
    env, params = make("FrozenLake-misc")
    assert env.render(fresh("FrozenLake-misc"), params) == "A...\n.O.O\n...O\nO..G"
    env, params = make("FourRooms-misc")
    rows = env.render(fresh("FourRooms-misc"), params).split("\n")
    assert rows[4][1] == "A" and rows[8][9] == "G" and rows[0] == "#" * 13


def test_the_streams_of_an_agent_begin_anew_after_an_end():
    """Nine steps are an episode of Catch; the one after them is the first one of the next, from the top."""
    env, params = make("Catch-bsuite")
    stream = jax.jit(lambda key: episodes.start(env, params, key, 8))(jax.random.key(0))
    advance = jax.jit(lambda stream, key: episodes.advance(env, params, stream, jnp.ones(8, jnp.int32), key))
    balls = set()
    for number in range(1, 31):
        stream = advance(stream, jax.random.key(number))
        first, last = number % 10 == 0, number % 10 == 9
        assert (stream.step.is_first == first).all() and (stream.step.is_last == last).all()
        assert (stream.step.is_terminal == last).all() and (jnp.abs(stream.step.reward) == last).all()
        if first:
            assert (stream.step.obs[:, 0].sum(-1) == 1).all() and (stream.step.obs[:, -1, 2] == 1).all()
            balls.add(tuple(np.asarray(stream.env_state.ball_x).tolist()))
    assert len(balls) == 3  # Drawn anew each time.
