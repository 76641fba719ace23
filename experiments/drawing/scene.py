"""How a person sees an environment: its state as text, its actions by name, its observations with their parts.

`experiments.play` and `experiments.record` share this. An environment may help with four things that gymnax lacks:
`render(state, params, hidden=False)` returns lines of text, `action_names` names the actions of a `Discrete` space,
`number_names` the numbers of an observation, and `board(state, params)` returns rows of short texts for what is hidden,
which `experiments.record` draws.
"""

import itertools
import sys
import textwrap
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
from gymnax.environments import spaces

from envs.observation import Categorical, Image, observation_leaves, observation_parts, shown
from envs.spaces import MultiDiscrete
from envs.wrappers import ArrangeObservations, Wrapper
from r2i_jit.observations import flatten_observation, images, split
from r2i_jit.spreading import is_key

_WIDTH = 100  # columns of an observation
_BRIGHTNESS = " .:-=+*#%@"
_GAP = "  "  # between an image and a text
_LEAST_SIDE = 8  # pixels of an image that is made smaller


class Actions:
    """The actions of an environment as a person types and reads them."""

    def __init__(self, env: Any, params: Any):
        """Read the action space.

        Raises:
          ValueError: unless it is a Discrete, a MultiDiscrete or a Box.
        """
        self.space = env.action_space(params)
        if not isinstance(self.space, spaces.Discrete | spaces.Box | MultiDiscrete):
            raise ValueError(f"{env.name}: action space {self.space!r} cannot be typed")
        self._vectors = _vectors(env, params)
        names = tuple(getattr(env, "action_names", ()))
        self.names = names if isinstance(self.space, spaces.Discrete) and len(names) == self.space.n else ()

    @property
    def usage(self) -> str:
        """What can be typed, as part of a sentence."""
        if self._vectors is not None:
            last = " ".join(str(n - 1) for n in self._vectors.nvec)
            first = " ".join("0" for _ in self._vectors.nvec)
            return f"{len(self._vectors.nvec)} numbers from {first!r} to {last!r}, or 1 from 0 to {self.count - 1}"
        if isinstance(self.space, spaces.Box):
            low, high = self._bounds()
            ranges = dict.fromkeys(f"{a:g} to {b:g}" for a, b in zip(low, high, strict=True))
            count = "a number" if len(low) == 1 else f"{len(low)} numbers"
            return f"{count} from {', '.join(ranges)}"
        if self.names:
            return ", ".join(f"{name} ({i})" for i, name in enumerate(self.names))
        return f"a number from 0 to {self.count - 1}"

    def parse(self, text: str) -> np.ndarray:
        """Return the action that `text` means, as the environment takes it.

        Names may be shortened as long as one name begins so.

        Raises:
          ValueError: if it means none, or several; the message is one line that says what is right.
        """
        named = [i for i, name in enumerate(self.names) if text and name.lower().startswith(text.lower())]
        exact = [i for i in named if self.names[i].lower() == text.lower()]
        if len(exact or named) > 1:
            raise ValueError(f"{text!r} could be {' or '.join(self.names[i] for i in named)}")
        try:
            return self._read(exact or named or text.replace(",", " ").split())
        except ValueError:
            raise ValueError(f"{text!r} is no action; give {self.usage}") from None

    def label(self, action: Any) -> str:
        """Return an action as it would be typed: its name or its numbers."""
        if isinstance(self.space, spaces.Box):
            return " ".join(f"{number:.4g}" for number in np.ravel(action))
        if self.names:
            return self.names[int(action)]
        if self._vectors is not None and isinstance(self.space, spaces.Discrete):
            action = np.unravel_index(int(action), self._vectors.nvec)
        return " ".join(str(int(number)) for number in np.ravel(action))

    @property
    def count(self) -> int:
        """Number of different actions; 0 for a Box."""
        if isinstance(self.space, spaces.Box):
            return 0
        return self.space.size if isinstance(self.space, MultiDiscrete) else self.space.n

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        shape = self.space.shape
        low, high = (np.broadcast_to(np.asarray(x, float), shape) for x in (self.space.low, self.space.high))
        return low.ravel(), high.ravel()

    def _read(self, words: list[Any]) -> np.ndarray:
        """Return the action made of numbers, or raise ValueError without a message."""
        if isinstance(self.space, spaces.Box):
            values = np.array([float(word) for word in words])
            low, high = self._bounds()
            if values.shape != low.shape or not np.all((low <= values) & (values <= high)):
                raise ValueError
            return values.reshape(self.space.shape).astype(self.space.dtype)
        numbers = [int(word) for word in words]
        if self._vectors is not None and len(numbers) > 1:
            numbers = [int(np.ravel_multi_index(numbers, self._vectors.nvec))]
        (number,) = numbers
        if not 0 <= number < self.count:
            raise ValueError
        if isinstance(self.space, MultiDiscrete):
            return np.array(np.unravel_index(number, self.space.nvec), np.int32)
        return np.array(number, np.int32)


