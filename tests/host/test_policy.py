"""A trained agent by itself: it plays as its run does, from one file too, and what is wrong is one line. About 60 s."""

import dataclasses
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import r2i_jit
from experiments import export
from experiments.running import restoring
from r2i_jit import behavior, recording, trained
from r2i_jit.nets import distributions as dist
from r2i_jit.open_loop import open_loop
from r2i_jit.probing import readable
from tests.host.agents_on_disk import MEMBERS, STEPS, make_run
from tests.host.test_cli import error_line

ENV = "popgym/MineSweeperEasy"  # its episodes end at different times, and an action is two numbers
EPISODES, LENGTH = 4, 60


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    make_run(path, ENV)
    return path


@pytest.fixture(scope="module")
def file(run_dir, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "new" / "agent.safetensors"
    assert export.main([str(run_dir), str(path), "--member", "1"]) == 0
    return path


@pytest.fixture(scope="module")
def played(run_dir):
    """Return what the run's second agent does, as `evaluate` and `record` restore it: (recording, agent, its state)."""
    trainer, _, _, state = restoring.restore(run_dir, "latest")
    weights = jax.tree.map(lambda leaf: leaf[1], state.seeds.agent)
    policy = recording.agent_policy(trainer.agent, trainer.env, trainer.env_params, weights, greedy=True)
    found = recording.record(trainer.env, trainer.env_params, policy, jax.random.key(3), EPISODES, LENGTH)
    return jax.tree.map(np.asarray, found._replace(env_state=None)), trainer.agent, weights


@pytest.fixture(scope="module")
def policy(file):
    return r2i_jit.load(file)


def replayed(policy, step, **options):
    """Return the actions (T, E, ...) of a policy that sees what was recorded, and its memories after each step."""
    memory, actions, memories = policy.start(EPISODES), [], []
    for obs, is_first in zip(step.obs, step.is_first, strict=True):
        action, memory = policy.act(memory, obs, is_first, **options)
        actions.append(action)
        memories.append(memory)
    return np.stack(actions), memories


@pytest.mark.heavy
def test_a_run_and_an_export_that_lacks_it_act_as_the_run_does(run_dir, file, played, tmp_path):
    """Whole episodes, which begin at different times; the file in a process that has no run directory."""
    found = played[0]
    assert len({tuple(column) for column in found.step.is_first.T}) > 1 and found.step.is_first[1:].any()
    assert len(np.unique(found.action)) > 3
    expected = found.action
    np.testing.assert_array_equal(replayed(r2i_jit.load(run_dir, member=1), found.step)[0], expected)
    np.savez(tmp_path / "seen.npz", obs=found.step.obs, is_first=found.step.is_first)
    code = """
import sys, numpy as np, envs, r2i_jit
envs.make = None  # no environment is made
policy, seen = r2i_jit.load(sys.argv[1]), np.load("seen.npz")
memory, actions = policy.start(seen["obs"].shape[1]), []
for obs, is_first in zip(seen["obs"], seen["is_first"]):
    action, memory = policy.act(memory, obs, is_first)
    actions.append(action)
np.save("actions.npy", np.stack(actions))
"""
    away = run_dir.rename(run_dir.with_name("away"))
    try:
        subprocess.run([sys.executable, "-c", code, file], cwd=tmp_path, check=True, timeout=300)
    finally:
        away.rename(run_dir)
    np.testing.assert_array_equal(np.load(tmp_path / "actions.npy"), expected)


@pytest.mark.heavy
def test_it_is_compiled_once_for_a_batch_and_a_kind_of_choice(file, played):
    policy, step = r2i_jit.load(file), played[0].step
    replayed(policy, step)
    replayed(policy, jax.tree.map(jnp.asarray, step))
    assert policy.trace_counts["act"] == 1
    replayed(policy, step, greedy=False)
    policy.act(policy.start(2), step.obs[0, :2], [True, True])
    assert policy.trace_counts["act"] == 3


def test_samples_are_those_of_the_seed(policy, played):
    obs, ones = played[0].step.obs[0], np.ones(EPISODES, bool)

    def sampled(seed: int) -> np.ndarray:
        memory, actions = policy.start(EPISODES, seed=seed), []
        for _ in range(6):
            action, memory = policy.act(memory, obs, ones, greedy=False)
            actions.append(action)
        return np.stack(actions)

    np.testing.assert_array_equal(sampled(1), sampled(1))
    assert (sampled(1) != sampled(2)).any() and (sampled(1)[0] != sampled(1)[1]).any()


def test_the_first_step_after_start_begins_an_episode_in_any_case(policy, played):
    obs = played[0].step.obs[0]
    said, unsaid = (policy.act(policy.start(EPISODES), obs, np.full(EPISODES, first))[1] for first in (True, False))
    jax.tree.map(np.testing.assert_array_equal, said.latent, unsaid.latent)


@pytest.mark.heavy
def test_what_it_expects_is_what_critic_and_open_loop_say(policy, played):
    """Rewards and values in the game's own: the second member learned from four times as much."""
    found, agent, state = played
    begin = int(found.step.is_last[:, 0].argmax()) + 1
    stretch = slice(begin, begin + 9)
    assert policy.config.hypers.reward_scale == 4.0
    memories = replayed(policy, found.step)[1]
    context, memory = 4, memories[begin + 3]
    feat = behavior.features(memory.latent, "full")
    value = dist.two_hot_mean(agent.critic.apply({"params": state.critic}, feat)) / 4
    np.testing.assert_allclose(policy.value(memory), value, rtol=1e-5, atol=1e-6)

    one = lambda leaf: np.moveaxis(leaf[stretch], 0, 1)[:1]
    account = open_loop(agent, state, one(found.step.obs), one(found.action), one(found.step.is_first), context, None)
    actions = found.action[stretch].swapaxes(0, 1)[:, context - 1 : -1]
    future = policy.predict(memory, actions)
    ahead = jax.tree.map(lambda leaf: leaf[:, context:], account)
    compare = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
    jax.tree.map(lambda mine, theirs: compare(mine[:1], theirs), future.latent, ahead.latent)
    compare(future.obs[:1], readable(agent.config.model, agent.model.parts, ahead.prediction))
    (leaf,) = policy.observation
    assert future.obs.shape == (EPISODES, 5, *leaf.shape)
    groups = sum(part.count for part in leaf.parts)  # one-hot, all of them: probabilities
    np.testing.assert_allclose(future.obs.sum(-1), groups, rtol=1e-5)
    reward, continues = agent.model.apply({"params": state.model}, ahead.latent, method="heads")
    compare(future.reward[:1], dist.two_hot_mean(reward) / 4)
    compare(future.continues[:1], jax.nn.sigmoid(continues))
    drawn = [policy.predict(memory, actions, seed=seed).latent.stoch for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()


def test_it_says_what_it_is(run_dir, policy):
    for found in (policy, r2i_jit.load(run_dir, member=1)):
        assert (found.env_id, found.step, found.member) == (ENV, STEPS[1], MEMBERS[1])
        assert found.returns == {"mean": 0.25, "stderr": 0.125, "episodes": 128}
        assert found.action.env_shape == (2,) and found.action.nvec == (4, 4)
        assert found.config.hypers.reward_scale == 4.0
    best = r2i_jit.load(run_dir, step="best")
    assert (best.step, best.member, best.returns) == (STEPS[0], MEMBERS[0], None)
    assert r2i_jit.load(run_dir, step=STEPS[0]).step == STEPS[0]


@pytest.mark.parametrize("name", ["obs", "is_first"])
def test_arrays_that_do_not_fit_are_named_with_what_would(policy, name):
    (leaf,) = policy.observation
    shape = (EPISODES, *leaf.shape)
    arrays = {"obs": np.zeros(shape, leaf.dtype), "is_first": np.zeros(EPISODES, bool)}
    for wrong in (arrays[name][:-1], arrays[name].astype(np.complex64), arrays[name][..., None], arrays[name][0]):
        with pytest.raises(ValueError) as error:
            policy.act(policy.start(EPISODES), **{**arrays, name: wrong})
        wanted = f"{arrays[name].dtype} {arrays[name].shape}"
        assert str(error.value) == f"{name} is {wrong.dtype} {wrong.shape}; it should be {wanted}"


def test_actions_and_batches_that_are_none_are_refused(policy):
    memory = policy.start(1)
    for actions, text in (([[0, 1]], "actions is int64 (1, 2)"), ([[[0, 4]]], "actions go from 0 to 4")):
        with pytest.raises(ValueError, match=text.replace("(", r"\(").replace(")", r"\)")):
            policy.predict(memory, actions)
    for batch in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="batch="):
            policy.start(batch)


def refusal(*args: Any, **options: Any) -> str:
    with pytest.raises(r2i_jit.LoadError) as error:
        r2i_jit.load(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_that_is_no_agent_is_refused_in_one_line(file, tmp_path):
    assert "does not exist; give a run directory" in refusal(tmp_path / "absent")
    assert "is one agent: step and member are of run directories" in refusal(file, member=1)
    data, bad = bytearray(file.read_bytes()), tmp_path / "bad"
    rng = np.random.default_rng(0)
    for place in [0, 7, 8, 40, len(data) - 1, *rng.integers(0, len(data), 20)]:
        bad.write_bytes(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])
        assert "damaged" in refusal(bad) or "no agent" in refusal(bad)
    for content in (b"", b"PK\x03\x04 a zip", data[: len(data) // 2], data + b"more"):
        bad.write_bytes(content)
        assert "damaged, or no agent" in refusal(bad)
    safetensors.numpy.save_file({"weights": np.zeros(3, np.float32)}, bad)
    assert "is no agent that `export` wrote" in refusal(bad)


def test_what_a_file_says_and_holds_must_go_together(file, tmp_path):
    agent, bad = trained.read(file), tmp_path / "bad"
    actor = jax.tree.map(lambda leaf: leaf[..., :-1], agent.weights.actor)
    trained.write(bad, dataclasses.replace(agent, weights=agent.weights._replace(actor=actor)))
    assert "holds another agent than it describes: actor/" in refusal(bad)
    trained.write(bad, dataclasses.replace(agent, weights=agent.weights._replace(critic={})))
    assert "critic/" in (line := refusal(bad)) and "is missing" in line
    assert not list(tmp_path.glob("*.tmp"))


def test_a_run_that_has_no_such_agent_is_refused_in_one_line(run_dir, tmp_path):
    assert "is no run directory" in refusal(tmp_path)
    assert "member=2" in refusal(run_dir, member=2) and "agents 0 to 1" in refusal(run_dir, member=2)
    assert "it has steps 10, 20" in refusal(run_dir, step=15)
    assert "step='newest'" in refusal(run_dir, step="newest")
    config, text = run_dir / "config.json", (run_dir / "config.json").read_text()
    try:
        config.write_text(text.replace('"actor_lr": 0.0003', '"actor_lr": 0.0004'))
        assert "was edited" in refusal(run_dir) and "hypers.actor_lr: 0.0003 -> 0.0004" in refusal(run_dir)
        config.write_text("{")
        assert "it is no JSON" in refusal(run_dir)
    finally:
        config.write_text(text)


def test_loading_changes_nothing_and_says_nothing(run_dir, capfd):
    look = lambda: {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in run_dir.rglob("*")}
    before = look()
    r2i_jit.load(run_dir)
    assert look() == before
    assert capfd.readouterr() == ("", "")


def test_the_command_line_says_what_it_wrote_and_what_it_could_not(run_dir, tmp_path, capsys):
    out = tmp_path / "agent"
    assert export.main([str(run_dir), str(out), "--step", "best"]) == 0
    size = out.stat().st_size / 1e6
    assert capsys.readouterr().out == f"{ENV} at step {STEPS[0]}: {out}, {size:.2f} MB\n"
    for words, code, text in (
        ([run_dir, tmp_path], 4, f"cannot write {tmp_path}"),
        ([run_dir, out / "below"], 4, "cannot write"),
        ([tmp_path / "none", out], 2, "does not exist"),
        ([run_dir, out, "--member", "7"], 2, "member=7"),
        ([run_dir, out, "--step", "15"], 2, "no checkpoint at step 15"),
    ):
        with pytest.raises(SystemExit) as error:
            export.main([str(word) for word in words])
        assert error.value.code == code and text in error_line(capsys)


def test_a_run_called_example_comes_before_the_one_that_ships(run_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("example").mkdir()
    assert trained.located("example").suffix == ".safetensors" and restoring.is_exported(Path("example"))
    Path("example").rmdir()
    Path("example").symlink_to(run_dir)
    assert r2i_jit.load("example").env_id == ENV and not restoring.is_exported(Path("example"))


def test_what_ships_is_small_and_knows_its_game():
    example = r2i_jit.load("example")
    assert trained.located("example").stat().st_size < 2e6
    assert example.env_id == "popgym/RepeatPreviousEasy" and example.returns["mean"] > 0.99
