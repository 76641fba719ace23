"""Names of environments. About 3 s."""

import functools
import subprocess
import sys

import gymnax
import pytest

import envs
from envs import registry
from envs.popgym.repeat_first import RepeatFirst
from tests.envs.playing import POPGYM


@pytest.fixture
def scratch(monkeypatch):
    """Let a test register what it likes."""
    envs.registered()  # Load the suites first: they register once per process.
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def test_every_registered_popgym_id_can_be_made():
    assert tuple(env_id for env_id in envs.registered() if env_id.startswith("popgym/")) == tuple(sorted(POPGYM))
    for env_id in POPGYM:
        env, params = envs.make(env_id)
        assert isinstance(env, gymnax.environments.environment.Environment)
        assert params == env.default_params
        assert isinstance(env.reward_scale, float)
    assert envs.make(POPGYM[0])[0] is not envs.make(POPGYM[0])[0]


def test_numbers_in_ids_sort_by_value(scratch):
    for name in ("11x11", "9x9", "100", "Zoo"):
        envs.register(f"sizes/{name}", RepeatFirst)
    assert [env_id for env_id in envs.registered() if env_id.startswith("sizes/")] == [
        "sizes/9x9",
        "sizes/11x11",
        "sizes/100",
        "sizes/Zoo",
    ]


def test_a_users_own_environment_joins_by_one_call(scratch):
    envs.register("mine/First", RepeatFirst)
    envs.register("mine/CartPole", lambda: gymnax.make("CartPole-v1"), reward_scale=0.5)
    own, _ = envs.make("mine/First")
    assert own.reward_scale == 51.0  # The environment's own figure goes first.
    cartpole, params = envs.make("mine/CartPole")
    assert cartpole.reward_scale == 0.5
    assert params == cartpole.default_params
    assert {"mine/First", "mine/CartPole"} <= set(envs.registered())


def test_an_id_belongs_to_one_factory(scratch):
    envs.register("mine/First", RepeatFirst)
    envs.register("mine/First", RepeatFirst)  # The same again does no harm.
    for env_id in ("mine/First", "popgym/RepeatFirstEasy"):
        with pytest.raises(ValueError, match=f"{env_id}' is already registered"):
            envs.register(env_id, lambda: RepeatFirst(2))
    assert envs.make("mine/First")[0].num_decks == 1


def defined_anew(**attributes):
    """Return a class of the same name from the same place as any other that this returns, as a notebook's cell does."""
    return type("Mine", (RepeatFirst,), {"__module__": "__main__", "__qualname__": "Mine", **attributes})


@pytest.mark.parametrize(
    "define",
    [
        lambda decks: defined_anew(decks=decks),
        lambda decks: lambda: RepeatFirst(decks),
        lambda decks: functools.partial(RepeatFirst, decks),
        lambda decks: functools.partial(functools.partial(defined_anew(), num_decks=decks)),
        lambda decks: registry.Lazy("envs.popgym.repeat_first:RepeatFirst", {"num_decks": decks}),
    ],
    ids=["class", "lambda", "partial", "nested partial", "lazy"],
)
def test_a_factory_defined_anew_takes_the_place_of_the_one_before(define, scratch):
    first, second = define(1), define(2)
    envs.register("mine/Game", first)
    envs.register("mine/Game", first)  # The same object again is not worth a word.
    with pytest.warns(UserWarning, match="^environment id 'mine/Game' is registered anew[^\n]*$") as caught:
        envs.register("mine/Game", second, reward_scale=0.5)
    assert len(caught) == 1 and caught[0].filename == __file__
    made, _ = envs.make("mine/Game")
    assert getattr(made, "decks", made.num_decks) == 2
    with pytest.raises(ValueError, match="already registered with another factory"):
        envs.register("mine/Game", scratch_factory)
    assert type(envs.make("mine/Game")[0]) is type(made)


def test_another_reward_scale_is_another_registration(scratch):
    envs.register("mine/CartPole", scratch_factory)
    with pytest.warns(UserWarning, match="'mine/CartPole' is registered anew"):
        envs.register("mine/CartPole", scratch_factory, reward_scale=0.5)
    assert envs.make("mine/CartPole")[0].reward_scale == 0.5


