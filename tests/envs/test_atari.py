"""JAXtari's Atari games: what the adapter returns is what the package does. About a minute.

The package has no sprites. Here it draws plain rectangles, which `pack` makes in a temporary folder.
"""

import builtins
import functools
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import envs
from envs import atari, episodes
from envs.observation import Continuous, Image, observation_leaves
from experiments.presets import atari as presets
from r2i_jit.compiling import quick
from r2i_jit.observations import check_environment

package = pytest.importorskip("jaxtari")
adapter = pytest.importorskip("envs.adapters.jaxtari")

PICTURES, OBJECTS = "atari/pong", "atari/pong_objects"
FRAMES, SKIP, LIMIT = 1_000, 4, 60
NOOP, RIGHT, LEFT = 0, 2, 3  # of Pong's actions


def pack(folder):
    """Write sprites of Pong, plain rectangles, where the package looks if XDG_DATA_HOME is `folder`.

    The package's own way for whoever has no licence of the original ones: alternative sprites.
    """
    home = pathlib.Path(folder, "jaxtari")
    sprites = home / "sprites" / "pong"
    sprites.mkdir(parents=True)
    (home / ".alternative_sprites_installed").touch()
    (home / "sprites" / ".version").write_text("1")
    sizes = {"background": (210, 160), "player": (16, 4), "enemy": (16, 4), "ball": (4, 2)}
    colors = {"background": (90, 60, 20), "player": (20, 200, 20), "enemy": (200, 100, 20), "ball": (240, 240, 240)}
    for side in ("player", "enemy"):
        sizes |= {f"{side}_score_{digit}": (20, 2 + digit) for digit in range(10)}
        colors |= {f"{side}_score_{digit}": colors[side] for digit in range(10)}
    for name, (height, width) in sizes.items():
        np.save(sprites / f"{name}.npy", np.full((height, width, 4), (*colors[name], 255), np.uint8))
    return folder


@pytest.fixture(autouse=True, scope="module")
def sprites(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(pack(tmp_path_factory.mktemp("sprites"))))
        yield


make = functools.cache(envs.make)


@functools.cache
def raw(size=None):
    """Return the package's own game, which no adapter has touched; with a size, one that draws in that size."""
    env = package.make("pong")
    if size:
        from jaxtari import modification

        modification.apply_native_downscaling(env, (size, size), False)
    return env


@functools.cache
def raw_step():
    return jax.jit(raw().step, compiler_options=quick())


@functools.cache
def _step(env_id):
    env, params = make(env_id)
    return jax.jit(lambda *args: env.step_env(*args, params), compiler_options=quick())


def stepped(env_id, state, action, key=0):
    """Return (obs, state, reward, terminated, truncated) after an action."""
    env, params = make(env_id)
    obs, state, reward, terminated, _ = _step(env_id)(jax.random.key(key), state, jnp.int32(action))
    return obs, state, float(reward), bool(terminated), bool(env.is_truncated(state, params))


@functools.cache
def states(env_id=OBJECTS, count=8):
    """Return some first states."""
    env, params = make(env_id)
    reset = jax.jit(jax.vmap(env.reset_env, (0, None)), compiler_options=quick())
    _, found = reset(jax.random.split(jax.random.key(2), count), params)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], found) for i in range(count)]


def same(one, other):
    """Return whether two states of Pong are equal, apart from the key, which Pong makes no use of."""
    one, other = (tree.replace(key=None) for tree in (one, other))
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def close(one, other):
    """Compare numbers; fractions up to the last digits, which are rounded otherwise where more is compiled together."""
    np.testing.assert_allclose(one, other, rtol=1e-5 if np.issubdtype(one.dtype, np.floating) else 0)


@functools.cache
def waited():
    """Return the package's states after 0 to 30 frames in which nothing is done."""
    found = [raw().reset(jax.random.PRNGKey(0))[1]]
    for _ in range(30):
        found.append(raw_step()(found[-1], jnp.int32(NOOP))[1])
    return found


