"""What this process may use of the machine: cores and memory, within its control group where there is one; its name."""

import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path

SHARING = "R2I_PROCESSES"  # how many processes of ours share this machine's memory
_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def cores() -> int:
    """Return how many cores this process may use: its affinity, or its control group's quota where that is less."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas())]))


def processor() -> str:
    """Return the name of the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def memory_bytes() -> int:
    """Return how much memory this process may use: the machine's, or its control group's limit where that is less.

    Of several processes that were started together (`pool`) each has its share.
    """
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [*_numbers("", "memory.max"), *_numbers("memory", "memory.limit_in_bytes")]
    whole = min([installed, *(int(limit[0]) for limit in limits if limit[0] > 0)])
    return whole // int(os.environ.get(SHARING) or 1)


def _quotas() -> Iterator[float]:
    """Yield every limit on cores: version 2 of control groups has "quota period" in one file, version 1 has two."""
    for quota, period in _numbers("", "cpu.max", count=2):
        yield quota / period
    for (quota,), (period,) in zip(
        _numbers("cpu", "cpu.cfs_quota_us"), _numbers("cpu", "cpu.cfs_period_us"), strict=False
    ):
        if quota > 0:  # -1 is no limit
            yield quota / period


def _numbers(controller: str, name: str, count: int = 1) -> Iterator[list[float]]:
    """Yield the numbers in a file of this process's control group and of all groups above it; "max" is none."""
    for folder in _groups(controller):
        try:
            words = (folder / name).read_text(encoding="ascii").split()
            numbers = [float(word) for word in words]
        except (OSError, ValueError):
            continue
        if len(numbers) == count:
            yield numbers


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and of those above it.

    Args:
      controller: "cpu" or "memory" for version 1, empty for version 2.
    """
    try:
        lines = _MEMBERSHIP.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(",") if controller else not controllers:
            top = _CGROUPS / controllers if controller else _CGROUPS
            # In a container the path may be the host's, of which only the top is to be seen.
            inside = top / path.lstrip("/")
            yield from (folder for folder in (inside, *inside.parents) if folder == top or top in folder.parents)
