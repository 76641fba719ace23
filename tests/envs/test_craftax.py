"""Craftax's environments: what the adapter returns is what the package does. A few minutes, nearly all to compile."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import craftax, episodes, extras
from envs.observation import Binary, Categorical, Continuous, Image, observation_leaves
from envs.tally import Tally
from experiments.presets import craftax as presets
from r2i_jit.compiling import quick
from r2i_jit.observations import check_environment

pytest.importorskip("craftax")
adapter = pytest.importorskip("envs.adapters.craftax")

SYMBOLIC = "craftax/Classic-Symbolic"
ROWS, STEPS = 8, 300  # more rows than `reset_block`
LIMIT = 40
make = functools.cache(envs.make)


def package(name):
    """Return an environment of the package itself, and its parameters."""
    from craftax.craftax_env import make_craftax_env_from_name

    env = make_craftax_env_from_name(f"Craftax-{name}-v1", auto_reset=False)
    return env, env.default_params


@pytest.fixture(scope="module")
def ours():
    """Return a compiled `advance` of ROWS environments with sums of what they count: (limit, stream, actions, key)."""
    env, params = make(SYMBOLIC)
    step = lambda limit, *args: episodes.advance(Tally(env), params.replace(max_steps_in_episode=limit), *args)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        return jax.jit(step, compiler_options=quick()).lower(jnp.int32(LIMIT), empty(), actions(), key()).compile()


@pytest.fixture(scope="module")
def theirs():
    """Return a compiled function of ROWS environments, which resets those whose last step was final and steps others.

    (limit, states, whose last step was final, actions, key) -> what `reset_env` returned and what `step_env` did.
    """
    env, params = package("Classic-Symbolic")

    def step(limit, states, actions, key):
        inner = params.replace(max_timesteps=limit)
        stepping, resetting = (jax.random.split(half, ROWS) for half in jax.random.split(key))
        reset = jax.vmap(env.reset_env, (0, None))(resetting, inner)
        return reset, jax.vmap(env.step_env, (0, 0, 0, None))(stepping, states, actions, inner)

    return jax.jit(step, compiler_options=quick())


def key():
    return jax.random.key(5)


def actions():
    return jnp.zeros(ROWS, jnp.int32)


def empty():
    """Return ROWS environments whose next step begins an episode each."""
    env, params = make(SYMBOLIC)
    shapes = jax.eval_shape(lambda: episodes.start(Tally(env), params, key(), ROWS))
    stream = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return stream._replace(step=stream.step._replace(is_last=jnp.ones(ROWS, bool)))


def with_state(stream, **changes):
    """Return environments with other fields in their states."""
    inner = stream.env_state.inner
    changes = {name: jnp.asarray(value, getattr(inner, name).dtype) for name, value in changes.items()}
    return stream._replace(env_state=stream.env_state.replace(inner=inner.replace(**changes)))


def one(state, row):
    """Return the state of one of ROWS environments, on the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[row], state)


@pytest.fixture(scope="module")
def begun(ours):
    """Return ROWS environments at the first step of an episode."""
    return ours(jnp.int32(10_000), empty(), actions(), key())


class Run:
    """What both did, step by step, from the same keys and actions; some players were hurt and hungry at the start."""

    def __init__(self, ours, theirs, begun):
        hurt = np.where(np.arange(ROWS) % 2 == 0, 1, 9)
        stream = with_state(begun, player_health=hurt, player_food=0 * hurt, timestep=3 * np.arange(ROWS))
        # Ours has the key as numbers.
        keys = jax.vmap(jax.random.wrap_key_data)(stream.env_state.inner.state_rng)
        states, last = stream.env_state.inner.replace(state_rng=keys), np.zeros(ROWS, bool)
        self.ours, self.theirs, limit = [], [], jnp.int32(LIMIT)
        for number in range(STEPS):
            acting, stepping = jax.random.split(jax.random.fold_in(jax.random.key(6), number))
            chosen = jax.random.randint(acting, (ROWS,), 0, 17)
            stream = ours(limit, stream, chosen, stepping)
            reset, step = theirs(limit, states, chosen, stepping)
            pick = functools.partial(jax.vmap(jnp.where), jnp.asarray(last))
            states = jax.tree.map(pick, reset[1], step[1])
            obs, reward = pick(reset[0], step[0]), np.where(last, 0, step[2])
            self.ours.append(jax.device_get(stream))
            dead = np.asarray(states.player_health <= 0)
            found = (obs, reward, last, np.asarray(step[3]) & ~last, dead, states, step[4])
            self.theirs.append(jax.device_get(found[:5]) + found[5:])
            last = found[3]


