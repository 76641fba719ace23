"""From recorded episodes to frames: what was seen with what it was in truth, or with what a world model made of it."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from envs.memory_maze.environment import MemoryMaze
from experiments.drawing import scene
from experiments.drawing.boards import SEEN
from experiments.drawing.hidden import look_of
from experiments.drawing.pictures import IMAGE_FPS, TEXT_FPS, Frame, Panel
from r2i_jit.open_loop import as_images, open_loop
from r2i_jit.recording import Recording

_MAP_SIDE = 256  # pixels


class Style(NamedTuple):
    """How episodes are drawn.

    Attributes:
      hidden: show the hidden state as text, too.
      every: which steps are drawn, besides the last: 1 for all, 2 for every second one.
      context: how many steps a world model sees before it predicts, where it is asked.
    """

    hidden: bool = False
    every: int = 1
    context: int = 0


def episode_frames(title: str, env: Any, params: Any, episode: Recording, style: Style) -> Iterator[Frame]:
    """Yield the frames of one episode: what is hidden beside what the agent sees of it, a maze from above.

    Args:
      title: first line of every frame.
      env: gymnax environment.
      params: its parameters.
      episode: on the host, without an axis of episodes.
      style: see there.
    """
    is_image, draw_map, look = scene.is_image(env, params), _map_of(env, params), look_of(env, params)
    for t, row, caption in _captions(env, params, episode, style.every):
        panels: tuple[Panel, ...] = ()
        text = scene.revealed(env, params, row.env_state) if style.hidden else ""
        led_by = episode.action[t - 1] if t else None
        view = None if look is None else look(row.env_state, np.asarray(row.step.obs), led_by)
        if is_image:
            panels = ((SEEN, scene.colour(scene.picture(env, params, row.step.obs))),)
        elif view is None or view.seen is None:
            text = scene.scene(env, params, row.env_state, row.step.obs, style.hidden)
        if view is not None:
            panels += view.panels
            text = "\n".join(filter(None, (view.text, text)))
        if draw_map is not None:
            panels += (("the maze from above", draw_map(row.env_state)),)
        yield Frame(title, panels, text, caption, t == len(episode.action) - 1)


def account(agent: Any, state: Any, episode: Recording, context: int, key: jax.Array | None) -> np.ndarray:
    """Return what a world model makes of an episode's images, a `scene.picture` (T, ...); see `open_loop`."""
    steps = (episode.step.obs, episode.action, episode.step.is_first)
    obs, actions, is_first = jax.tree.map(lambda leaf: leaf[None], steps)
    made = open_loop(agent, state, obs, actions, is_first, context, key).prediction
    made = jax.tree.map(lambda leaf: np.asarray(as_images(leaf[0])), made)
    return scene.pictures_of(agent.model.parts, made)


def account_frames(
    title: str, env: Any, params: Any, episode: Recording, images: np.ndarray, style: Style
) -> Iterator[Frame]:
    """Yield frames that put the truth beside what `account` returned; otherwise as `episode_frames`."""
    for t, row, caption in _captions(env, params, episode, style.every):
        seen, model = scene.picture(env, params, row.step.obs), images[t]
        panels = (
            ("truth", scene.colour(seen)),
            ("reconstruction" if t < style.context else "prediction", scene.colour(model)),
            ("difference", scene.colour(difference(seen, model))),
        )
        ahead = t - style.context + 1
        blind = f" | {ahead} step{'s' * (ahead > 1)} unseen" if ahead > 0 else ""
        text = scene.revealed(env, params, row.env_state) if style.hidden else ""
        yield Frame(title, panels, text, caption + blind, t == len(episode.action) - 1)


def beside(frames: Iterable[Frame], accounts: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the frames of `episode_frames` with what `account_frames` adds to the truth, and its captions."""
    for frame, account in zip(frames, accounts, strict=True):
        yield dataclasses.replace(frame, panels=(*frame.panels, *account.panels[1:]), caption=account.caption)


def frames_per_second(env: Any, params: Any) -> int:
    """Return how fast an environment is shown: images and bodies move, words and boards are to be read."""
    moves = scene.is_image(env, params) or hasattr(scene.innermost(env), "shapes")
    return IMAGE_FPS if moves else TEXT_FPS


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return |a - b| of uint8 arrays."""
    return np.maximum(a, b) - np.minimum(a, b)


def flags(env: Any, params: Any, row: Recording) -> tuple[bool, bool]:
    """Return (terminated, truncated) at one step of a recording, which keeps apart only whether it is terminated."""
    return bool(row.step.is_terminal), bool(row.step.is_last and env.is_truncated(row.env_state, params))


def at(episode: Recording, t: int) -> Recording:
    """Return one step of an episode."""
    return jax.tree.map(lambda leaf: leaf[t], episode)


def _captions(env: Any, params: Any, episode: Recording, every: int) -> Iterator[tuple[int, Recording, str]]:
    """Yield (index, what was there, caption) of the steps that are drawn."""
    actions, rewards = scene.Actions(env, params), episode.step.reward
    returns, length = np.cumsum(rewards, dtype=np.float64), len(rewards)
    for t in range(length):
        if t % every and t < length - 1:
            continue
        row, label = at(episode, t), actions.label(episode.action[t - 1]) if t else None
        yield t, row, scene.caption(t, label, float(rewards[t]), float(returns[t]), *flags(env, params, row))


def _map_of(env: Any, params: Any) -> Callable[[Any], np.ndarray] | None:
    """Return a function from a state (on the host) to its map, or None for an environment without maps."""
    inner = scene.innermost(env)
    if not isinstance(inner, MemoryMaze):
        return None
    above = MemoryMaze(inner.size, top_view=True, image_size=_MAP_SIDE)
    draw = jax.jit(lambda state: above.observe(jax.random.key(0), state, None, params))
    return lambda state: np.asarray(draw(state))