def seen(obs):
    """Return the package's objects as the adapter should give them, number by number."""
    shares = {"x": 160, "width": 160, "y": 210, "height": 210}
    names = ("x", "y", "width", "height", "active", "visual_id", "state", "orientation")
    bodies = (obs.player, obs.enemy, obs.ball)
    numbers = [np.float32(getattr(body, name)) / shares.get(name, 1) for body in bodies for name in names]
    return np.float32([*numbers, obs.score_player, obs.score_enemy])


@pytest.mark.parametrize("env_id", [OBJECTS, PICTURES])
def test_a_thousand_frames_are_those_of_the_package(env_id):
    """Ours as an agent steps it, with resets; theirs frame by frame, from each of our first states."""
    env, params = make(env_id)
    params = params.replace(max_steps_in_episode=LIMIT)
    steps = FRAMES // SKIP
    actions = jax.random.randint(jax.random.key(6), (steps // 5,), 0, 6).repeat(5)
    keys = jax.random.split(jax.random.key(7), steps)

    @functools.partial(jax.jit, compiler_options=quick())
    def ours(actions, keys):
        def step(stream, inputs):
            action, key = inputs
            stream = episodes.advance(env, params, stream, action[None], key)
            return stream, (stream.step, stream.env_state)

        first = episodes.start(env, params, jax.random.key(5), 1)
        nearly = first.env_state.inner.replace(enemy_score=jnp.full((1,), 20), player_score=jnp.full((1,), 3))
        first = first._replace(env_state=first.env_state.replace(inner=nearly))
        return first.env_state, jax.lax.scan(step, first, (actions, keys))[1]

    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        first, (found, after) = ours(actions, keys)
    first = jax.tree.map(lambda leaf: leaf[0], first)  # of the one environment
    found, after = jax.device_get(jax.tree.map(lambda leaf: leaf[:, 0], (found, after)))
    draw = jax.jit(raw(64).render)
    state, last, time = first.inner, False, 0
    ends, waits = {"terminated": 0, "truncated": 0, "paid": 0}, set()
    for index in range(steps):
        now, ours_now = (jax.tree.map(lambda leaf, i=index: leaf[i], tree) for tree in (found, after))
        assert now.is_first == last
        if last:
            state, reward, terminal, time = ours_now.inner, 0, False, 0
            waits.add(next(count for count, other in enumerate(waited()) if same(state, other)))
            obs, before = raw()._get_observation(state), state
        else:
            reward, terminal, time = 0, False, time + 1
            for _ in range(SKIP):
                if not terminal:
                    before = state
                    obs, state, paid, done, _ = raw_step()(state, actions[index])
                    reward, terminal = reward + int(paid), bool(done)
        last = terminal or time == LIMIT
        jax.tree.map(close, state, ours_now.inner)
        state = ours_now.inner  # so that no rounding adds up
        if env_id == OBJECTS:
            close(now.obs, seen(obs))
        else:
            np.testing.assert_array_equal(now.obs, np.maximum(draw(before), draw(state)))
        assert (now.reward, now.is_last, now.is_terminal) == (reward, last, terminal)
        ends["terminated"] += terminal
        ends["truncated"] += last and not terminal
        ends["paid"] += reward != 0
    assert min(ends.values()) > 0, ends
    assert len(waits) > 1, "each episode would begin alike"


def test_the_games_are_those_of_the_package():
    assert sorted(atari.NAMES) == sorted(package.list_available_games()) and len(atari.NAMES) == 70
    with pytest.raises(ValueError, match="no such game"):
        envs.make("atari/hero")


@pytest.mark.parametrize(("env_id", "part"), [(PICTURES, Image((64, 64, 3))), (OBJECTS, Continuous(26))])
def test_what_is_promised_is_kept(env_id, part):
    env, params = make(env_id)
    leaves = observation_leaves(env, params)
    assert leaves[0].parts == (part,)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        check_environment(env, params, leaves)
    assert params.max_steps_in_episode == env.max_episode_steps == 27_000
    assert env.name == env_id.removeprefix("atari/")
    assert env.action_names == ("noop", "fire", "right", "left", "right fire", "left fire")
    obs, state = jax.eval_shape(env.reset_env, jax.random.key(0), params)
    step = jax.eval_shape(lambda state: env.step_env(jax.random.key(0), state, jnp.int32(0), params), state)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((obs, state, step)))
    assert step[2].dtype == jnp.float32
    if env_id == OBJECTS:
        assert env.number_names[:3] == ("player.x", "player.y", "player.width") and len(env.number_names) == 26


def test_nothing_of_the_package_is_around_a_game():
    from jaxtari.wrappers import AtariWrapper

    for env_id in (PICTURES, OBJECTS):
        assert type(make(env_id)[0].env) is type(raw())
    with pytest.raises(ValueError, match="AtariWrapper is a wrapper"):
        adapter.Atari(AtariWrapper(raw()))


def test_a_game_that_was_drawn_before_is_refused():
    """The program that draws it is the package's and is kept."""
    env = package.make("pong")
    env.render = lambda state: jnp.zeros((210, 160, 3), jnp.uint8)
    with pytest.raises(ValueError, match="not drawn before"):
        adapter.Atari(env)


def test_pictures_are_of_the_last_two_frames():
    """The ball is seen twice where it moved."""
    (state,) = states(PICTURES, 1)
    state = state.replace(inner=state.inner.replace(step_counter=jnp.int32(100), ball_vel_x=jnp.int32(-4)))
    obs, after, *_ = stepped(PICTURES, state, NOOP)
    frames = [np.asarray(raw(64).render(frame)) for frame in (after.seen, after.inner)]
    assert (frames[0] != frames[1]).any()
    np.testing.assert_array_equal(obs, np.maximum(*frames))
    np.testing.assert_array_equal(make(PICTURES)[0].observe(None, after, None, make(PICTURES)[1]), obs)


def test_time_ends_an_episode_as_a_truncation_unless_the_last_frame_ended_the_game():
    (state,) = states(OBJECTS, 1)
    late = state.replace(time=jnp.int32(26_998))
    _, late, _, terminated, truncated = stepped(OBJECTS, late, NOOP)
    assert (terminated, truncated) == (False, False)
    assert stepped(OBJECTS, late, NOOP)[3:] == (False, True)
    lost = late.inner.replace(
        enemy_score=jnp.int32(20), ball_x=jnp.int32(155), ball_vel_x=jnp.int32(2), step_counter=jnp.int32(100)
    )
    lost = lost.replace(ball_y=jnp.int32(100), player_y=jnp.float32(24))
    _, after, reward, terminated, truncated = stepped(OBJECTS, late.replace(inner=lost), NOOP)
    assert (reward, terminated, truncated) == (-1, True, False)
    assert after.inner.step_counter == 0, "it counts from the last point: the frames after it are not played"


def test_a_batch_is_as_many_single_ones():
    env, params = make(OBJECTS)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states())
    keys = jax.random.split(jax.random.key(0), 8)
    actions = jnp.arange(8, dtype=jnp.int32) % 6
    batch = jax.jit(jax.vmap(env.step_env, (0, 0, 0, None)), compiler_options=quick())
    together = batch(keys, stacked, actions, params)
    for number, state in enumerate(states()):
        alone = _step(OBJECTS)(keys[number], state, actions[number])
        jax.tree.map(lambda a, b, i=number: np.testing.assert_array_equal(a[i], b), together, alone)


