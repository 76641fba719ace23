"""The code in the docs runs as it stands there."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from r2i_jit.checkpoint import Checkpoints
from tests.host.test_train import SIZES

DOCS = Path(__file__).parents[2] / "docs"
# A game with the methods of gymnasium: +1 for the colour of three steps before, else -1, as in RepeatPreviousEasy.
GYMNASIUM_GAME = """
import numpy as np

class Game:
    def reset(self, seed=None):
        self.rng = np.random.default_rng(seed)
        self.seen = []
        return self.look(), {}

    def look(self):
        self.seen.append(self.rng.integers(4))
        return np.eye(4, dtype=np.uint8)[self.seen[-1]]

    def step(self, action):
        assert isinstance(action, np.int32)
        asked = len(self.seen) > 3
        reward = (1.0 if action == self.seen[-4] else -1.0) if asked else 0.0
        return self.look(), reward, len(self.seen) == 52, False, {}
"""
# A game of the older kind: five values, `done` for both ends, a clock in the state and a limit in the parameters.
CLASSIC_GAME = """
from types import SimpleNamespace

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces

@struct.dataclass
class State:
    time: jax.Array
    seen: jax.Array

@struct.dataclass
class Params:
    max_steps_in_episode: int = 12

class Game:
    name = "Game"
    default_params = Params()

    def observation_space(self, params):
        return spaces.Discrete(3)

    def action_space(self, params):
        return spaces.Discrete(3)

    def reset_env(self, key, params):
        seen = jax.random.randint(key, (), 0, 3, jnp.int32)
        return seen, State(jnp.int32(0), seen)

    def step_env(self, key, state, action, params):
        seen = jax.random.randint(key, (), 0, 3, jnp.int32)
        new = State(state.time + 1, seen)
        reward = jnp.where(action == state.seen, 1.0, 0.0)
        return seen, new, reward, new.time >= params.max_steps_in_episode, {}
"""
# Several commands of the script `r2i`, in one process: importing JAX takes seconds.
R2I = """
import json, sys
from experiments.__main__ import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["r2i", *words]
    assert main() == 0
"""


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's blocks of code."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


def own_game() -> str:
    """Return the file corridor.py of docs/own.md."""
    return blocks(DOCS / "own.md", "python")[0]


def own_commands(steps: int | None = None) -> list[list[str]]:
    """Return the words of the three commands of docs/own.md, with another number of steps if one is given."""
    lines = re.findall(r"^r2i (?:train|evaluate|record) .*corridor-run$", (DOCS / "own.md").read_text(), re.M)
    assert [line.split()[1] for line in lines] == ["train", "evaluate", "record"]
    if steps is not None:
        lines[0], changed = re.subn(r"--steps \d+", f"--steps {steps}", lines[0])
        assert changed == 1
    return [shlex.split(line) for line in lines]


def r2i(*commands: list[str], cwd: Path, timeout: int = 300, optimised: bool = False) -> str:
    """Run commands as the script `r2i` does, with these sources, and return what they print; all must succeed.

    Programs are optimised as a user's are, or compiled as all tests' are.
    """
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(DOCS.parent)}
    if optimised:
        environment.pop("XLA_FLAGS", None)  # which the tests set
    done = subprocess.run(
        [sys.executable, "-P", "-c", R2I, json.dumps(commands)],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plain_orbax_reads_a_checkpoint_elsewhere_as_the_docs_say(tmp_path):
    """Written on two devices, read on one by the code in docs/runs.md."""
    code = re.search(r"```python\n(from pathlib.*?)```", (DOCS / "runs.md").read_text(), re.S).group(1)
    mesh = jax.sharding.Mesh(np.array(jax.devices("cpu")[:2]), ("seed",))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("seed"))
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    state = {"seeds": {"key": jax.random.split(jax.random.key(5), 2), "numbers": numbers}}
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        checkpoints.save(8112, jax.device_put(state, spread), {})
    check = """
assert len(jax.devices()) == 1
assert state["seeds"]["numbers"].tolist() == [[0, 1, 2], [3, 4, 5]]
assert (jax.random.key_data(state["seeds"]["key"]) == jax.random.key_data(jax.random.split(jax.random.key(5), 2))).all()
try:
    checkpointer.restore(folder)
except ValueError as error:
    assert "topology" in str(error)
else:
    raise AssertionError("the page need not say anything")
