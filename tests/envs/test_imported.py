"""Environments named by module and class, `module:Name`: found, or refused in one line. About 5 s."""

import importlib
import sys

import pytest

import envs
from envs.popgym.repeat_first import RepeatFirst

MODULE = """
from envs.adapters import classic
from envs.popgym.repeat_first import RepeatFirst
from tests.envs.old_style import Recall, Walk


class Corridor(RepeatFirst):
    pass


class Outer:
    class Inner(Corridor):
        pass

    made = Corridor(3)


def adapted():
    return classic(Walk())


def fails():
    raise RuntimeError("no board\\nof that size")


def needs(size):
    return Corridor(size)


def nothing():
    pass


instance = Corridor(2)
pair = instance, instance.default_params
old, number = Recall(), 5
"""
FILES = {
    "corridors.py": MODULE,
    "package/__init__.py": "",
    "package/games.py": "from corridors import Corridor",
    "lacking.py": "import no_such_package_of_mine.part",
    "lacks_a_name.py": "from corridors import Coridor",
    "unfinished.py": "x = 1\ndef f(:\n",
    "raising.py": "raise RuntimeError('first line\\nsecond line')",
    "silent.py": "raise KeyError",
    "leaving.py": "raise SystemExit(0)",
    "nameless.py": "raise ModuleNotFoundError('of no name')",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Make the modules importable until the end of the test."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {file.partition(".")[0].partition("/")[0] for file in FILES}:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "decks"),
    [
        ("corridors:Corridor", 1),
        ("package.games:Corridor", 1),
        ("corridors:Outer.Inner", 1),
        ("corridors:Outer.made", 3),
        ("corridors:instance", 2),
        ("corridors:pair", 2),
    ],
)
def test_a_class_an_instance_and_a_pair_are_environments_by_their_names(target, decks):
    env, params = envs.make(target)
    assert isinstance(env, RepeatFirst) and env.num_decks == decks and params == env.default_params
    assert env.reward_scale == RepeatFirst(decks).reward_scale
    assert target not in envs.registered()


def test_a_function_may_return_a_pair_and_is_called_each_time():
    env, params = envs.make("corridors:adapted")
    assert (env.name, env.reward_scale, params.goal) == ("Walk", 1.0, 3)
    assert envs.make("corridors:adapted")[0] is not env


WRONG = {
    # names
    "corridors:Coridor": "corridors has no 'Coridor'; did you mean Corridor?",
    "corridors:Outer.Iner": "corridors has no 'Iner'; did you mean Inner?",
    "corridors:qqqqqq": "corridors has no 'qqqqqq'",
    "package:games": "package has no 'games'",  # a module inside that nobody imported
    # modules
    "coridors:Corridor": "there is no module 'coridors'",
    "corridors.deep:Corridor": "there is no module 'corridors.deep'",
    "package.gmaes:Corridor": "there is no module 'package.gmaes'",
    "envs.corridor:X": "there is no module 'envs.corridor' in this project's package of that name",
    # what is in them
    "lacking:X": "needs the package 'no_such_package_of_mine', which is not installed",
    "lacks_a_name:X": "importing lacks_a_name raised ImportError: cannot import name 'Coridor'",
    "unfinished:X": "importing unfinished raised SyntaxError: ",
    "raising:X": "importing raising raised RuntimeError: first line",
    "leaving:X": "importing leaving raised SystemExit: 0 (leaving.py:1)",
    "silent:X": "importing silent raised KeyError (silent.py:1)",
    "nameless:X": "importing nameless raised ModuleNotFoundError: of no name",
    # what is built
    "corridors:fails": "fails() raised RuntimeError: no board (corridors.py:23); it should build an environment",
    "corridors:needs": "needs() raised TypeError: needs() missing 1 required positional argument: 'size'",
    "envs.adapters:classic": "classic() raised TypeError",
    "corridors:number": "is no gymnax 1.0 environment: int has no reset_env, step_env",
    "corridors:nothing": "is no gymnax 1.0 environment: NoneType has no reset_env",
    "corridors:Outer": "is no gymnax 1.0 environment: Outer has no reset_env",
    "corridors:Recall": "is no gymnax 1.0 environment: Recall has no reset_env, step_env, is_truncated; envs.adapters",
    "corridors:old": "is no gymnax 1.0 environment: Recall has no reset_env, step_env, is_truncated; envs.adapters",
    # no such form
    "corridors.py:Corridor": "should be of the form package.module:Name (a module's name, no file's)",
    "./package/games:Corridor": "should be of the form package.module:Name (a module's name, no file's)",
    "corridors:": "should be of the form package.module:Name",
    ":Corridor": "should be of the form package.module:Name",
    ":": "should be of the form package.module:Name",
    "corridors:Corridor()": "should be of the form package.module:Name",
    "corridors:Corridor:Inner": "should be of the form package.module:Name",
    ".corridors:Corridor": "should be of the form package.module:Name",
    "corridors:Cor ridor\n": "should be of the form package.module:Name",
}


@pytest.mark.parametrize("target", WRONG)
def test_what_cannot_be_had_is_said_in_one_line(target):
    for _ in range(2):  # The second time Python has half of it in its caches.
        with pytest.raises(ValueError) as caught:
            envs.make(target)
        message = str(caught.value)
        assert message.startswith(f"environment {target!r}") and WRONG[target] in message
        assert "\n" not in message
        assert type(caught.value) is ValueError


def test_what_is_wrong_in_the_module_can_be_traced():
    with pytest.raises(ValueError) as caught:
        envs.make("corridors:fails")
    assert isinstance(caught.value.__cause__, RuntimeError)