def test_actions_of_no_space_are_the_nearest_ones():
    (state,) = states(OBJECTS, 1)
    for action, inside in ((-7, 0), (99, 5)):
        jax.tree.map(np.testing.assert_array_equal, stepped(OBJECTS, state, action), stepped(OBJECTS, state, inside))


def test_an_episode_begins_after_up_to_thirty_frames():
    counts = [next(n for n, other in enumerate(waited()) if same(state.inner, other)) for state in states(count=64)]
    assert len(set(counts)) > 15 and max(counts) <= 30
    env = adapter.named("pong", "objects", noops=0)
    _, state = jax.jit(env.reset_env)(jax.random.key(3), env.default_params)
    assert same(state.inner, waited()[0])


def test_all_eighteen_actions_can_be_had():
    env = adapter.named("pong", "objects", full_actions=True)
    assert env.action_names == adapter.ACTIONS and env.num_actions == 18
    step = jax.jit(lambda *args: env.step_env(*args, env.default_params), compiler_options=quick())
    (state,) = states(OBJECTS, 1)
    found = step(jax.random.key(0), state, jnp.int32(adapter.ACTIONS.index("left")))
    assert same(found[1].inner, stepped(OBJECTS, state, LEFT)[1].inner)
    with pytest.raises(ValueError, match="its own actions"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "make", lambda name: raw())
        adapter.named("upndown", "objects", full_actions=True)


