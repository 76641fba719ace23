"""The rules of Memory Maze: what is asked for, what counts as found, and how the request is shown.

Ref: memory_maze/maze.py:19, :142, :194, tasks.py:14, wrappers.py:147, :221 (1.0.3), dm_control's
locomotion/props/target_sphere.py:61 (1.0.14).

World coordinates are metres with the origin at the maze's centre, x east and y north. The original's own observations
measure in cells, with the origin at the south-west corner of the inner grid.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

ACTIONS = ("nothing", "forward", "left", "right", "forward-left", "forward-right")
CELL = 2.0  # Metres.
# A target is a ball of 0.6 m with its centre on the floor, and what meets it is the walker's wheel: a ball of 0.2 m.
TOUCH_DISTANCE = math.sqrt((0.6 + 0.2) ** 2 - 0.2**2)
# With good visibility its centre is 1.1 m high, above the wheel's reach: what meets it is the rim of the walker's head,
# a disc of 0.1 m at a height of 0.59 m. (The walker's face reaches up to 2 cm further ahead; that is left out.)
VISIBLE_TOUCH_DISTANCE = math.sqrt(0.6**2 - (1.1 - 0.59) ** 2) + 0.1
COLOR_NAMES = ("red", "green", "blue", "purple", "yellow", "salmon")
COLORS = (
    np.array([[170, 38, 30], [99, 170, 88], [39, 140, 217], [93, 105, 199], [220, 193, 59], [220, 128, 107]]) / 220
)  # Red, green, blue.
BORDER_COLORS = (COLORS * 255 * 0.7).astype(np.uint8)
STEPS = {9: 1000, 11: 2000, 13: 3000, 15: 4000}  # Length of an episode: 250 to 1000 seconds of 4 steps.


def centres(cells: jax.Array, size: int) -> jax.Array:
    """Return the centres in metres of outer-grid cells (x, y), float32, shaped as `cells`."""
    return CELL * (cells.astype(jnp.float32) - (size + 1) / 2)


def target_colors(key: jax.Array, targets: int, shuffled: bool) -> jax.Array:
    """Return which of `COLORS` each target has, int32 (targets,).

    They have the first ones in order; `shuffled` colours are different ones of all six, in random order.
    """
    if not shuffled:
        return jnp.arange(targets, dtype=jnp.int32)
    order = jnp.argsort(jax.random.bits(key, (len(COLORS),), jnp.uint32))
    return order[:targets].astype(jnp.int32)


def first_prompt(key: jax.Array, targets: int) -> jax.Array:
    """Return the target asked for first, any of them, int32 ()."""
    return jax.random.randint(key, (), 0, targets, jnp.int32)


def found(trail: jax.Array, target: jax.Array, touch_distance: float = TOUCH_DISTANCE) -> jax.Array:
    """Return whether the agent touched a target during a step, bool ().

    Args:
      trail: places x, y after each physics step of the step, metres, (substeps, 2).
      target: its centre, metres, (2,).
      touch_distance: closer than this, metres, a target is touched.
    """
    away = trail - target[None]
    return jnp.any(jnp.sum(away * away, -1) < touch_distance**2)


def next_prompt(key: jax.Array, prompt: jax.Array, targets: int, was_found: jax.Array) -> jax.Array:
    """Return the target asked for after a step, int32 ().

    It changes when the one asked for was found: to any of those that are not touched. These are all the others,
    because targets lie in different rooms and are too far apart for two to be touched in one step.

    Args:
      key: typed PRNG key.
      prompt: the target asked for so far, int32 ().
      targets: how many there are.
      was_found: whether that one was touched, bool ().
    """
    other = jax.random.bits(key, (), jnp.uint32) % (targets - 1)
    return jnp.where(was_found, (prompt + 1 + other.astype(jnp.int32)) % targets, prompt)


def draw_border(image: jax.Array, color: jax.Array) -> jax.Array:
    """Return the picture with its outermost pixels in one of the colours.

    Args:
      image: uint8 (side, side, 3), at least 64 pixels a side. The border is 2 pixels wide at 64, 4 at 256.
      color: index into `COLORS`, int32 ().
    """
    side = image.shape[0]
    width = int(2 * math.sqrt(side // 64))
    pixel = np.arange(side)
    inside = (pixel >= width) & (pixel < side - width)
    return jnp.where((inside[:, None] & inside)[..., None], image, jnp.asarray(BORDER_COLORS)[color][None, None])


def describe(
    place: jax.Array, yaw: jax.Array, targets: jax.Array, prompt: jax.Array, colors: jax.Array, walls: jax.Array
) -> dict[str, jax.Array]:
    """Return what the original's ExtraObs variants observe beside the picture.

    Args:
      place: where the agent is, x, y in metres, float32 (2,).
      yaw: its heading, radians counter-clockwise from east, float32 ().
      targets: outer-grid cells (x, y), int32 (targets, 2).
      prompt: the target asked for, int32 ().
      colors: each target's index into `COLORS`, int32 (targets,).
      walls: bool (side, side).

    Returns:
      In cells, with the inner grid's south-west corner at (0, 0): `agent_pos` (2,), `targets_pos` (targets, 2) and
      `target_pos` (2,) of the one asked for. In cells as the agent sees it, to its right and ahead: `targets_vec`
      (targets, 2) and `target_vec` (2,). `agent_dir` (2,), the unit vector of its heading. `target_color` (3,), red,
      green and blue from 0 to 1. All these are float32. `target_index`, int32 (). `maze_layout`, uint8 (size, size),
      1 where the maze is open, first row south.
    """
    size = walls.shape[0] - 2
    agent = place / CELL + size / 2
    places = targets.astype(jnp.float32) - 0.5
    ahead = jnp.stack([jnp.cos(yaw), jnp.sin(yaw)])
    right = jnp.stack([ahead[1], -ahead[0]])
    away = places - agent[None]
    vectors = jnp.stack([jnp.sum(away * right[None], -1), jnp.sum(away * ahead[None], -1)], -1)
    return {
        "agent_pos": agent,
        "agent_dir": ahead,
        "targets_pos": places,
        "targets_vec": vectors,
        "target_pos": places[prompt],
        "target_vec": vectors[prompt],
        "target_color": jnp.asarray(COLORS, jnp.float32)[colors[prompt]],
        "target_index": prompt,
        "maze_layout": (~walls[1:-1, 1:-1]).astype(jnp.uint8),
    }
