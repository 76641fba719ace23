"""The config as a person types it: overrides, round trips and errors. About 5 s."""

import dataclasses
import math
import subprocess
import sys
import typing

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i_jit.config import Config, ConfigError, Hypers, LoopConfig, ModelConfig, differences, flatten
from r2i_jit.ranges import keys_of

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
    if isinstance(value, bool | str):
        return (not value) if isinstance(value, bool) else f"{value}x"
    limits = keys_of(type(getattr(Config(), key.partition(".")[0])))[key.partition(".")[2]].range
    half = value // 2 if isinstance(value, int) else value / 2
    return half if half != value and half >= limits.low else value + 1


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
    assert Config().override(["replay.prefill=0", "behavior.imagination_starts=0"]) == Config()


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
        ("model.units=0", "model.units=0: expected a whole number from 1 to 65536"),
        ("model.encoder_layers=-1", "expected a whole number from 1 to 32"),
        ("behavior.imagination_starts=-1", "expected a whole number from 0 to 16777216"),
        ("replay.prefill=-1", "expected a whole number from 0 to 1000000000"),
        ("replay.capacity=1e14", "replay.capacity=100000000000000: expected a whole number from 1 to 1000000000"),
        ("replay.capacity=2147483648", "expected a whole number from 1 to 1000000000"),
        ("replay.capacity=1e999", "expected a whole number"),
        ("hypers.model_lr=fast", "expected a finite number"),
        ("hypers.model_lr=nan", "hypers.model_lr='nan': expected a finite number"),
        ("hypers.model_lr=-inf", "expected a finite number"),
        ("replay.train_ratio=inf", "expected a finite number"),
        ("model.group=x", "unknown config key 'model.group'"),
        ("model.scan=fast", "expected one of auto, sequential, associative, chunked, fused"),
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


def test_groups_are_checked_when_built_directly():
    with pytest.raises(ConfigError, match="loop.num_envs=0"):
        LoopConfig(num_envs=0)
    with pytest.raises(ConfigError, match="model.dt_min=nan"):
        ModelConfig(dt_min=math.nan)


def test_groups_of_the_wrong_kind_are_refused():
    with pytest.raises(ConfigError, match="model=5: expected a ModelConfig"):
        Config(model=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="model.scan='fast': expected one of auto, "):
        ModelConfig(scan="fast")  # type: ignore[arg-type]