def test_a_sticky_action_is_the_last_frames_again():
    """What was held is held on, each frame with a chance of a quarter, until it is let go."""
    env = adapter.named("pong", "objects", sticky=0.25)
    (state,) = states(OBJECTS, 1)
    state = state.replace(action=jnp.int32(RIGHT))
    keys = jax.random.split(jax.random.key(9), 4096)
    step = lambda key: env.step_env(key, state, jnp.int32(LEFT), env.default_params)[1]
    after = jax.jit(jax.vmap(step), compiler_options=quick())(keys)
    expected = []
    for held in range(SKIP + 1):
        inner = state.inner
        for frame in range(SKIP):
            inner = raw_step()(inner, jnp.int32(RIGHT if frame < held else LEFT))[1]
        expected.append(float(inner.player_y))
    assert len(set(expected)) == SKIP + 1
    heights = np.asarray(after.inner.player_y)
    shares = [np.mean(np.isclose(heights, height, atol=1e-3)) for height in expected]
    chances = [0.75 * 0.25**held for held in range(SKIP)] + [0.25**SKIP]
    assert sum(shares) == 1
    np.testing.assert_allclose(shares, chances, atol=0.03)
    np.testing.assert_array_equal(after.action, np.where(np.isclose(heights, expected[-1], atol=1e-3), RIGHT, LEFT))


@struct.dataclass
class Toll:
    """Of a game of three lives that pays 5 a frame; action 1 costs a life."""

    lives: jax.Array
    frame: jax.Array


class Game(package.environment.JaxEnvironment):
    """In the package's form; types of its state change over the first frame, as they do in several of its games."""

    ACTION_SET = jnp.array([0, 1])
    END = 1_000

    def reset(self, key=None):
        state = Toll(jnp.asarray(3), jnp.where(True, 0, 0))
        return self._get_observation(state), state

    def step(self, state, action):
        state = Toll(state.lives - (action == 1), state.frame + jnp.int32(1))
        return self._get_observation(state), state, 5, (state.lives == 0) | (state.frame >= self.END), {}

    def _get_observation(self, state):
        return jnp.stack([state.lives, state.frame])

    def image_space(self):
        return package.spaces.Box(0, 255, (210, 160, 3))


class Lost(Game):
    """One that counts the lives lost."""

    def reset(self, key=None):
        return super().reset()[0], Losses(*super().reset()[1].__dict__.values(), jnp.int32(0))

    def step(self, state, action):
        obs, after, *others = super().step(state, action)
        return obs, Losses(after.lives, after.frame, 3 - after.lives), *others


@struct.dataclass
class Losses:
    left: jax.Array
    frame: jax.Array
    lives_lost: jax.Array

    @property
    def lives(self):
        return self.left


def game(make=Game, **options):
    """Return (environment, first state, function of a state and an action) of the game."""
    env = adapter.Atari(make(), observation="objects", **options)
    step = jax.jit(lambda state, action: env.step_env(jax.random.key(0), state, action, env.default_params))
    return env, jax.jit(env.reset_env)(jax.random.key(0), env.default_params)[1], step


def test_nothing_is_paid_after_the_games_end():
    env, state, step = game(noops=0)
    obs, after, reward, terminated, info = step(state, 1)
    assert (list(obs), float(reward), bool(terminated), info) == ([0, 3], 15, True, {})
    assert float(step(state, 0)[2]) == 20


