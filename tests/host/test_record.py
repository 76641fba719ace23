"""Drawing episodes: which ones, how many frames, and what is on them. About 60 s."""

import dataclasses
import functools
import re
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from PIL import Image as Picture

import envs
import r2i_jit
from envs.observation import Image
from experiments import record
from experiments.drawing import pictures
from experiments.running import evaluation, restoring, rundir, runinfo
from r2i_jit import recording
from r2i_jit.checkpoint import Checkpoints
from tests.agents import small_config
from tests.host import little_games

MEMBERS = [{"seed": 0}, {"seed": 1}]


class Film(little_games.Seen):
    """As `Seen`, of a size that agents take."""

    def observation_parts(self, params):
        return (Image((16, 16, 3)),)

    def observation_space(self, params):
        return spaces.Box(0, 255, (16, 16, 3), jnp.uint8)

    def observe(self, key, state, action, params):
        return jnp.full((16, 16, 3), 40 * state.time, jnp.uint8)


@pytest.fixture(autouse=True)
def games(monkeypatch, tmp_path):
    little_games.register(monkeypatch)
    envs.register("little/Film", Film)
    monkeypatch.chdir(tmp_path)


def make_run(path: Path, env: str, scale: float = 1.0) -> Path:
    """Make a run of two agents with checkpoints at steps 10 and 20, the first of which is the best."""
    path.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        little_games.register(patch)
        envs.register("little/Film", Film)
        config = small_config(env, replay__capacity=80, replay__sequence_length=4, model__ssm_layers=1)
        trainer = r2i_jit.Trainer(config)
    shapes = trainer.state_shapes(len(MEMBERS))
    # Any numbers will do: they are drawn here because to initialise an agent takes long to compile.
    rng = np.random.default_rng(0)
    agents = jax.tree.map(lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype), shapes.seeds.agent)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), dataclasses.replace(shapes.seeds, key=None))
    keys = jax.random.split(jax.random.key(0), len(MEMBERS))
    seeds = dataclasses.replace(empty, agent=agents, key=keys)
    rundir.write(path, config, runinfo.RunInfo("train", "little", "tiny", 0, MEMBERS, 20, 10, 0.0, {}))
    metadata = {"config": config.to_dict(), "members": MEMBERS, "seed": 0, "wall_seconds": 1.0}
    with Checkpoints(path / "checkpoints") as checkpoints:
        for step, score in ((10, 1.0), (20, 0.5)):
            state = shapes.replace(seeds=seeds, written=jnp.int32(step), env_steps=jnp.int32(step))
            checkpoints.save(step, state, metadata, score)
    return path


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", "little/Guess")


@pytest.fixture(scope="module")
def film_run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", "little/Film")


def run(capsys, *words: object, code: int = 0) -> str:
    """Run the command line; return its output, or for another exit code the one line on stderr."""
    try:
        assert record.main([str(word) for word in words]) == code
    except SystemExit as stop:
        assert stop.code == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not re.fullmatch(r"(playing|drawing): \d+ s", line)]
    if code:
        assert len(lines) == 1 and lines[0].startswith("error: ")
        return lines[0]
    assert not lines
    return captured.out


