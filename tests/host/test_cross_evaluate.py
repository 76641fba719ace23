"""Playing in the original: what is sent and received, several at once, comparisons, mistakes. About a minute.

A stand-in speaks for the original. With the variable ORIGINAL_MEMORY_MAZE, the Python that has it, `-m slow` asks the
original itself.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from envs.memory_maze import task
from envs.memory_maze.environment import MemoryMaze
from experiments import cross_evaluate
from experiments.drawing.players import oracle_policy
from experiments.oracles import oracles, strolling
from experiments.original import play, ported, processes, replay
from r2i_jit.recording import Policy
from tests.host import stand_in_maze

SIZE, LENGTH = 9, 12
ORIGINAL = os.environ.get("ORIGINAL_MEMORY_MAZE")


def sticky(env: MemoryMaze) -> Policy:
    return oracle_policy(env, env.default_params, strolling(cross_evaluate.STICKY))


@pytest.fixture
def program(tmp_path):
    """Return a function that makes a program of shell lines and returns its path."""

    def make(*lines: str) -> str:
        path = tmp_path / "python"
        path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def stand_in(program, private_cache):
    """Return a function of the stand-in's own options that returns a program for --original."""
    return lambda *words: program(f'exec {sys.executable} {stand_in_maze.__file__} {" ".join(map(str, words))} "$@"')


def run(capsys, *words: object, code: int = 0) -> str:
    """Run the command line; return its output, or for another exit code the one line on stderr."""
    try:
        assert cross_evaluate.main([str(word) for word in words]) == code
    except SystemExit as stop:
        assert stop.code == code
    captured = capsys.readouterr()
    if code:
        errors = [line for line in captured.err.splitlines() if not line.startswith("original: ")]
        assert len(errors) == 1 and errors[0].startswith("error: "), captured.err
        return errors[0]
    return captured.out


