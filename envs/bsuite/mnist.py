"""Mnist: say which digit a picture shows (mnist, mnist_noise, mnist_scale). The pictures are the user's.

Ref: bsuite/environments/mnist.py, bsuite/utils/datasets.py (0.3.6).
"""

import functools
import gzip
import math
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.bsuite.game import Game
from envs.observation import Continuous, Part
from envs.spaces import as_index

FOLDER = "R2I_MNIST"  # environment variable
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
DIGITS = 10
_BYTES = 8  # of an idx file's type "unsigned byte"
_GZIP = b"\x1f\x8b"
_SHADES = " .:-=+*#%@"


@struct.dataclass
class MnistState(EnvState):
    """Which picture it is.

    Attributes:
      time: steps taken, int32 ().
      index: of the picture, int32 ().
    """

    time: jax.Array
    index: jax.Array


class Mnist(Game):
    """One picture, one answer: +1 if it is the digit that the picture shows, else -1.

    Quirks kept from the original: bytes are read as signed (datasets.py:56), so that the pictures lie in
    [-128/255, 127/255] and full ink, -1/255, is next to none; what is seen after the answer is all zeros (mnist.py:74).

    All 60,000 pictures are constants of a compiled program, a byte a pixel: 47 MB.

    Observation: the picture, float32 (28, 28). As its numbers are negative too it is a vector to an agent, not an
    image. Action: 0..9; any other is a wrong answer. Ends: terminated, at once.
    """

    def __init__(self, fraction: float = 1.0, folder: str | Path | None = None):
        """Read the pictures.

        Args:
          fraction: share of the training set that is used, its first pictures.
          folder: holds the two files of the training set, packed by gzip or not; by default that of the environment
            variable R2I_MNIST.

        Raises:
          ValueError: if there is no such folder, a file is missing or is no such file, or the fraction leaves nothing.
        """
        folder = folder or os.environ.get(FOLDER)
        if not folder:
            raise ValueError(
                f"bsuite's mnist reads its pictures from a folder of yours: set {FOLDER} to one that holds "
                f"{IMAGES} and {LABELS}, packed (.gz) or not"
            )
        images, labels = _training_set(Path(folder).expanduser().resolve())
        count = int(fraction * len(labels)) if 0.0 < fraction <= 1.0 else 0
        if count < 1:
            raise ValueError(f"{self.name}: fraction={fraction!r} of {len(labels)} pictures should be one or more")
        self.images, self.labels = images[:count], labels[:count]

    @property
    def num_actions(self) -> int:
        """The digits."""
        return DIGITS

    @property
    def max_episode_steps(self) -> int:
        """Always 1."""
        return 1

    @property
    def default_params(self) -> EnvParams:
        """The length of an episode."""
        return EnvParams(1)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """Numbers."""
        return (Continuous(math.prod(self.images.shape[1:])),)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Pictures as the original has them, float32 (28, 28)."""
        return spaces.Box(-128 / 255, 127 / 255, self.images.shape[1:], jnp.float32)

    def begin(self, key: jax.Array, params: EnvParams) -> MnistState:
        """Choose a picture, each with the same chance."""
        index = jax.random.randint(key, (), 0, len(self.labels), jnp.int32)
        return MnistState(jnp.zeros((), jnp.int32), index)

    def transition(
        self, state: MnistState, action: jax.Array, drawn: None, params: EnvParams
    ) -> tuple[MnistState, jax.Array]:
        """Judge the answer."""
        right = as_index(action) == jnp.asarray(self.labels)[state.index].astype(jnp.int32)
        return state.replace(time=state.time + 1), jnp.where(right, jnp.float32(1), jnp.float32(-1))

    def show(self, state: MnistState, drawn: None, params: EnvParams) -> jax.Array:
        """Return the picture, or zeros after the answer, float32 (28, 28)."""
        picture = _values()[jnp.asarray(self.images)[state.index].astype(jnp.int32)]
        return jnp.where(state.time == 0, picture, jnp.float32(0))

    def is_terminated(self, state: MnistState, params: EnvParams) -> jax.Array:
        """Return whether there was an answer, bool ()."""
        return state.time >= 1

    def render(self, state: MnistState, params: EnvParams, hidden: bool = False) -> str:
        """Return the picture before the answer, and with `hidden` its digit. Host only."""
        index = int(state.index)
        shades = self.images[index].astype(int) * len(_SHADES) // 256
        rows = ["".join(_SHADES[shade] for shade in row).rstrip() for row in shades]
        text = ["answered"] if int(state.time) else rows
        return "\n".join(text + [f"hidden: it is a {self.labels[index]}"] * hidden)


def _values() -> jax.Array:
    """Return what each byte is to an agent, float32 (256,).

    A table, as a compiler may replace the division by a multiplication, which rounds otherwise.
    """
    return jnp.asarray(np.arange(256, dtype=np.uint8).astype(np.int8).astype(np.float32) / np.float32(255))


def _training_set(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures (N, height, width) and their digits (N,) in a folder, uint8.

    Raises:
      ValueError: if they are not there, in one line.
    """
    paths = [_found(folder, name) for name in (IMAGES, LABELS)]
    return _read(*((path, path.stat().st_mtime_ns) for path in paths))


def _found(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise ValueError(f"there is no {name} or {name}.gz in {folder}, where {FOLDER} says that MNIST is")


@functools.lru_cache(maxsize=1)  # The settings of the experiments have the same pictures.
def _read(images: tuple[Path, int], labels: tuple[Path, int]) -> tuple[np.ndarray, np.ndarray]:
    """Read two files, each given with the time of its last change."""
    pictures, digits = _idx(images[0], 3), _idx(labels[0], 1)
    if len(pictures) != len(digits) or 0 in pictures.shape or digits.max(initial=0) >= DIGITS:
        raise ValueError(
            f"{images[0]} and {labels[0]}: {len(pictures)} pictures and {len(digits)} digits should be as many, at "
            "least one, and the digits from 0 to 9"
        )
    for array in (pictures, digits):
        array.flags.writeable = False
    return pictures, digits


def _idx(path: Path, axes: int) -> np.ndarray:
    """Return the array of an idx file of bytes: two zeros, type, number of axes, big-endian sizes, content."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(_GZIP) else content
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    head = 4 * (1 + axes)
    shape = tuple(np.frombuffer(content[4:head], ">u4").tolist()) if len(content) >= head else ()
    if content[:4] != bytes((0, 0, _BYTES, axes)) or len(content) != head + math.prod(shape):
        raise ValueError(f"{path} is no idx file of bytes with {axes} axes, or it is damaged")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape).copy()
