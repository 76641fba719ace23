"""Pictures of episodes: text in a monospaced font or enlarged images, with captions, as a GIF or a PNG."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_FONT_SIZE = 16
_MARGIN = 12
_LONGER_SIDE = 320  # pixels of an image observation, about
_STRIP_WIDTH = 1600  # pixels of a PNG, unless one frame is wider
_LAST_SECONDS = 2.0
_TITLE, _TEXT, _CAPTION = "#666666", "#000000", "#01579b"
_RED, _RED_SUITS = "#c62828", "♥♦"


@dataclasses.dataclass(frozen=True)
class Frame:
    """One step as it is drawn, from top to bottom.

    Attributes:
      title: one line.
      image: uint8 (height, width, 3), or None.
      text: lines, or empty.
      caption: one line.
      last: whether the episode ends here.
    """

    title: str
    image: Any
    text: str
    caption: str
    last: bool

    @property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.expandtabs().split("\n") if self.text else []


def save_gif(frames: Sequence[Frame], path: Path, fps: int) -> None:
    """Write an animated GIF that repeats; the last step of an episode stays for a while."""
    first, *others = draw(frames)
    durations = [int(1000 * (_LAST_SECONDS if frame.last else 1 / fps)) for frame in frames]
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0)


def save_strip(frames: Sequence[Frame], path: Path, count: int) -> None:
    """Write a PNG of at most `count` frames at even distances, the first and the last one included."""
    from PIL import Image

    gaps = max(1, min(count, len(frames)) - 1)
    chosen = [0] if count == 1 else [round(i * (len(frames) - 1) / gaps) for i in range(gaps + 1)]
    pictures = draw([frames[i] for i in dict.fromkeys(chosen)])
    width, height = pictures[0].size
    columns = min(len(pictures), max(1, _STRIP_WIDTH // width))
    strip = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height), "white")
    for i, picture in enumerate(pictures):
        strip.paste(picture, (i % columns * width, i // columns * height))
    strip.save(path)


def draw(frames: Sequence[Frame]) -> list[Any]:
    """Return one palette picture per frame, all of the size that the largest of them needs."""
    from PIL import Image, ImageDraw

    font = _font()
    line_height = sum(font.getmetrics()) + 2
    images = [None if frame.image is None else _enlarged(frame.image) for frame in frames]
    sizes = [(0, 0) if image is None else image.size for image in images]
    image_width, image_height = (max(lengths) for lengths in zip(*sizes, strict=True))
    columns = max(len(line) for frame in frames for line in (frame.title, frame.caption, *frame.lines))
    width = max(image_width, round(columns * font.getlength("0"))) + 2 * _MARGIN
    text_top = 2 * _MARGIN + line_height + image_height
    caption_top = text_top + max(len(frame.lines) for frame in frames) * line_height + _MARGIN

    pictures = []
    for frame, image in zip(frames, images, strict=True):
        picture = Image.new("RGB", (width, caption_top + line_height + _MARGIN), "white")
        pen = ImageDraw.Draw(picture)
        if image is not None:
            picture.paste(image, (_MARGIN, text_top - image_height))
        pen.text((_MARGIN, _MARGIN), frame.title, _TITLE, font)
        for row, line in enumerate(frame.lines):
            _write(pen, (_MARGIN, text_top + row * line_height), line, font)
        pen.text((_MARGIN, caption_top), frame.caption, _CAPTION, font)
        # Without a dither flat colours stay flat.
        pictures.append(picture.quantize(dither=Image.Dither.NONE))
    return pictures


def _write(pen: Any, position: tuple[int, int], line: str, font: Any) -> None:
    """Draw a line in black, its red suits in red."""
    is_red = [character in _RED_SUITS for character in line]
    for ink, wanted in ((_TEXT, False), (_RED, True)):
        layer = "".join(character if red == wanted else " " for character, red in zip(line, is_red, strict=True))
        if layer.strip():
            pen.text(position, layer, ink, font)


def _enlarged(image: Any) -> Any:
    from PIL import Image

    picture = Image.fromarray(image)
    factor = max(1, _LONGER_SIDE // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _font() -> Any:
    """Return matplotlib's monospaced font, which has box drawing and the suits."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSansMono.ttf"), _FONT_SIZE)
