"""Where a command is called and on what machine: shadowing folders, no home, no GPU, limits, just. About 60 s."""

import importlib.metadata
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import jax
import pytest

from experiments.presets import SUITES
from experiments.running import machine, runinfo, startup
from r2i_jit.config import Config
from tests.host.test_cli import last_error

ROOT = Path(__file__).parents[2]
SCRIPT = "import sys; sys.argv[0] = 'r2i'; from experiments.__main__ import script; script()"


def python(*words: str, cwd: Path, **environment: str | None) -> subprocess.CompletedProcess:
    """Run Python with this package on its path, after what it puts there itself."""
    changed = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    variables = {name: value for name, value in changed.items() if value is not None}
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=variables, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with packages of the same names as ours."""
    for name in ("envs", "experiments"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    return tmp_path


def test_a_folder_that_shadows_a_package_is_named(project):
    (project / "experiments" / "__init__.py").unlink()
    (project / "experiments").rmdir()
    done = python("-m", "experiments.train", "popgym", cwd=project)
    shadow = f"{project / 'envs'} shadows the package 'envs' of r2i-jit ({ROOT / 'envs'})"
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {shadow}") and done.stderr.count("\n") == 1
    (project / "mine.py").write_text("from r2i_jit import Trainer\n")
    done = python("mine.py", cwd=project)
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {shadow}")
    (project / "envs" / "__init__.py").unlink()
    (project / "envs").rmdir()
    (project / "envs.py").write_text("")
    assert f"{project / 'envs.py'} shadows" in python("mine.py", cwd=project).stderr


@pytest.mark.heavy
def test_the_console_script_is_immune(project):
    """Python puts a script's own folder first, and not where it is called."""
    script = Path(sys.executable).with_name("r2i")
    if not script.is_file():  # the package is on the path and not installed
        script = project / "bin" / "r2i"
        script.parent.mkdir()
        script.write_text(SCRIPT)
    done = python(str(script), "train", "popgm", cwd=project)
    assert (done.returncode, done.stderr) == (
        2, f"error: unknown suite 'popgm': expected one of {', '.join(SUITES)}\n",
    )  # fmt: skip
    done = python(str(script), "trian", cwd=project)
    assert done.stderr == "error: unknown command 'trian'; did you mean train?\n"
    done = python(str(script), "train", "--help", cwd=project)
    assert done.stdout.startswith("usage: r2i train ")
    assert all(f"  {name} " in python(str(script), "--help", cwd=project).stdout for name in ("train", "sweep", "plot"))


def test_a_platform_that_is_not_there_is_said_with_what_is(tmp_path):
    for asked in ("cuda", "nonsense"):
        done = python("-m", "experiments.train", "popgym", cwd=tmp_path, JAX_PLATFORMS=asked)
        if done.returncode == 0:
            pytest.skip("this machine has it")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith(f"error: JAX_PLATFORMS={asked}: JAX cannot use it (")
        assert done.stderr.endswith("; here it can use: cpu\n")
    assert not list(tmp_path.iterdir())


