"""The config as a person types it: overrides, round trips and errors. About 5 s."""

import dataclasses
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i_jit.config import Config, ConfigError, differences, flatten

KEYS = list(flatten(Config().to_dict()))


def kind(key: str) -> typing.Any:
    """Return the declared type of a config key."""
    owner, _, leaf = key.rpartition(".")
    return typing.get_type_hints(type(getattr(Config(), owner)) if owner else Config)[leaf]


def another(key: str) -> object:
    """Return a valid value of `key` that is not its default."""
    value = flatten(Config().to_dict())[key]
    if typing.get_origin(kind(key)) is typing.Literal:
        return next(choice for choice in typing.get_args(kind(key)) if choice != value)
    return (not value) if isinstance(value, bool) else f"{value}x" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("key", KEYS)
def test_every_key_can_be_set_and_is_named_when_it_differs(key):
    changed = Config().override([f"{key}={another(key)}"])
    (line,) = differences(Config(), changed)
    assert line.startswith(f"{key}: ") and repr(another(key)) in line
    assert Config.from_json(changed.to_json()) == changed
    assert differences(changed, Config.from_dict(changed.to_dict())) == []


def test_values_are_read_as_people_write_them():
    config = Config().override(["replay.capacity=2e5", "hypers.model_lr=3e-4", "loop.evaluation_greedy=False"])
    assert config.replay.capacity == 200_000 and isinstance(config.replay.capacity, int)
    assert config.hypers.model_lr == 3e-4
    assert config.loop.evaluation_greedy is False
    assert Config().override(["model.units = 7"]).model.units == 7


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("model.units", "expected key=value"),
        ("model.unit=3", "did you mean model.units"),
        ("units=3", "did you mean model.units"),
        ("lr=3", "unknown config key 'lr'"),
        ("model=3", "unknown config key 'model'"),
        ("model.units=x", "expected a whole number"),
        ("model.units=1.5", "expected a whole number"),
        ("model.units=inf", "expected a whole number"),
        ("model.units=nan", "expected a whole number"),
        ("hypers.model_lr=fast", "expected a number"),
        ("model.scan=fast", "expected one of auto, sequential, associative"),
        ("model.clip_eigenvalues=yes", "expected true or false"),
        ("__class__=3", "unknown config key"),
        ("model.__class__=3", "unknown config key"),
    ],
)
def test_mistakes_are_named_in_one_line(assignment, expected):
    with pytest.raises(ConfigError) as caught:
        Config().override([assignment])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text(max_size=30) | st.builds("{}={}".format, st.sampled_from(KEYS), st.text(max_size=12)), max_size=3)
)
def test_any_text_gives_a_config_or_a_config_error(assignments):
    try:
        config = Config().override(assignments)
    except ConfigError as error:
        assert "\n" not in str(error) or any("\n" in text for text in assignments)
        return
    assert Config.from_json(config.to_json()) == config or any("nan" in text.lower() for text in assignments)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*KEYS, "model", "hypers", "x"]), json_values, max_size=3))
def test_any_json_gives_a_config_or_a_config_error(values):
    try:
        config = Config.from_dict(values)
    except ConfigError:
        return
    assert dataclasses.is_dataclass(config)
    assert all(kind(key) is not int or isinstance(value, int) for key, value in flatten(config.to_dict()).items())