"""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code + check], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_decision_is_in_the_index():
    folder = DOCS / "decisions"
    listed = re.findall(r"^\| (\d{3}) \| \[(.*)\]\((.*)\) \| .+ \|$", (folder / "index.md").read_text(), re.M)
    pages = sorted(path for path in folder.glob("*.md") if path.name != "index.md")
    assert [f"# {number}. {title}" for number, title, _ in listed] == [
        page.read_text().split("\n")[0] for page in pages
    ]
    assert [name for _, _, name in listed] == [page.name for page in pages]


def test_what_the_sources_say_of_the_docs_is_there():
    """A path such as docs/runs.md, or docs/decisions/012 for the page of that number."""
    root = DOCS.parent
    sources = [
        path
        for name in ("r2i_jit", "envs", "experiments", "benchmarks", "tests")
        for path in (root / name).rglob("*.py")
    ]
    pages = [root / "README.md", root / "CONTRIBUTING.md", root / "CHANGELOG.md", *DOCS.rglob("*.md")]
    for path in [*sources, *pages]:
        for found in re.findall(r"docs/(?:decisions/\d{3}[\w-]*(?:\.md)?|[\w/]+\.(?:md|png))", path.read_text()):
            if not found.endswith("/x.png"):
                assert list(root.glob(found if found.endswith((".md", ".png")) else f"{found}*.md")), (path, found)


def test_the_two_commands_are_the_same_everywhere():
    commands = re.findall(r"^python3 -m venv .*$", (DOCS.parent / "README.md").read_text(), re.M)
    assert len(commands) == 2
    assert re.findall(r"^python3 -m venv .*$", (DOCS / "index.md").read_text(), re.M) == commands
    assert commands[1] in (DOCS.parent / "CONTRIBUTING.md").read_text()


@pytest.mark.heavy
def test_the_code_that_uses_an_agent_runs_and_plays_well(tmp_path):
    """All of docs/agent.md from top to bottom, with the agent that ships; the gymnasium loop with a game made here."""
    code = "\n".join(blocks(DOCS / "agent.md", "python"))
    check = """
assert total > 0.9, total
assert play(Game(), policy, 2 * 51) > 90
assert future.obs.shape == (1, 3, 4) and policy.value(memory).shape == (1,)
"""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code + GYMNASIUM_GAME + check],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("popgym/RepeatPreviousEasy: return ")


@pytest.mark.heavy
def test_the_game_of_ones_own_trains_and_is_played(tmp_path):
    """The file and the three commands of docs/own.md, for fewer steps and with a smaller agent."""
    (tmp_path / "corridor.py").write_text(own_game())
    train, evaluate, record = (words[1:] for words in own_commands(steps=2000))
    out = r2i([*train, "--set", *SIZES], evaluate, record, cwd=tmp_path)
    run = tmp_path / "corridor-run"
    document = json.loads((run / "evaluation.json").read_text())
    assert document["env"] == "corridor:Corridor" and document["env_steps"] >= 2000
    assert -1 <= document["mean"] <= 1 and document["members"][0]["length"] == 10
    trained, played = out.split("learning curve: corridor-run/plots/learning_curve.png\n")
    assert trained.startswith("| seed ")
    assert played.startswith(f"corridor:Corridor at step {document['env_steps']:,} of corridor-run\n")
    assert "\nmean return " in played and played.endswith("\ncorridor-run/plots/episode.gif\n")
    assert (run / "plots" / "episode.gif").read_bytes().startswith(b"GIF8")


@pytest.mark.slow
def test_the_game_of_ones_own_is_learned(tmp_path):
    """As docs/own.md says, to the letter; some minutes."""
    (tmp_path / "corridor.py").write_text(own_game())
    r2i(*(words[1:] for words in own_commands()), cwd=tmp_path, timeout=3600, optimised=True)
    assert json.loads((tmp_path / "corridor-run" / "evaluation.json").read_text())["mean"] > 0.9


@pytest.mark.heavy
def test_what_the_docs_register_can_be_played(tmp_path):
    """The other two blocks of docs/own.md, each a module for --import."""
    game, by_name, adapted = blocks(DOCS / "own.md", "python")
    (tmp_path / "corridor.py").write_text(game)
    (tmp_path / "my_module.py").write_text(by_name)
    (tmp_path / "older.py").write_text(CLASSIC_GAME + adapted)
    commands = [
        ["record", "--env", env_id, "--import", module, "--out", f"{module}.png"]
        for env_id, module in (("mine/Corridor", "my_module"), ("mine/Game", "older"))
    ]
    out = r2i(*commands, cwd=tmp_path)
    assert "(terminated)" in out and "(truncated)" in out and "in 12 steps" in out, out
    assert all((tmp_path / f"{module}.png").is_file() for module in ("my_module", "older"))


@pytest.mark.heavy
def test_the_snippets_of_the_environments_run_as_they_stand(tmp_path):
    pytest.importorskip("xminigrid")
    pages = [DOCS / f"{name}.md" for name in ("popgym", "gymnax", "memory_maze", "xminigrid")]
    code = [block for page in pages for block in blocks(page, "python")] + blocks(DOCS / "bsuite.md", "python")[:2]
    code.append(blocks(DOCS.parent / "README.md", "python")[2])
    script = "".join(f"exec({block!r}, {{}})\n" for block in code)  # each by itself: none has another's names
    check = """
import envs, jax, numpy as np
env, params = envs.make("mine/XLand")
obs, state = env.reset(jax.random.key(0), params)
assert (np.asarray(state.inner.grid) == [5, 1]).all(-1).sum() == 1, "one red pyramid"
"""
    done = subprocess.run(
        [sys.executable, "-c", script + check], cwd=tmp_path, env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