def test_help_does_not_wait_for_jax():
    code = """
import sys
from experiments import record
try:
    record.main(["--help"])
except SystemExit as error:
    assert error.code == 0
assert not {"jax", "flax", "matplotlib", "orbax", "PIL"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: python -m experiments.record" in done.stdout and "(default: latest)" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "give a run directory or --env ID"),
        (["somewhere", "--env", "little/Guess"], "not both"),
        (["--env", "little/Guess", "--policy", "agent"], "--policy agent needs a run directory"),
        (["--env", "little/Gess"], "unknown environment 'little/Gess'; did you mean little/Guess"),
        (["--env", "little/Guess", "--out", "x.avi"], "the name should end in .gif, .mp4 or .png"),
        (["--env", "little/Guess", "--policy", "oracle"], "no reference player is known for little/Guess"),
        (["--env", "little/Seen", "--imagine", "2"], "--imagine needs a run directory"),
        (["somewhere", "--context", "2"], "--context needs --imagine"),
        (["somewhere", "--sampled"], "--sampled needs --imagine"),
        (["somewhere", "--imagine", "2", "--max-steps", "3"], "not both"),
        (["--env", "little/Untypable"], "cannot be typed"),
        (["nowhere"], "nowhere is no run directory"),
        (["nowhere", "--step", "last"], "'last' is neither a step nor 'best' or 'latest'"),
        (["--env", "little/Guess", "--out", "/dev/null/x.gif"], "cannot write the picture"),
    ],
)
def test_mistakes_exit_2_with_one_line_and_write_nothing(capsys, tmp_path, words, expected):
    assert expected in run(capsys, *words, code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_gif_has_a_frame_per_step_and_stays_on_the_last(capsys):
    out = run(capsys, "--env", "little/Drawn", "--episodes", 2, "--fps", 5, "--seed", 3)
    lines = out.splitlines()
    assert [line.split(": ")[0] for line in lines[:2]] == [
        f"episode {i} is over (terminated and truncated)" for i in (1, 2)
    ]
    size = Path("episode.gif").stat().st_size / 1e6
    assert lines[2:] == [f"8 frames, 5 a second, {size:.2f} MB", "episode.gif"]
    with Picture.open("episode.gif") as gif:
        assert gif.n_frames == 2 * (little_games.LENGTH + 1)
        durations = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            durations.append(gif.info["duration"])
        assert durations == [200, 200, 200, 2000] * 2
        assert gif.info["loop"] == 0
    first = Path("episode.gif").read_bytes()
    assert run(capsys, "--env", "little/Drawn", "--episodes", 2, "--fps", 5, "--seed", 3) == out
    assert Path("episode.gif").read_bytes() == first


def frames_of(capsys, monkeypatch, *words: object) -> list[pictures.Frame]:
    """Return the frames that a command line draws."""
    found: list[pictures.Frame] = []
    for name in ("save_gif", "save_strip"):
        monkeypatch.setattr(record, name, lambda frames, path, _: path.touch() or found.extend(frames))
    run(capsys, *words)
    return found


def test_frames_say_what_was_done_and_hide_what_is_hidden(capsys, monkeypatch):
    words = ("--env", "little/Drawn", "--episodes", 2, "--seed", 3)
    shown = frames_of(capsys, monkeypatch, *words)
    assert [frame.text for frame in shown] == [f"┌ turn {t} ♥♠" for t in range(4)] * 2
    assert shown[0].caption == "step 0 | return 0" and shown[0].title == "little/Drawn | episode 1 of 2"
    assert shown[3].caption.endswith("terminated | truncated") and shown[3].last and not shown[2].last
    revealed = frames_of(capsys, monkeypatch, *words, "--hidden")
    assert [frame.caption for frame in revealed] == [frame.caption for frame in shown]
    total = 0
    for frame in revealed:
        if frame.caption == "step 0 | return 0":
            total, secret = 0, int(frame.text.splitlines()[1].removeprefix("secret "))
            continue
        action, reward = frame.caption.split(" | ")[1:3]
        right = ("left", "lower", "up").index(action.split()[1]) == secret
        total += right
        assert reward == f"reward {right:+d}" and f"return {total}" in frame.caption
    other = frames_of(capsys, monkeypatch, *words[:-1], 5)
    assert [frame.caption for frame in other] != [frame.caption for frame in shown]


def test_what_cannot_draw_itself_is_drawn_by_its_observation(capsys, monkeypatch):
    words = ("--env", "little/Guess", "--max-steps", 2, "--episodes", 2)
    shown = frames_of(capsys, monkeypatch, *words)
    assert len(shown) == 6 and "one-hot 0010" in shown[2].text and ".secret" not in shown[2].text
    assert shown[4].title == "little/Guess | episode 2 of 2" and "terminated" not in shown[5].caption
    assert ".secret" in frames_of(capsys, monkeypatch, *words, "--hidden")[0].text


@pytest.mark.parametrize("env", ["Pair", "Steered"])
def test_every_kind_of_action_can_be_recorded(capsys, monkeypatch, env):
    assert len(frames_of(capsys, monkeypatch, "--env", f"little/{env}")) == 4


def test_images_are_enlarged_without_blur(capsys):
    run(capsys, "--env", "little/Seen")
    factor, margin = 256 // 8, pictures._MARGIN
    with Picture.open("episode.gif") as gif:
        gif.seek(3)
        frame = np.asarray(gif.convert("RGB"))
    red = np.all(frame == (255, 0, 0), -1)
    purple = np.all(frame == (255, 0, 240), -1)
    assert red.sum() == 8 * 5 * factor**2 and purple.sum() == 8 * factor**2
    rows, columns = np.nonzero(purple)
    assert (columns.min(), columns.max()) == (margin, margin + factor - 1) and np.ptp(rows) == 8 * factor - 1


def test_a_png_is_a_strip_of_frames_at_even_distances(capsys, monkeypatch):
    drawn = []
    draw = pictures.draw
    monkeypatch.setattr(pictures, "draw", lambda frames, stacked: drawn.append(frames) or draw(frames))
    words = ("--env", "little/Drawn", "--episodes", 2, "--frames", 4, "--out", "a folder/strip.png")
    assert run(capsys, *words).splitlines()[-1] == "a folder/strip.png"
    assert [frame.caption.split(" | ")[0] for frame in drawn[0]] == ["step 0", "step 2", "step 1", "step 3"]

    frames = [pictures.Frame("title", (), f"turn {i}", "caption", False) for i in range(10)]
    width, height = next(draw(frames)).size
    for count, chosen in ((1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (100, list(range(10)))):
        pictures.save_strip(frames, Path("strip.png"), count)
        assert drawn[-1] == [frames[i] for i in chosen]
        with Picture.open("strip.png") as strip:
            assert strip.size == (len(chosen) * width, height)
    pictures.save_strip(frames * 9, Path("strip.png"), 90)
    columns = 1600 // width
    with Picture.open("strip.png") as strip:
        assert strip.size == (columns * width, -(-90 // columns) * height)


@pytest.mark.heavy
def test_a_run_is_recorded_as_evaluate_plays_it(run_dir, capsys, monkeypatch):
    """An agent's episodes have the returns that Trainer.evaluate finds with the same key."""
    monkeypatch.setattr(r2i_jit, "Trainer", functools.partial(r2i_jit.Trainer, quick_compile=True))
    restored = {(run_dir, "best"): restoring.restore(run_dir, "best")}
    monkeypatch.setattr(restoring, "restore", lambda *asked: restored[asked])  # once is enough
    trainer, _, step, state = restored[run_dir, "best"]
    assert step == 10
    key = evaluation.evaluation_key(7, evaluation.SEPARATE, step)
    wanted = np.asarray(trainer.evaluate(state, key, 5)["episode_return"])
    assert len(set(wanted.ravel())) > 1 and not np.array_equal(*wanted)
    words = (run_dir, "--step", "best", "--member", 1, "--episodes", 5, "--seed", 7, "--out", "x.gif")
    shown = frames_of(capsys, monkeypatch, *words)
    returns = [float(frame.caption.split("return ")[1].split()[0]) for frame in shown if frame.last]
    np.testing.assert_array_equal(returns, wanted[1])


