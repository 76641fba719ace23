"""The code in the docs runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from r2i_jit.checkpoint import Checkpoints

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


def test_the_code_that_uses_an_agent_runs_and_plays_well(tmp_path):
    """All of docs/agent.md from top to bottom, with the agent that ships; the gymnasium loop with a game made here."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / "agent.md").read_text(), re.S))
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
