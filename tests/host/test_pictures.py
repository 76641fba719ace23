"""How frames become pictures: where everything goes, and what a film's colours cost."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from experiments.drawing import pictures


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_the_picture_is_as_large_as_its_largest_text_needs():
    frames = [pictures.Frame("t", (), text, "c", False) for text in ("", "x" * 50 + "\n" * 9 + "y")]
    small, large = pictures.draw(frames)
    assert small.size == large.size
    ink = np.asarray(large.convert("L")) < 128
    ys, xs = np.nonzero(ink)
    assert xs.max() < large.width - pictures._MARGIN // 2 and ys.max() < large.height - pictures._MARGIN // 2
    assert next(pictures.draw(frames[:1])).height < large.height


def test_hearts_are_red_and_suits_and_lines_have_glyphs():
    (picture,) = pictures.draw([pictures.Frame("", (), "♥♦", "", False)])
    ink = {colour for _, colour in picture.getcolors()}
    assert (198, 40, 40) in ink and (0, 0, 0) not in ink
    missing = pictures.font().getmask("\uffff")
    for glyph in "♠♦♣♥─│┌┐└┘├┤┬┴┼█▓░■□●○←↑→↓":
        assert bytes(pictures.font().getmask(glyph)) != bytes(missing), glyph


def test_panels_are_side_by_side_in_films_and_stacked_in_strips():
    panels = (("left", np.full((64, 64, 3), 255, np.uint8)), ("right", np.zeros((128, 128, 3), np.uint8)))
    frames = [pictures.Frame("t", panels, "", "c", False)]
    for stacked, width, height in ((False, 2, 1), (True, 1, 2)):
        picture = np.asarray(next(pictures.draw(frames, stacked)))
        assert np.sum(picture == 0) >= 3 * 256**2
        assert len(picture) - height * 256 in range(60, 200) and picture.shape[1] - width * 256 in range(20, 60)
        assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0


def test_parts_of_a_caption_are_lines_of_a_strip():
    panels = (("left", np.zeros((64, 64, 3), np.uint8)),) * 2
    frames = [pictures.Frame("t", panels, "", caption, False) for caption in ("c", "step 1 | action " + "x" * 20)]
    films, strips = ([picture.size for picture in pictures.draw(frames, stacked)] for stacked in (False, True))
    assert films[0] == films[1] and strips[0] == strips[1]
    frames = [pictures.Frame("t", panels, "", caption, False) for caption in ("c", "c | d")]
    one, two = next(pictures.draw(frames[:1], True)), next(pictures.draw(frames[1:], True))
    assert two.size[0] == one.size[0] and 10 < two.size[1] - one.size[1] < 40


def test_a_film_of_many_colours_has_one_palette_and_small_changes_cost_little():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    frames = [pictures.Frame("t", (("", image),), "", f"step {i}", False) for i in range(20)]
    pictures.save_gif(frames[:1], Path("one.gif"), 4)
    pictures.save_gif(frames, Path("many.gif"), 4)
    sizes = [Path(name).stat().st_size for name in ("one.gif", "many.gif")]
    assert sizes[1] < 2 * sizes[0]
    with Picture.open("many.gif") as gif:
        gif.seek(19)
        drawn = np.asarray(gif.convert("RGB"))[:, pictures._MARGIN :][:, : 4 * 64 : 4]
    wanted = np.asarray(next(pictures.draw(frames[19:])))[:, pictures._MARGIN :][:, : 4 * 64 : 4]
    assert np.abs(drawn.astype(int) - wanted).mean() < 12  # 4096 random colours in a palette of 256
