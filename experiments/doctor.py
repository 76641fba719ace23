"""Say what this machine and this installation are, and what is wrong with them: `python -m experiments.doctor`.

Prints versions, devices, cores and memory, where compiled programs are kept, which extras are installed, and which
environment variables change what happens. Exit codes: 0 nothing is wrong, 1 something is; the last lines say what.
"""

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments.running import cli, machine, process, startup

PACKAGE = "r2i-jit"
_SHOWN = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "gymnax", "numpy")
# Distributions whose package Python may find elsewhere first, and the package's name.
_SHADOWED = {"jax": "jax", "jaxlib": "jaxlib", "flax": "flax", "optax": "optax", "gymnax": "gymnax", "numpy": "numpy"}
_PREFIXES = ("JAX_", "XLA_", "R2I_")
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "PYTHONPATH", "XDG_CACHE_HOME")
_PLUGIN = re.compile(r"jax-(cuda|rocm)\d*-(plugin|pjrt)")
_NVIDIA = Path("/proc/driver/nvidia/gpus")
_RECIPES = Path(__file__).parents[1] / "Justfile"
_WRONG = 1

Facts = dict[str, Any]


class Doctor:
    """What was found out so far.

    Attributes:
      report: section -> name -> JSON value.
      problems: what is wrong, a line each.
    """

    def __init__(self) -> None:
        self.report: dict[str, Facts] = {}
        self.problems: list[str] = []

    def look(self, section: str, probe: Callable[["Doctor"], Facts]) -> None:
        """Fill a section; a probe that fails is a problem and stops nothing."""
        try:
            self.report[section] = probe(self)
        except (Exception, SystemExit) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            self.report[section] = {"error": reason}
            self.problems.append(f"cannot find out about {section}: {reason}")

    def wrong(self, problem: str) -> None:
        """Add a problem."""
        self.problems.append(" ".join(problem.split()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(cli.program("doctor"), __doc__)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    args = parser.parse_args(argv)
    doctor = examined()
    if args.json:
        print(json.dumps({**doctor.report, "problems": doctor.problems}, indent=2))
    else:
        print(_text(doctor))
    return _WRONG if doctor.problems else 0


def examined() -> Doctor:
    """Return what all probes find."""
    doctor = Doctor()
    for section, probe in PROBES.items():
        doctor.look(section, probe)
    return doctor


def versions(doctor: Doctor) -> Facts:
    """Find the versions, and which packages are missing, out of range, or shadowed by a folder."""
    found: Facts = {"python": platform.python_version(), PACKAGE: _version(PACKAGE)}
    found.update((name, _version(name)) for name in _SHOWN)
    for requirement in _requirements(""):
        problem = _unmet(requirement)
        if problem:
            doctor.wrong(f"{problem}; install it with: pip install '{requirement.name}{requirement.specifier}'")
    for name, version in plugins().items():
        found[name] = version
        if found["jaxlib"] and version != found["jaxlib"]:
            doctor.wrong(
                f"{name} {version} is not of jaxlib {found['jaxlib']}, and JAX uses it only if it is: {_with_cuda()}, "
                "or install both in one version"
            )
    for problem in shadows():
        doctor.wrong(problem)
    return found


def plugins() -> dict[str, str]:
    """Return the versions of the plugins through which JAX uses GPUs."""
    names = ((dist.metadata["Name"] or "").lower().replace("_", "-") for dist in metadata.distributions())
    return {name: _version(name) or "?" for name in sorted(set(names)) if _PLUGIN.fullmatch(name)}


def shadows() -> Iterator[str]:
    """Yield a line for each package that Python finds elsewhere than where it is installed."""
    from r2i_jit.shadows import refuse_shadows

    for package in ("r2i_jit", "envs", "experiments"):
        try:
            refuse_shadows(package)
        except ImportError as error:
            yield str(error)
    for distribution, package in _SHADOWED.items():
        try:
            installed = Path(str(metadata.distribution(distribution).locate_file(package)))
        except metadata.PackageNotFoundError:
            continue
        spec = importlib.util.find_spec(package)
        if spec is None or not installed.is_dir():  # an editable installation lies elsewhere
            continue
        found = Path(spec.origin).parent if spec.origin else Path(next(iter(spec.submodule_search_locations or ("?",))))
        if found.resolve() != installed.resolve():
            yield f"{found} shadows the package {package!r} ({installed}): rename it or start from another folder"


def devices(doctor: Doctor) -> Facts:
    """Find JAX's devices, and what keeps it from using others that there are."""
    import jax

    asked = os.environ.get("JAX_PLATFORMS")
    if problem := startup.missing_platform():
        doctor.wrong(f"{problem}; unset it or name one of these")
    found = jax.devices()
    kinds: Facts = {"platform": found[0].platform, "kind": found[0].device_kind, "count": len(found)}
    kinds["memory_bytes"] = (found[0].memory_stats() or {}).get("bytes_limit")  # a CPU's is the machine's
    kinds["nvidia_gpus"] = nvidia_gpus()
    if kinds["nvidia_gpus"] and found[0].platform == "cpu" and not asked:
        doctor.wrong(
            "there is an NVIDIA GPU and JAX runs on the CPU: "
            + (
                "the CUDA plugin is installed and does not work here (its driver may be too old, or the device hidden)"
                if plugins()
                else _with_cuda()
            )
        )
    return kinds


def nvidia_gpus() -> int:
    """Return how many NVIDIA GPUs the driver or nvidia-smi names."""
    try:
        if count := len(list(_NVIDIA.iterdir())):
            return count
    except OSError:
        pass
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        done = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())


def limits(doctor: Doctor) -> Facts:
    """Find the cores and the memory that this process may use."""
    return {"system": platform.platform(), "cores": machine.cores(), "memory_bytes": machine.memory_bytes()}


def cache(doctor: Doctor) -> Facts:
    """Find where compiled programs are kept, how much that is, and whether it can be written."""
    try:
        place = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(startup.cache_folder())
    except (OSError, RuntimeError) as error:
        doctor.wrong(f"no compilation cache ({error}): every run compiles anew; set JAX_COMPILATION_CACHE_DIR")
        return {"folder": None, "writable": False}
    if "://" in place:
        return {"folder": place, "writable": None}  # not on this machine
    folder = Path(place)
    writable, sizes = True, [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
            file.flush()
    except OSError as error:
        writable = False
        doctor.wrong(
            f"the compilation cache {folder} cannot be written ({error.strerror or error}): every run compiles anew; "
            "set JAX_COMPILATION_CACHE_DIR to a folder of yours"
        )
    return {"folder": str(folder), "writable": writable, "files": len(sizes), "bytes": sum(sizes)}


def extras(doctor: Doctor) -> Facts:
    """Find which extras are installed: all of what they ask for, in versions that they take."""
    names = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    found: Facts = {}
    for name in names:
        found[name] = not any(map(_unmet, _requirements(name)))
        if name == "atari" and found[name]:
            from envs import atari

            found["atari_sprites"] = atari.installed()
    return found


def variables(doctor: Doctor) -> Facts:
    """Find the environment variables that change what happens."""
    return {
        name: value for name, value in sorted(os.environ.items()) if name.startswith(_PREFIXES) or name in _VARIABLES
    }


PROBES: dict[str, Callable[[Doctor], Facts]] = {
    "versions": versions,
    "devices": devices,
    "machine": limits,
    "cache": cache,
    "extras": extras,
    "environment": variables,
}


def _with_cuda() -> str:
    """Return what installs the CUDA libraries: in a clone a recipe does."""
    return "run `just cuda`" if _RECIPES.is_file() else f"install it with: pip install '{PACKAGE}[cuda]'"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements(extra: str, package: str = PACKAGE) -> Iterator[Any]:
    """Yield what a package needs here: for itself, or for one of its extras alone."""
    from packaging.requirements import Requirement

    for text in metadata.distribution(package).requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        if always if not extra else not always and marker is not None and marker.evaluate({"extra": extra}):
            yield requirement


def _unmet(requirement: Any) -> str | None:
    """Return what is wrong with the installation of what is required, or None."""
    version = _version(requirement.name)
    if version is None:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} {version} is outside the supported range {requirement.specifier}"
    for extra in requirement.extras:
        for needed in _requirements(extra, requirement.name):
            if problem := _unmet(needed):
                return problem
    return None


def _text(doctor: Doctor) -> str:
    lines = []
    for section, facts in doctor.report.items():
        lines.append(section)
        width = max(map(len, facts), default=0)
        lines += [f"  {name:{width}s}  {_shown(name, value)}" for name, value in facts.items()] or ["  none"]
    lines += ["wrong", *(f"  {problem}" for problem in doctor.problems)] if doctor.problems else ["nothing is wrong"]
    return "\n".join(lines)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "not installed" if name in (PACKAGE, *_SHOWN) else "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("bytes"):
        return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"
    return str(value)


if __name__ == "__main__":
    process.run(main)