def _vectors(env: Any, params: Any) -> MultiDiscrete | None:
    """Return the MultiDiscrete action space of `env`, or the one whose actions a wrapper has numbered."""
    space = innermost(env).action_space(params)
    return space if isinstance(space, MultiDiscrete) else None


def innermost(env: Any) -> Any:
    """Return the environment inside all wrappers."""
    while isinstance(env, Wrapper):
        env = env.env
    return env


def on_host(tree: Any) -> Any:
    """Return a pytree with NumPy arrays in the place of JAX's; typed PRNG keys stay as they are."""
    return jax.tree.map(lambda leaf: leaf if is_key(leaf) else np.asarray(leaf), tree)


def is_image(env: Any, params: Any) -> bool:
    """Return whether there is an image in an observation."""
    return bool(images(observation_parts(env, params)))


def picture(env: Any, params: Any, obs: Any) -> np.ndarray:
    """Return the image of an arranged observation, uint8 (..., height, width, channels); see `pictures_of`."""
    return pictures_of(observation_parts(env, params), obs)


def pictures_of(parts: Any, obs: Any) -> np.ndarray:
    """Return the images of an observation with these parts, side by side if there are several."""
    found = [as_bytes(np.asarray(leaf)) for array, leaf in split(parts, obs) if isinstance(array[0], Image)]
    height = max(image.shape[-3] for image in found)
    sides = [(0, 0)] * (found[0].ndim - 3)
    filled = (
        [np.pad(colour(image), [*sides, (0, height - image.shape[-3]), (0, 0), (0, 0)]) for image in found]
        if len(found) > 1
        else found
    )
    return np.concatenate(filled, -2)


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Return images of integers from 0 to 255, or of floats from 0 to 1, as uint8."""
    if np.issubdtype(image.dtype, np.floating):
        image = np.round(np.clip(image, 0.0, 1.0) * 255.0)
    return image.astype(np.uint8)


def rendered(env: Any, params: Any, state: Any, hidden: bool) -> str | None:
    """Return the environment's own text for `state` (on the host), or None if it has none."""
    render = getattr(env, "render", None)
    return None if render is None else render(state, params, hidden=hidden).rstrip("\n")


def scene(env: Any, params: Any, state: Any, obs: Any, hidden: bool, room: tuple[int, int] | None = None) -> str:
    """Return what a terminal shows: the environment's own text or, if it has none, what it observes.

    Args:
      env: a gymnax 1.0 environment.
      params: its parameters.
      state: its state, on the host.
      obs: its observation; an image is shown itself, with the environment's own text.
      hidden: add what the observation does not show, be it the numbers of the state.
      room: columns and lines that an image and its text may take; the image is made smaller to fit.
    """
    text = rendered(env, params, state, hidden)
    if is_image(env, params):
        return _image_scene(
            picture(env, params, obs), (state_text(state) if hidden else "") if text is None else text, room
        )
    if text is not None:
        return text
    return observation_text(env, params, obs) + (f"\n{state_text(state)}" if hidden else "")


def _image_scene(image: np.ndarray, text: str, room: tuple[int, int] | None) -> str:
    """Return an image with a text below or, where it is larger so, to its right."""
    lines = text.split("\n") if text else []
    if room is None:
        return "\n".join([image_text(image), *lines])
    (columns, rows), width = room, max(map(len, lines), default=0) + len(_GAP)
    below, beside = (_fitting(image, *space) for space in ((columns, rows - len(lines)), (columns - width, rows)))
    if len(beside) <= len(below):
        return "\n".join([image_text(below), *lines])
    pairs = itertools.zip_longest(image_text(beside).split("\n"), lines)
    empty = " " * beside.shape[1]
    return "\n".join((row or empty) + (_GAP + line if line else "") for row, line in pairs)


