"""Films made while a run trains: at which steps, where they go; they change and stop nothing. About 60 s."""

import errno
import json
import struct
import sys
import types
from pathlib import Path

import pytest
from PIL import Image as Picture

import envs
import r2i_jit
from experiments import train
from experiments.drawing import filming
from experiments.running import films, loop
from r2i_jit import metrics
from tests.agents import small_config
from tests.host import fake as stand_in
from tests.host import little_games
from tests.host.test_metrics import FakeWandb, chunk
from tests.host.test_record import Film

EVERY, STEPS = 200, 1000
GIF = b"GIF89a" + (320).to_bytes(2, "little") + (200).to_bytes(2, "little") + b"rest"


@pytest.fixture
def drawn(monkeypatch) -> list[tuple[int, int]]:
    """Draw nothing; return the (step, member) that were to be drawn."""
    asked: list[tuple[int, int]] = []

    class Stub:
        def __init__(self, trainer, seed):
            self.trainer = trainer

        def __call__(self, state, member, row, path):
            assert isinstance(self.trainer, stand_in.FakeTrainer) and int(state.env_steps) == row["env_steps"]
            asked.append((row["env_steps"], member))
            path.write_bytes(GIF)

    monkeypatch.setattr(filming, "Filmer", Stub)
    return asked


def rows(run: str) -> list[dict]:
    """Return a run's record without its times."""
    found = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "wall_seconds"} for row in found]


def films_of(run: str) -> list[int]:
    """Return the steps of the films in a run directory, which holds no part of another."""
    names = [path.name for path in Path(run, "plots").iterdir() if path.name != "learning_curve.png"]
    assert all(name.startswith("episode-") and name.endswith(".gif") for name in names), names
    return sorted(int(name[8:-4]) for name in names)


def board_images(run: str) -> list[tuple[int, int, int]]:
    """Return (step, width, height) of each image in the run's TensorBoard files, read as they are framed."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(Path(run, "tensorboard").rglob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                if value.HasField("image"):
                    assert value.tag == "episode" and value.image.encoded_image_string.startswith(b"GIF8")
                    found.append((event.step, value.image.width, value.image.height))
    return found


def test_films_are_made_as_steps_pass_and_change_nothing(fake, drawn):
    assert fake("fake", "--steps", STEPS, "--run-dir", "plain") == 0
    assert fake("fake", "--steps", STEPS, "--run-dir", "filmed", "--record-every", EVERY) == 0
    wanted = list(range(EVERY, STEPS + 1, EVERY))
    assert films_of("filmed") == wanted and [step for step, _ in drawn] == wanted
    assert films_of("plain") == [] and not board_images("plain")
    assert rows("plain") == rows("filmed")
    assert Path("plain/evaluation.json").read_text() == Path("filmed/evaluation.json").read_text()
    assert board_images("filmed") == [(step, 320, 200) for step in wanted]


@pytest.mark.heavy
def test_a_resumed_run_has_the_films_of_one_that_was_not(fake, drawn):
    """It remembers how often, unless told otherwise, and draws TensorBoard's anew."""
    assert fake("fake", "--steps", 600, "--run-dir", "run", "--record-every", EVERY) == 0
    Path("run/plots/episode-99999.gif").write_bytes(GIF)  # of a step that the record does not have
    assert fake("fake", "--steps", STEPS, "--run-dir", "run", "--resume") == 0
    assert films_of("run") == [*range(EVERY, STEPS + 1, EVERY), 99999]
    assert [step for step, _, _ in board_images("run")] == list(range(EVERY, STEPS + 1, EVERY))
    assert fake("fake", "--steps", 1400, "--run-dir", "run", "--resume", "--record-every", 0) == 0
    assert len(films_of("run")) == 6 and json.loads(Path("run/run.json").read_text())["record_every"] is None
    assert fake("fake", "--steps", 1800, "--run-dir", "run", "--resume", "--record-every", 400) == 0
    assert films_of("run")[-2:] == [1600, 99999]


def test_the_time_of_a_film_is_no_training(fake, drawn, monkeypatch):
    """By a clock that a film moves by 100 s and a look at it by a millisecond."""
    now, call = [0.0], filming.Filmer.__call__

    def look():
        now[0] += 1e-3
        return now[0]

    def film(*asked):
        now[0] += 100.0
        return call(*asked)

    monkeypatch.setattr(filming.Filmer, "__call__", film)
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(monotonic=look))
    assert fake("fake", "--steps", STEPS, "--run-dir", "run", "--record-every", EVERY) == 0
    assert len(drawn) >= 4 and 0 < metrics.read(Path("run", "metrics.jsonl"))[-1]["wall_seconds"] < 100


def test_a_run_of_before_there_were_films_goes_on(fake, drawn):
    assert fake("fake", "--steps", 200, "--run-dir", "run") == 0
    info = json.loads(Path("run/run.json").read_text())
    assert info.pop("record_every") is None
    Path("run/run.json").write_text(json.dumps(info))
    assert fake("fake", "--steps", 400, "--run-dir", "run", "--resume") == 0
    assert films_of("run") == []


def test_a_chunk_longer_than_the_distance_makes_one_film(fake, drawn):
    assert fake("fake", "--steps", 200, "--run-dir", "run", "--record-every", 1) == 0
    assert films_of("run") == [120, 160, 200]


