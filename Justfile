# Every recipe makes the .venv that it needs: plain Python 3.11+ and pip are enough. `just` alone lists the recipes.
# What runs the agent does so where you are: relative paths are yours, and a folder of yours cannot shadow a package.
set positional-arguments

export R2I_COMMAND := "just"
venv := justfile_directory() / ".venv/bin"
python := env("PYTHON", "python3")

[private]
default:
    @{{ just_executable() }} --list --unsorted

# Train an agent, e.g. `just train popgym --seeds 4` (--help lists the options)
[group("run")]
[no-cd]
[no-exit-message]
train *args: _run
    @"{{ venv }}/r2i" train "$@"

# Train a grid of hyper-parameters in one program, e.g. `just sweep popgym --grid hypers.model_lr=1e-4,3e-4`
[group("run")]
[no-cd]
[no-exit-message]
sweep *args: _run
    @"{{ venv }}/r2i" sweep "$@"

# Search hyper-parameters by Optuna, e.g. `just search popgym --param hypers.model_lr=1e-4:1e-2:log --trials 64`
[group("run")]
[no-cd]
[no-exit-message]
search *args: _run
    @"{{ venv }}/r2i" search "$@"

# Train on every environment of a suite into one table, e.g. `just suite popgym --only '*Easy'`
[group("run")]
[no-cd]
[no-exit-message]
suite *args: _run
    @"{{ venv }}/r2i" suite "$@"

# Play fresh episodes with a run's checkpoint, e.g. `just evaluate runs/… --step best`
[group("run")]
[no-cd]
[no-exit-message]
evaluate *args: _run
    @"{{ venv }}/r2i" evaluate "$@"

# Write an agent into a file by itself, e.g. `just export runs/… agent.safetensors`
[group("run")]
[no-cd]
[no-exit-message]
export *args: _run
    @"{{ venv }}/r2i" export "$@"

# Play an environment yourself, e.g. `just play popgym/ConcentrationEasy`
[group("run")]
[no-cd]
[no-exit-message]
play *args: _run
    @"{{ venv }}/r2i" play "$@"

# Measure what a run's agents remember and what it is worth to them, e.g. `just memory runs/…`
[group("run")]
[no-cd]
[no-exit-message]
memory *args: _run
    @"{{ venv }}/r2i" memory "$@"

# Draw episodes of a run's agent, e.g. `just record runs/… --imagine 100`, or of random play or an oracle with --env ID
[group("run")]
[no-cd]
[no-exit-message]
record *args: _run
    @"{{ venv }}/r2i" record "$@"

# Play in the original Memory Maze and in ours, e.g. `just cross-evaluate runs/… --original .venv-original/bin/python`
[group("run")]
[no-cd]
[no-exit-message]
cross-evaluate *args: _run
    @"{{ venv }}/r2i" cross-evaluate "$@"

# Draw or compare learning curves, e.g. `just plot runs/a runs/b`
[group("run")]
[no-cd]
[no-exit-message]
plot *args: _run
    @"{{ venv }}/r2i" plot "$@"

# Compare sets of runs over games and seeds, e.g. `just report runs/popgym-tiny-suite runs/popgym-dreamerv3-tiny-suite`
[group("run")]
[no-cd]
[no-exit-message]
report *args: _run
    @"{{ venv }}/r2i" report "$@"

# Train several agents on the same games for the same time and compare them, e.g. `just compare popgym --agents r2i ppo-gru --minutes 10`
[group("run")]
[no-cd]
[no-exit-message]
compare *args: _run
    @"{{ venv }}/r2i" compare "$@"

# Train many runs by one command, e.g. `just launch --shards 4 train popgym --seeds 64`
[group("run")]
[no-cd]
[no-exit-message]
launch *args: _run
    @"{{ venv }}/r2i" launch "$@"

# Say how runs stand, e.g. `just status runs/popgym-tiny-suite`
[group("run")]
[no-cd]
[no-exit-message]
status *args: _run
    @"{{ venv }}/r2i" status "$@"

# Say what this machine and this installation are, and what is wrong with them (--json for programs)
[group("run")]
[no-cd]
[no-exit-message]
doctor *args: _run
    @"{{ venv }}/r2i" doctor "$@"

# Let the agent take a few updates on every environment of a suite, e.g. `just smoke popgym`
[group("develop")]
[no-cd]
[no-exit-message]
smoke *args: _run
    @"{{ venv }}/r2i" smoke "$@"

# Measure the speed figures of the docs
[group("develop")]
[no-exit-message]
bench *args: _dev
    @.venv/bin/python -m benchmarks "$@"

# Run the tests on up to four cores (`just test -m slow` for the slow ones, `-n 0` for one process)
[group("develop")]
[no-exit-message]
test *args: _dev
    @.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 "$@"

# Install what brax, DM Control, Atari, Craftax, memax's recurrences and Ray run in, and run their tests: minutes
[group("develop")]
[no-exit-message]
test-extras *args: _dev
    @.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[brax,atari,craftax,memax,ray]'
    @.venv/bin/pip install --quiet --no-deps --constraint constraints.txt playground tqdm lxml
    @.venv/bin/python -m pytest tests/envs/test_brax.py tests/envs/test_dmc.py tests/envs/test_atari.py tests/envs/test_craftax.py tests/equivalence/test_sequence.py "$@"
    @.venv/bin/python -m pytest -m "heavy or not heavy" tests/host/test_ray.py

# Lint, check the format and the types
[group("develop")]
[no-exit-message]
check: _dev
    @.venv/bin/ruff check .
    @.venv/bin/ruff format --check .
    @.venv/bin/mypy

# Build the documentation into site/; a warning is an error
[group("develop")]
[no-exit-message]
docs: _docs
    @NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

# Use an NVIDIA GPU: install JAX's CUDA libraries into .venv
[group("develop")]
cuda: _run
    @.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[cuda]'

# Resolve constraints.txt anew from pyproject.toml
[group("develop")]
lock: _run
    @.venv/bin/pip install --quiet uv
    @.venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --no-header --no-annotate --quiet --upgrade --output-file constraints.txt

_run: (_install "run" ".")

_dev: (_install "dev" ".[dev]")

_docs: (_install "docs" ".[docs]")

# Install the package unless .venv holds it already, newer than what it was made from.
_install stamp target:
    #!/usr/bin/env bash
    set -euo pipefail
    stamp=".venv/installed-$1"
    if [[ "$stamp" -nt pyproject.toml && "$stamp" -nt constraints.txt ]]; then exit 0; fi
    if [[ "$1" == run && ".venv/installed-dev" -nt pyproject.toml && ".venv/installed-dev" -nt constraints.txt ]]; then exit 0; fi
    if ! "{{ python }}" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "error: Python 3.11 or newer is needed; name one with PYTHON=python3.12 just …" >&2
        exit 2
    fi
    [[ -x .venv/bin/python ]] || "{{ python }}" -m venv .venv
    echo "installing $2 into .venv (a minute or two, once)" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable "$2"
    touch "$stamp"