def test_types_do_not_change_over_the_first_frame():
    env, state, step = game()
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        check_environment(env, env.default_params, observation_leaves(env, env.default_params))
    shapes = [jax.eval_shape(lambda state: state, tree) for tree in (state, step(state, 0)[1])]
    assert shapes[0] == shapes[1] and not any(leaf.weak_type for leaf in jax.tree.leaves(step(state, 0)[1]))


@pytest.mark.parametrize("kind", [Game, Lost])
def test_a_lost_life_can_end_an_episode(kind):
    env, state, step = game(kind, noops=0, life_loss=True)
    obs, after, reward, terminated, _ = step(state, 1)
    assert (list(obs), float(reward), bool(terminated)) == ([2, 1], 5, True)
    assert not env.is_truncated(after, env.default_params)
    assert not step(state, 0)[3]
    with pytest.raises(ValueError, match="no number of lives"):
        adapter.named("pong", "objects", life_loss=True)


def test_rewards_can_be_clipped():
    _, state, step = game(clip_rewards=True)
    reward, _, info = step(state, 0)[2:]
    assert (float(reward), float(info["score"])) == (1, 20)


def test_a_wait_that_ends_the_game_begins_it_anew():
    class Short(Game):
        END = 3

    env = adapter.Atari(Short(), observation="objects", frame_skip=1, frames=100)
    keys = jax.random.split(jax.random.key(0), 64)
    _, found = jax.jit(jax.vmap(env.reset_env, (0, None)))(keys, env.default_params)
    assert set(np.asarray(found.inner.frame).tolist()) == {0, 1, 2} and not found.terminated.any()


def test_the_limit_is_counted_in_frames():
    assert adapter.Atari(Game(), observation="objects", frames=1001, frame_skip=5).max_episode_steps == 201


@pytest.mark.parametrize(
    "options", [{"sticky": 1.5}, {"size": 0}, {"frame_skip": 0}, {"noops": -1}, {"frames": 3}, {"observation": "text"}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="should be"):
        adapter.Atari(Game(), **{"observation": "objects", **options})


def test_missing_sprites_are_one_line(monkeypatch, tmp_path):
    ids = {"atari/pong", "atari/seaquest_objects"}
    assert ids <= set(envs.registered())
    with pytest.raises(ValueError, match="needs sprites and finds no .*seaquest.*npy"):
        envs.make("atari/seaquest")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert not ids & set(envs.registered())
    with pytest.raises(ValueError, match="python -m jaxtari.install_sprites") as caught:
        envs.make("atari/pong_objects")
    assert "\n" not in str(caught.value) and "'atari/pong_objects'" in str(caught.value)
    assert "nothing here downloads any, or agrees to anything" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_newer_sprites_are_not_asked_for(monkeypatch, tmp_path):
    """Of a pack that says no version the package asks, at the terminal, whether to download another."""
    shutil.copytree(pathlib.Path(os.environ["XDG_DATA_HOME"]), tmp_path, dirs_exist_ok=True)
    (tmp_path / "jaxtari" / "sprites" / ".version").unlink()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("it asks"))
    monkeypatch.setenv("JAXTARI_SKIP_SPRITE_UPDATE", "0")
    adapter.named("pong", "objects")
    assert os.environ["JAXTARI_SKIP_SPRITE_UPDATE"] == "0"


def test_a_package_that_is_not_there_is_named(monkeypatch):
    from jaxtari import core

    monkeypatch.setitem(core.GAME_MODULES, "galaxian", "nowhere.galaxian")
    with pytest.raises(ValueError, match="'atari/galaxian' needs the package 'nowhere'"):
        atari.made("galaxian")
    monkeypatch.setattr(atari, "find_spec", lambda name: None)
    assert not atari.installed() and not atari.installed_with_pygame()


def test_an_agent_gets_a_configuration():
    env, _ = make(PICTURES)
    tiny, paper = (presets.PRESETS[size](PICTURES, env) for size in ("tiny", "paper"))
    assert tiny.model.image_net == "patches" and tiny.replay.sequence_length == 64
    assert paper.env == PICTURES and paper.replay.train_ratio == 1024 and paper.model.deter == 512
    small = presets.PRESETS["small"](OBJECTS, make(OBJECTS)[0])
    assert small.model.number_loss == "unexplained"
