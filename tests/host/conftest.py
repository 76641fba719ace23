"""Fixtures of the host tests: runs on the stand-in trainer, in this process or in ones that can be killed."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the user's compilation cache out of the tests and give them one: they compile the stand-in many times."""
    import jax

    path = tmp_path_factory.mktemp("xla")
    options = {
        "jax_compilation_cache_dir": str(path),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in options}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in options.items():
            patch.setenv(name.upper(), str(value))
            jax.config.update(name, value)
        yield path
    for name, value in before.items():
        jax.config.update(name, value)


def _undrawn(curves: object, envs: object, out: Path) -> Path:
    """Write a picture of one black pixel."""
    from PIL import Image

    out.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (1, 1)).save(out)
    return out


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Return a function that runs an entry point on the stand-in trainer, in a folder of its own."""
    import r2i_jit
    from tests.host import fake as module

    # Matplotlib takes as long as the rest of such a run; tests/host/test_plot.py has the pictures.
    monkeypatch.setattr("experiments.drawing.curves.draw", _undrawn)
    # Restored after the test: install() replaces both.
    monkeypatch.setattr(r2i_jit, "Trainer", r2i_jit.Trainer)
    monkeypatch.setitem(sys.modules, "experiments.presets", sys.modules.get("experiments.presets"))
    monkeypatch.chdir(tmp_path)

    def run(*argv: object) -> int:
        """Return the exit code, whether returned or raised."""
        try:
            return module.main([str(word) for word in argv])
        except SystemExit as error:
            assert isinstance(error.code, int)
            return error.code

    return run


@pytest.fixture
def fakes(fake: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return the same, with the stand-in's two environments registered."""
    import envs
    from envs import registry
    from envs.popgym.repeat_first import RepeatFirst

    envs.registered()
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    for name in ("fake/A", "fake/B"):
        envs.register(name, RepeatFirst)
    return fake


def _child(argv: list[str], environment: dict[str, str]) -> None:
    """Run the stand-in as a process of its own."""
    import os
    import signal

    os.environ.update(environment)
    from tests.host import fake

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, which a run would leave so
    sys.exit(fake.main(argv))


@pytest.fixture(scope="session")
def launch(private_cache: Path) -> Callable[..., multiprocessing.process.BaseProcess]:
    """Return a function that starts the stand-in in a process that may be killed.

    The processes are forked from a server that has imported everything and initialised nothing, so that one costs
    tenths of a second.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.host.preload"])

    def start(*argv: object, **environment: object) -> multiprocessing.process.BaseProcess:
        # Apart from this process's cache: a kill can tear an entry, which JAX then passes over with a warning.
        words = {"JAX_COMPILATION_CACHE_DIR": str(private_cache / "children")}
        words |= {name: str(value) for name, value in environment.items()}
        process = context.Process(target=_child, args=([str(word) for word in argv], words))
        process.start()
        return process

    return start