def scratch_factory():
    return gymnax.make("CartPole-v1")


@pytest.mark.parametrize("env_id", ["First", "/First", "mine/", ""])
def test_ids_without_a_suite_are_refused(env_id, scratch):
    with pytest.raises(ValueError, match="suite/Name"):
        envs.register(env_id, RepeatFirst)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("popgym/RepeatPreviosEasy", "popgym/RepeatPreviousEasy"),
        ("popgym/repeatfirsthard", "popgym/RepeatFirstHard"),
        ("AutoencodeMedium", "popgym/AutoencodeMedium"),
        ("pop/ConcentrationHard", "popgym/ConcentrationHard"),
        ("qqq/zzz", "suites: "),
        ("popgym/zzz", "; popgym has 48, such as popgym/AutoencodeEasy, "),
        ("popgym", "; popgym has 48, such as"),
        ("popgym/", "; popgym has 48, such as"),
        ("gymnax/NoSuch", "; gymnax has "),  # no other id is like it without the suite's name
    ],
)
def test_unknown_ids_are_answered_in_one_line(wrong, near):
    with pytest.raises(ValueError) as caught:
        envs.make(wrong)
    message = str(caught.value)
    assert repr(wrong) in message and near in message
    assert "\n" not in message


def test_a_suite_whose_package_is_missing_does_not_stop_the_others(scratch, monkeypatch):
    monkeypatch.setitem(registry._SUITES, "absent", "no_such_package.envs")
    assert set(POPGYM) <= set(envs.registered())
    with pytest.raises(ValueError, match="'absent/Game' needs the package 'no_such_package'"):
        envs.make("absent/Game")


def test_importing_envs_imports_neither_jax_nor_a_suite():
    script = "import sys, envs; print([m for m in ('jax', 'gymnax', 'numpy', 'envs.popgym') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    script = "import sys, envs; envs.registered(); print('envs.popgym.autoencode' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


# Settings of an experiment -------------------------------------------------------------------------------------------


def test_an_experiment_stands_for_its_settings():
    assert registry.settings("bsuite/memory_len") == tuple(f"bsuite/memory_len/{number}" for number in range(23))
    assert registry.settings("bsuite/memory_len/22,0") == ("bsuite/memory_len/22", "bsuite/memory_len/0")
    for one in ("bsuite/memory_len/3", "bsuite/memory_len_100", "popgym/RepeatFirstEasy", "mine/Any", "module:Name"):
        assert registry.settings(one) == (one,)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("bsuite/deep_sea", "'bsuite/deep_sea' are a program each"),
        ("bsuite/mnist", "give one, such as bsuite/mnist/0"),
        ("bsuite/deep_sea/2,1", "give one, such as bsuite/deep_sea/1"),
        ("bsuite/memory_len/3,23", "there is no bsuite/memory_len/23; its numbers are 0 to 22"),
        ("bsuite/memory_len/3,3", "names a setting twice"),
    ],
)
def test_settings_that_cannot_be_one_program_are_refused(name, wrong):
    with pytest.raises(ValueError, match="settings|there is no|twice") as error:
        registry.settings(name)
    assert wrong in str(error.value)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (
            "bsuite/memory_len/0,9",
            "stands for 2 settings, which only training takes together: give one, such as bsuite/",
        ),
        ("bsuite/memory_len", "'bsuite/memory_len' stands for 23 settings"),
        ("bsuite/deep_sea", "give one, such as bsuite/deep_sea/0"),
        ("bsuite/memory_len/0,23", "there is no bsuite/memory_len/23; its numbers are 0 to 22"),
        ("bsuite/memory_len/23", "unknown environment 'bsuite/memory_len/23': its numbers are 0 to 22"),
        ("bsuite/memory_len_9999999999", "'bsuite/memory_len_9999999999': the number should be at most 999,999,999"),
        ("bsuite/memory_len_0", "memory_length=0 should be a whole number of at least 1"),
        ("bsuite/discounting_chain_delay_5", "a delay of 5 should be 1, 3, 10, 30 or above 30"),
        ("bsuite/deep_sea_999999999", "'bsuite/deep_sea_999999999': DeepSea: size=999999999 should be at most 4,000"),
    ],
)
def test_what_is_no_single_setting_is_answered_in_one_line(name, wrong):
    with pytest.raises(ValueError, match="^[^\n]*$") as error:
        envs.make(name)
    assert wrong in str(error.value)


