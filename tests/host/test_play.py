"""Playing in the terminal: what is shown, what is kept back, and what is made of what people type. About 10 s."""

import io
import os
import pty
import re
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

import envs
from experiments import play
from experiments.drawing import scene, terminal
from tests.host import little_games


class Driven(little_games.Seen):
    """As `Seen`, with the actions of a walker."""

    action_names = ("nothing", "forward", "forward-left")


@pytest.fixture(autouse=True)
def games(monkeypatch):
    little_games.register(monkeypatch)
    envs.register("little/Driven", Driven)


@pytest.fixture
def typed(monkeypatch, capsys):
    """Return a function that plays with given lines as the input; it returns what was printed."""

    def run(*words: object, lines: str = "", code: int = 0) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        assert play.main([str(word) for word in words]) == code
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


def refused(capsys, *words: str) -> str:
    """Return the one line on stderr of a command line that exits with 2."""
    with pytest.raises(SystemExit) as stop:
        play.main(words)
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert captured.out == ""
    return captured.err


def secret(seed: int) -> int:
    """Return the hidden number of the first episode of `Guess`."""
    session = play.Session("little/Guess", seed, hidden=False)
    return int(session._state.secret)


def test_help_and_mistyped_options_do_not_wait_for_jax():
    code = """
import sys
from experiments import play
for words, wanted in ((["--help"], 0), (["little/Guess", "--verson"], 2), ([], 2)):
    try:
        play.main(words)
    except SystemExit as error:
        assert error.code == wanted, (words, error.code)
    else:
        raise AssertionError(words)
assert not {"jax", "flax", "matplotlib", "orbax"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: python -m experiments.play" in done.stdout and "(default: a new one, printed)" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["popgym/RepeatPrviousEasy"], "did you mean popgym/RepeatPreviousEasy"),
        (["little/Guess", "--steps", "3"], "--steps needs --actions"),
        (["little/Guess", "--fps", "3"], "--fps needs --actions"),
        (["little/Guess", "--actions", "@nowhere.txt"], "--actions @nowhere.txt: cannot read it: No such file"),
        (["little/Guess", "--keys", "--actions", "random"], "not both"),
        (["little/Guess", "--actions", "0 3"], "'3' is no action; give a number from 0 to 2"),
        (["little/Guess", "--seed", "-1"], "-1 is not between"),
        (["little/Untypable"], "cannot be typed"),
        (["little/Many", "--keys"], "at most 10 actions; leave it out and type a number from 0 to 10"),
        (["little/Steered", "--keys"], "at most 10 actions"),
    ],
)
def test_mistakes_exit_2_with_one_line(capsys, words, expected):
    assert expected in refused(capsys, *words)


def test_an_episode_is_played_and_the_next_one_starts_on_request(typed):
    number = secret(5)
    wrong = (number + 1) % 3
    out = typed("little/Guess", "--seed", 5, lines=f"{number}\n{wrong}\n{number}\nmaybe\ny\n0\n1\n2\nn\n")
    captions = [line for line in out.splitlines() if line.startswith("step ")]
    assert captions[:4] == [
        "step 0 | return 0",
        f"step 1 | action {number} | reward +1 | return 1",
        f"step 2 | action {wrong} | reward +0 | return 1",
        f"step 3 | action {number} | reward +1 | return 2 | terminated",
    ]
    assert captions[4] == "step 0 | return 0" and len(captions) == 8
    assert "episode 1 is over (terminated): return 2 in 3 steps" in out
    assert "'maybe' is no answer; give y or n" in out
    assert "episode 2 is over (terminated): return 1 in 3 steps" in out  # one of 0, 1, 2 is right
    assert out.splitlines()[-1] == "played 6 steps, finished 2 episodes, mean return 1.5"
    assert out.splitlines()[0].startswith("little/Guess, seed 5;")
    assert typed("little/Guess", "--seed", 5, lines=f"{number}\n{wrong}\n{number}\nmaybe\ny\n0\n1\n2\nn\n") == out


def test_the_end_of_the_input_leaves_at_any_prompt(typed):
    assert typed("little/Guess", lines="").endswith("played 0 steps, finished 0 episodes\n")
    out = typed("little/Guess", "--seed", 5, lines=f"{secret(5)}")
    assert out.endswith("played 1 steps, finished 0 episodes, left episode 1 at step 1 with return 1\n")
    assert "finished 1 episode, mean return" in typed("little/Guess", lines="0\n0\n0\n").splitlines()[-1]


def test_an_interrupt_leaves_with_the_summary_and_130(typed, monkeypatch):
    def interrupt(prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupt)
    assert typed("little/Guess", code=130).endswith("played 0 steps, finished 0 episodes\n")


def test_hidden_state_is_shown_only_on_request_and_until_taken_back(typed):
    assert "secret" not in typed("little/Drawn", lines="0\no\n0\n0\ny\nq\n")
    out = typed("little/Drawn", lines="h\n0\nh\n0\nq\n")
    shown = [block.split("step ")[0] for block in out.split("┌ turn ")[1:]]
    assert ["secret" in block for block in shown] == [False, True, True, False, False]
    assert "secret" in typed("little/Drawn", "--hidden", lines="q\n")


def test_without_a_text_of_its_own_the_observation_is_shown_and_the_state_when_asked(typed):
    out = typed("little/Guess", "--seed", 5, lines="0\nh\nq\n")
    assert "    one-hot 1000\n" in out and "    one-hot 0100\n" in out and "    0.25\n" in out
    before, after = out.split("action> h")
    assert ".secret" not in before and f"    .secret {secret(5)}\n" in after


def test_the_observation_is_shown_part_by_part(typed):
    out = typed("little/Drawn", lines="o\nq\n")
    parts = out.split("action> o\n")[1].split("action> ")[0].splitlines()
    assert parts == [
        "observation: float32 (5,)",
        "  0..3: Categorical(classes=4, count=1)",
        "    classes 0",
        "    one-hot 1000",
        "  4..4: Continuous(size=1)",
        "    0",
    ]


def test_rules_and_actions_are_explained(typed):
    out = typed("little/Numbered", lines="?\nq\n")
    assert "Guess a secret number" in out  # of the game, not of the wrapper
    assert "action: 2 numbers from '0 0' to '1 2', or 1 from 0 to 5" in out


def test_bad_input_costs_one_line_and_nothing_else(typed):
    out = typed("little/Drawn", lines="\n7\nl\nnonsense\n1.5\nle\nq\n")
    for word in ("", "7", "nonsense", "1.5"):
        assert f"{word!r} is no action; give left (0), lower (1), up (2); or h hidden state" in out
    assert "'l' could be left or lower; or h" in out
    assert out.count("step ") == 3 and "step 1 | action left" in out


@pytest.mark.parametrize(
    ("env", "text", "action", "label"),
    [
        ("Guess", "2", 2, "2"),
        ("Drawn", "LEFT", 0, "left"),
        ("Drawn", "lo", 1, "lower"),
        ("Drawn", "2", 2, "up"),
        ("Pair", "1 2", [1, 2], "1 2"),
        ("Pair", "1,2", [1, 2], "1 2"),
        ("Pair", "5", [1, 2], "1 2"),
        ("Numbered", "1 0", 3, "1 0"),
        ("Numbered", "3", 3, "1 0"),
        ("Steered", "-1.5", [-1.5], "-1.5"),
    ],
)
def test_actions_are_read_and_named(env, text, action, label):
    made = envs.make(f"little/{env}")
    actions = scene.Actions(*made)
    read = actions.parse(text)
    np.testing.assert_array_equal(read, action)
    assert read.dtype == made[0].action_space(made[1]).dtype and read.shape == np.shape(action)
    assert actions.label(read) == label


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ("Pair", "2 0"), ("Pair", "0 1 2"), ("Pair", "6"), ("Pair", "-1 0"), ("Numbered", "1 3"), ("Numbered", "6"),
        ("Steered", "2.1"), ("Steered", "nan"), ("Steered", "0 0"), ("Steered", "x"), ("Guess", "1 2"), ("Guess", "-1"),
    ],
)  # fmt: skip
def test_actions_outside_the_space_are_refused(env, text):
    with pytest.raises(ValueError, match="is no action; give .* from"):
        scene.Actions(*envs.make(f"little/{env}")).parse(text)


def test_scripts_are_played_over_several_episodes(typed):
    out = typed("little/Pair", "--seed", 1, "--actions", "0 1, 1 2, 3, 0 0")
    assert [line.split(" | ")[1] for line in out.splitlines() if "action" in line] == [
        "action 0 1", "action 1 2", "action 1 0", "action 0 0",
    ]  # fmt: skip
    assert "episode 1 is over" in out and "left episode 2 at step 1" in out and "> " not in out
    assert typed("little/Guess", "--actions", "0 1 2 0", "--steps", 2).count("| action ") == 2


def test_random_play_is_one_episode_or_so_many_steps_and_repeats_with_the_seed(typed):
    assert typed("little/Drawn", "--actions", "random").count("| action ") == 3
    out = typed("little/Drawn", "--actions", "random", "--steps", 20, "--seed", 3)
    assert out.count("| action ") == 20 and out.count("terminated | truncated") == 6
    assert {name for name in ("left", "lower", "up") if f"action {name}" in out} == {"left", "lower", "up"}
    assert typed("little/Drawn", "--actions", "random", "--steps", 20, "--seed", 3) == out
    assert typed("little/Drawn", "--actions", "random", "--steps", 20, "--seed", 4) != out
    assert "played 20 steps, finished 6 episodes" in out


def test_known_returns_are_named_at_the_end_of_an_episode(typed):
    out = typed("popgym/RepeatPreviousEasy", "--actions", "random")
    assert "episode 1 is over (terminated): return -" in out
    assert "known for popgym/RepeatPreviousEasy: random play -0.500; optimal (perfect memory) 1.000" in out


def test_images_are_shown_by_brightness_where_there_is_no_terminal(typed):
    out = typed("little/Seen", "--seed", 5, lines="0\n0\nh\nq\n")
    pictures = [block.split("\nstep ")[0] for block in out.split("\n\n")[1:]]
    assert pictures == [
        *("\n".join([first + "-----"] * 4) + f"\n┌ turn {turn} ♥♠" for turn, first in enumerate("-=+")),
        "\n".join(["+-----"] * 4) + f"\n┌ turn 2 ♥♠\nsecret {secret(5)}",
    ]


def test_a_saved_sequence_plays_again(typed, tmp_path):
    saved = tmp_path / "a folder" / "played.txt"
    for env, lines, actions in (("Pair", "0 1\n5\n", ["0 1", "1 2"]), ("Drawn", "left\n2\n0\ny\n1\n", None)):
        out = typed(f"little/{env}", "--seed", 7, "--save", saved, lines=lines)
        assert out.splitlines()[-1] == str(saved)
        captions = [line for line in out.splitlines() if line.startswith("step ")]
        again = typed(f"little/{env}", "--seed", 7, "--actions", f"@{saved}")
        assert [line for line in again.splitlines() if line.startswith("step ")] == captions
        if actions:
            assert saved.read_text() == f"# little/{env}, seed 7\n0 1,\n1 2,\n"
    saved.write_text("# as a person writes it\n0 1  # twice\n 2\n")
    assert typed("little/Drawn", "--actions", f"@{saved}").count("| action ") == 3


def test_what_cannot_be_saved_is_said(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(SystemExit) as stop:
        play.main(["little/Guess", "--save", "/dev/null/x"])
    assert stop.value.code == 2 and "--save /dev/null/x: cannot write it" in capsys.readouterr().err


def test_images_are_coloured_on_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    image = np.array([[[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]], np.uint8)
    first, second = scene.image_text(image).splitlines()
    assert first == "\x1b[38;2;1;2;3m\x1b[48;2;4;5;6m▀\x1b[0m"
    assert second == "\x1b[38;2;7;8;9m\x1b[48;2;0;0;0m▀\x1b[0m"


def test_keys_are_actions_without_enter(typed):
    out = typed("little/Drawn", "--keys", lines="0\x1b[A9\x1b[Dyq")
    assert [line.split(" | ")[1] for line in out.splitlines() if "| action" in line] == [
        "action left", "action up", "action left",
    ]  # fmt: skip
    assert "'9' is no action" in out and "finished 1 episode," in out


def test_keys_have_the_meaning_that_the_game_has_an_action_for(typed):
    keys = terminal.KeyAsker(play.Session("little/Driven", 0, hidden=False).actions)
    assert keys.usage == "nothing (↓ s space 0), forward (↑ w 1), forward-left (a 2)"
    # Up, Shift-Up as another terminal sends it, Home, space, and a letter that means nothing here.
    out = typed("little/Driven", "--keys", lines="\x1b[A\x1b[1;2A\x1bOA\x1b[H q")
    assert [line.split(" | ")[1] for line in out.splitlines() if "| action" in line] == ["action forward"] * 3
    out = typed("little/Driven", "--keys", lines=" aDq")
    assert [line.split(" | ")[1] for line in out.splitlines() if "| action" in line] == [
        "action nothing", "action forward-left",
    ]  # fmt: skip
    assert "'D' is no action" in out
    assert "forward-left" not in typed("little/Drawn", "--keys", lines="q")


def test_keys_on_a_terminal_are_read_one_by_one(monkeypatch, capsys):
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave) as keyboard:
            monkeypatch.setattr("sys.stdin", keyboard)
            session = play.Session("little/Drawn", 0, hidden=False)
            ask = terminal.KeyAsker(session.actions)
            timer = threading.Timer(0.3, os.write, (master, b"\x1b[C"))
            timer.start()
            assert ask("> ") == "right"  # and no Enter
            timer.join()
    finally:
        os.close(master)
    assert capsys.readouterr().out == "> right\n"


def pretend_terminal(monkeypatch) -> None:
    """Make the output a terminal of 40 columns and 16 lines."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda fallback=None: os.terminal_size((40, 16)))


