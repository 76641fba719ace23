"""Pictures of episodes: text in a monospaced font and enlarged images, with captions, as a GIF, an MP4 or a PNG."""

import contextlib
import dataclasses
import functools
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

TEXT_FPS, IMAGE_FPS = 4, 15  # unless told otherwise; words are to be read
_FONT_SIZE = 16
_MARGIN = 12
_LONGER_SIDE = 256  # pixels of an image observation, about
_STRIP_WIDTH = 1600  # pixels of a PNG, unless one frame is wider
_LAST_SECONDS = 2.0
_TITLE, _TEXT, _CAPTION = "#666666", "#000000", "#01579b"
_RED, RED_SUITS = "#c62828", "♥♦"
_PALETTE_FRAMES = 24  # from which the colours of a GIF with images are taken
_VIDEO_LOSS = 20  # the encoder's measure, 0 for none; text stays sharp

Panel = tuple[str, Any]  # A heading, and uint8 (height, width, 3).


@dataclasses.dataclass(frozen=True)
class Frame:
    """One step as it is drawn, from top to bottom.

    Attributes:
      title: one line.
      panels: images side by side, as many in every frame; a single one is drawn without its heading.
      text: lines, or empty.
      caption: one line, its parts divided by " | "; a part a line where panels are stacked.
      last: whether the episode ends here.
    """

    title: str
    panels: tuple[Panel, ...]
    text: str
    caption: str
    last: bool

    @property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.expandtabs().split("\n") if self.text else []


def save_gif(frames: Sequence[Frame], path: Path, fps: int) -> None:
    """Write an animated GIF that repeats; the last step of an episode stays for a while."""
    from PIL import Image

    # Without a dither flat colours stay flat. A palette for all frames lets a GIF leave out the pixels that stay the
    # same; text needs none, and keeps its few colours exact by a palette for each frame.
    palette = _palette(frames) if frames[0].panels else None
    pictures = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in draw(frames))
    durations = [int(1000 * (_LAST_SECONDS if frame.last else 1 / fps)) for frame in frames]
    next(pictures).save(path, save_all=True, append_images=pictures, duration=durations, loop=0)


def save_mp4(frames: Sequence[Frame], path: Path, fps: int) -> None:
    """Write an H.264 video; the last step of an episode stays for a while.

    Raises:
      ImportError: without the extra 'video'.
      OSError: if it cannot be written.
    """
    import imageio_ffmpeg

    with path.open("wb"):  # Fails with a shorter message than the encoder's.
        pass
    width, height = _Layout(frames, stacked=False).size
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    encoded = [
        "-c:v",
        "libx264",
        "-crf",
        str(_VIDEO_LOSS),
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
        "-f",
        "mp4",
    ]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *raw, *encoded, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None and encoder.stderr is not None
        with contextlib.suppress(BrokenPipeError), encoder.stdin as pipe:
            for frame, picture in zip(frames, draw(frames), strict=True):
                for _ in range(round(_LAST_SECONDS * fps) if frame.last else 1):
                    pipe.write(picture.tobytes())
        message = encoder.stderr.read().decode(errors="replace")
    if encoder.returncode:
        raise OSError(message or f"the encoder ended with {encoder.returncode}")


