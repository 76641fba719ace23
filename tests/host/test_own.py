"""The command line on environments of one's own, found by module and name from where the person stands. About 25 s.

The game and the module that registers it are the ones in docs/own.md.
"""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import envs
from envs import registry
from experiments import evaluate, play, record, smoke, sweep, train
from experiments.presets import SUITES
from experiments.running import importing
from r2i_jit import trained
from tests.host.test_cli import error_line, last_error, read

REPOSITORY = Path(__file__).parents[2]
GAME, REGISTERING = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "own.md").read_text(), re.S)[:2]
MODULES = {
    "corridor.py": GAME,
    "my_module.py": REGISTERING,
    "bad_module.py": "raise OSError('first\\nsecond')",
    "nameless.py": "raise ModuleNotFoundError('of no name')",
}
RUN = ("--steps", "200", "--run-dir", "run")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return the folder with the modules, which is the current one; nothing of them is left after the test."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name, text in MODULES.items():
        (folder / name).write_text(text)
    envs.registered()  # Load the suites first: they register once per process.
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    # An empty entry would stand for the current folder, whatever that is.
    monkeypatch.setattr(sys, "path", [*(place for place in sys.path if place), str(REPOSITORY)])
    monkeypatch.chdir(folder)
    yield folder
    forget()


def forget() -> None:
    """Let the modules be as in a process that has not imported them."""
    for name in MODULES:
        sys.modules.pop(name.removesuffix(".py"), None)
    registry._entries.pop("mine/Corridor", None)
    importlib.invalidate_caches()


@pytest.fixture
def fakes(fake, home, monkeypatch):
    """Return `fake`, in the folder with the modules."""
    monkeypatch.chdir(home)
    return fake


@pytest.fixture
def moved(monkeypatch, tmp_path):
    """Return a function that goes to another folder, as a process of its own would begin there."""
    path = list(sys.path)

    def go(name: str = "elsewhere") -> Path:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        sys.path[:] = path
        forget()
        return tmp_path / name

    return go


def exits(main, *words: object) -> int:
    """Return the exit code of an entry point, whether returned or raised."""
    try:
        return main([str(word) for word in words])
    except SystemExit as stop:
        assert isinstance(stop.code, int)
        return stop.code


NAMED = ("--env", "corridor:Corridor")
REGISTERED = ("--env", "mine/Corridor", "--import", "my_module")


