"""`memory`: what is measured of a run, written and put side by side; what it refuses. About 60 s."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import memory, report
from experiments.remembering import collecting
from r2i_jit import Trainer
from tests.host.test_record import make_run


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return the folder of a run of two agents, with small weights: large ones are a memory that grows without end."""
    return make_run(tmp_path_factory.mktemp("runs") / "run", "popgym/RepeatPreviousEasy", scale=0.1)


def run(capsys, *words, code=0) -> str:
    try:
        assert memory.main([str(word) for word in words]) == code
    except SystemExit as ended:
        assert ended.code == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


@pytest.mark.heavy
def test_a_run_is_measured_and_compared(measured, tmp_path, capsys):
    said = run(capsys, measured, "--forget", 5, 3, 5, "--forget-episodes", 8, "--episodes", 16)
    found = json.loads((measured / "memory.json").read_text())
    assert (found["env"], found["env_steps"], found["agents"]) == ("popgym/RepeatPreviousEasy", 20, 2)
    assert [row["every"] for row in found["forget"]] == [3, 5, None]
    assert (found["by_part"][0]["first"], found["by_part"][-1]["last"], found["explored"]) == (1, 51, [])
    assert list(found["probes"]["time"]) == ["memory", "read-out", "latent", "observation"]
    assert found["probes"]["time"]["memory"]["value"] > 0.9  # any recurrence with weights drawn at random counts steps
    assert "| every 3 steps" in said and "| never " in said and "| time " in said
    for line in said.splitlines():
        assert "nan" not in line.lower()
    assert (measured / "plots" / "memory.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    out = tmp_path / "out"
    assert report.main([str(measured), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "| popgym/RepeatPreviousEasy | steps | never " in said and (out / "memory.png").exists()
    (measured / "memory.json").write_text("{}")
    assert report.main([str(measured), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "memory.json is damaged and passed over" in captured.err and "never" not in captured.out


@pytest.mark.heavy
def test_the_return_is_that_of_evaluate_and_parts_add_up(measured):
    """The recorded episodes are those that an evaluation plays with the same key."""
    from experiments.running import restoring

    trainer, _, _, state = restoring.restore(measured, "latest")
    key = jax.random.key(3)
    played = collecting.play(
        trainer, state, 1, trainer.config.env, jax.random.fold_in(key, 1), 16, trainer.settings.longest
    )
    expected = trainer.evaluate(state, key, 16)["episode_return"][1]
    np.testing.assert_allclose(np.where(played.running, played.reward, 0).sum(0), expected, rtol=1e-4, atol=1e-5)
    assert played.running.sum(0).tolist() == [52] * 16


@pytest.mark.heavy
def test_who_has_diverged_is_left_out(tmp_path, capsys, monkeypatch):
    from experiments.running import restoring

    folder = make_run(tmp_path / "run", "popgym/RepeatPreviousEasy", scale=0.1)
    restored = restoring.restore(folder, "latest")
    marked = lambda *lost: lambda *_: (
        *restored[:3], restored[3].replace(seeds=restored[3].seeds.replace(diverged=jnp.array(lost)))
    )  # fmt: skip
    monkeypatch.setattr(restoring, "restore", marked(True, False))
    few = (folder, "--forget", 3, "--forget-episodes", 8, "--episodes", 16)
    assert "1 agent, greedy play" in run(capsys, *few)
    monkeypatch.setattr(restoring, "restore", marked(True, True))
    assert "all agents have diverged" in run(capsys, *few, code=5)


def test_whole_numbers_are_read_off_class_by_class():
    columns = lambda values: collecting._columns(np.asarray(values))
    suits = np.random.default_rng(0).integers(0, 4, (20, 8, 3))
    assert columns(suits).shape == (20, 8, 12) and (columns(suits).sum(-1) == 3).all()
    assert columns(suits % 2).shape == (20, 8, 3)  # a bit is a number
    assert columns(np.arange(160).reshape(20, 8)).shape == (20, 8, 1)  # too many classes: a number
    assert columns(np.ones((20, 8, 2))) is None and columns(np.zeros((20, 8, 600)) + suits[..., :1]) is None
    assert columns(np.full((20, 8, 1), np.nan)) is None


def test_mistakes_are_one_line(measured, capsys, tmp_path):
    for words, expected in (
        ([tmp_path / "none"], "none"),
        (["example"], "example is one exported agent"),
        ([measured, "--episodes", 7], "8"),
        ([measured, "--step", 7], "7"),
    ):
        said = run(capsys, *words, code=2)
        assert said.startswith("error: ") and said.count("\n") == 1 and expected in said, said


def test_what_hides_in_a_state_is_named(measured):
    trainer = Trainer(make_config(measured))
    _, state = trainer.env.reset_env(jax.random.key(0), trainer.env_params)
    states = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (3, 2, *leaf.shape)), state)
    assert {"time", "cards"} <= set(collecting._leaves(states))


def make_config(folder):
    from experiments.running import rundir

    return rundir.load(folder)[0]
