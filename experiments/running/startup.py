"""How a process is set up before JAX runs: where compiled programs are kept, and which devices there are."""

import contextlib
import os
from pathlib import Path


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, unless the environment says where (call before JAX runs)."""
    import jax

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "r2i-jit" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def use_all_cores() -> None:
    """Make a device of every core that this process may use, for seeds to be spread over.

    Call it before JAX runs, which importing gymnax makes it do.
    """
    import jax

    chosen = "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not chosen:
        with contextlib.suppress(RuntimeError):  # JAX runs already: this process has called an entry point before
            jax.config.update("jax_num_cpu_devices", cores)
