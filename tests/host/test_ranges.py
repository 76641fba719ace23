"""Which values the keys of a config may have: nonsense is refused, and nothing sensible. About 10 s."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import envs
from experiments.presets import SIZES, preset
from r2i_jit.config import _GROUPS, Config, ConfigError, Hypers, _conflicts, _keys, flatten
from r2i_jit.ranges import Range, keys_of

KEYS = _keys()
RANGES = {name: key.range for name, key in KEYS.items() if key.range is not None}
# For each kind of key, values that nobody can mean.
LEARNING_RATES = ("model_lr", "ssm_lr", "actor_lr", "critic_lr")
SCALES = ("observation_scale", "reward_loss_scale", "continue_scale", "dyn_scale", "rep_scale", "slow_critic_scale",
          "sparse_reward_scale", "value_scale")  # fmt: skip
UPDATES = ("warmup_updates", "head_start", "critic_head_start", "decay_updates")
NONSENSE = {
    **{f"hypers.{name}": "-1e-3 -1e-30 1e39 nan inf fast" for name in LEARNING_RATES},
    **{f"hypers.{name}": "0 -1e-8 1e-45 1e39" for name in ("model_eps", "actor_eps", "critic_eps")},
    **{
        f"hypers.{name}": "0 -1 1e39"
        for name in ("model_clip", "actor_clip", "critic_clip", "reward_scale", "clip_range")
    },
    **{f"hypers.{name}": "-0.5 4e38 -inf" for name in (*SCALES, *UPDATES, "free_nats", "model_weight_decay")},
    **{f"hypers.{name}": "-0.01 64.5 1.0000001" for name in ("return_lambda", "return_decay", "slow_critic_rate")},
    "hypers.discount": "0 -0.9 2 1.001 1e-45",
    "hypers.entropy_scale": "-3e-4 1e39",
    **{f"model.{name}": "0 -1 33 2147483647 1.5" for name in ("encoder_layers", "decoder_layers", "head_layers")},
    **{f"behavior.{name}": "0 -1 33 2147483647 true" for name in ("actor_layers", "critic_layers")},
    **{f"model.{name}": "0 -5 65537 2147483648" for name in ("units", "deter", "head_units")},
    **{f"behavior.{name}": "0 -5 65537 2147483648" for name in ("actor_units", "critic_units")},
    "model.ssm_layers": "0 -1 65 2147483647",
    "model.ssm_state": "0 -128 4097 2147483647",
    "model.ssm_blocks": "0 -8 4097 3",
    "model.dt_min": "0 -0.001 1 1e-45 1e-30",
    "model.dt_max": "0 -0.1 1e-5 1e9",
    "model.stoch": "0 -1 4097",
    "model.classes": "1 0 4097",
    "model.unimix": "100000 -0.01 1.1",
    "model.latent_gain": "0 -1 1e30",
    "model.action_scale": "-1 1e30",
    "model.reward_init": "-1 1e30",
    "model.image_depth": "0 -32 4097",
    "model.decoded_steps": "-1 1000001 2147483648",
    "model.bins": "1 0 -255 1e9",
    "behavior.horizon": "0 -15 10001 2147483647",
    "behavior.imagination_starts": "-1 16777217 1e10",
    "behavior.actor_init": "-1 1e30",
    "behavior.first_starts": "-0.1 1.5",
    "behavior.actor_gates": "-1 1025",
    "behavior.actor_unimix": "-0.01 1.01 7",
    "behavior.unroll": "0 -1 65",
    "replay.capacity": "0 -1 1e10 2147483647",
    "replay.batch_size": "0 -4 65537 2147483647",
    "replay.sequence_length": "0 -1024 1000001",
    "replay.rewarded": "-0.1 1.5",
    "replay.train_ratio": "0 -64 1e7 1e-6 1e-45",
    "replay.prefill": "-1 2e9",
    "replay.prefill_repeat": "-0.1 1.1",
    "ppo.steps": "0 -128 100001",
    "ppo.epochs": "0 -4 1001",
    "ppo.minibatches": "0 -4 65537",
    "loop.num_envs": "0 -8 65537 2147483648",
    "loop.chunk_updates": "0 -64 1000001 2147483647",
    "loop.evaluation_episodes": "0 -32 65537",
    "loop.evaluation_steps": "0 -1 2e9",
}
# What looks odd and has a meaning: an ablation, or a part turned off.
SENSIBLE = [
    "model.unimix=0",
    "model.unimix=1",
    "model.action_scale=0",
    "model.dt_max=1",
    "model.ssm_blocks=1",
    "model.bins=2",
    "behavior.actor_unimix=0",
    "behavior.horizon=333",
    "behavior.first_starts=1",
    "replay.rewarded=1",
    "replay.train_ratio=1024",
    "loop.num_envs=4096",
    "hypers.model_lr=0",
    "hypers.model_lr=5",
    "hypers.model_clip=1e38",
    "hypers.rep_scale=0",
    "hypers.entropy_scale=0",
    "hypers.free_nats=0",
    "hypers.discount=1",
    "hypers.return_lambda=0",
    "hypers.return_lambda=1",
    "hypers.warmup_updates=1e6",
]


def assert_inside(config: Config) -> None:
    """Fail unless every number of a config is in the range of its key, and the values go together."""
    flat = flatten(config.to_dict())
    assert {name for name, limits in RANGES.items() if not limits.low <= flat[name] <= limits.high} == set()
    assert all(isinstance(flat[name], int if KEYS[name].kind is int else float) for name in RANGES)
    assert list(_conflicts(config)) == []


def beyond(limits: Range, whole: bool) -> list[float]:
    """Return the numbers next to a range's ends, outside."""
    if whole:
        return [limits.low - 1, limits.high + 1]
    return [math.nextafter(limits.low, -math.inf), math.nextafter(limits.high, math.inf)]