def test_the_checkpoint_and_the_agent_asked_for_are_taken(run_dir, capsys):
    assert "has no checkpoint at step 3; it has steps 10, 20" in run(capsys, run_dir, "--step", 3, code=2)
    assert "--member 2: the run has agents 0 to 1" in run(capsys, run_dir, "--member", 2, code=2)
    before = sorted(run_dir.rglob("*"))
    out = run(capsys, run_dir, "--policy", "random")
    assert out.splitlines()[-1] == str(run_dir / "plots" / "episode.gif")
    assert set(run_dir.rglob("*")) - set(before) == {run_dir / "plots", run_dir / "plots" / "episode.gif"}


def test_a_run_without_checkpoints_exits_3(run_dir, tmp_path, capsys):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "run.json"):
        (bare / name).write_text((run_dir / name).read_text())
    assert "bare has no checkpoint yet" in run(capsys, bare, code=3)


def test_a_recording_is_cut_at_the_first_end_of_each_episode():
    env, params = envs.make("little/Guess")
    played = recording.record(env, params, recording.random_policy(env, params), jax.random.key(1), 2, 9)
    assert played.step.is_last.shape == (10, 2) and played.step.obs.shape == (10, 2, 5)
    episodes = recording.separate(played)
    assert [len(episode.action) for episode in episodes] == [4, 4]
    np.testing.assert_array_equal(episodes[1].env_state.time, [0, 1, 2, 3])
    np.testing.assert_array_equal(episodes[1].env_state.secret, played.env_state.secret[:4, 1])
    hits = np.asarray(episodes[1].action[:3]) == np.asarray(episodes[1].env_state.secret[:3])
    np.testing.assert_array_equal(episodes[1].step.reward[1:], hits)


def test_long_episodes_are_thinned_and_every_step_still_counts(capsys, monkeypatch):
    every = lambda *words: [
        frame.caption.split(" | ")[0]
        for frame in frames_of(capsys, monkeypatch, "--env", "little/Drawn", "--episodes", 2, *words)
    ]
    assert every("--every", 2) == ["step 0", "step 2", "step 3"] * 2
    monkeypatch.setattr(record, "_MOST_FRAMES", 2)
    assert every() == ["step 0", "step 3"] * 2
    assert every("--every", 1) == [f"step {t}" for t in range(4)] * 2
    words = ("--env", "little/Drawn", "--seed", 3)
    thin, all_frames = (frames_of(capsys, monkeypatch, *words, "--every", n) for n in (3, 1))
    assert [frame.caption for frame in thin] == [all_frames[0].caption, all_frames[3].caption]