def test_assignments_are_judged_together():
    changed = Config().override(["model.dt_min=1", "model.dt_max=2", "model.ssm_blocks=3", "model.ssm_state=6"])
    assert (changed.model.dt_min, changed.model.ssm_state) == (1.0, 6)
    assert Config.from_dict(changed.to_dict()) == changed
    model = dataclasses.replace(ModelConfig(), dt_min=1.0)  # half of a change: a group alone is not judged
    assert dataclasses.replace(Config(), model=dataclasses.replace(model, dt_max=1.0)).model.dt_max == 1.0
    with pytest.raises(ConfigError, match="model.dt_min=1.0: expected at most model.dt_max=0.1"):
        Config(model=model)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "config []: expected an object whose keys start with env, algorithm, model."),
        (None, "config None: expected an object"),
        ({"model": []}, "model=[]: expected an object of model.* keys"),
        ({"hypers": None}, "hypers=None: expected an object of hypers.* keys"),
        ({"model": {"units": {"a": 1}}}, "model.units={'a': 1}: expected a whole number"),
        ({"model": {"units": True}}, "model.units=True: expected a whole number"),
        ({"model": {"units": "5"}}, "model.units='5': expected a whole number"),
        ({"model": {"units": None}}, "model.units=None: expected a whole number"),
        ({"model": {"units": 1.5}}, "model.units=1.5: expected a whole number"),
        ({"model": {"units": 10**5000}}, "model.units=(int): expected a whole number from 1"),
        ({"model": {"clip_eigenvalues": 1}}, "model.clip_eigenvalues=1: expected true or false"),
        ({"model": {"scan": ["fast"]}}, "model.scan=['fast']: expected one of"),
        ({"model": {"width": 5}}, "unknown config key 'model.width'"),
        ({"modle": {"units": 5}}, "unknown config key 'modle'"),
        ({"model": {"units": 5}, "model.units": 6}, "config key 'model.units' is given twice"),
        ({"hypers": {"model_lr": 10**400}}, "hypers.model_lr=1000"),
        ({"hypers": {"model_lr": math.inf}}, "hypers.model_lr=inf: expected a finite number"),
        ({"hypers": {"model_lr": False}}, "hypers.model_lr=False: expected a finite number"),
        ({"hypers": {"model_lr": [1e-3]}}, "hypers.model_lr=[0.001]: expected a finite number"),
        ({"env": None}, "env=None: expected a text"),
        ({"env": {"name": "a"}}, "env={'name': 'a'}: expected a text"),
        ({1: 2}, "unknown config key '1'"),
    ],
)
def test_damaged_values_are_named_in_one_line(values, expected):
    with pytest.raises(ConfigError) as caught:
        Config.from_dict(values)
    assert expected in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the config is no JSON text (line 1, column 1: Expecting value)"),
        ('{"env": "a",\n}', "the config is no JSON text (line 2, column 1: "),
        ("null", "config None: expected an object"),
        ("[1, 2]", "config [1, 2]: expected an object"),
        ("[" * 100_000, "the config is no JSON text (brackets in brackets without end)"),
        ('{"env": "a", "env": "b"}', "config key 'env' is given twice"),
        ('{"model": {"units": 1, "units": 2}}', "config key 'units' is given twice"),
        ('{"model": {"units": NaN}}', "model.units=nan: expected a whole number"),
        ('{"hypers": {"model_lr": 1e999}}', "hypers.model_lr=inf: expected a finite number"),
        ('{"model": {"units": ' + "9" * 5000 + "}}", "the config is no JSON text (Exceeds the limit"),
        (b"\xff\xfe\x00", "the config is no JSON text ('utf-16"),
    ],
)
def test_damaged_texts_are_named_in_one_line(text, expected):
    with pytest.raises(ConfigError) as caught:
        Config.from_json(text)
    assert expected in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 250


def test_hypers_are_a_pytree_whose_leaves_are_named():
    hypers = Hypers().replace(model_lr=1.0)
    paths, structure = jax.tree_util.tree_flatten_with_path(hypers)
    named = {jax.tree_util.keystr(path): value for path, value in paths}
    assert named == {f".{field.name}": getattr(hypers, field.name) for field in dataclasses.fields(Hypers)}
    assert named[".model_lr"] == 1.0 and jax.tree.unflatten(structure, named.values()) == hypers
    assert jax.tree.map(str, hypers).model_lr == "1.0"  # leaves are not checked: they may be tracers or shapes


def test_a_config_needs_neither_trainer_nor_environments():
    code = """
import sys
import r2i_jit
r2i_jit.Config().override(["model.units=64"])
assert not {"r2i_jit.trainer", "envs", "gymnax", "flax"} & set(sys.modules), sorted(sys.modules)
assert r2i_jit.Trainer.__module__ == r2i_jit.TrainState.__module__ == "r2i_jit.trainer"
assert {*r2i_jit.__all__} <= {*dir(r2i_jit)} and not hasattr(r2i_jit, "Nothing")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text(max_size=30) | st.builds("{}={}".format, st.sampled_from(KEYS), st.text(max_size=12)), max_size=3)
)
def test_any_text_gives_a_config_or_a_config_error(assignments):
    try:
        config = Config().override(assignments)
    except ConfigError as error:
        assert str(error).isprintable() and len(str(error)) < 400
        return
    assert Config.from_json(config.to_json()) == config


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
    except ConfigError as error:
        assert str(error).isprintable() and len(str(error)) < 400
        return
    flat = flatten(config.to_dict())
    assert all(isinstance(value, int) and 0 <= value <= 10**9 for key, value in flat.items() if kind(key) is int)
    assert all(math.isfinite(value) for key, value in flat.items() if kind(key) is float)
    assert Config.from_json(config.to_json()) == config