def test_every_number_has_a_range():
    assert set(KEYS) == set(flatten(Config().to_dict()))
    assert {name for name, key in KEYS.items() if key.kind in (int, float)} == set(RANGES) == set(NONSENSE)
    assert all(limits.low < limits.high <= np.finfo(np.float32).max for limits in RANGES.values())
    assert all(limits.high < 2**31 for name, limits in RANGES.items() if KEYS[name].kind is int)


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_by_name(name):
    for text in NONSENSE[name].split():
        with pytest.raises(ConfigError) as caught:
            Config().override([f"{name}={text}"])
        message = str(caught.value)
        assert f"{name}=" in message and ("expected" in message or "must divide" in message) and "\n" not in message


@pytest.mark.parametrize("assignment", SENSIBLE)
def test_the_odd_that_has_a_meaning_is_accepted(assignment):
    assert_inside(Config().override([assignment]))


@pytest.mark.parametrize("name", RANGES)
def test_ends_are_inside_and_what_is_next_to_them_is_not(name):
    group, leaf = name.split(".")
    limits, whole = RANGES[name], KEYS[name].kind is int
    for end in (limits.low, limits.high):
        _GROUPS[group](**{leaf: int(end) if whole else float(end)})
    for value in beyond(limits, whole):
        with pytest.raises(ConfigError) as caught:
            Config().override([f"{name}={value!r}"])
        assert str(caught.value).startswith(f"{name}={value!r}: expected ")


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (["model.unimix=100000"], "model.unimix=100000.0: expected a number from 0 to 1"),
        (["hypers.model_lr=-0.001"], "hypers.model_lr=-0.001: expected a number of at least 0"),
        (["hypers.model_clip=0"], "hypers.model_clip=0.0: expected a number above 0"),
        (["hypers.discount=2"], "hypers.discount=2.0: expected a number above 0 and at most 1"),
        (["replay.rewarded=2"], "replay.rewarded=2.0: expected a share, from 0 to 1"),
        (
            ["hypers.model_lr=1e39"],
            "hypers.model_lr=1e+39: expected a number of at least 0 that float32 can hold, 1.2e-38 to 3.4e+38",
        ),
        (["model.dt_min=1", "model.dt_max=0.5"], "model.dt_min=1.0: expected at most model.dt_max=0.5"),
        (["model.ssm_blocks=3"], "model.ssm_blocks=3 must divide model.ssm_state=128"),
        (
            ["model.ssm_state=2048", "model.ssm_blocks=2"],
            "model.ssm_blocks=2: expected at least 4 with model.ssm_state=2048",
        ),
        (
            ["model.ssm_state=2048", "model.ssm_layers=32"],
            "model.ssm_state=2048: expected at most 1024 with model.ssm_layers=32",
        ),
        (
            ["replay.batch_size=65536"],
            "replay.batch_size=65536: expected at most 16384 with replay.sequence_length=1024",
        ),
        (
            ["loop.chunk_updates=1000000", "replay.train_ratio=1"],
            "replay.train_ratio=1.0: expected at least 40.96 with loop.chunk_updates=1000000, replay.batch_size=4, "
            "replay.sequence_length=1024: a chunk has at most 100000000 steps",
        ),
        (
            ["replay.sequence_length=2", "replay.batch_size=1", "loop.num_envs=64"],
            "replay.train_ratio=64.0: expected at most 31.25 with loop.num_envs=64, replay.batch_size=1, "
            "replay.sequence_length=2: a step has at most 1000 updates",
        ),
        (["model.units=1" + "0" * 200], "model.units=1000"),
        (["model.units=" + "x" * 200], "model.units='xxx"),
        (["model.units=\x1b[31m\n"], "model.units='\\x1b[31m': expected a whole number"),
        (["x" * 200 + "=1"], "unknown config key 'xxx"),
        (["\n" * 200], "--set '\\n\\n"),
    ],
)
def test_messages(assignments, expected):
    with pytest.raises(ConfigError) as caught:
        Config().override(assignments)
    message = str(caught.value)
    assert message.startswith(expected) and message.isprintable() and len(message) < 250


