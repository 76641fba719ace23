"""Every episode that a run played, in order: written, cut and read again. On the stand-in, about 15 s."""

import json

import jax
import numpy as np
import pytest

from experiments.running import episodes
from r2i_jit import rollout
from r2i_jit.config import Config
from tests.host import fake as fake_module
from tests.host.fake import FakeTrainer
from tests.host.test_cli import error_line, last_error

STEPS, PER_CHUNK = 400, 6  # of one member: 3 steps at which 2 environments end
WORDS = ("fake", "--run-dir", "run", "--seeds", "2", "--steps", str(STEPS), "--log-episodes", "40")


@pytest.fixture
def run(fake, tmp_path):
    assert fake(*WORDS) == 0
    return tmp_path / "run"


def test_the_log_has_the_first_episodes_of_every_member_in_order(run):
    rows = [json.loads(line) for line in (run / episodes.NAME).read_text().splitlines()]
    assert [row["seed"] for row in rows[:4]] == [0, 1, 0, 1]
    assert [len(row[episodes.RETURN]) for row in rows if row["seed"] == 1] == [6] * 6 + [4, 0, 0]
    for seed in range(2):
        found = episodes.read(run, {"seed": seed})
        assert found.keys() == {episodes.RETURN, episodes.LENGTH, "regret"}
        assert all(len(column) == 40 for column in found.values())
        assert found[episodes.LENGTH][:8].tolist() == [3, 3, 6, 6, 9, 9, 3, 3]
        np.testing.assert_allclose(found["regret"], 2 - found[episodes.RETURN], atol=1e-5)
        # Two environments end at a step: the stand-in's returns tell them apart.
        np.testing.assert_allclose(np.diff(found[episodes.RETURN])[:40:2], 2, atol=1e-4)


def test_the_stand_in_tells_what_the_trainer_tells():
    assert fake_module.Ended._fields == rollout.Ended._fields


def test_the_first_episodes_are_those_of_the_random_play(run):
    trainer = FakeTrainer(Config(), tallied=True)
    _, ended = trainer.begin(jax.random.split(jax.random.key(0), 2))
    found = episodes.read(run, {"seed": 1})[episodes.RETURN][:PER_CHUNK]
    np.testing.assert_allclose(found, np.asarray(ended.episode_return[1])[np.nonzero(np.asarray(ended.is_last[1]))])


def test_a_run_that_goes_on_keeps_its_log(run, fake):
    before = (run / episodes.NAME).read_bytes()
    assert fake(*WORDS[:5], "--steps", "600", "--resume") == 0
    after = (run / episodes.NAME).read_bytes()
    assert after.startswith(before) and len(after) > len(before)
    assert all(len(column) == 40 for column in episodes.read(run, {"seed": 0}).values())


def test_another_number_of_episodes_is_another_run(run, fake, capsys):
    capsys.readouterr()
    assert fake(*WORDS[:-1], "50", "--resume") == 2
    assert "log-episodes: 40 -> 50" in error_line(capsys)


def test_a_number_that_was_edited_is_named(run, fake, capsys):
    path = run / "run.json"
    path.write_text(path.read_text().replace('"log_episodes": 40', '"log_episodes": 50'))
    assert fake(*WORDS[:5], "--resume") == 2
    assert "run.json log_episodes: 40 -> 50" in last_error(capsys)


def test_a_run_without_the_option_has_no_log(fake, tmp_path):
    assert fake("fake", "--run-dir", "run", "--steps", "200") == 0
    assert not (tmp_path / "run" / episodes.NAME).exists()
    assert episodes.read(tmp_path / "run", {"seed": 0}) == {}


def test_damage_is_kept_aside_and_said(run, fake, caplog):
    path = run / episodes.NAME
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace("[", '["word", ', 1)
    path.write_text("\n".join(lines) + "\n")
    assert fake(*WORDS[:5], "--steps", "600", "--resume") == 0
    assert "line 4 is damaged (`episode_return` is not a number)" in caplog.text
    assert (run / "episodes.jsonl.damaged").read_text() == lines[3] + "\n"
    # What comes after a lost line has no place: the fourth of the file was seed 1's second one, of six episodes.
    assert len(episodes.read(run, {"seed": 1})[episodes.RETURN]) == PER_CHUNK
    assert len(episodes.read(run, {"seed": 0})[episodes.RETURN]) == 40


def test_members_of_several_settings_are_told_apart():
    rows = [
        {"env": f"bsuite/memory_len/{number}", "seed": seed, episodes.BEFORE: 0, episodes.RETURN: [number + seed]}
        for number in (1, 2)
        for seed in (0, 1)
    ]
    found = episodes.joined(rows, {"env": "bsuite/memory_len/2", "seed": 1})
    assert found[episodes.RETURN].tolist() == [3]
