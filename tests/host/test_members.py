"""A run whose agents have a setting each, and whose episodes are kept: every command takes an agent in its own setting.

About 60 s.
"""

import json

import numpy as np
import pytest

import r2i_jit
from experiments import evaluate, export, record
from experiments.bsuite import report, runs
from experiments.drawing.filming import Filmer
from experiments.running import episodes, rundir, runinfo
from r2i_jit.checkpoint import Checkpoints
from r2i_jit.config import Config
from tests.host import agents_on_disk

ENV = "bsuite/memory_len/1,4"
IDS = ["bsuite/memory_len/1", "bsuite/memory_len/4"]
LENGTHS = [3, 6]  # of an episode, in steps
MEMBERS = [{"env": env_id, "seed": seed} for env_id in IDS for seed in range(2)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings") / "run"
    return path, agents_on_disk.make_run(path, ENV, MEMBERS, log_episodes=10)


@pytest.mark.heavy
def test_a_loaded_agent_is_of_its_own_setting(run):
    policies = [r2i_jit.load(run[0], member=member) for member in (0, 3)]
    assert [policy.config.env for policy in policies] == IDS
    assert [policy.member for policy in policies] == [MEMBERS[0], MEMBERS[3]]


@pytest.mark.heavy
def test_an_exported_agent_knows_its_own_setting(run, tmp_path, capsys):
    file = tmp_path / "agent.safetensors"
    assert export.main([str(run[0]), str(file), "--member", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"{IDS[1]} at step 20")
    assert r2i_jit.load(file).config.env == IDS[1]


def test_evaluate_plays_each_in_its_own(run, capsys):
    assert evaluate.main([str(run[0]), "--episodes", "3"]) == 0
    table = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [cells[0].strip() for cells in table[1:]] == ["1,seed0", "1,seed1", "4,seed0", "4,seed1"]
    assert [float(cells[-2]) for cells in table[1:]] == [LENGTHS[0]] * 2 + [LENGTHS[1]] * 2


@pytest.mark.heavy
@pytest.mark.parametrize("policy", ["agent", "random"])
@pytest.mark.parametrize(("member", "length"), [(1, LENGTHS[0]), (2, LENGTHS[1])])
def test_record_draws_an_agent_in_its_own(run, tmp_path, capsys, policy, member, length):
    words = [str(run[0]), "--member", str(member), "--policy", policy, "--out", str(tmp_path / "x.png")]
    assert record.main(words) == 0
    assert f"in {length} steps" in capsys.readouterr().out


@pytest.mark.heavy
def test_films_are_of_the_agents_own_setting(run, tmp_path, monkeypatch):
    from experiments.drawing import film

    path, trainer = run
    titles = []
    monkeypatch.setattr(film, "episode_frames", _noting(titles, film.episode_frames))
    with Checkpoints(path / "checkpoints", read_only=True, needed=rundir.NEEDED) as checkpoints:
        state = checkpoints.restore(trainer.state_shapes(len(MEMBERS))).state
    filming = Filmer(trainer, 0)
    for member in (3, 0):
        filming(state, member, {"env_steps": 20, **MEMBERS[member]}, tmp_path / "film.gif")
    assert titles == [(IDS[1], LENGTHS[1] + 1), (IDS[0], LENGTHS[0] + 1)]


def _noting(titles, draw):
    def noting(title, env, params, episode, style):
        titles.append((title.split(" | ")[0], len(episode.action)))
        return draw(title, env, params, episode, style)

    return noting


def test_bsuites_scores_are_read_off_the_runs_of_a_folder(tmp_path, capsys):
    """Right answers of one setting, wrong ones of the other; a run beyond the sweep and one without a log beside it."""
    rights = {IDS[0]: 1.0, IDS[1]: -1.0}
    kept = {"memory": (ENV, MEMBERS, 100), "long": ("bsuite/memory_len_300", [{"seed": 0}], 100)}
    kept |= {"spelled": ("bsuite/memory_len_100", [{"seed": 0}], 100), "silent": (IDS[0], [{"seed": 0}], None)}
    for name, (env, members, most) in kept.items():
        path = tmp_path / name
        path.mkdir()
        info = runinfo.RunInfo("train", "bsuite", "tiny", 0, members, 10, 10, 0.0, {}, log_episodes=most)
        rundir.write(path, Config(env=env), info)
        rows = []
        for step, before in ((8, 0), (16, 3)):
            for member in members:
                right = rights.get(member.get("env", env), 1.0)
                columns = {episodes.RETURN: [right] * 3, episodes.LENGTH: [3] * 3}
                columns |= {"perfect": [float(right > 0)] * 3, "regret": [1 - right] * 3}
                rows.append({"env_steps": step, **member, episodes.BEFORE: before, **columns})
        (path / episodes.NAME).write_text("".join(json.dumps(row) + "\n" for row in rows))
    logs = runs.logs(tmp_path)
    assert [(log.bsuite_id, log.seed) for log in logs] == [
        ("memory_len/1", 0), ("memory_len/1", 1), ("memory_len/4", 0), ("memory_len/4", 1), ("memory_len/22", 0)
    ]  # fmt: skip
    assert all(len(log.columns["return"]) == 6 for log in logs)
    text = report.report(logs, tmp_path / "report")
    found = json.loads((tmp_path / "report" / "scores.json").read_text())["agent"]["experiments"]["memory_len"]
    assert found["seeds"] == {"seed_0": pytest.approx(2 / 3), "seed_1": 0.5} and "memory_len" in text
    np.testing.assert_array_equal(sorted(found["seeds"]), ["seed_0", "seed_1"])