@pytest.fixture(scope="module")
def run(ours, theirs, begun):
    return Run(ours, theirs, begun)


def test_hundreds_of_steps_are_those_of_the_package(run):
    """Ours as an agent steps it, with resets; theirs from its own reset with the same keys and actions."""
    ends = {"terminated": 0, "truncated": 0, "rewarded": 0}
    for now, (obs, reward, first, done, dead, states, _) in zip(run.ours, run.theirs, strict=True):
        np.testing.assert_array_equal(now.step.obs, obs)
        np.testing.assert_array_equal(now.step.reward, reward)
        np.testing.assert_array_equal(now.step.is_first, first)
        np.testing.assert_array_equal(now.step.is_last, done)
        np.testing.assert_array_equal(now.step.is_terminal, done & dead)
        mine, other = now.env_state.inner, states.replace(state_rng=jax.random.key_data(states.state_rng))
        jax.tree.map(np.testing.assert_array_equal, mine, jax.device_get(other))
        ends["terminated"] += now.step.is_terminal.sum()
        ends["truncated"] += (now.step.is_last & ~now.step.is_terminal).sum()
        ends["rewarded"] += (now.step.reward != 0).sum()
    assert min(ends.values()) > 3, ends


def test_every_episode_is_in_a_world_of_its_own(run):
    worlds = [
        now.env_state.inner.map[row].tobytes() for now in run.ours for row in np.flatnonzero(now.step.is_first).tolist()
    ]
    assert len(set(worlds)) == len(worlds) > 20


def test_what_an_episode_achieved_is_counted_at_its_end(run):
    """`--log-episodes` writes the sums."""
    words, seen = sys.modules["craftax.craftax_classic.constants"].Achievement, set()
    for now, (*_, done, _, _, info) in zip(run.ours, run.theirs, strict=True):
        sums, made = now.env_state.sums, now.env_state.inner.achievements
        assert set(sums) == set(info) - {"discount"} and len(sums) == 23
        for kind in words:
            found = sums[f"Achievements/{kind.name.lower()}"]
            np.testing.assert_array_equal(found, np.where(done, 100.0 * made[:, kind.value], 0))
            np.testing.assert_array_equal(found[done], info[f"Achievements/{kind.name.lower()}"][done])
            seen |= {kind} if found.any() else set()
    assert len(seen) > 3, seen


def assert_parts(parts, observations):
    """Check that observations (N, D) are what parts say."""
    offset = 0
    for part in parts:
        entries, offset = observations[:, offset : offset + part.entries], offset + part.entries
        if not isinstance(part, Continuous):
            assert np.isin(entries, (0, 1)).all(), f"{part} before {offset}"
        if isinstance(part, Categorical):
            assert (entries.sum(1) == 1).all(), f"{part} before {offset}"
    assert offset == observations.shape[1]


def test_observations_are_what_their_parts_say(run):
    env, params = make(SYMBOLIC)
    parts, space = env.observation_parts(params), env.observation_space(params)
    assert parts[:2] == (Categorical(17), Binary(4)) and len(parts) == 2 * 63 + 4
    seen = np.concatenate([now.step.obs for now in run.ours])
    assert seen.min() >= 0 and seen.max() <= 1 and space.contains(seen[0])
    assert_parts(parts, seen)


@functools.cache
def shapes_of(env):
    return jax.eval_shape(lambda: env.reset_env(jax.random.key(0), env.default_params)[1])