def test_the_first_sound_member_is_filmed(fake, drawn, monkeypatch):
    monkeypatch.setenv("FAKE_NAN_AT", "500")
    assert fake("fake", "--steps", 600, "--run-dir", "run", "--record-every", EVERY, "--seeds", 2) == 0
    assert drawn == [(200, 0), (400, 0), (600, 0)]  # the stand-in's last member diverges
    state = types.SimpleNamespace()
    filmed = films.Films(10, lambda: lambda _, member, row, path: path.write_bytes(b"%d" % member), Path("films"))
    filmed.film_if_due(5, state, [{"env_steps": 10, "seed": i} for i in range(3)], {0, 1}, [])
    assert Path("films/episode-10.gif").read_bytes() == b"2"


@pytest.mark.parametrize("error", [ValueError("no\nsuch thing"), OSError(errno.ENOSPC, "No space left on device")])
def test_what_cannot_be_drawn_is_said_once_and_stops_nothing(fake, drawn, capsys, monkeypatch, error):
    def fail(self, state, member, row, path):
        path.write_bytes(GIF[:5])
        raise error

    monkeypatch.setattr(filming.Filmer, "__call__", fail)
    assert fake("fake", "--steps", STEPS, "--run-dir", "run", "--record-every", EVERY) == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "recorded" in line)
    reason = "No space left on device" if isinstance(error, OSError) else "ValueError: no such thing"
    assert line == f"no more episodes of this run are recorded: {reason}"
    assert films_of("run") == [] and len(rows("run")) == (STEPS - stand_in.PREFILL) // stand_in.STEPS_PER_CHUNK


def test_a_folder_that_is_none_stops_nothing(fake, drawn, capsys):
    """The stand-in itself has nothing to draw either."""
    assert fake("fake", "--steps", 200, "--run-dir", "run") == 0
    Path("run/plots/learning_curve.png").unlink()
    Path("run/plots").rmdir()
    Path("run/plots").write_text("")
    assert fake("fake", "--steps", 400, "--run-dir", "run", "--resume", "--record-every", EVERY) == 0
    assert capsys.readouterr().err.count("are recorded: File exists") == 1


def test_a_trainer_that_cannot_be_drawn_stops_nothing(fake, capsys):
    assert fake("fake", "--steps", 400, "--run-dir", "run", "--record-every", EVERY) == 0
    assert capsys.readouterr().err.count("are recorded: AttributeError: ") == 1 and len(rows("run")) == 8


def test_weights_and_biases_gets_a_film_once(tmp_path, monkeypatch):
    fake = FakeWandb(monkeypatch, last=3)
    sys.modules["wandb"].Video = lambda path: ("video", path)
    sink = metrics.wandb(tmp_path, "run", {}, "4f2a")
    for step in (3, 4):
        found = metrics.rows(chunk(step), [{"seed": 0}, {"seed": 1}])
        sink.write(found)
        sink.show(found[1], tmp_path / f"episode-{step}.gif")
    shown = [record for record in fake.sent if "seed1/episode" in record]
    assert shown == [{"env_steps": 4, "seed1/episode": ("video", str(tmp_path / "episode-4.gif"))}]


def test_a_film_that_is_gone_ends_the_drawn_log_and_no_more(tmp_path, caplog):
    sink = metrics.tensorboard(tmp_path / "board")
    sink.show({"env_steps": 1, "seed": 0}, tmp_path / "nowhere.gif")
    assert "gets no more of this run: No such file or directory" in caplog.text


@pytest.mark.heavy
@pytest.mark.parametrize("env", [pytest.param("popgym/MineSweeperEasy", marks=pytest.mark.slow), "little/Film"])
def test_a_real_run(env, monkeypatch, tmp_path, capsys):
    """The same numbers with and without films, and one program for all of them."""
    from experiments import presets
    from r2i_jit import open_loop, recording

    little_games.register(monkeypatch)
    envs.register("little/Film", Film)
    config = small_config(env, replay__capacity=160, replay__sequence_length=4, loop__chunk_updates=4)
    monkeypatch.setattr(presets, "preset", lambda *_, **__: config)
    whole = r2i_jit.Trainer
    monkeypatch.setattr(r2i_jit, "Trainer", lambda config, **options: whole(config, **options, quick_compile=True))
    monkeypatch.chdir(tmp_path)
    programs, program = [], recording.program
    monkeypatch.setattr(recording, "program", lambda *asked: programs.append(program(*asked)) or programs[-1])
    accounts = open_loop._open_loop._cache_size()
    words = ["popgym", "--steps", "64", "--seeds", "2", "--size", "tiny", "--run-dir"]
    assert train.main([*words, "plain"]) == 0
    assert train.main([*words, "filmed", "--record-every", "16"]) == 0
    assert rows("plain") == rows("filmed")
    steps = films_of("filmed")
    assert open_loop._open_loop._cache_size() - accounts == (env == "little/Film")
    assert len(steps) >= 3 and "recorded" not in capsys.readouterr().err
    assert len(programs) == 1 and programs[0]._cache_size() == 1
    with Picture.open(f"filmed/plots/episode-{steps[-1]}.gif") as gif:
        if env == "little/Film":
            assert gif.width > 3 * 256  # what is seen, its account and the difference
        assert gif.n_frames >= 2 and gif.info["loop"] == 0
        assert board_images("filmed")[-1] == (steps[-1], *gif.size)
