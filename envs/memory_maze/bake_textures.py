"""Make textures.npz beside this file from labmaze's images: python -m envs.memory_maze.bake_textures FOLDER.

FOLDER holds the unpacked labmaze 1.0.6 (the one with `assets` in it). Needs Pillow; nothing else in the package does.

What the images allow, checked here: the part of a wall's image that is ever seen repeats every 512 texels both ways;
colours along one image lie near a curve, so that one number a texel and a palette stand for them; the eight walls are
three drawings in different colours and the two floors are one. Filtering bends the relation between the number and
the colour, for which reason each mip level has its own palette.
"""

import argparse
import pathlib

import numpy as np

from envs.memory_maze import textures

DRAWINGS = (("cerise", "green_bright", "red_bright", "yellow"), ("blue", "purple", "red"), ("green",))
FLOORS = ("blue", "blue_bright")
SEEN = slice(128, 128 + textures.WALL_SIDE)  # Rows of one period inside the 768 that a wall shows.


def halve(image: np.ndarray) -> np.ndarray:
    """Return the mean of every 2 by 2 texels of (n, n, ...), as a mip level is made."""
    n = len(image) // 2
    return image.reshape(n, 2, n, 2, *image.shape[2:]).mean((1, 3))


def shades(images: list[np.ndarray]) -> np.ndarray:
    """Return the number 0..255 of each texel that tells the colours of all `images` (n, n, 3) best, uint8 (n, n)."""
    colours = np.concatenate(images, -1)
    flat = colours.reshape(-1, colours.shape[-1])
    centred = flat - flat.mean(0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    along = flat @ (direction * np.sign(direction.sum()))
    scaled = (along - along.min()) / np.ptp(along) * 255
    return np.round(scaled).astype(np.uint8).reshape(colours.shape[:2])


def palettes(drawing: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the mean colour of `image` (n, n, 3) where `drawing` has each value, uint8 (LEVELS, 256, 3).

    Level 0 is the coarsest, one texel. Values that do not occur are interpolated.
    """
    values = np.arange(256)
    table = np.zeros((textures.LEVELS, 256, 3), np.uint8)
    for level in reversed(range(len(drawing).bit_length())):
        found = np.round(drawing).astype(int).ravel()
        counts = np.bincount(found, minlength=256)
        seen = counts > 0
        for channel in range(3):
            sums = np.bincount(found, image[..., channel].ravel(), 256)
            table[level, :, channel] = np.round(np.interp(values, values[seen], sums[seen] / counts[seen]))
        if level:
            drawing, image = halve(drawing), halve(image)
    return table


def main() -> None:
    """Read the images and write the table."""
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder / "assets" / "style_01"

    def image(name: str) -> np.ndarray:
        return np.asarray(Image.open(folder / f"{name}_d.png").convert("RGBA"), np.float64)[..., :3]

    walls = {}
    for name in textures.NAMES:
        whole = image(f"wall_{name}")
        across, down = whole[128:896, :512] - whole[128:896, 512:], whole[128:384] - whole[640:896]
        if max(np.abs(across).mean(), np.abs(down).mean()) > 0.5:
            raise SystemExit(f"wall_{name}: the image does not repeat every 512 texels; is this labmaze 1.0.6?")
        # Row r of the drawing holds rows r, r + 512 of the image.
        walls[name] = np.roll(whole[SEEN, : textures.WALL_SIDE], SEEN.start, axis=0)
    floors = [image(f"floor_{name}") for name in FLOORS]
    while len(floors[0]) > textures.FLOOR_SIDE:
        floors = [halve(floor) for floor in floors]

    drawings = np.stack([shades([walls[name] for name in group]) for group in DRAWINGS])
    drawing_of = np.array([next(i for i, group in enumerate(DRAWINGS) if n in group) for n in textures.NAMES], np.uint8)
    floor = shades(floors)
    tables = [palettes(drawings[d], walls[name]) for d, name in zip(drawing_of, textures.NAMES, strict=True)]
    tables += [palettes(floor, image) for image in floors]
    np.savez_compressed(
        textures.PATH, walls=drawings, floor=floor, drawing=drawing_of, palettes=np.stack(tables).astype(np.uint8)
    )


if __name__ == "__main__":
    main()