def test_on_a_terminal_scenes_replace_one_another_and_the_last_one_stays(typed, monkeypatch):
    pretend_terminal(monkeypatch)
    out = typed("little/Driven", "--keys", "--seed", 5, lines="w a9q")
    before, drawn = out.split("\x1b[?1049h")
    drawn, after = drawn.split("\x1b[?1049l")
    assert before == "little/Driven: compiling\n"
    pages = drawn.split("\x1b[H")[1:]
    # Keys that came together are drawn together; then come the verdict and the complaint.
    assert [re.findall(r"step \d", page) for page in pages] == [["step 0"], ["step 3"], ["step 3"], ["step 3"]]
    assert all(page.startswith("little/Driven, seed 5; h hidden state, o") for page in pages)
    assert all(page.split("action> ")[0].count("\n") < 16 for page in pages)
    assert "episode 1 is over" in pages[2] and "'9' is no answer" in pages[3]
    assert "step 3 |" in after and after.endswith("finished 1 episode, mean return " + after.split()[-1] + "\n")


def test_a_text_that_does_not_fit_takes_the_place_of_the_scene(typed, monkeypatch):
    pretend_terminal(monkeypatch)
    drawn = typed("little/Driven", "--keys", lines="?q").split("\x1b[?1049l")[0].split("\x1b[H")
    assert "step 0" in drawn[1] and "Seen" not in drawn[1]
    assert "step 0" not in drawn[-1] and "As `Seen`" in drawn[-1]