def _fitting(image: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """Return an image small enough for so many characters, each of which shows two pixels, with its proportions."""
    height, width = image.shape[:2]
    scale = min(1.0, columns / width, 2 * rows / height)
    if scale == 1:
        return image
    size = max(_LEAST_SIDE, int(width * scale)), max(_LEAST_SIDE, int(height * scale))
    return np.asarray(PIL.Image.fromarray(colour(image)).resize(size, PIL.Image.Resampling.BOX))


def revealed(env: Any, params: Any, state: Any) -> str:
    """Return the environment's own text with all that is hidden or, if it has none, the numbers of its state."""
    return rendered(env, params, state, True) or state_text(state)


def state_text(state: Any) -> str:
    """Return the numbers of a state, leaf by leaf."""
    lines = ["state:"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        numbers = str(leaf.astype(int) if leaf.dtype == bool else leaf)
        lines += _wrapped(f"{jax.tree_util.keystr(path)} {' '.join(numbers.split())}")
    return "\n".join(lines)


def observation_text(env: Any, params: Any, obs: Any) -> str:
    """Return the numbers that the agent gets, part by part; one-hot groups with the classes that they stand for."""
    members = split(observation_parts(env, params), obs)
    inner = env.env if isinstance(env, ArrangeObservations) else env
    names = [shown(leaf.path) for leaf in observation_leaves(inner, params)]
    numbers = tuple(getattr(env, "number_names", ()))
    texts = (
        _array_text(name, parts, np.asarray(leaf), numbers) for name, (parts, leaf) in zip(names, members, strict=True)
    )
    return "\n".join(texts)


def _array_text(name: str, parts: tuple[Any, ...], obs: np.ndarray, numbers: tuple[str, ...]) -> str:
    lines, start = [f"observation{name}: {obs.dtype} {obs.shape}"], 0
    vector = obs.ravel()
    if any(part.entries != part.size for part in parts):  # The agent one-hots the numbers of classes.
        vector = np.asarray(flatten_observation(parts, jnp.asarray(obs))).astype(np.uint8)
    for part in parts:
        values = vector[start : start + part.size]
        lines.append(f"  {start}..{start + part.size - 1}: {part}")
        start += part.size
        if isinstance(part, Image):
            lines.append(image_text(as_bytes(values.reshape(part.shape))))
            continue
        if isinstance(part, Categorical):
            rows = _classes(values.reshape(-1, part.classes))
        else:
            rows = [_numbers(values, numbers if len(numbers) == len(vector) == len(values) else ())]
        lines += [line for row in rows for line in _wrapped(row)]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4)


def _classes(groups: np.ndarray) -> list[str]:
    marks = [str(int(np.argmax(row))) if np.sum(row != 0) == 1 else "?" for row in groups]
    one_hot = ["".join(f"{value:g}" for value in row) for row in groups]
    return [f"classes {' '.join(marks)}", f"one-hot {' '.join(one_hot)}"]


def _numbers(values: np.ndarray, names: tuple[str, ...]) -> str:
    texts = [f"{value:.6g}" for value in values]
    return ", ".join(f"{name} {text}" for name, text in zip(names, texts, strict=True)) if names else " ".join(texts)


def image_text(image: np.ndarray) -> str:
    """Return a uint8 image (height, width, channels) as text: two coloured pixels per character on a terminal."""
    rgb = colour(image).astype(int)
    if not sys.stdout.isatty():
        # Characters are twice as high as they are wide.
        shades = rgb[::2].mean(-1) * len(_BRIGHTNESS) // 256
        return "\n".join("".join(_BRIGHTNESS[int(shade)] for shade in row) for row in shades)
    rgb = np.concatenate([rgb, np.zeros((len(rgb) % 2, *rgb.shape[1:]), int)])
    lines = []
    for upper, lower in zip(rgb[::2], rgb[1::2], strict=True):
        cells = [
            f"\x1b[38;2;{a};{b};{c}m\x1b[48;2;{d};{e};{f}m▀"
            for (a, b, c), (d, e, f) in zip(upper, lower, strict=True)
        ]  # fmt: skip
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def colour(image: np.ndarray) -> np.ndarray:
    """Return images (..., height, width, channels) as red, green and blue; of other than three channels the first."""
    return image if image.shape[-1] == 3 else np.repeat(image[..., :1], 3, -1)


def caption(step: int, action: str | None, reward: float, total: float, terminated: bool, truncated: bool) -> str:
    """Return one line about a step: the action that led to it, what it was paid, the return so far, the flags."""
    parts = [f"step {step}"]
    if action is not None:
        parts += [f"action {action}", f"reward {reward:+.4g}"]
    return " | ".join([*parts, f"return {total:.4g}", *_flags(terminated, truncated)])


def result(number: int, total: float, steps: int, terminated: bool, truncated: bool) -> str:
    """Return one line about an episode: what came of it, and whether it ended."""
    flags = " and ".join(_flags(terminated, truncated))
    ended = f"is over ({flags})" if flags else "was cut off"
    return f"episode {number} {ended}: return {total:.4g} in {steps} steps"


def _flags(terminated: bool, truncated: bool) -> list[str]:
    return ["terminated"] * terminated + ["truncated"] * truncated
