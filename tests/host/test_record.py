"""Drawing episodes: which ones, how many frames, and what is on them. About 20 s."""

import dataclasses
import functools
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import envs
import r2i_jit
from experiments import evaluation, pictures, record, restoring, rundir
from r2i_jit import recording
from r2i_jit.checkpoint import Checkpoints
from tests.agents import small_config
from tests.host import little_games

MEMBERS = [{"seed": 0}, {"seed": 1}]


@pytest.fixture(autouse=True)
def games(monkeypatch, tmp_path):
    little_games.register(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    """Return a run of two agents with checkpoints at steps 10 and 20, the first of which is the best."""
    path = tmp_path_factory.mktemp("runs") / "run"
    path.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        little_games.register(patch)
        config = small_config("little/Guess", replay__capacity=80, replay__sequence_length=4, model__ssm_layers=1)
        trainer = r2i_jit.Trainer(config)
    shapes = trainer.state_shapes(len(MEMBERS))
    # Any numbers will do: they are drawn here because to initialise an agent takes long to compile.
    rng = np.random.default_rng(0)
    agents = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes.seeds.agent)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), dataclasses.replace(shapes.seeds, key=None))
    keys = jax.random.split(jax.random.key(0), len(MEMBERS))
    seeds = dataclasses.replace(empty, agent=agents, key=keys)
    rundir.write(path, config, rundir.RunInfo("train", "little", "tiny", 0, MEMBERS, 20, 10, 0.0, {}))
    with Checkpoints(path / "checkpoints") as checkpoints:
        for step, score in ((10, 1.0), (20, 0.5)):
            state = shapes.replace(seeds=seeds, written=jnp.int32(step), env_steps=jnp.int32(step))
            checkpoints.save(step, state, {}, score)
    return path


def run(capsys, *words: object, code: int = 0) -> str:
    """Run the command line; return its output, or for another exit code the one line on stderr."""
    try:
        assert record.main([str(word) for word in words]) == code
    except SystemExit as stop:
        assert stop.code == code
    captured = capsys.readouterr()
    if code:
        assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
        return captured.err
    assert captured.err == ""
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
        (["--env", "little/Guess", "--out", "x.mp4"], "the name should end in .gif or .png"),
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
    assert lines[2:] == ["episode.gif"]
    with Image.open("episode.gif") as gif:
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
    monkeypatch.setattr(record, "save_gif", lambda frames, path, fps: found.extend(frames))
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
    factor, margin = 320 // 8, pictures._MARGIN
    with Image.open("episode.gif") as gif:
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
    monkeypatch.setattr(pictures, "draw", lambda frames: drawn.append(frames) or draw(frames))
    words = ("--env", "little/Drawn", "--episodes", 2, "--frames", 4, "--out", "a folder/strip.png")
    assert run(capsys, *words).splitlines()[-1] == "a folder/strip.png"
    assert [frame.caption.split(" | ")[0] for frame in drawn[0]] == ["step 0", "step 2", "step 1", "step 3"]

    frames = [pictures.Frame("title", None, f"turn {i}", "caption", False) for i in range(10)]
    width, height = draw(frames)[0].size
    for count, chosen in ((1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (100, list(range(10)))):
        pictures.save_strip(frames, Path("strip.png"), count)
        assert drawn[-1] == [frames[i] for i in chosen]
        with Image.open("strip.png") as strip:
            assert strip.size == (len(chosen) * width, height)
    pictures.save_strip(frames * 9, Path("strip.png"), 90)
    columns = 1600 // width
    with Image.open("strip.png") as strip:
        assert strip.size == (columns * width, -(-90 // columns) * height)


def test_the_picture_is_as_large_as_its_largest_text_needs():
    frames = [pictures.Frame("t", None, text, "c", False) for text in ("", "x" * 50 + "\n" * 9 + "y")]
    small, large = pictures.draw(frames)
    assert small.size == large.size
    ink = np.asarray(large.convert("L")) < 128
    ys, xs = np.nonzero(ink)
    assert xs.max() < large.width - pictures._MARGIN // 2 and ys.max() < large.height - pictures._MARGIN // 2
    assert pictures.draw(frames[:1])[0].height < large.height


def test_hearts_are_red_and_suits_and_lines_have_glyphs():
    (picture,) = pictures.draw([pictures.Frame("", None, "♥♦", "", False)])
    ink = {colour for _, colour in picture.convert("RGB").getcolors()}
    assert (198, 40, 40) in ink and (0, 0, 0) not in ink
    missing = pictures._font().getmask("\uffff")
    for glyph in "♠♦♣♥─│┌┐└┘├┤┬┴┼█▓░■□●○←↑→↓":
        assert bytes(pictures._font().getmask(glyph)) != bytes(missing), glyph


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