@pytest.mark.heavy
def test_a_maze_is_seen_from_above_and_its_best_player_plays(capsys, monkeypatch):
    """The map shows the same state as the view, north up: here, that the agent is where the state says."""
    played, play = [], recording.record
    monkeypatch.setattr(recording, "record", lambda *asked: played.append(play(*asked)) or played[0])
    words = ("--env", "memory_maze/9x9", "--policy", "oracle", "--max-steps", 12, "--seed", 1, "--every", 4)
    shown = frames_of(capsys, monkeypatch, *words)
    assert [frame.caption.split(" | ")[0] for frame in shown] == ["step 0", "step 4", "step 8", "step 12"]
    assert shown[0].title == "memory_maze/9x9 | shortest way"
    assert [heading for heading, _ in shown[0].panels] == ["what the agent sees", "the maze from above"]
    assert [image.shape for _, image in shown[0].panels] == [(64, 64, 3), (256, 256, 3)]

    (episode,) = recording.separate(played[0])
    positions = np.asarray(episode.env_state.body.position)
    for frame, t in zip(shown, (0, 4, 8, 12), strict=True):
        np.testing.assert_array_equal(frame.panels[0][1], episode.step.obs[t])
        np.testing.assert_array_equal(frame.panels[1][1][0, 0], frame.panels[0][1][0, 0])  # the prompt's frame
        rows, columns = np.nonzero(np.all(frame.panels[1][1] == 255, -1))
        middle = np.array([columns.mean(), -rows.mean()]) - (127.5, -127.5)
        np.testing.assert_allclose(middle * 2 * 11 * 1.1 / 256, positions[t, :2], atol=0.5)  # metres
    assert np.linalg.norm(np.diff(positions[:, :2], axis=0), axis=1).sum() > 1  # metres


def test_an_mp4_has_every_frame_and_its_lack_of_an_encoder_is_one_line(capsys, monkeypatch):
    out = run(capsys, "--env", "little/Seen", "--fps", 5, "--out", "a folder/x.mp4")
    assert out.splitlines()[-2].startswith("4 frames, 5 a second, ")
    count, seconds = imageio_ffmpeg.count_frames_and_secs("a folder/x.mp4")
    assert count == 3 + 10 and seconds == pytest.approx(13 / 5, abs=0.3)
    assert "cannot write the picture" in run(capsys, "--env", "little/Seen", "--out", "/dev/null/x.mp4", code=2)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    error = run(capsys, "--env", "little/Seen", "--out", "y.mp4", code=2)
    assert "an MP4 needs the extra 'video'" in error and not Path("y.mp4").exists()


@pytest.mark.heavy
def test_a_world_models_account_stands_beside_the_truth(film_run, capsys, monkeypatch):
    words = (film_run, "--policy", "random", "--imagine", 2, "--context", 2, "--out", "x.gif")
    shown = frames_of(capsys, monkeypatch, *words)
    assert [frame.caption.rpartition(" | ")[2] for frame in shown[2:]] == ["1 step unseen", "2 steps unseen"]
    assert "unseen" not in shown[1].caption
    middle = [frame.panels[1] for frame in shown]
    assert [heading for heading, _ in middle] == ["reconstruction"] * 2 + ["prediction"] * 2
    for t, frame in enumerate(shown):
        truth, account, difference = (image.astype(int) for _, image in frame.panels)
        assert np.all(truth == 40 * t) and account.std() > 0
        np.testing.assert_array_equal(difference, np.abs(truth - account))
    strip = frames_of(capsys, monkeypatch, *words[:-1], "x.png")
    assert [frame.caption for frame in strip] == [frame.caption for frame in shown[1:]]
    again, sampled, other = (
        np.stack([frame.panels[1][1] for frame in frames_of(capsys, monkeypatch, *words, *options)])
        for options in ((), ("--sampled",), ("--sampled", "--seed", 1))
    )
    np.testing.assert_array_equal(again, [account for _, account in middle])
    assert np.any(sampled != again) and np.any(sampled != other)


@pytest.mark.heavy
def test_what_cannot_be_imagined_is_said(run_dir, film_run, capsys):
    error = run(capsys, run_dir, "--imagine", 2, code=2)
    assert "--imagine needs an image environment: the observations of little/Guess are no images" in error
    words = (film_run, "--policy", "random", "--imagine", 2)
    with pytest.raises(SystemExit):
        record.main([str(word) for word in (*words, "--context", 4)])
    assert "--context 4: episode 1 has 4 steps, none is left to predict" in capsys.readouterr().err