def test_help_does_not_wait_for_jax():
    code = """
import sys
from experiments import cross_evaluate
try:
    cross_evaluate.main(["--help"])
except SystemExit as error:
    assert error.code == 0
assert not {"jax", "flax", "numpy", "orbax"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: python -m experiments.cross_evaluate" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "give a run directory"),
        (["--policy", "random", "--episodes", 1], "a standard error takes two"),
        (["nowhere"], "nowhere is no run directory"),
        (["nowhere", "--env", "memory_maze/9x9"], "not both"),
        (["--policy", "random", "--env", "popgym/RepeatFirstEasy"], "popgym/RepeatFirstEasy has no original"),
        (["--policy", "oracle", "--env", "memory_maze/10x10"], "unknown environment 'memory_maze/10x10'"),
        (["--policy", "random"], "no/such/python: No such file or directory"),
        (["--replay", "--episodes", 1], "no/such/python: No such file or directory"),
    ],
)
def test_mistakes_exit_2_with_one_line(capsys, words, expected):
    assert expected in run(capsys, *words, "--original", "no/such/python", code=2)


def test_an_agent_that_sees_rays_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(cross_evaluate.restoring, "described", lambda *_: "memory_maze/9x9-rays")
    message = run(capsys, "some-run", "--original", "no/such/python", code=2)
    assert "some-run sees rays, and the original shows pictures; give a run of memory_maze/9x9" in message


def test_a_python_without_the_original_is_told_what_to_install(capsys):
    message = run(capsys, "--policy", "random", "--original", sys.executable, code=2)
    assert "No module named 'memory_maze'" in message and f"pip install -r {processes.REQUIREMENTS}" in message
    assert processes.REQUIREMENTS.is_file()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["echo one >&2", "echo no display >&2", "exit 7"], r"broke off \(exit code 7\): no display"),
        (["kill -9 $$"], r"broke off \(exit code -9\)"),
        (["echo nonsense", "exit 0"], r"broke off \(exit code 0\)"),
        (["""echo '{"error": "ValueError: bad maze"}'"""], "the original failed: ValueError: bad maze"),
        (["""echo '{"versions": {"m": "1"}}'""", "read line", "exit 3"], r"broke off \(exit code 3\)"),
    ],
)
def test_a_broken_original_exits_1_with_one_line(capsys, program, lines, expected):
    assert re.search(expected, run(capsys, "--policy", "random", "--original", program(*lines), code=1))


def test_no_process_is_left_behind(program):
    path = program("""echo '{"versions": {"m": "1"}}'""", "exec sleep 600")
    with pytest.raises(RuntimeError), processes.running(path, SIZE, 0, 2, plain=True) as originals:
        found = [original._process for original in originals]
        assert [process.poll() for process in found] == [None, None]
        raise RuntimeError
    assert [process.poll() for process in found] == [-9, -9]


def test_a_state_survives_the_way_there_and_back():
    env = MemoryMaze(11, observation="vector", shuffled_colors=True)
    _, state = jax.jit(env.reset_env)(jax.random.key(3), env.default_params)
    rng = np.random.default_rng(0)
    body = jax.tree.map(lambda leaf: rng.uniform(-1, 1, leaf.shape).astype(np.float32), state.body)
    state = state.replace(
        time=np.int32(7), body=body.replace(position=np.append(task.centres(state.maze.spawn, 11), 0))
    )
    image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    answer = {**stand_in_maze.maze_answer(state), **stand_in_maze.step_answer(state, image, 0.0, False)}
    jax.tree.map(
        np.testing.assert_array_equal, ported.moved(ported.begun(answer).replace(time=np.int32(6)), answer), state
    )


@pytest.mark.heavy
def test_what_the_stand_in_plays_ours_plays_again(capsys, stand_in):
    """Two episodes, each followed from its own maze, step by step and open loop."""
    words = ("--replay", "--players", "sticky", "--episodes", 2, "--max-steps", 2 * LENGTH)
    opened, single = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in run(capsys, *words, "--original", stand_in("--length", LENGTH)).splitlines()
        if line.startswith("| sticky")
    ]
    assert opened[1:5] == [f"2 x {LENGTH}", "never", "never", "0 of 2"] and opened[9] == "100 %"
    assert float(opened[5].split(",")[0]) < 1e-3 and opened[6] == "-"
    assert single[1] == f"{2 * LENGTH}" and single[5].startswith("0 of")
    assert float(single[2]) < 0.1 and float(single[6]) < 0.01 and float(opened[10]) < 0.05


@pytest.mark.slow
def test_a_shove_is_noticed_when_it_happens(stand_in):
    env, shove = MemoryMaze(SIZE), 4
    with processes.running(stand_in("--length", LENGTH, "--shove", shove), SIZE, 5, 1, plain=False) as originals:
        (recording,) = replay.record(originals, sticky(env), jax.random.key(0), None)
    figures = replay.compare(recording, replay.follow(env, recording))
    assert figures["steps"] == LENGTH and figures["parted"] == shove
    assert figures["step median"] < 0.1 and figures["same"] < 50


@pytest.mark.heavy
def test_returns_of_both_are_set_side_by_side(capsys, monkeypatch, program):
    """Each stand-in pays its number of steps, 3 an episode; the batch is filled up for the last episode."""
    reset = (
        '"entities": ["0"], "floors": ["."], "wall_textures": ["blue"], "targets": [[0, 0]], "colors": [[0, 0, 0]], '
    )
    row = '"image": null, "prompt": 0, "coordinates": [0, 0, 0, 0, 0], "velocities": [0, 0, 0, 0, 0], '
    path = program(
        """echo '{"versions": {"m": "1"}}'""",
        "while read -r line; do case $line in",
        f"""null) n=0; echo '{{{reset}{row}"reward": 0, "last": false}}';;""",
        f"""*) n=$((n + 1)); last=false; [ $n = 3 ] && last=true; echo '{{{row}"reward": '$n', "last": '$last'}}';;""",
        "esac; done",
    )
    monkeypatch.setattr(play, "play_ours", lambda env, policy, states, key: np.arange(1.0, 1 + len(states.time)))
    out = run(capsys, "--policy", "random", "--episodes", 3, "--repeats", 2, "--processes", 2, "--original", path)
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in out.splitlines()[3:]]
    assert rows == [
        ["3", "6.00 ± 0.00", "", ""],
        ["6", "3.50 ± 1.15", "-2.50 ± 1.15", "2.2"],
        ["6", "3.50 ± 0.76", "-2.50 ± 0.76", "3.3"],
    ]


@pytest.mark.slow
def test_ours_is_played_to_the_end_from_the_states_given():
    env = MemoryMaze(SIZE, observation="vector")
    (oracle,) = oracles(f"memory_maze/{SIZE}x{SIZE}")
    policy = oracle_policy(env, env.default_params, oracle)
    keys = jax.random.split(jax.random.key(0), 4)
    states = jax.jit(jax.vmap(lambda key: env.reset_env(key, env.default_params)[1]))(keys)
    returns = play.play_ours(env, policy, states, jax.random.key(1))
    assert returns.shape == (4,) and returns.min() > 15 and returns.max() < 60


needs_original = pytest.mark.skipif(ORIGINAL is None, reason="ORIGINAL_MEMORY_MAZE names no Python")


@pytest.mark.slow
@needs_original
def test_the_original_and_ours_agree_step_by_step():
    assert ORIGINAL is not None and Path(ORIGINAL).exists()
    env = MemoryMaze(SIZE)
    with processes.running(ORIGINAL, SIZE, 0, 1, plain=False) as originals:
        (recording,) = replay.record(originals, sticky(env), jax.random.key(0), 120)
    figures = replay.compare(recording, replay.follow(env, recording))
    assert figures["rewards differ"] == 0 and figures["picture"] < 0.8 and figures["visible"] < 0.5
    assert figures["away 10"] < 0.02 and figures["step median"] < 1.0


@pytest.mark.slow
@needs_original
def test_the_oracle_collects_as_much_in_both(capsys):
    words = ("--policy", "oracle", "--episodes", 8, "--processes", os.cpu_count(), "--original", ORIGINAL)
    rows = [line.split("|") for line in run(capsys, *words).splitlines() if line.startswith("| ours")]
    assert len(rows) == 2 and all(float(row[5]) < 3 for row in rows)
