"""Environments of the older kind: stepped as they step themselves, their ends told apart. About 25 s."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

import envs
from envs import episodes, registry
from envs.adapters import Classic, classic
from envs.observation import Image, observation_leaves
from envs.spaces import MultiDiscrete
from tests.envs import old_style
from tests.envs.playing import QUICK

STEPS, ROWS = 40, 3


@pytest.fixture
def scratch(monkeypatch):
    """Let a test register what it likes."""
    envs.registered()  # Load the suites first: they register once per process.
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def assert_same(ours, theirs) -> None:
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


def own_functions(env, params):
    """Return (reset, step) of the environment inside, without auto-reset and with parameters bound."""
    if hasattr(env, "step_env"):
        return lambda key: env.reset_env(key, params), lambda *args: env.step_env(*args, params)
    if hasattr(env, "default_params"):
        return lambda key: env.reset(key, params), lambda *args: env.step(*args, params)
    return env.reset, env.step


@functools.cache
def stepped(game, how: str = "vmapped"):
    """Return what the adapter and the environment itself say of 40 random steps of three rows.

    Both go on from a fresh state after an end. Each entry: (observation, inner state, reward, done).
    """
    adapted, params = classic(game())
    reset, step = own_functions(adapted.env, params)

    def ours(key_step, key_reset, state, action):
        obs, state, reward, terminated, _ = adapted.step_env(key_step, state, action, params)
        truncated = adapted.is_truncated(state, params)
        fresh = adapted.reset_env(key_reset, params)[1]
        return fresh, state, (obs, state.inner, reward, terminated | truncated), terminated, truncated

    def theirs(key_step, key_reset, state, action):
        obs, state, reward, done, _ = step(key_step, state, action)
        return reset(key_reset)[1], state, (obs, state, reward, jnp.asarray(done, bool)), None, None

    def play(one, reset):
        def body(state, key):
            key_step, key_reset, key_action = jax.random.split(key, 3)
            action = adapted.action_space(params).sample(key_action)
            fresh, state, seen, *ends = one(key_step, key_reset, state, action)
            state = jax.tree.map(lambda new, old: jnp.where(seen[3], new, old), fresh, state)
            return state, (seen, *ends)

        def row(key):
            obs, state = reset(key)
            return obs, jax.lax.scan(body, state, jax.random.split(key, STEPS))[1]

        keys = jax.random.split(jax.random.key(0), ROWS)
        return [jax.jit(row)(key) for key in keys] if how == "single" else jax.vmap(row)(keys)

    both = lambda: (play(ours, lambda key: adapted.reset_env(key, params)), play(theirs, reset))
    return both() if how == "single" else jax.jit(both, compiler_options=QUICK)()


@pytest.mark.parametrize("game", old_style.GAMES)
def test_whole_episodes_are_the_environments_own(game):
    (first, (ours, terminated, truncated)), (own_first, (theirs, _, _)) = stepped(game)
    assert_same(first, own_first)
    assert_same(jax.tree.map(key_bits, ours), jax.tree.map(key_bits, theirs))
    assert ours[3].sum() >= 3, "no whole episode was played"
    assert not (terminated & truncated).any()


def key_bits(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


@pytest.mark.heavy
@pytest.mark.parametrize("game", [old_style.Walk, old_style.Bare])
def test_one_row_equals_the_same_row_of_many(game):
    many, _ = stepped(game)
    single, _ = stepped(game, "single")
    stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *single)
    assert_same(jax.tree.map(key_bits, many), jax.tree.map(key_bits, stacked))


def test_a_jitted_step_equals_the_same_step_without():
    adapted, params = classic(old_style.Walk())
    for typed in (True, False):
        key = jax.random.key(3) if typed else jax.random.PRNGKey(3)
        plain = adapted.step_env(key, adapted.reset_env(key, params)[1], jnp.int32(1), params)
        jitted = jax.jit(lambda key: adapted.step_env(key, adapted.reset_env(key, params)[1], jnp.int32(1), params))(
            key
        )
        assert_same(jax.tree.map(lambda x: key_bits(jnp.asarray(x)), plain), jax.tree.map(key_bits, jitted))


def ends(game):
    """Return (done, clock, terminated, truncated) of every step."""
    (_, (seen, terminated, truncated)), _ = stepped(game)
    clock = getattr(seen[1], "time", getattr(seen[1], "timestep", None))
    return seen[3], clock, terminated, truncated


@pytest.mark.parametrize(("game", "limit"), [(old_style.Walk, 9), (old_style.Recall, 7)])
def test_an_end_at_the_limit_is_a_truncation_and_any_other_is_for_good(game, limit):
    done, clock, terminated, truncated = ends(game)
    assert truncated.any() and terminated.any()
    np.testing.assert_array_equal(truncated, done & (clock == limit))
    np.testing.assert_array_equal(terminated, done & (clock < limit))


@pytest.mark.parametrize("game", [old_style.Bare, old_style.Craft])
def test_without_a_clock_or_before_its_limit_every_end_is_for_good(game):
    """300 is no number of 8 bits: it is compared as it is, not as 44."""
    done, _, terminated, truncated = ends(game)
    assert done.any() and not truncated.any()
    np.testing.assert_array_equal(terminated, done)
    adapted, params = classic(old_style.Craft())
    state = adapted.reset_env(jax.random.key(0), params)[1]
    late = state.replace(done=jnp.array(True), inner=state.inner.replace(timestep=jnp.uint8(50)))
    assert not adapted.is_truncated(late, params) and adapted.is_terminated(late, params)
    assert adapted.is_truncated(late, old_style.CraftParams(max_timesteps=50))
    assert not adapted.is_truncated(late.replace(done=jnp.array(False)), old_style.CraftParams(max_timesteps=50))


def test_a_limit_that_the_environment_does_not_keep_to_ends_nothing():
    """One whose clock is compared a step later gets its last step, which may be the one that is rewarded."""

    class Later(old_style.Walk):
        def step_env(self, key, state, action, params):
            obs, new, reward, _, info = super().step_env(key, state, action, params)
            return obs, new, reward, new.time > params.max_steps_in_episode, info

    adapted, params = classic(Later())
    state, found = adapted.reset_env(jax.random.key(0), params)[1], []
    step = jax.jit(adapted.step_env)
    for _ in range(10):
        _, state, _, terminated, _ = step(jax.random.key(1), state, jnp.int32(0), params)
        found.append((bool(terminated), bool(adapted.is_truncated(state, params))))
    assert found == [(False, False)] * 9 + [(False, True)]


@pytest.mark.parametrize("limit", [None, jnp.inf])
def test_a_limit_that_is_none_or_infinite_is_no_limit(limit):
    @struct.dataclass
    class Params:
        max_steps_in_episode: float | None = limit
        goal: int = 3

    adapted, params = classic(old_style.Walk(), Params())
    assert episodes.longest_episode(adapted, params) is None
    state = adapted.reset_env(jax.random.key(0), params)[1].replace(done=jnp.array(True))
    assert adapted.is_terminated(state, params) and not adapted.is_truncated(state, params)


def test_a_function_tells_the_ends_apart_whatever_done_says():
    asked = []

    def at_four(state, params):
        asked.append((type(state), params))
        return state.time == 4  # also where the environment would go on

    adapted, params = classic(old_style.Walk(), truncated=at_four)
    never, _ = classic(old_style.Walk(), truncated=lambda state, params: False)
    state = adapted.reset_env(jax.random.key(0), params)[1]
    for time, done, expected in ((4, False, (False, True)), (4, True, (False, True)), (9, True, (True, False))):
        at = state.replace(inner=state.inner.replace(time=jnp.int32(time)), done=jnp.array(done))
        assert (bool(adapted.is_terminated(at, params)), bool(adapted.is_truncated(at, params))) == expected
        assert (bool(never.is_terminated(at, params)), bool(never.is_truncated(at, params))) == (done, False)
    assert {kind for kind, _ in asked} == {old_style.WalkState} and asked[0][1] is params


def test_a_step_that_wins_at_the_limit_is_a_truncation_unless_a_function_says_otherwise():
    adapted, params = classic(old_style.Walk())
    by_place, _ = classic(old_style.Walk(), truncated=lambda state, params: (state.time >= 9) & (state.place < 3))
    inner = old_style.WalkState(jnp.int32(8), jnp.int32(9), jax.random.key(0))
    for env, expected in ((adapted, (False, True)), (by_place, (True, False))):
        state = env.reset_env(jax.random.key(0), params)[1].replace(inner=inner)
        _, state, reward, terminated, _ = env.step_env(jax.random.key(0), state, jnp.int32(1), params)
        assert (bool(terminated), bool(env.is_truncated(state, params)), float(reward)) == (*expected, 1.0)


@pytest.mark.parametrize("game", [old_style.Walk, old_style.Recall])
def test_the_last_observation_is_kept_and_the_next_step_is_a_fresh_episode(game):
    adapted, params = classic(game())
    actions = jax.vmap(adapted.action_space(params).sample)

    def body(stream, key):
        key_action, key_step = jax.random.split(key)
        action = actions(jax.random.split(key_action, ROWS))
        new = episodes.advance(adapted, params, stream, action, key_step)
        # What a step alone would give, with the keys that `advance` gives out.
        alone = jax.vmap(adapted.step_env, (0, 0, 0, None))(
            jax.random.split(jax.random.split(key_step)[0], ROWS), stream.env_state, action, params
        )
        return new, (new.step, alone[0], alone[2], new.env_state.inner.time)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def played(key):
        return jax.lax.scan(body, episodes.start(adapted, params, key, ROWS), jax.random.split(key, STEPS))[1]

    step, alone, reward, time = played(jax.random.key(0))
    assert step.is_last.sum() > 3 and step.is_terminal.any() and (step.is_last & ~step.is_terminal).any()
    np.testing.assert_array_equal(step.is_first[1:], step.is_last[:-1])
    np.testing.assert_array_equal(step.reward, np.where(step.is_first, 0, reward))
    np.testing.assert_array_equal(time == 0, step.is_first)

    def same_but_first(got, want):
        first = np.asarray(step.is_first).reshape(step.is_first.shape + (1,) * (got.ndim - 2))
        np.testing.assert_array_equal(np.where(first, 0, got), np.where(first, 0, want))

    jax.tree.map(same_but_first, step.obs, alone)


@pytest.mark.parametrize("game", [old_style.Walk, old_style.Bare])
def test_the_adapters_own_step_is_gymnax_1_with_the_information_as_a_dict(game):
    adapted, params = classic(game())
    step = jax.jit(lambda *args: adapted.step(*args, params))
    obs, state = adapted.reset(jax.random.key(0), params)
    for number in range(21):
        key = jax.random.key(number)
        action = adapted.action_space(params).sample(key)
        obs, state, _, terminated, truncated, info = step(key, state, action)
        assert {"terminated", "truncated", "final_observation"} < set(info)
        if terminated | truncated:
            fresh = adapted.reset_env(jax.random.split(key)[1], params)[0]
            assert_same(obs, fresh)
            return
    raise AssertionError("no episode ended")


def test_spaces_are_gymnaxs_own_whatever_package_they_are_from():
    walk, craft, bare = (classic(game())[0] for game in (old_style.Walk, old_style.Craft, old_style.Bare))
    space = walk.observation_space(walk.default_params)
    assert isinstance(space, spaces.Dict) and list(space.spaces) == ["place", "late"]
    assert isinstance(space.spaces["late"], spaces.Discrete) and space.spaces["late"].n == 2
    box = space.spaces["place"]
    assert isinstance(box, spaces.Box)
    assert (box.low, box.high, box.shape, box.dtype) == (-10, 10, (2,), jnp.float32)
    assert isinstance(craft.observation_space(craft.default_params), spaces.Tuple)
    parts = [leaf.parts for leaf in observation_leaves(craft, craft.default_params)]
    assert isinstance(parts[0][0], Image) and parts[1][0].classes == 10
    assert repr(bare.action_space(bare.default_params)) == repr(MultiDiscrete([2, 3]))
    assert isinstance(bare.observation_space(bare.default_params), spaces.Box)


def test_spaces_that_are_given_go_before_the_environments():
    given = spaces.Box(0, 1, (3,), jnp.float32)
    adapted, params = classic(old_style.Bare(), observation_space=given, action_space=old_style.Discrete(5))
    assert adapted.observation_space(params) is given
    assert adapted.action_space(params).n == 5 and isinstance(adapted.action_space(params), spaces.Discrete)


def test_what_else_the_environment_says_is_handed_on():
    adapted, params = classic(old_style.Bare())
    assert (adapted.reward_scale, adapted.max_episode_steps, adapted.name) == (4.0, 20, "Bare")
    assert classic(old_style.Recall())[0].name == "Recall"
    assert classic(old_style.Walk())[0].action_names == ("left", "right")
    assert not hasattr(adapted, "action_names") and not hasattr(adapted, "observation_parts")


@pytest.mark.parametrize(
    ("game", "steps"), [(old_style.Walk, 9), (old_style.Bare, 20), (old_style.Recall, 20), (old_style.Craft, 300)]
)
def test_the_length_of_an_episode_is_known_whatever_the_limit_is_called(game, steps):
    assert episodes.longest_episode(*classic(game())) == steps


def test_only_a_render_as_this_project_calls_it_is_handed_on():
    class Drawn(old_style.Walk):
        def render(self, state, params, hidden=False):
            return f"at {state.place}" + hidden * "!"

    class Plotted(old_style.Walk):
        def render(self, state, params):
            raise AssertionError("a figure of matplotlib")

    adapted, params = classic(Drawn())
    state = adapted.reset_env(jax.random.key(0), params)[1]
    assert adapted.render(state, params) + "!" == adapted.render(state, params, hidden=True)
    assert adapted.render(state, params) == f"at {state.inner.place}"
    assert not hasattr(classic(Plotted())[0], "render") and not hasattr(classic(old_style.Walk())[0], "render")


def test_an_adapted_environment_can_be_pickled():
    adapted, params = pickle.loads(pickle.dumps(classic(old_style.Walk())))
    assert isinstance(adapted, Classic) and params == old_style.WalkParams()
    assert_same(
        jax.tree.map(key_bits, adapted.reset_env(jax.random.key(0), params)),
        jax.tree.map(key_bits, classic(old_style.Walk())[0].reset_env(jax.random.key(0), params)),
    )


def test_functions_that_gymnax_only_promises_are_not_taken_for_the_environments():
    derived = type("Derived", (old_style.Bare, Environment), {})()
    adapted, params = classic(derived)
    assert_same(adapted.reset_env(jax.random.key(0), params)[0], derived.reset(jax.random.key(0))[0])


class NotAPytree:
    max_steps_in_episode = 5


def without(*names):
    """Return `Bare` without some attributes."""
    return type("Game", (), {name: value for name, value in vars(old_style.Bare).items() if name not in names})()


def with_(**attributes):
    return type("Game", (old_style.Bare,), attributes)()


class Graph:
    def __repr__(self):
        return "Graph(\n  1)"


@pytest.mark.parametrize(
    ("env", "arguments", "expected"),
    [
        (without("reset"), {}, "Game has no reset and no reset_env"),
        (without("step"), {}, "Game has no step and no step_env"),
        (without("action_space"), {}, "Game has no action_space; give classic(..., action_space=...)"),
        (without("observation_space"), {}, "Game has no observation_space; give classic(..., observation_space=...)"),
        (with_(action_space=Graph()), {}, "action_space Graph( 1) is of no known kind"),
        (with_(observation_space=old_style.Dict({"a": Graph()})), {}, "observation_space Graph( 1) is of no known"),
        (
            old_style.Bare(),
            {"params": NotAPytree()},
            "Bare: params is a NotAPytree; they should be a pytree of numbers",
        ),
        (old_style.Bare(), {"params": {"mode": "hard"}}, "params['mode'] is a str"),
        (old_style.Bare, {}, "classic takes an environment, not its class: classic(Bare())"),
    ],
)
def test_what_cannot_be_adapted_is_said_at_once_in_one_line(env, arguments, expected):
    with pytest.raises(ValueError) as caught:
        classic(env, **arguments)
    message = str(caught.value)
    assert expected in message and "\n" not in message


@pytest.mark.parametrize(("extra", "count"), [((), 4), ((False, {}), 6)])
def test_a_step_of_another_number_of_values_is_refused_in_one_line(extra, count):
    def step(self, key, state, action):
        return (state, state, 0.0, False, *extra)

    adapted, params = classic(with_(step=step))
    with pytest.raises(ValueError) as caught:
        adapted.step_env(jax.random.key(0), adapted.reset_env(jax.random.key(0), params)[1], jnp.zeros(2), params)
    message = f"Game: step returns {count} values; they should be obs, state, reward, done, info"
    assert str(caught.value) == message


@pytest.mark.parametrize("game", old_style.GAMES)
def test_one_that_is_registered_as_it_is_is_refused_and_the_adapter_named(game, scratch):
    envs.register("mine/Old", game)
    with pytest.raises(ValueError, match="'mine/Old' is no gymnax 1.0 environment: .*envs.adapters.classic") as caught:
        envs.make("mine/Old")
    assert "\n" not in str(caught.value)


@pytest.mark.heavy
def test_an_agent_trains_on_one_for_a_chunk(scratch):
    from experiments import smoke

    envs.register("mine/Walk", lambda: classic(old_style.Walk()))
    metrics = smoke.run("mine/Walk")
    assert np.isfinite(list(metrics.values())).all()