def test_a_script_is_shown_at_its_pace(typed, monkeypatch):
    pretend_terminal(monkeypatch)
    slept = []
    monkeypatch.setattr(play.time, "sleep", slept.append)
    out = typed("little/Driven", "--actions", "0 1", "--fps", 20)
    assert slept == [0.05, 0.05] and out.count("\x1b[H") == 3
    assert "\x1b[H" not in typed("little/Drawn", "--actions", "0 1")  # text is a record of all steps


@pytest.mark.parametrize(
    ("room", "rows", "columns", "beside"),
    [
        (None, 32, 64, False),
        ((100, 50), 32, 64, False),
        ((64, 34), 32, 64, False),
        ((80, 20), 20, 40, True),
        ((40, 30), 20, 40, False),
        ((30, 40), 15, 30, False),
    ],
)
def test_images_are_made_smaller_until_they_fit_with_their_text(monkeypatch, room, rows, columns, beside):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    image = np.full((64, 64, 3), 7, np.uint8)
    lines = scene._image_scene(image, "a text\nof two", room).split("\n")
    pixels = [line.count("▀") for line in lines]
    assert pixels[:rows] == [columns] * rows and not any(pixels[rows:])
    assert lines[0].endswith("  a text") == beside
    assert len(lines) == (rows if beside else rows + 2)


@pytest.mark.heavy
def test_a_maze_can_be_walked_through(typed):
    """The keys of Memory Maze, its prompt in words and its map."""
    out = typed("memory_maze/9x9", "--keys", "--seed", 3, "--hidden", lines="\x1b[A\x1b[Dads5q")
    labels = [line.split(" | ")[1] for line in out.splitlines() if "| action" in line]
    names = ["forward", "left", "forward-left", "forward-right", "nothing", "forward-right"]
    assert labels == [f"action {name}" for name in names]
    assert out.count("find green, step") == 7 and out.count("█" * 11) == 14


def test_numbers_have_the_names_that_an_environment_gives_them():
    env, params = envs.make("gymnax/CartPole-v1")
    obs, _ = env.reset_env(jax.random.key(0), params)
    assert scene.observation_text(env, params, obs).splitlines()[-1].split() == [f"{number:.6g}" for number in obs]
    env.number_names = ("place", "speed", "tilt", "spin")
    named = [f"{name} {number:.6g}" for name, number in zip(env.number_names, obs, strict=True)]
    assert scene.observation_text(env, params, obs).splitlines()[-1].strip() == ", ".join(named)
    env.number_names = ("place",)  # of another observation
    assert "place" not in scene.observation_text(env, params, obs)