@pytest.mark.parametrize(
    ("words", "imports"), [(NAMED, []), pytest.param(REGISTERED, ["my_module"], marks=pytest.mark.heavy)]
)
def test_a_run_is_started_resumed_and_evaluated_from_anywhere(fakes, home, moved, capsys, words, imports):
    assert fakes(*words, *RUN) == 0
    run = home / "run"
    info = json.loads((run / "run.json").read_text())
    assert (info["imports"], info["folder"], info["suite"]) == (imports, str(home), "")
    assert json.loads((run / "config.json").read_text())["env"] == words[1]
    for asked in ((), words[:2]):
        moved()
        steps = 240 + 40 * len(asked)
        assert fakes("--run-dir", run, "--resume", "--steps", steps, *asked) == 0
        assert read(run)[-1]["env_steps"] == steps
    assert json.loads((run / "run.json").read_text())["folder"] == str(home)
    moved()
    capsys.readouterr()
    assert fakes("evaluate", run, "--episodes", 16) == 0
    assert f"{words[1]} at step 320" in capsys.readouterr().out
    moved()
    trained._import_environment(run)  # As `r2i_jit.load` does.
    assert envs.make(words[1])[0].name == "Corridor"
    moved()
    assert fakes("plot", run) == 0
    moved()
    assert exits(record.main, run, "--policy", "random", "--out", "game.png") == 0
    assert Path("game.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.heavy
def test_agents_are_compared_on_it(fakes, home, capsys):
    words = ("compare", "--out-dir", "out", "--agents", "r2i", "ppo-gru", "--steps", "120", "--env")
    assert fakes(*words, "corridor:Corridor", "mine/Corridor", "--import", "my_module") == 0
    text = capsys.readouterr().out
    assert "| corridor:Corridor |" in text and "| mine/Corridor" in text and "No scores" in text
    assert "A run of r2i is better than one of ppo-gru in a game with probability" in text
    assert (home / "out" / "report" / "report.png").exists()
    assert {path.parent.name for path in home.glob("out/*/*/run.json")} == {"Corridor", "corridor-Corridor"}


def test_a_run_is_found_by_its_environment_and_a_sweep_takes_one(fakes, moved, capsys):
    assert fakes(*NAMED, "--steps", 200) == 0
    assert fakes(*NAMED, "--resume", "--steps", 240) == 0
    assert "at step 200" in capsys.readouterr().err
    grid = ("--grid", "hypers.model_lr=0.1,0.5")
    assert fakes("sweep", *NAMED, *grid, "--steps", 200, "--run-dir", "sweep") == 0
    moved("home")
    assert fakes("sweep", *NAMED, "--run-dir", "sweep", "--resume", "--steps", 240) == 0


def test_a_run_whose_module_is_gone_is_refused_in_one_line(fakes, home, moved, capsys):
    assert fakes(*NAMED, *RUN) == 0
    assert fakes(*REGISTERED, "--steps", 200, "--run-dir", "registered") == 0
    for file in MODULES:
        (home / file).unlink()
    for run, words in (("run", "there is no module 'corridor'"), ("registered", "there is no module 'my_module'")):
        for command in (["evaluate", home / run], ["--run-dir", home / run, "--resume"]):
            elsewhere = moved()
            capsys.readouterr()
            assert fakes(*command) == 2
            line = last_error(capsys)
            assert words in line and (run == "run" or f"{elsewhere} and {home}" in line)


def test_modules_are_looked_for_last_and_once(home, monkeypatch):
    before = list(sys.path)
    (home / "json.py").write_text("raise AssertionError('shadows')")
    for _ in range(2):
        importing.prepare(["json", "my_module"], str(home / "started"))
    assert sys.path == [*before, str(home), str(home / "started")]
    assert "mine/Corridor" in envs.registered()


def test_play_takes_one(home, moved, capsys):
    for words in (["corridor:Corridor"], ["mine/Corridor", "--import", "my_module"]):
        assert exits(play.main, *words, "--actions", "random", "--seed", 1) == 0
        assert "finished 1 episode" in capsys.readouterr().out
        moved("home")


def test_record_takes_one_without_a_run(home):
    assert exits(record.main, *NAMED, "--out", "game.png") == 0
    assert Path("game.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("words", [NAMED, REGISTERED])
def test_smoke_takes_one(home, monkeypatch, capsys, words):
    monkeypatch.setattr(smoke, "run", lambda env_id: {"model/loss": len(envs.make(env_id))})
    monkeypatch.setattr("jax.clear_caches", lambda: None)  # The next tests need them.
    assert exits(smoke.main, *words) == 0
    assert capsys.readouterr().out.startswith(f"ok     {words[1]}")
    assert exits(smoke.main, "--env", words[1], "corridor:Coridor", *words[2:]) == 1
    assert "ValueError: environment 'corridor:Coridor': corridor has no 'Coridor'; did you mean Corridor?" in (
        capsys.readouterr().out
    )


GIVE = "give a suite, such as popgym, or --env"
MISTAKES = [
    (["--env", "coridor:Corridor"], "environment 'coridor:Corridor': there is no module 'coridor'"),
    (["--env", "corridor:Coridor"], "did you mean Corridor?"),
    (["--env", "corridor.py:Corridor"], "a module's name, no file's"),
    (["--env", "corridor:LENGTH"], "is no gymnax 1.0 environment"),
    (["--env", "mine/Corridor"], "unknown environment 'mine/Corridor'"),
    (["--env", "mine/Coridor", "--import", "my_module"], "did you mean mine/Corridor?"),
    (["--env", "mine/Corridor", "--import", "my_modul"], "--import my_modul: there is no module 'my_modul'"),
    (["--env", "mine/Corridor", "--import", "bad_module"], "--import bad_module raised OSError: first"),
    (["--env", "mine/Corridor", "--import", "nameless"], "--import nameless raised ModuleNotFoundError: of no name"),
    (["--env", "mine/Corridor", "--import", "my_module.py"], "--import my_module.py: "),
    (["popgym", "--env", "corridor:Corridor"], "environment 'corridor:Corridor' is not of suite 'popgym'"),
    (
        ["mine/Corridor"],
        f"unknown suite 'mine/Corridor': expected one of {', '.join(SUITES)}; an environment is given by",
    ),
    (["corridor:Corridor"], "an environment is given by --env corridor:Corridor"),
    ([], GIVE),
    (["--resume"], GIVE),
    (["--run-dir", "new"], GIVE),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[" ".join(words) or "nothing" for words, _ in MISTAKES])
def test_wrong_names_exit_2_with_one_line_and_create_nothing(home, capsys, words, expected):
    """On the real presets: nothing is compiled before."""
    before = sorted(home.iterdir())
    assert exits(train.main, *words) == 2
    assert expected in error_line(capsys)
    assert exits(sweep.main, *words, "--grid", "hypers.model_lr=1e-3,1e-4") == 2
    assert expected in error_line(capsys)
    assert sorted(path for path in home.iterdir() if path.name != "__pycache__") == before


@pytest.mark.parametrize(
    ("main", "words", "expected"),
    [
        (play.main, ["coridor:Corridor"], "there is no module 'coridor'"),
        (play.main, ["corridor:Coridor"], "did you mean Corridor?"),
        (play.main, ["mine/Corridor"], "unknown environment 'mine/Corridor'"),
        (play.main, ["mine/Corridor", "--import", "nowhere"], "--import nowhere: there is no module 'nowhere'"),
        (record.main, ["--env", "corridor:Coridor"], "did you mean Corridor?"),
        (record.main, ["--env", "mine/Corridor", "--import", "nowhere"], "--import nowhere: there is no module"),
        (smoke.main, ["--env", "mine/Corridor", "--import", "nowhere"], "--import nowhere: there is no module"),
        (smoke.main, ["popgym", "--env", "corridor:Corridor"], "give a suite or --env, not both"),
        (smoke.main, ["corridor"], "unknown suite 'corridor'"),
        (evaluate.main, ["corridor:Corridor"], "corridor:Corridor is no run directory"),
    ],
)
def test_every_other_command_says_it_in_one_line_too(home, capsys, main, words, expected):
    assert exits(main, *words) == 2
    assert expected in error_line(capsys)


@pytest.mark.heavy
def test_the_script_finds_a_module_in_the_current_folder(home):
    """A script's folder is Python's first, not the person's."""
    code = "import sys; sys.argv[0] = 'r2i'; from experiments.play import main; sys.exit(main(sys.argv[1:]))"
    words = ["corridor:Corridor", "--actions", "1 1", "--seed", "0"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-P", "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "left episode 1 at step 2" in done.stdout


def test_a_folder_named_like_one_of_ours_does_not_take_its_place(home):
    """Python asks the folders of sys.path before an editable install."""
    for name in ("envs", "r2i_jit"):
        (home / name).mkdir()
        (home / name / "__init__.py").write_text("raise RuntimeError('not this one')")
    code = "from experiments.running import importing; importing.prepare([]); import envs, r2i_jit; envs.make"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