def any_state(env, seed):
    """Return a state of whatever numbers fit its fields, whether or not they can be met in a game."""
    rng, words = np.random.default_rng(seed), env._words
    below = {
        ".map": len(words.BlockType),
        ".item_map": 5,
        ".inventory.bow": 2,
        ".inventory.armour": 3,
        ".inventory.books": 3,
        ".player_level": 9,
        "enchantment": 3,
        "position": 48,
        "type_id": 8,
    }

    def leaf(path, shape):
        path = jax.tree_util.keystr(path)
        if "player_direction" in path:
            return rng.integers(1, 5, shape.shape).astype(shape.dtype)
        if np.issubdtype(shape.dtype, np.bool_):
            return rng.random(shape.shape) < 0.5
        if np.issubdtype(shape.dtype, np.floating):
            return (rng.random(shape.shape) * (0.1 if "light_map" in path else 0.99)).astype(shape.dtype)
        high = next((number for name, number in below.items() if name in path), 10)
        return rng.integers(0, high, shape.shape).astype(shape.dtype)

    return jax.tree_util.tree_map_with_path(leaf, shapes_of(env))


@pytest.mark.parametrize("name", ["Classic-Symbolic", "Symbolic"])
def test_parts_hold_whatever_the_state(name):
    env, params = make(f"craftax/{name}")
    states = [any_state(env, seed) for seed in range(64)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    observe = jax.jit(jax.vmap(lambda state: env.observe(None, state, None, params)), compiler_options=quick())
    observations, parts = np.asarray(observe(stacked)), env.observation_parts(params)
    assert_parts(parts, observations)
    ends = np.cumsum([part.entries for part in parts])
    for part, end in zip(parts, ends, strict=True):
        bits = np.isin(observations[:, end - part.entries : end], (0, 1)).all(0)
        assert not isinstance(part, Continuous) or not bits.any(), f"a bit among {part} before {end}"


def test_entries_of_an_observation_are_where_the_parts_have_them():
    """One thing of a state is changed, and one part of the observation with it."""
    env, params = make("craftax/Symbolic")
    observe = jax.jit(lambda state: env.observe(None, state, None, params), compiler_options=quick())
    state = any_state(env, 1)
    ends = np.cumsum([part.entries for part in env.observation_parts(params)])

    def changed(**fields):
        entries = np.flatnonzero(np.asarray(observe(state)) != np.asarray(observe(state.replace(**fields))))
        return sorted(set(np.searchsorted(ends, entries, "right").tolist()))

    bag = state.inventory
    assert changed(inventory=bag.replace(wood=np.int32(50), books=np.int32(1))) == [1]
    assert changed(sword_enchantment=(state.sword_enchantment + 1) % 3) == [1]
    assert changed(inventory=bag.replace(bow=1 - bag.bow)) == [2]
    assert changed(inventory=bag.replace(potions=bag.potions + 7), player_xp=np.int32(44)) == [3]
    assert changed(player_direction=state.player_direction % 4 + 1) == [4]
    assert changed(armour_enchantments=(state.armour_enchantments + 1) % 3, light_level=np.float32(0.5)) == [5]
    assert changed(is_resting=~state.is_resting, learned_spells=~state.learned_spells) == [6]
    assert changed(light_map=np.zeros_like(state.light_map)) == [0]


def test_time_ends_an_episode_as_a_truncation_and_death_as_a_termination(ours, begun):
    """Also both at once: dead, and terminated only."""
    hurt = np.arange(ROWS) % 2 == 0
    late = with_state(
        begun,
        timestep=np.where(np.arange(ROWS) < 4, LIMIT - 1, LIMIT - 2),
        player_health=np.where(hurt, 1, 9),
        player_food=np.zeros(ROWS),
        player_recover=np.where(hurt, -100, 0),
    )
    after = ours(jnp.int32(LIMIT), late, actions(), jax.random.key(7))
    np.testing.assert_array_equal(after.env_state.inner.player_health <= 0, hurt)
    np.testing.assert_array_equal(after.step.is_terminal, hurt)
    np.testing.assert_array_equal(after.step.is_last, hurt | (np.arange(ROWS) < 4))
    np.testing.assert_allclose(after.step.reward, np.where(hurt, -0.1, 0), atol=1e-6)
    env, params = make(SYMBOLIC)
    params = params.replace(max_steps_in_episode=LIMIT)
    for row in range(ROWS):
        state = one(after.env_state.inner, row)
        assert bool(env.is_terminated(state, params)) == hurt[row]
        assert bool(env.is_truncated(state, params)) == (row < 4 and not hurt[row])
        # A higher limit cuts nothing off.
        assert not env.is_truncated(state, params.replace(max_steps_in_episode=LIMIT + 1))
        np.testing.assert_array_equal(env.observe(None, state, None, params), after.step.obs[row])


def test_actions_of_no_space_are_the_nearest_ones(ours, begun):
    step = lambda action: ours(jnp.int32(LIMIT), begun, actions() + jnp.int32(action), key())
    for action, inside in ((-7, 0), (99, 16)):
        jax.tree.map(np.testing.assert_array_equal, step(action), step(inside))


def test_the_ids_are_those_of_the_package():
    from craftax.craftax_env import make_craftax_env_from_name

    ours = {env_id for env_id in envs.registered() if env_id.startswith("craftax/")}
    assert ours == {f"craftax/{name}" for name in craftax.NAMES} and len(ours) == 4
    with pytest.raises(ValueError, match="Unknown craftax environment"):
        make_craftax_env_from_name("Craftax-Other-v1", auto_reset=False)
    import inspect

    text = inspect.getsource(make_craftax_env_from_name)
    assert {f'"Craftax-{name}-v1"' in text for name in craftax.NAMES} == {True}


@pytest.fixture
def plain_textures(monkeypatch):
    """Draw everything in one colour: textures take minutes to read for the first time, and are saved in the package."""
    from craftax.craftax.envs import craftax_pixels_env as full
    from craftax.craftax_classic.envs import craftax_pixels_env as classic

    def renderer(height, width):
        colour = jnp.array([0.0, 254.6, 127.4])
        return lambda size: lambda state: jnp.broadcast_to(colour + state.light_level * 0, (height, width, 3))

    monkeypatch.setattr(classic, "make_craftax_pixel_renderer", renderer(63, 63))
    monkeypatch.setattr(full, "make_craftax_pixel_renderer", renderer(130, 110))


@pytest.mark.parametrize("name", craftax.NAMES)
def test_every_one_keeps_its_word(name, plain_textures):
    env, params = envs.make(f"craftax/{name}")
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        check_environment(env, params, observation_leaves(env, params))
    inner, theirs = package(name)
    assert params.max_steps_in_episode == env.max_episode_steps == theirs.max_timesteps and params == env.default_params
    assert (env.name, env.reward_scale, env.reset_block) == (name, 1.0, 4)
    assert env.action_space(params).n == env.num_actions == len(env.action_names) == inner.num_actions
    assert env.action_names[:6] == ("noop", "left", "right", "up", "down", "do")
    assert env.observation_space(params).shape == inner.observation_space(theirs).shape


@pytest.mark.parametrize(("name", "shape"), [("Classic-Pixels", (63, 63, 3)), ("Pixels", (130, 110, 3))])
def test_pixels_are_bytes(name, shape, plain_textures):
    env, params = envs.make(f"craftax/{name}")
    assert env.observation_parts(params) == (Image(shape),)
    obs = env.observe(None, any_state(env, 0), None, params)
    assert obs.dtype == jnp.uint8 and obs.shape == shape and env.observation_space(params).contains(obs)
    assert obs[0, 0].tolist() == [0, 255, 127]
    shapes = jax.eval_shape(lambda key: env.reset_env(key, params)[0], jax.random.key(0))
    assert (shapes.dtype, shapes.shape) == (jnp.uint8, shape)


@pytest.mark.slow
def test_pictures_are_the_packages():
    env, params = make("craftax/Classic-Pixels")
    for seed in range(4):
        state = any_state(env, seed)
        theirs = np.asarray(env.env.get_obs(jax.tree.map(jnp.asarray, state)))
        obs = np.asarray(env.observe(None, state, None, params))
        assert len(np.unique(obs)) > 50
        np.testing.assert_allclose(obs / 255.0, theirs, atol=0.51 / 255)


def test_a_state_is_shown_as_text(begun):
    env, params = make(SYMBOLIC)
    state = one(begun.env_state.inner, 0)
    shown = env.render(state, params).split("\n")
    assert shown[0] == "step 0, daylight 0.8" and len(shown) == 1 + 7 + 2
    assert shown[4][8:10] == ".^" and shown[-2:] == ["health 9, food 9, drink 9, energy 9", "carries nothing"]
    lines = env.render(state, params, hidden=True).split("\n")
    assert lines[: len(shown)] == shown and lines[len(shown)] == "achieved nothing"
    assert len(lines) == len(shown) + 1 + 64 and lines[len(shown) + 1 + 32][32] == "^"
    cows = state.cows.replace(position=np.array([[31, 33], [0, 0], [0, 0]]), mask=np.array([True, False, False]))
    bag = state.inventory.replace(wood=np.int32(3), stone_pickaxe=np.int32(1))
    later = state.replace(
        cows=cows,
        inventory=bag,
        is_sleeping=np.array(True),
        achievements=np.arange(22) == 0,
        player_direction=np.int32(1),
    )
    shown = env.render(later, params, hidden=True).split("\n")
    assert shown[0].endswith(", asleep") and shown[3][11] == "C" and shown[4][9] == "<"
    assert shown[9:11] == ["carries wood 3, stone pickaxe 1", "achieved collect wood"]
    edge = env.render(state.replace(player_position=np.array([0, 0])), params).split("\n")
    assert edge[1:4] == [""] * 3 and edge[4].startswith(" " * 8) and edge[4][9] == "^"


def test_the_full_game_is_shown_as_text():
    env, params = make("craftax/Symbolic")
    state = any_state(env, 0).replace(player_level=np.int32(2), player_position=np.array([20, 20]))
    state = state.replace(light_map=np.ones_like(state.light_map))
    shown = env.render(state, params).split("\n")
    assert len(shown) == 1 + 9 + 2 and ", floor 2" in shown[0] and shown[5][11] in "<>^v"
    assert "mana" in shown[-2] and "armour" in shown[-1]
    dark = env.render(state.replace(light_map=np.zeros_like(state.light_map)), params).split("\n")
    assert dark[1:10] == [""] * 9
    assert len(env.render(state, params, hidden=True).split("\n")) == len(shown) + 1 + 48


def test_it_is_one_line_if_the_package_is_missing(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert not [env_id for env_id in envs.registered() if env_id.startswith("craftax/")]
    for module in ("craftax.craftax_env", "envs.adapters.craftax"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "craftax", None)
    with pytest.raises(ValueError, match=r"^environment 'craftax/Symbolic' needs .* pip install 'r2i-jit\[craftax\]'$"):
        envs.make("craftax/Symbolic")


def test_it_is_one_line_if_textures_cannot_be_saved(monkeypatch):
    def refuse(name):
        raise PermissionError(13, "Permission denied", "texture_cache.pbz2")

    monkeypatch.setattr(adapter, "named", refuse)
    with pytest.raises(ValueError, match="'craftax/Pixels': the package saves its textures in its own folder.*pbz2"):
        envs.make("craftax/Pixels")


def test_an_agent_gets_a_configuration_by_rule(plain_textures):
    env, _ = make(SYMBOLIC)
    config = presets.PRESETS["tiny"](SYMBOLIC, env)
    assert config.env == SYMBOLIC and config.replay.sequence_length == 256
    assert presets.PRESETS["paper"](SYMBOLIC, env).replay.sequence_length == 1024
    pictures = presets.PRESETS["tiny"]("craftax/Classic-Pixels", envs.make("craftax/Classic-Pixels")[0])
    assert pictures.replay.sequence_length == 64