@pytest.mark.parametrize("size", SIZES)
def test_presets_are_inside(size):
    ids = [name for name in envs.registered() if name.startswith("popgym/")]
    assert len(ids) > 40
    for name in ids:
        assert_inside(preset("popgym", size, name))
    assert_inside(preset("memory_maze", size))


def test_traced_hypers_are_let_through_and_plain_ones_are_not():
    rows = jax.tree.map(lambda x: jnp.full(3, -x), Hypers())
    assert Config(hypers=rows).hypers is rows
    traced = jax.jit(lambda hypers: Config(hypers=hypers).hypers.model_lr)
    assert traced(jax.tree.map(jnp.float32, Hypers())) == np.float32(1e-4)
    jax.eval_shape(lambda hypers: Config(hypers=hypers).hypers, rows)
    for value in (-1.0, -1, np.float32(-1), True, "1", None):
        with pytest.raises(ConfigError, match=r"hypers\.model_lr="):
            Config(hypers=Hypers().replace(model_lr=value))
    assert Config(hypers=Hypers(model_lr=np.float32(0.5))).hypers.model_lr == 0.5


numbers = st.integers() | st.floats() | st.floats(1e-9, 1e9) | st.integers(-2, 1025)
assignment = st.tuples(st.sampled_from(list(KEYS)), numbers.map(repr) | st.text(max_size=10))


@settings(max_examples=1000, deadline=None)
@given(st.lists(assignment, min_size=1, max_size=4))
def test_any_override_is_inside_or_refused_by_name(pairs):
    try:
        config = Config().override([f"{name}={value}" for name, value in pairs])
    except ConfigError as error:
        assert any(name in str(error) for name, _ in pairs)
        assert str(error).isprintable()
        return
    assert_inside(config)
    assert Config.from_json(config.to_json()) == config


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(RANGES)), st.data())
def test_what_is_in_its_range_is_accepted_unless_others_are_in_the_way(name, data):
    limits = RANGES[name]
    kind = st.integers(int(limits.low), int(limits.high)) if KEYS[name].kind is int else st.floats(*limits[:2])
    value = data.draw(kind)
    try:
        config = Config().override([f"{name}={value!r}"])
    except ConfigError as error:
        assert " with " in str(error) or "must divide" in str(error) or "expected at most model.dt_max" in str(error)
        assume(False)
    assert flatten(config.to_dict())[name] == value


def test_keys_of_a_group_are_those_of_its_class():
    assert list(keys_of(Hypers)) == list(flatten(Config().to_dict()["hypers"]))
