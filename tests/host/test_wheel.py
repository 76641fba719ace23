"""From a wheel, in an empty environment and an empty folder, every command works. Slow: it installs JAX."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host.test_docs import DOCS, blocks, own_commands, own_game

ROOT = Path(__file__).parents[2]
OURS = ("envs", "experiments", "r2i_jit")


def call(*words: object, cwd: Path, home: Path | None = None) -> str:
    """Run a program that must succeed, and return what it prints.

    Args:
      words: program and arguments.
      cwd: where.
      home: the user's home, where no settings of this process shall count; by default they do, as pip needs them.
    """
    ours = ("PYTHON", "R2I_", "XLA_", "JAX_", "XDG_", "VIRTUAL_ENV")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    if home is not None:
        variables |= {"HOME": str(home), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd, env=variables, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    print("$", *words)
    print(done.stdout, done.stderr, sep="")
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked(*folders: str) -> list[str]:
    """Return the names of the files that git tracks."""
    return call("git", "ls-files", "-z", *folders, cwd=ROOT).split("\0")[:-1]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of a virtual environment in which the wheel and nothing else was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    if not (ROOT / ".git").exists():
        pytest.skip("git does not say here which files are the project's")
    sources = folder / "sources"
    for name in tracked():
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, sources / name)
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, sources, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    call(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    found = folder / "venv" / "bin"
    call(found / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return an empty folder that is the user's home."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.mark.slow
def test_the_wheel_holds_what_its_packages_hold(programs):
    """Every tracked file of the three packages, and no other."""
    (installed,) = (programs.parent / "lib").glob("python*/site-packages")
    found = [path for name in OURS for path in (installed / name).rglob("*") if path.is_file()]
    found = [path.relative_to(installed).as_posix() for path in found if path.suffix != ".pyc"]
    assert sorted(found) == sorted(tracked(*OURS))


@pytest.mark.slow
def test_what_is_installed_is_pinned(programs):
    """constraints.txt has all of what the package needs, under the names that pip gives."""
    names = {re.split("[=<>@ ]", line)[0] for line in call(programs / "pip", "freeze", cwd=programs).splitlines()}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines}
    assert {re.sub("[-_.]+", "-", name).lower() for name in names} - {"r2i-jit"} <= pinned


@pytest.mark.slow
def test_every_command_works_in_an_empty_folder(programs, home, tmp_path):
    """As docs/own.md and docs/agent.md say, with fewer steps."""
    place, r2i = tmp_path / "empty", programs / "r2i"
    place.mkdir()
    assert "usage: r2i COMMAND" in call(r2i, "--help", cwd=place, home=home)
    assert call(r2i, "doctor", cwd=place, home=home).splitlines()[-1] == "nothing is wrong"
    assert not list(place.iterdir())
    (place / "corridor.py").write_text(own_game())
    for words in own_commands(steps=2000):
        call(r2i, *words[1:], cwd=place, home=home)
    run = place / "corridor-run"
    assert {"evaluation.json", "plots", "checkpoints"} <= {path.name for path in run.iterdir()}
    assert (run / "plots" / "episode.gif").stat().st_size > 1000
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "corridor:Corridor at step" in call(r2i, "evaluate", run, "--episodes", 4, cwd=elsewhere, home=home)
    assert "\n| memory_maze/9x9 " in call(r2i, "environments", cwd=elsewhere, home=home)
    words = ("--env", "memory_maze/9x9", "--max-steps", 4, "--out", "maze.png")
    call(r2i, "record", *words, cwd=elsewhere, home=home)
    example_is_optimal(call(r2i, "evaluate", "example", "--episodes", 4, cwd=elsewhere, home=home))
    call(r2i, "record", "example", cwd=elsewhere, home=home)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["episode.gif", "maze.png"]
    code = blocks(DOCS / "agent.md", "python")[0]
    out = call(programs / "python", "-c", code, cwd=elsewhere, home=home)
    assert out == "popgym/RepeatPreviousEasy: return 1.00\n"


@pytest.mark.slow
def test_folders_of_the_same_names_are_left_alone(programs, home, tmp_path):
    """A project has packages of our names, which raise when they are imported."""
    for name in OURS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('this is somebody else`s')\n")
    (tmp_path / "corridor.py").write_text(own_game())
    r2i = programs / "r2i"
    assert call(r2i, "doctor", cwd=tmp_path, home=home).splitlines()[-1] == "nothing is wrong"
    example_is_optimal(call(r2i, "evaluate", "example", "--episodes", 4, cwd=tmp_path, home=home))
    train, evaluate, _ = own_commands(steps=300)
    call(r2i, *train[1:], cwd=tmp_path, home=home)
    assert "corridor:Corridor at step" in call(r2i, *evaluate[1:], cwd=tmp_path, home=home)


def example_is_optimal(text: str) -> None:
    assert "popgym/RepeatPreviousEasy" in text
    assert float(re.search(r"^mean return ([\d.]+)", text, re.M).group(1)) > 0.9, text
