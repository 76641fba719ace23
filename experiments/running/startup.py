"""How a process is set up before JAX runs: where compiled programs are kept, and which devices there are."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from experiments.running import compiled, machine
from experiments.running.cli import fail, note

_PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"
_leaving_memory = False  # to processes that this one starts


def prepare(*, all_cores: bool = False, leave_memory: bool = False, meet: Callable[[], None] | None = None) -> None:
    """Set JAX up; call it before JAX runs, which importing gymnax makes it do.

    Args:
      all_cores: make a device of every core that this process may use, for seeds to be spread over.
      leave_memory: take none of a card's memory in advance, as the processes that this one starts will.
      meet: waits for the other processes of a run, where there are some.
    """
    global _leaving_memory
    if leave_memory and _PREALLOCATE not in os.environ:
        os.environ[_PREALLOCATE], _leaving_memory = "false", True
    use_compilation_cache()
    if all_cores:
        use_all_cores()
    if meet is not None:
        meet()
    refuse_missing_platform()


def inherited() -> dict[str, str]:
    """Return the variables that a process which this one starts is to have."""
    return {name: value for name, value in os.environ.items() if not (_leaving_memory and name == _PREALLOCATE)}


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, unless the environment says where.

    Without a folder that can be written to, as in a container whose user has no home, programs are compiled anew each
    time, and a line says so.
    """
    import jax

    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    try:
        folder = cache_folder()
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        note(f"no compilation cache ({reason}): every run compiles anew; set JAX_COMPILATION_CACHE_DIR to keep one")
        return
    compiled.keep(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def cache_folder() -> Path:
    """Return the folder for compiled programs in the user's cache folder, made if need be.

    Raises:
      OSError: if it cannot be made or written to.
      RuntimeError: if the user has no home.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "r2i-jit" / "xla"
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to")
    return folder


def use_all_cores() -> None:
    """Make a device of every core that this process may use, unless the environment says how many there are to be."""
    import jax

    chosen = "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not chosen:
        with contextlib.suppress(RuntimeError):  # JAX runs already: this process has called an entry point before
            jax.config.update("jax_num_cpu_devices", machine.cores())


def refuse_missing_platform() -> None:
    """Exit 2 if JAX_PLATFORMS asks for what this machine or this JAX does not have."""
    if problem := missing_platform():
        fail(problem)


def missing_platform() -> str | None:
    """Return what is wrong with JAX_PLATFORMS, if it is; JAX then uses what there is."""
    import jax

    try:
        jax.devices()
    except Exception as error:  # JAX raises an AssertionError or a RuntimeError, by the platform
        asked = os.environ.get("JAX_PLATFORMS")
        if not asked:
            raise
        jax.config.update("jax_platforms", None)
        there = ", ".join(sorted({device.platform for device in jax.devices()}))
        reason = (str(error).strip() or "there is no such device, or the extra 'cuda' is missing").splitlines()[0]
        return f"JAX_PLATFORMS={asked}: JAX cannot use it ({reason}); here it can use: {there}"
    return None