def test_without_a_home_programs_are_compiled_anew_and_a_line_says_so(monkeypatch, capsys, tmp_path):
    before = jax.config.jax_compilation_cache_dir
    for name in ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    startup.use_compilation_cache()
    assert "no compilation cache (Could not determine home directory): every run" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    startup.use_compilation_cache()
    assert "no compilation cache (" in capsys.readouterr().err
    assert jax.config.jax_compilation_cache_dir == before


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes a tree of control groups, given its files, and puts this process into one."""

    def make(membership: str, **files: str) -> None:
        (tmp_path / "cgroup").write_text(membership)
        for name, text in files.items():
            path = tmp_path / "fs" / name.replace("__", "/").replace("-", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "cgroup")
        monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "fs")

    return make


def test_limits_of_control_groups_count(groups, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**22}[name])
    installed = 2**34
    groups("")
    assert (machine.cores(), machine.memory_bytes()) == (16, installed)
    # Version 2: the strictest of the group and of those above it.
    groups("0::/a/b\n", **{"a__b__memory-max": "max\n", "a__memory-max": f"{2**33}\n", "a__cpu-max": "150000 100000\n"})
    assert (machine.cores(), machine.memory_bytes()) == (2, 2**33)


def test_limits_of_control_groups_of_version_1_count(groups, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**22}[name])
    groups(
        "4:memory:/x\n2:cpu,cpuacct:/y\n",
        **{
            "memory__x__memory-limit_in_bytes": str(2**32), "memory__memory-limit_in_bytes": str(2**63 - 4096),
            "cpu,cpuacct__y__cpu-cfs_quota_us": "-1", "cpu,cpuacct__y__cpu-cfs_period_us": "100000",
            "cpu,cpuacct__cpu-cfs_quota_us": "400000", "cpu,cpuacct__cpu-cfs_period_us": "100000",
        },
    )  # fmt: skip
    assert (machine.cores(), machine.memory_bytes()) == (4, 2**32)


def test_a_resume_under_other_conditions_is_said(fake, capsys, monkeypatch):
    assert fake("fake", "--steps", 120, "--run-dir", "run") == 0
    capsys.readouterr()
    assert fake("fake", "--steps", 160, "--run-dir", "run", "--resume") == 0
    assert "not bit-exact" not in capsys.readouterr().err
    now = runinfo.versions(Config())
    other = {**now, "cores": "64", "prng": "rbg", "xla_flags": ""}
    assert {"devices", "cores", "prng", "x64", "flax", "optax"} <= now.keys() and not {"gymnax", "brax"} & now.keys()
    memax = types.SimpleNamespace(env="gymnax/CartPole-v1", model=types.SimpleNamespace(sequence="lru"))
    made_by = runinfo.versions(memax)  # a Config of it takes the package
    assert made_by["gymnax"] == importlib.metadata.version("gymnax") and "memax" in made_by
    monkeypatch.setattr(runinfo, "versions", lambda config: other)
    assert fake("fake", "--steps", 200, "--run-dir", "run", "--resume") == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "not bit-exact" in line)
    assert f"cores {now['cores']} -> 64" in line and "prng threefry2x32 -> rbg" in line and "jaxlib" not in line


just = Path(sys.executable).with_name("just")


@pytest.mark.heavy
@pytest.mark.skipif(not (ROOT / ".venv" / "installed-dev").exists(), reason="just would install the package here")
def test_just_takes_paths_from_where_one_stands_and_adds_no_line_of_its_own(finished_run, tmp_path):
    def call(*words: str) -> subprocess.CompletedProcess:
        command = [just, "--justfile", str(ROOT / "Justfile"), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    done = call("plot", "run")
    assert done.returncode == 0 and done.stdout == "run/plots/learning_curve.png\n", done.stderr
    assert (finished_run / "plots" / "learning_curve.png").is_file()
    done = call("plot", "elsewhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: elsewhere is no run directory (it has no run.json)\n"
    assert call("train", "--help").stdout.startswith("usage: just train ")


@pytest.fixture
def finished_run(fake, tmp_path: Path) -> Path:
    assert fake("fake", "--steps", 120, "--run-dir", "run") == 0
    (tmp_path / "run" / "plots" / "learning_curve.png").unlink()
    return tmp_path / "run"


def test_every_recipe_that_runs_the_agent_does_so_where_one_stands():
    text = (ROOT / "Justfile").read_text()
    found = re.findall(r"((?:^\[.*\]\n)+)^([\w-]+) \*args: _run$", text, flags=re.M)
    recipes = {name: attributes for attributes, name in found}
    assert {"train", "sweep", "suite", "evaluate", "plot", "record", "play"} <= recipes.keys()
    assert all("[no-cd]" in attributes and "[no-exit-message]" in attributes for attributes in recipes.values())


def test_results_go_to_stdout_and_all_else_to_stderr(fake, capsys):
    assert fake("fake", "--steps", 120, "--run-dir", "run") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("| seed ") and out[-1] == "learning curve: run/plots/learning_curve.png"
    assert not any(word in line for line in out for word in ("compil", "played", "step "))


def test_an_error_is_the_last_line_and_the_only_one(fake, capsys):
    assert fake("fake", "--set", "model.unit=3") == 2
    assert "did you mean model.units" in last_error(capsys)