def save_strip(frames: Sequence[Frame], path: Path, count: int) -> None:
    """Write a PNG of at most `count` frames at even distances, the first and the last one included.

    Panels are below one another, so that each can be followed from left to right.
    """
    from PIL import Image

    gaps = max(1, min(count, len(frames)) - 1)
    chosen = [0] if count == 1 else [round(i * (len(frames) - 1) / gaps) for i in range(gaps + 1)]
    pictures = list(draw([frames[i] for i in dict.fromkeys(chosen)], stacked=True))
    width, height = pictures[0].size
    columns = min(len(pictures), max(1, _STRIP_WIDTH // width))
    strip = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height), "white")
    for i, picture in enumerate(pictures):
        strip.paste(picture, (i % columns * width, i // columns * height))
    strip.save(path)


def draw(frames: Sequence[Frame], stacked: bool = False) -> Iterator[Any]:
    """Yield one RGB picture per frame, all of the size that the largest of them needs.

    Args:
      frames: at least one.
      stacked: put panels below one another instead of side by side.
    """
    from PIL import Image, ImageDraw

    layout = _Layout(frames, stacked)
    for frame in frames:
        picture = Image.new("RGB", layout.size, "white")
        pen = ImageDraw.Draw(picture)
        pen.text((_MARGIN, _MARGIN), frame.title, _TITLE, layout.font)
        for (heading, image), (x, y) in zip(frame.panels, layout.places, strict=True):
            if layout.heading_height:
                pen.text((x, y - layout.heading_height), heading, _TITLE, layout.font)
            picture.paste(_enlarged(image), (x, y))
        for row, line in enumerate(frame.lines):
            _write(pen, (_MARGIN, layout.text_top + row * layout.line_height), line, layout.font)
        for row, line in enumerate(layout.caption_lines(frame)):
            pen.text((_MARGIN, layout.caption_top + row * layout.line_height), line, _CAPTION, layout.font)
        yield picture


class _Layout:
    """Where everything goes, so that every frame of a film finds room.

    Attributes:
      places: left and top of each panel.
      size: width and height of a picture, even because video needs that.
    """

    def __init__(self, frames: Sequence[Frame], stacked: bool):
        self.stacked = stacked
        self.font = font()
        self.line_height = sum(self.font.getmetrics()) + 2
        self.heading_height = self.line_height if len(frames[0].panels) > 1 else 0
        self.places, x, y, right, bottom = [], _MARGIN, _MARGIN + self.line_height + _MARGIN, 0, 0
        # The greatest size of each panel, its heading included.
        for sizes in zip(*map(self._sizes, frames), strict=True):
            width, height = (max(lengths) for lengths in zip(*sizes, strict=True))
            self.places.append((x, y + self.heading_height))
            right, bottom = x + width, y + self.heading_height + height
            x, y = (x, bottom + _MARGIN) if stacked else (right + _MARGIN, y)
        texts = [(frame.title, *self.caption_lines(frame), *frame.lines) for frame in frames]
        columns = max(len(line) for lines in texts for line in lines)
        right = max(right, _MARGIN + round(columns * self.font.getlength("0")))
        self.text_top = max(bottom, _MARGIN + self.line_height) + _MARGIN
        lines = max(len(frame.lines) for frame in frames)
        self.caption_top = self.text_top + (lines * self.line_height + _MARGIN if lines else 0)
        captions = max(len(self.caption_lines(frame)) for frame in frames)
        self.size = _even(right + _MARGIN), _even(self.caption_top + captions * self.line_height + _MARGIN)

    def _sizes(self, frame: Frame) -> list[tuple[int, int]]:
        """Return the width and height that each panel of a frame needs."""
        sizes = [_enlarged_size(image) for _, image in frame.panels]
        if not self.heading_height:
            return sizes
        headings = (round(self.font.getlength(heading + " ")) for heading, _ in frame.panels)
        return [(max(width, least), height) for (width, height), least in zip(sizes, headings, strict=True)]

    def caption_lines(self, frame: Frame) -> list[str]:
        """Return the caption, a part a line where width is what there is least of."""
        return frame.caption.split(" | ") if self.stacked else [frame.caption]


def _even(length: int) -> int:
    return length + length % 2


def _palette(frames: Sequence[Frame]) -> Any:
    """Return a palette picture with the colours of frames from all over the film."""
    from PIL import Image

    pictures = list(draw(frames[:: -(-len(frames) // _PALETTE_FRAMES)]))
    width, height = pictures[0].size
    mosaic = Image.new("RGB", (width, height * len(pictures)))
    for i, picture in enumerate(pictures):
        mosaic.paste(picture, (0, i * height))
    return mosaic.quantize()


def _write(pen: Any, position: tuple[int, int], line: str, font: Any) -> None:
    """Draw a line in black, its red suits in red."""
    is_red = [character in RED_SUITS for character in line]
    for ink, wanted in ((_TEXT, False), (_RED, True)):
        layer = "".join(character if red == wanted else " " for character, red in zip(line, is_red, strict=True))
        if layer.strip():
            pen.text(position, layer, ink, font)


def _enlarged(image: Any) -> Any:
    from PIL import Image

    return Image.fromarray(image).resize(_enlarged_size(image), Image.Resampling.NEAREST)


def _enlarged_size(image: Any) -> tuple[int, int]:
    height, width = image.shape[:2]
    factor = max(1, _LONGER_SIDE // max(height, width))
    return width * factor, height * factor


@functools.cache
def font(size: int = _FONT_SIZE) -> Any:
    """Return matplotlib's monospaced font in a size in pixels; it has box drawing and the suits."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSansMono.ttf"), size)
