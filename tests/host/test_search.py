"""Searching hyper-parameters, on the stand-in; and with the real Trainer on a little game (heavy)."""

import json
import math
import multiprocessing.process
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from experiments import status
from experiments.searching import journal, samplers, settings
from r2i_jit import whole_files
from r2i_jit.checkpoint import Checkpoints
from tests.host.fake import FakeTrainer
from tests.host.test_cli import error_line, last_error
from tests.host.test_kill import wait_for

SPACE = ["--param", "hypers.model_lr=1e-4:1e-1:log", "hypers.actor_lr=0:1"]
# 120 steps are the first chunk of the stand-in after its random play, 200 the third.
SMALL = ["search", "fake", *SPACE, "--trials", 4, "--batch", 2, "--rounds", 2, "--steps", 240, "--out-dir"]
RESULTS = ("results.json", "results.md", "best.json")


def texts(path: Path | str) -> dict[str, str]:
    """Return what a search has found."""
    return {name: (Path(path) / name).read_text() for name in RESULTS}


def trials(path: Path | str) -> list:
    """Return the trials in a search's journal."""
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(Path(path) / "journal.log")))
    return optuna.load_study(study_name=journal.NAME, storage=storage).get_trials()


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing: Matplotlib takes as long as a search. One test below draws."""
    monkeypatch.setattr("experiments.drawing.searches.draw", lambda trials, axes, title, out: out)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fake"], "give at least one --param hypers.KEY=LOW:HIGH"),
        (["fak", *SPACE], "did you mean fake"),
        (["fake", "--param", "hypers.model_lr"], "expected KEY=LOW:HIGH"),
        (["fake", "--param", "hypers.model_lr=1"], "expected KEY=LOW:HIGH"),
        (["fake", "--param", "hypers.model_lr=1:2:lin"], "expected KEY=LOW:HIGH"),
        (["fake", "--param", "hypers.model_lr=1:2:log:log"], "expected KEY=LOW:HIGH"),
        (["fake", "--param", "hypers.model_l=1:2"], "did you mean hypers.model_lr"),
        (["fake", "--param", "hypers.model_lr=1:x"], "expected a finite number"),
        (["fake", "--param", "hypers.model_lr=-1:1"], "hypers.model_lr=-1.0: expected a number of at least 0"),
        (["fake", "--param", "hypers.return_lambda=0:2"], "hypers.return_lambda=2.0: expected a number from 0 to 1"),
        (["fake", "--param", "hypers.model_lr=2:1"], "give the smaller number first"),
        (["fake", "--param", "hypers.model_lr=1:1"], "give the smaller number first"),
        (["fake", "--param", "hypers.model_lr=0:1:log"], "a log scale has no 0"),
        (["fake", "--param", "model.units=32:64"], "it shapes the compiled program"),
        (["fake", "--param", "hypers.clip_range=0.1:0.4"], "--param hypers.clip_range has no effect: it is PPO's"),
        (["fake", "--param", "ppo.steps=32:64"], "--param ppo.steps has no effect: it is PPO's"),
        (["fake", *SPACE, "--set", "ppo.steps=64"], "error: ppo.steps has no effect: it is PPO's"),
        (["fake", *SPACE, "--param", "hypers.model_lr=1:2"], "hypers.model_lr is given twice"),
        (["fake", *SPACE, "--set", "hypers.model_lr=1"], "is given by --param and by --set"),
        (["fake", *SPACE, "--rounds", "6"], "would end within the 80 steps of random play"),
        (["fake", *SPACE, "--halve", "1"], "1 is not between 2 and 64"),
        (["fake", *SPACE, "--sampler", "tpee"], "expected one of tpe, random, cmaes, qmc, gp, or MODULE:CLASS"),
        (["fake", *SPACE, "--sampler", "nowhere:Sampler"], "No module named 'nowhere'"),
        (["fake", *SPACE, "--sampler", "json:JSONDecoder"], "no subclass of optuna.samplers.BaseSampler"),
        (["fake", *SPACE, "--out-dir", "/dev/null/search"], "cannot write to --out-dir /dev/null/search"),
    ],
)
def test_mistakes_exit_2_with_one_line_and_create_nothing(fake, capsys, words, expected):
    assert fake("search", *words) == 2
    assert expected in error_line(capsys)
    assert os.listdir() == []


def test_trials_are_scored_on_the_same_episodes(fake, monkeypatch):
    asked, evaluate = [], FakeTrainer.evaluate
    keep = lambda self, state, key, rows: asked.append(rows) or evaluate(self, state, key, rows=rows)
    monkeypatch.setattr(FakeTrainer, "evaluate", keep)
    assert fake(*SMALL, "s", "--seeds", 3) == 0
    assert asked and all(rows == [0, 1, 2, 0, 1, 2] for rows in asked)


def test_what_is_not_installed_is_said_at_once(fake, capsys, monkeypatch):
    whole = samplers.importlib.util.find_spec
    lacks = lambda *missing: monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name in missing else whole(name, *rest)
    )
    lacks("optuna")
    assert fake("search", "fake", *SPACE) == 2
    assert "pip install 'r2i-jit[search]'" in error_line(capsys)
    for sampler, package in (("gp", "torch"), ("cmaes", "cmaes")):
        lacks(package)
        assert fake("search", "fake", *SPACE, "--sampler", sampler) == 2
        assert f"--sampler {sampler} needs the package {package!r}; install it with" in error_line(capsys)
    assert os.listdir() == []


def test_a_folder_of_something_else_is_left_alone(fake, capsys):
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("")
    assert fake(*SMALL, "mine") == 2
    assert "mine is not empty (it holds thesis.tex) and holds no search" in error_line(capsys)
    assert os.listdir("mine") == ["thesis.tex"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a search that was never stopped, with what it printed beside it."""
    import subprocess
    import sys

    path = tmp_path_factory.mktemp("undisturbed") / "s"
    command = [sys.executable, "-m", "tests.host.fake", *map(str, SMALL), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    path.with_name("stdout").write_text(done.stdout)
    path.with_name("stderr").write_text(done.stderr)
    yield path


def test_a_search_holds_what_is_promised(undisturbed):
    found = trials(undisturbed)
    assert [trial.state.name for trial in found].count("COMPLETE") == 2 and len(found) == 4
    assert [trial.state.name for trial in found].count("PRUNED") == 2
    assert all(1e-4 <= trial.params["hypers.model_lr"] <= 1e-1 for trial in found)
    assert len({trial.params["hypers.model_lr"] for trial in found}) == 4
    # The first round ends at 120 steps, the second at 240; the two best of four go on, and no value is missing.
    first = sorted((trial.intermediate_values[120], trial.number) for trial in found)
    assert {number for _, number in first[2:]} == {t.number for t in found if t.state.name == "COMPLETE"}
    assert all(list(t.intermediate_values) == ([120, 240] if t.state.name == "COMPLETE" else [120]) for t in found)
    document = json.loads((undisturbed / "results.json").read_text())
    assert document["rounds"] == [120, 240] and document["importance"] is None
    assert [entry["state"] for entry in document["trials"]] == ["complete"] * 2 + ["pruned"] * 2
    best = json.loads((undisturbed / "best.json").read_text())
    assert best["return"] == document["trials"][0]["value"] == max(t.value for t in found if t.state.name == "COMPLETE")
    assert best["train"][-3:] == ["--set", *(f"{key}={value!r}" for key, value in best["params"].items())]
    output, notes = (undisturbed.with_name(name).read_text() for name in ("stdout", "stderr"))
    assert "| trial | return |" in output and "train the best: " in output and "search.png" in output
    assert "importance: not told of 4 trials" in output
    assert (undisturbed / "search.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "round 2 of 2, batch 1 of 1: 2 trials to 240 steps" in notes and "Traceback" not in notes
    assert "360 steps of the program, 75% of what all trials to the end would take" in notes
    assert list((undisturbed / "states").iterdir()) == []
    assert status.below(undisturbed.parent) == [
        status.Standing(undisturbed, "done", "-", "4 of 4 trials", f"{best['return']:.3f}")
    ]


def test_the_same_command_again_does_nothing_and_others_are_refused(undisturbed, fake, capsys, tmp_path):
    shutil.copytree(undisturbed, "s")
    before = {path: path.read_bytes() for path in Path("s").rglob("*") if path.is_file() and path.suffix != ".png"}
    assert fake(*SMALL, "s") == 0
    assert fake("search", "--out-dir", "s") == 0
    assert "compiled" not in capsys.readouterr().err
    for others, named in (
        (["--trials", "5"], "trials: 4 -> 5"),
        (["--batch", "4", "--seeds", "2"], "batch: 2 -> 4; seeds: 1 -> 2"),
        (["--seed", "1"], "seed: 0 -> 1"),
        (["--steps", "280"], "steps: 240 -> 280"),
        (["--rounds", "1", "--halve", "3"], "rounds: 2 -> 1; halve: 2 -> 3"),
        (["--sampler", "random"], "sampler: tpe -> random"),
        (["--size", "small"], "size: tiny -> small"),
        (["--agent", "dreamerv3"], "agent: r2i -> dreamerv3"),
        (["--set", "model.deter=9"], "model.deter: 1024 -> 9"),
        (["--env", "fake/B"], "env: 'fake/A' -> 'fake/B'"),
        (
            ["--param", "hypers.model_lr=1e-4:1:log"],
            "param: hypers.model_lr=0.0001:0.1:log hypers.actor_lr=0:1 -> hypers.model_lr=0.0001:1:log",
        ),
    ):
        capsys.readouterr()
        assert fake("search", "fake", *others, "--out-dir", "s") == 2
        assert f"s was started otherwise ({named}); choose another --out-dir" in error_line(capsys)
    after = {path: path.read_bytes() for path in Path("s").rglob("*") if path.is_file() and path.suffix != ".png"}
    assert {path: text for path, text in after.items() if path.name != "run.lock"} == {
        path: text for path, text in before.items() if path.name != "run.lock"
    }


@pytest.mark.parametrize("text", ["{", "[]", "{}", None])
def test_a_damaged_search_file_is_said_in_one_line(undisturbed, fake, capsys, text):
    shutil.copytree(undisturbed, "s")
    file = Path("s/search.json")
    file.write_text(text if text is not None else json.dumps(json.loads(file.read_text()) | {"batch": 0}))
    assert fake(*SMALL, "s") == 2
    assert "search.json" in error_line(capsys)


class Kill(BaseException):
    """Stands for the end of the process."""


class Compiled(FakeTrainer):
    """Is compiled once, whoever makes it."""

    compiled = None

    def compile(self, num_seeds: int, **options: bool) -> float:
        seconds = super().compile(num_seeds, **options) if Compiled.compiled is None else 0.0
        self._compiled = Compiled.compiled = Compiled.compiled or self._compiled
        return seconds


@pytest.mark.heavy
def test_killed_after_every_write_it_ends_as_if_it_had_not_been(fake, undisturbed, monkeypatch):
    """One search that ends whenever it has written something new, and goes on; the last one ends by itself."""
    died: list[str] = []

    def deadly(owner: object, name: str, is_new: Callable[..., bool]) -> None:
        whole = getattr(owner, name)

        def call(*args, **kwargs):
            new = is_new(*args)
            whole(*args, **kwargs)
            if new:
                died.append(name)
                raise Kill

        monkeypatch.setattr(owner, name, call)

    def save_and_wait(self, *args, **kwargs):
        save(self, *args, **kwargs)
        self.wait()

    import tests.host.fake

    monkeypatch.setattr(tests.host.fake, "FakeTrainer", Compiled)
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", save_and_wait)
    deadly(Checkpoints, "save", lambda self, *args: True)
    deadly(JournalFileBackend, "append_logs", lambda self, *args: True)
    deadly(whole_files, "replace", lambda path, data: not path.exists() or path.read_bytes() != data)
    deadly(shutil, "rmtree", lambda path, *args: "s/states/" in str(path))
    code = None
    while code is None:
        assert len(died) < 100, " ".join(died)
        try:
            code = fake(*SMALL, "s", "--checkpoint-every", 0)
        except Kill:
            continue
    assert code == 0 and set(died) == {"save", "append_logs", "replace", "rmtree"} and len(died) > 20
    assert texts("s") == texts(undisturbed)
    assert _told(trials("s")) == _told(trials(undisturbed))


def _told(found: list) -> list:
    """Return all of trials but when they were."""
    return [(t.number, t.state, t.values, t.params, t.intermediate_values, t.user_attrs) for t in found]


def test_a_signal_saves_and_the_same_command_goes_on(launch, undisturbed, tmp_path):
    """In the middle of a round: the chunk is finished, and nothing is trained twice."""
    process = launch(*SMALL, tmp_path / "s", "--checkpoint-every", 0, FAKE_CHUNK_SECONDS=1)
    saved = Checkpoints(tmp_path / "s" / "states" / "2", read_only=True).steps
    wait_for(saved)  # a chunk of the second round is done
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == 128 + signal.SIGTERM
    assert saved()[-1] == 200, "the running chunk is saved"
    process = launch(*SMALL, tmp_path / "s")
    process.join(60)
    assert process.exitcode == 0
    assert texts(tmp_path / "s") == texts(undisturbed)


@pytest.mark.heavy
def test_killed_searches_end_as_if_they_had_not_been(launch, undisturbed, tmp_path):
    """SIGKILL at random moments, in processes of their own."""
    import random

    def begin(path: Path) -> multiprocessing.process.BaseProcess:
        return launch(*SMALL, path, "--checkpoint-every", 0, FAKE_CHUNK_SECONDS=0.2)

    began = time.monotonic()
    begin(tmp_path / "whole").join(120)
    takes = time.monotonic() - began
    rng, kills, paths = random.Random(0), 0, [tmp_path / "whole"]
    while kills < 6:
        paths.append(tmp_path / f"s{len(paths)}")
        exit_code = None
        while exit_code is None:
            process = begin(paths[-1])
            process.join(rng.uniform(0.1, 0.9) * takes if kills < 6 else 120)
            if process.exitcode is None:
                process.kill()
                process.join()
                kills += 1
            else:
                exit_code = process.exitcode
        assert exit_code == 0
    for path in paths:
        assert texts(path) == texts(undisturbed) and _told(trials(path)) == _told(trials(undisturbed))


@pytest.mark.heavy
def test_what_a_kill_leaves_in_the_journal_is_mended(undisturbed, fake, tmp_path):
    shutil.copytree(undisturbed, "s")
    file = Path("s/journal.log")
    lines = file.read_bytes().splitlines(keepends=True)
    asked = [i for i, line in enumerate(lines) if b'"op_code":4' in line]  # a trial was added
    file.write_bytes(b"".join(lines[: asked[3]]) + lines[asked[3]][:40])  # half the record of the last trial
    os.symlink(file, "s/journal.log.lock")  # or Optuna waits for half a minute
    shutil.rmtree("s/states")  # and all states are gone, which are computed again
    assert fake(*SMALL, "s") == 0
    assert texts("s") == texts(undisturbed)


def test_a_journal_that_does_not_read_is_said_in_one_line(undisturbed, fake, capsys):
    shutil.copytree(undisturbed, "s")
    Path("s/journal.log").write_text("no record\n" * 3)
    assert fake(*SMALL, "s") == 2
    assert "journal.log is damaged" in last_error(capsys)


def test_a_state_of_other_trials_is_refused(launch, undisturbed, fake, capsys):
    """A journal from elsewhere beside states that were made with another one."""
    process = launch(*SMALL, Path("s").absolute(), "--checkpoint-every", 0, FAKE_CHUNK_SECONDS=1)
    saved = Checkpoints("s/states/2", read_only=True).steps
    wait_for(saved)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    step = saved()[-1]
    record = json.loads(Path(f"s/states/2/{step}/record/metadata").read_text())["metadata"]
    value = trials("s")[record["trials"][0]].params["hypers.model_lr"]
    text = Path("s/journal.log").read_text()
    assert str(value) in text
    Path("s/journal.log").write_text(text.replace(str(value), str(value / 2)))
    assert fake(*SMALL, "s") == 3
    assert "s/states/2 holds other trials than the journal says" in last_error(capsys)
    assert saved()[-1] == step


@pytest.mark.heavy
def test_those_that_diverge_are_dropped_and_told_as_the_worst(fake, monkeypatch):
    """The last row of every batch diverges in the second round's first chunk, or in the first one's."""
    monkeypatch.setenv("FAKE_NAN_AT", "160")
    assert fake(*SMALL, "late") == 0
    monkeypatch.setenv("FAKE_NAN_AT", "120")
    assert fake(*SMALL, "early") == 0
    for name, states in (("late", ["complete", "pruned", "pruned", "diverged"]), ("early", None)):
        document = json.loads(Path(name, "results.json").read_text())
        found = [entry["state"] for entry in document["trials"]]
        if states is not None:
            assert found == states
        else:  # trials 1 and 3 in the first round, and in the second the last row again
            assert found == ["complete", "diverged", "diverged", "diverged"]
        lost = [trial for trial in trials(name) if journal.is_diverged(trial)]
        assert len(lost) == found.count("diverged") and all(trial.state.name == "PRUNED" for trial in lost)
        assert all(trial.value == -math.inf for trial in lost)
        assert "NaN" not in Path(name, "results.json").read_text() + Path(name, "journal.log").read_text()


@pytest.mark.heavy
def test_where_all_diverge_it_ends_with_5_and_one_line(fake, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_NAN_AT", "120")
    monkeypatch.setenv("FAKE_NAN_MEMBERS", "2")
    assert fake(*SMALL, "s") == 5
    assert "all trials have diverged (s/results.md); search other ranges" in last_error(capsys)
    assert [trial.state.name for trial in trials("s")] == ["PRUNED"] * 4


class Bowl(FakeTrainer):
    """Its return is known: highest, and growing with the steps, at model_lr = 1e-3 and actor_lr = 0.7."""

    def evaluate(self, state, key, episodes=None, greedy=None, forget=None, max_steps=None, rows=None):
        hypers = state.seeds.hypers
        off = (np.log10(np.asarray(hypers.model_lr)) + 3) ** 2 + (2 * (np.asarray(hypers.actor_lr) - 0.7)) ** 2
        value = -off + 1e-4 * int(state.env_steps)
        return {"episode_return": np.tile(value[:, None], (1, 4))}


@pytest.mark.heavy
def test_a_known_bowl_is_found_and_halving_keeps_the_best(fake, monkeypatch, capsys):
    import tests.host.fake

    monkeypatch.setattr(tests.host.fake, "FakeTrainer", Bowl)
    words = ["search", "fake", *SPACE, "--trials", 64, "--batch", 8, "--rounds", 3, "--steps", 480, "--out-dir", "s"]
    assert fake(*words) == 0
    best = json.loads(Path("s/best.json").read_text())
    assert abs(math.log10(best["params"]["hypers.model_lr"]) + 3) < 0.2
    assert abs(best["params"]["hypers.actor_lr"] - 0.7) < 0.1
    # The best of all trials at the first round's end is among those that came through.
    found = trials("s")
    assert best["trial"] == max(found, key=lambda trial: trial.intermediate_values[120]).number
    assert sum(trial.state.name == "COMPLETE" for trial in found) == 16
    shares = json.loads(Path("s/results.json").read_text())["importance"]
    assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) > 0
    # Later trials are better: the sampler has learned, from those that were still on their way as well.
    off = lambda trial: -(trial.intermediate_values[120] - 0.012)
    first, last = (np.mean([off(trial) for trial in own]) for own in (found[:16], found[-16:]))
    assert last < 0.5 * first


@pytest.mark.heavy
def test_seeds_of_a_trial_are_rows_beside_each_other_and_their_mean_is_its_score(fake, monkeypatch):
    import tests.host.fake

    class Numbered(FakeTrainer):
        """Its returns are the numbers of the rows."""

        def evaluate(self, state, key, **_):
            lrs = np.asarray(state.seeds.hypers.model_lr)
            assert (lrs[0::2] == lrs[1::2]).all() and lrs[0] != lrs[2]
            bits = np.asarray(jax.random.key_data(self.init(*self.begun).seeds.key)).tolist()
            assert bits[0:2] == bits[2:4] and bits[0] != bits[1]
            return {"episode_return": np.arange(4.0)[:, None]}

        def init(self, keys, hypers=None):
            self.begun = keys, hypers
            return super().init(keys, hypers)

    monkeypatch.setattr(tests.host.fake, "FakeTrainer", Numbered)
    words = ["search", "fake", *SPACE, "--trials", 2, "--batch", 2, "--rounds", 1, "--steps", 120, "--out-dir", "s"]
    assert fake(*words, "--seeds", 2) == 0
    assert [trial.value for trial in trials("s")] == [0.5, 2.5]


def test_what_is_left_over_repeats_a_trial_and_counts_for_nothing(fake):
    assert (
        fake("search", "fake", *SPACE, "--trials", 3, "--batch", 2, "--rounds", 1, "--steps", 120, "--out-dir", "s")
        == 0
    )
    assert [trial.state.name for trial in trials("s")] == ["COMPLETE"] * 3


OWN = """
import optuna

class Low(optuna.samplers.RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        return distribution.low
"""


def test_a_sampler_of_ones_own(fake, tmp_path):
    (tmp_path / "lows.py").write_text(OWN)
    words = ["search", "fake", *SPACE, "--trials", 2, "--batch", 2, "--rounds", 1, "--steps", 120]
    assert fake(*words, "--sampler", "lows:Low", "--out-dir", "s") == 0
    assert [trial.params for trial in trials("s")] == [{"hypers.model_lr": 1e-4, "hypers.actor_lr": 0.0}] * 2


def distributions() -> dict:
    return {
        "a": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
        "b": optuna.distributions.FloatDistribution(-1.0, 1.0),
    }


def proposed(name: str, count: int, size: int, score: Callable[[dict], float]) -> list:
    """Return trials of a sampler, a batch at a time, each scored once."""
    found: list = []
    for batch in range(count):
        new = samplers.propose(samplers.make(name, 5, batch), found, size, distributions(), 10)
        for trial in new:
            trial.number = len(found)
            trial.intermediate_values = {10: score(trial.params)}
            found.append(trial)
    return found


@pytest.mark.parametrize("name", ["tpe", "random", "qmc", "cmaes"])
def test_samplers_propose_the_same_again_and_other_things_in_every_batch(name):
    pytest.importorskip("cmaes")
    score = lambda params: -abs(params["b"])
    found = proposed(name, 5, 6, score)
    params = [trial.params for trial in found]
    assert len({tuple(own.values()) for own in params}) == 30
    assert all(1e-4 <= own["a"] <= 1e-1 and -1 <= own["b"] <= 1 for own in params)
    assert [trial.params for trial in proposed(name, 5, 6, score)] == params
    # A part of a batch is proposed again from what was known before it.
    again = samplers.propose(samplers.make(name, 5, 4), found[:24], 6, distributions(), 10)
    assert [trial.params for trial in again] == params[24:]


def test_a_quasi_random_sequence_goes_on_from_batch_to_batch():
    """One sequence of 32 fills every sixteenth of each range with two."""
    found = proposed("qmc", 4, 8, lambda params: 0.0)[1:]  # The first trial of a study is drawn at random.
    places = np.array([(trial.params["b"] + 1) / 2 for trial in found])
    assert np.bincount((places * 16).astype(int), minlength=16).min() >= 1


def test_a_trial_that_waits_for_the_next_round_counts_by_its_score():
    """As running it would be taken for a bad one."""
    create, states = optuna.trial.create_trial, optuna.trial.TrialState
    space = {"a": optuna.distributions.FloatDistribution(0, 1)}
    make = lambda state, **own: create(state=state, params={"a": 0.5}, distributions=space, **own)
    past = [
        make(states.RUNNING, intermediate_values={10: 0.9}),
        make(states.COMPLETE, value=0.8, intermediate_values={10: 0.1, 20: 0.8}),
        make(states.PRUNED, value=-math.inf, intermediate_values={10: 0.3, 20: -math.inf}),
    ]
    waiting, complete, lost = samplers.seen(past, 10)
    assert (waiting.state, waiting.value) == (states.PRUNED, 0.9)
    assert (complete.state, complete.value) == (states.COMPLETE, 0.8)
    assert (lost.state, lost.value, lost.intermediate_values) == (states.PRUNED, 0.1, {10: 0.1})


def test_the_figure_is_drawn_of_trials_of_every_kind(tmp_path, monkeypatch):
    monkeypatch.undo()
    from experiments.drawing.searches import Axis, Trial, draw, place

    axes = [Axis("hypers.model_lr", 1e-4, 1e-2, True), Axis("hypers.actor_lr", 0.0, 1.0, False)]
    own = lambda lr: {"hypers.model_lr": lr, "hypers.actor_lr": 0.5}
    found = [
        Trial(0, own(1e-3), 0.5, 2, "complete"),
        Trial(1, own(1e-4), 0.1, 1, "pruned"),
        Trial(2, own(1e-2), None, 1, "diverged"),
        Trial(3, own(1e-2), None, 0, "running"),
    ]
    for name, part in (("all", found), ("one", found[:1]), ("lost", found[2:]), ("none", [])):
        out = draw(part, axes, "fake/A", tmp_path / f"{name}.png")
        assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert place(axes[0], 1e-3) == pytest.approx(0.5) and place(axes[1], 0.25) == 0.25


def test_a_replay_that_was_made_to_fit_is_the_searchs_own(fake, monkeypatch):
    """When it goes on, on a larger machine too, its states have the same shapes."""
    from experiments.running import memory

    made = []
    with monkeypatch.context() as patch:
        patch.setattr(memory, "device_bytes", lambda: 540_000)
        assert fake(*SMALL, "s") == 0
    assert settings.read(Path("s"))[1].replay.capacity == int(0.3 * 540_000 / (2 * 8))
    monkeypatch.setattr(memory, "fit_replay", lambda config, *rest: made.append(config))
    assert fake(*SMALL, "s") == 0 and not made


def test_a_replay_is_no_larger_than_what_is_ever_written():
    from r2i_jit.config import Config
    from r2i_jit.schedule import schedule

    whole = Config().override(["replay.batch_size=2", "replay.sequence_length=64", "loop.num_envs=4"])
    short = settings.short_replay(whole, 5000, [])
    plan = schedule(short)
    assert plan._replace(capacity=0) == schedule(whole)._replace(capacity=0)
    written = 5000 + plan.turns * plan.turn_steps * 4
    assert written <= short.replay.capacity < 2 * written < whole.replay.capacity
    assert settings.short_replay(whole, 5000, ["replay.capacity=1000000"]) == whole
    assert settings.short_replay(short, 10**6, []) == short
