"""Which part may import which, read from the sources (imports inside functions included); and that there is no cycle.

docs/guide.md draws this. Adding a folder means saying here what it stands on.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("envs", "r2i_jit", "experiments", "benchmarks", "tests")
# What `r2i_jit` and everything above it sees of the environments; what a suite is made of stays its own.
PUBLIC_ENVS = {
    "envs",
    "envs.registry",
    "envs.episodes",
    "envs.faults",
    "envs.observation",
    "envs.rows",
    "envs.settings",
    "envs.spaces",
    "envs.tally",
    "envs.wrappers",
}
# Of what stands in `experiments`, lowest first; a part may import the parts before it. A file at the top is a command.
PARTS = (
    "presets", "running", "oracles", "original", "drawing", "searching", "comparing", "bsuite", "launching", "commands",
)  # fmt: skip
SUITE_OF_RUNS = ("experiments.suite", "experiments.train")  # a command that runs another, and one that runs that
COMPARISON_OF_SUITES = ("experiments.compare", "experiments.suite")


def modules() -> dict[str, Path]:
    """Return every module of the packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of ours that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import hides where it leads"
            wanted = [f"{node.module}.{alias.name}" for alias in node.names]
            wanted = [full if full in known else str(node.module) for full in wanted]
        else:
            continue
        yield from (full for full in wanted if full.partition(".")[0] in PACKAGES)


def part(name: str) -> int:
    """Return the height of a module of `experiments`."""
    folder = name.split(".")[1] if name.count(".") else ""
    return PARTS.index(folder if folder in PARTS else "commands")


def edges() -> list[tuple[str, str]]:
    """Return every import of one of our modules by another."""
    known = modules()
    return [(name, wanted) for name, path in known.items() for wanted in imports(name, path, known)]


def test_packages_import_downwards_only():
    allowed = {
        "envs": {"envs"},
        "r2i_jit": {"envs", "r2i_jit"},
        "experiments": {"envs", "r2i_jit", "experiments"},
        "benchmarks": {"envs", "r2i_jit", "experiments", "benchmarks"},
        "tests": set(PACKAGES),
    }
    bad = [(a, b) for a, b in edges() if b.partition(".")[0] not in allowed[a.partition(".")[0]]]
    assert not bad


def test_the_agent_sees_only_the_public_side_of_the_environments():
    bad = [(a, b) for a, b in edges() if a.startswith("r2i_jit") and b.startswith("envs") and b not in PUBLIC_ENVS]
    assert not bad


def test_the_public_side_of_the_environments_knows_no_suite():
    bad = [(a, b) for a, b in edges() if a in PUBLIC_ENVS and b.startswith("envs") and b not in PUBLIC_ENVS]
    assert not bad


def test_parts_of_the_experiments_import_downwards_only():
    inside = [edge for edge in edges() if all(name.startswith("experiments") for name in edge)]
    assert not [(a, b) for a, b in inside if part(b) > part(a)]


def test_a_command_imports_no_command():
    """What two of them share lies in a folder."""
    commands = [(a, b) for a, b in edges() if {a.count("."), b.count(".")} == {1} and a.startswith("experiments.")]
    found = [
        (a, b) for a, b in commands if part(a) == part(b) == PARTS.index("commands") and b.startswith("experiments.")
    ]
    assert sorted(found) == [COMPARISON_OF_SUITES, SUITE_OF_RUNS]


def test_no_module_imports_itself_by_way_of_others():
    graph: dict[str, set[str]] = {}
    for a, b in edges():
        if a != b and not a.startswith("tests"):
            graph.setdefault(a, set()).add(b)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for wanted in graph.get(name, ()):
                visit(wanted, (*path, name))
            done.add(name)

    for name in list(graph):
        visit(name, ())
