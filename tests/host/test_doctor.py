"""`doctor`: each thing that can be wrong is a line and exit code 1, and no probe that fails stops the others."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from envs import atari
from experiments import doctor
from experiments.running import startup

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sound(monkeypatch, tmp_path):
    """Make a machine on which nothing is wrong, whatever this one is."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(doctor, "nvidia_gpus", lambda: 0)
    monkeypatch.setattr(doctor, "plugins", dict)
    monkeypatch.setattr(doctor, "shadows", lambda: iter(()))
    monkeypatch.setattr(doctor, "_requirements", lambda extra, package="": iter(()))


def examined(capsys, code: int) -> dict:
    """Run the command line; return what it prints as JSON."""
    assert doctor.main(["--json"]) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def problem(capsys) -> str:
    """Return the one thing that is wrong, which the text names in a line, too."""
    (line,) = examined(capsys, 1)["problems"]
    assert "\n" not in line
    assert doctor.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == ["wrong", f"  {line}"]
    return line


def test_nothing_is_wrong(sound, capsys, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--a_flag")
    report = examined(capsys, 0)
    assert report["problems"] == []
    assert report["versions"]["jax"] == jax.__version__ and report["versions"]["jaxlib"]
    assert report["devices"]["count"] == len(jax.devices())
    assert report["machine"]["cores"] >= 1 and report["machine"]["memory_bytes"] > 2**20
    assert report["cache"]["writable"] is True and report["environment"]["XLA_FLAGS"] == "--a_flag"
    assert doctor.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is wrong"


def test_a_gpu_that_jax_does_not_use_names_the_command(sound, capsys, monkeypatch):
    if jax.default_backend() != "cpu":
        pytest.skip("JAX uses one here")
    monkeypatch.setattr(doctor, "nvidia_gpus", lambda: 2)
    assert "JAX runs on the CPU: run `just cuda`" in problem(capsys)
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "_RECIPES", doctor._RECIPES.with_name("nowhere"))
        assert problem(capsys).endswith("JAX runs on the CPU: install it with: pip install 'r2i-jit[cuda]'")
    monkeypatch.setattr(doctor, "plugins", lambda: {"jax-cuda12-plugin": metadata.version("jaxlib")})
    assert "its driver may be too old" in problem(capsys)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # as asked for
    examined(capsys, 0)


def test_gpus_are_counted_by_the_driver_or_its_command(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_NVIDIA", tmp_path / "nowhere")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor.nvidia_gpus() == 0
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: x)'\necho 'GPU 1: NVIDIA H200 (UUID: y)'\n")
    command.chmod(0o755)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(command))
    assert doctor.nvidia_gpus() == 2
    command.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert doctor.nvidia_gpus() == 0
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    monkeypatch.setattr(doctor, "_NVIDIA", tmp_path / "gpus")
    assert doctor.nvidia_gpus() == 1


def test_a_plugin_of_another_version_than_jaxlib_is_named(sound, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "plugins", lambda: {"jax-cuda12-plugin": "0.1.2"})
    assert problem(capsys).startswith(f"jax-cuda12-plugin 0.1.2 is not of jaxlib {metadata.version('jaxlib')}")


def test_plugins_are_found_by_their_names(monkeypatch):
    names = ("jax_cuda12_plugin", "jax-cuda12-pjrt", "jax-rocm7-plugin", "jaxlib", "jax", None)
    monkeypatch.setattr(metadata, "distributions", lambda: [SimpleNamespace(metadata={"Name": name}) for name in names])
    monkeypatch.setattr(doctor, "_version", lambda name: "1")
    assert list(doctor.plugins()) == ["jax-cuda12-pjrt", "jax-cuda12-plugin", "jax-rocm7-plugin"]


def test_a_package_outside_the_range_or_missing_is_named(sound, capsys, monkeypatch):
    requirements = pytest.importorskip("packaging.requirements")
    needed = "jax>=99"
    only = lambda extra, package="": iter(() if extra else [requirements.Requirement(needed)])
    monkeypatch.setattr(doctor, "_requirements", only)
    assert f"jax {jax.__version__} is outside the supported range >=99; install it with: pip " in problem(capsys)
    needed = "no-such-package>=1"
    assert problem(capsys).startswith("no-such-package is not installed; install it with: pip install 'no-such-")


def test_a_platform_that_is_not_there_is_named(sound, capsys, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "nonsense")
    monkeypatch.setattr(startup, "missing_platform", lambda: "JAX_PLATFORMS=nonsense: JAX cannot use it")
    assert problem(capsys).startswith("JAX_PLATFORMS=nonsense: JAX cannot use it")


def test_a_cache_that_cannot_be_written_is_named(sound, capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert "cannot be written (Not a directory): every run compiles anew" in problem(capsys)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert problem(capsys).startswith("no compilation cache (")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "gs://bucket/cache")
    assert examined(capsys, 0)["cache"] == {"folder": "gs://bucket/cache", "writable": None}


def test_the_size_of_the_cache_is_that_of_its_files(sound, capsys, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a-program").write_bytes(b"0" * 1000)
    cache = examined(capsys, 0)["cache"]
    assert (cache["files"], cache["bytes"]) == (1, 1000)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["a-program"]


def test_a_folder_that_shadows_a_package_is_named(monkeypatch, tmp_path):
    (tmp_path / "optax").mkdir()
    (tmp_path / "optax" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "optax", raising=False)
    (line,) = doctor.shadows()
    assert line.startswith(f"{tmp_path / 'optax'} shadows the package 'optax' (")


def test_a_probe_that_fails_is_a_problem_and_stops_nothing(capsys, monkeypatch):
    def fail(_):
        raise KeyError("nothing\nhere")

    monkeypatch.setattr(doctor, "PROBES", {**dict.fromkeys(doctor.PROBES, fail), "machine": doctor.limits})
    report = examined(capsys, 1)
    assert len(report["problems"]) == len(doctor.PROBES) - 1 and report["machine"]["cores"] >= 1
    assert report["problems"][0] == "cannot find out about versions: 'nothing\\nhere'"


def test_an_extra_is_installed_where_all_that_it_asks_for_is(monkeypatch):
    pytest.importorskip("packaging")
    requires = {
        doctor.PACKAGE: [
            *["numpy>=2", "jax[gpu]>=0.1; extra == 'cuda'", "pytest; extra == 'dev'"],
            "jaxtari; extra == 'atari'",
        ],
        "jax": ["jaxlib", "no-such-plugin; extra == 'gpu'"],
    }
    monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(requires=requires[name]))
    monkeypatch.setattr(doctor, "_version", lambda name: None if name.startswith("no-such") else "9")
    monkeypatch.setattr(
        metadata, "metadata", lambda name: SimpleNamespace(get_all=lambda key: ["cuda", "atari", "dev"])
    )
    monkeypatch.setattr(atari, "installed", lambda: False)
    assert doctor.extras(doctor.Doctor()) == {"cuda": False, "atari": True, "atari_sprites": False, "dev": True}
    assert [requirement.name for requirement in doctor._requirements("")] == ["numpy"]


def test_a_real_run(tmp_path):
    """On this machine, whatever is wrong with it: an answer, and the exit code that goes with it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "nonsense"}
    words = ("-m", "experiments.doctor", "--json")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    report = json.loads(done.stdout)
    assert done.returncode == 1 and list(report) == [*doctor.PROBES, "problems"], done.stderr
    assert any(line.startswith("JAX_PLATFORMS=nonsense: JAX cannot use it (") for line in report["problems"])
    assert list(tmp_path.iterdir()) == []