def test_ids_are_put_together_into_as_few_programs_as_there_can_be():
    memory = [f"bsuite/memory_len/{number}" for number in range(23)]
    seas = [f"bsuite/deep_sea/{number}" for number in (3, 4)]
    assert registry.together(["popgym/RepeatFirstEasy", *memory, *seas]) == [
        "popgym/RepeatFirstEasy",
        "bsuite/memory_len",
        *seas,
    ]
    assert registry.together(memory[2:5]) == ["bsuite/memory_len/2,3,4"]
    assert registry.together(memory[7:8]) == ["bsuite/memory_len/7"]
    for name in registry.together([*memory[::3], *seas]):
        assert registry.together(registry.settings(name)) == [name]


def test_another_name_is_known_as_one():
    assert registry.canonical("bsuite/memory_len_100") == "bsuite/memory_len/22"
    assert registry.canonical("bsuite/discounting_chain_delay_30") == "bsuite/discounting_chain/3"
    for own in ("bsuite/memory_len/22", "bsuite/memory_len_300", "popgym/RepeatFirstEasy", "absent/Any"):
        assert registry.canonical(own) == own


def test_two_names_of_the_same_are_the_same():
    same = [
        ("bsuite/memory_len_100", "bsuite/memory_len/22"),
        ("dmc/cup_catch", "dmc/ball_in_cup_catch"),
        ("a:B", "a:B"),
    ]
    every = "bsuite/memory_len/" + ",".join(map(str, range(23)))
    for first, second in [*same, ("bsuite/memory_len", every), ("mine/Any", "mine/Any")]:
        assert registry.same(first, second) and registry.same(second, first)
    for other in (
        "bsuite/memory_len",
        "bsuite/memory_len/21",
        "bsuite/memory_len_300",
        "bsuite/memory_len/0,99",
        "a:B",
    ):
        assert not registry.same("bsuite/memory_len_100", other)
    assert not registry.same("bsuite/memory_len/1,2", "bsuite/memory_len/2,1")  # the members are others


def test_what_is_not_available_is_not_listed_and_its_factory_says_why(scratch):
    there = []

    def build():
        if not there:
            raise ValueError("mine/Disc needs a disc")
        return RepeatFirst()

    envs.register("mine/Disc", build, available=lambda: bool(there))
    assert "mine/Disc" not in envs.registered()
    with pytest.raises(ValueError, match="^mine/Disc needs a disc$"):
        envs.make("mine/Disc")
    there.append("disc")
    assert "mine/Disc" in envs.registered() and isinstance(envs.make("mine/Disc")[0], RepeatFirst)


def test_an_extra_that_is_not_installed_is_named():
    """In a process of its own in which the package cannot be found."""
    script = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *args: None if name == "xminigrid" else find(name, *args)
sys.modules["xminigrid"] = None  # so that it cannot be imported
import envs
from experiments.running import asking
assert not [name for name in envs.registered() if name.startswith("xminigrid/")]
try:
    envs.make("xminigrid/MiniGrid-MemoryS8")
except ValueError as error:
    print(error)
try:
    envs.make("xminigrid/MiniGrid-MemoryS9")
except ValueError as error:
    print(error)
try:
    asking.environments("xminigrid", ["*"])
except SystemExit as ended:
    print(ended.code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    line, mistyped, code = done.stdout.splitlines()
    assert "did you mean" in mistyped and "xminigrid/MiniGrid-MemoryS8" in mistyped
    assert line == (
        "environment 'xminigrid/MiniGrid-MemoryS8' needs the package 'xminigrid', which is not installed: "
        "pip install 'r2i-jit[xminigrid]'"
    )
    assert code == "2" and done.stderr.count("\n") == 1 and "'r2i-jit[xminigrid]'" in done.stderr
