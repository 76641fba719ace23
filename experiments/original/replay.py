"""The same actions in the original and in ours, and how long they stay together.

Open loop: ours begins in the original's first state and then gets the actions only. What is asked for after a find is
drawn at random, so it is taken from the original. The physics is chaotic at walls and in turns on the spot: a twin of
ours that begins a hundredth of a millimetre beside it shows how soon two runs of one and the same physics part.

Step by step: ours makes each single step, and draws each picture, from the original's state.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.memory_maze import motion, task
from envs.memory_maze.environment import MemoryMaze, MemoryMazeState
from experiments.original import play, ported, processes
from experiments.running.display import table
from r2i_jit.recording import Policy

AFTER = (10, 100, 300, 1000)  # Steps at which positions are compared.
APART = 0.1  # Cells; who is farther off than this has parted.
SAME = (0.01, 1.0)  # Cells and degrees within which two poses show the same picture.
VISIBLE = 8  # Levels of 255.
ASIDE = 1e-5  # Metres that a twin begins beside ours.


class Recording(NamedTuple):
    """An episode of the original: T actions, and T + 1 states and pictures.

    Attributes:
      states: leading axis T + 1.
      images: uint8 (T + 1, size, size, 3).
      actions: int32 (T,).
      rewards: of each step, float32 (T,).
    """

    states: MemoryMazeState
    images: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray


class Ours(NamedTuple):
    """What ours does with a `Recording`; leading axis T, or T + 1 for `image`.

    Attributes:
      open_state: after each step, open loop.
      open_reward: likewise.
      open_image: likewise.
      twin: where a twin that began `ASIDE` is after each step, open loop.
      state: after single steps from the original's states.
      reward: likewise.
      image: of the original's states.
    """

    open_state: MemoryMazeState
    open_reward: Any
    open_image: Any
    twin: motion.Body
    state: MemoryMazeState
    reward: Any
    image: Any


def record(originals: list[processes.Original], policy: Policy, key: jax.Array, most: int | None) -> list[Recording]:
    """Play one episode, or its first `most` steps, in each of the originals."""
    player = play.Player(policy, len(originals), key)
    rows = list(play.steps(originals, player.choose, most))
    return [_recording(rows, index) for index in range(len(originals))]


def _recording(rows: list[play.Row], index: int) -> Recording:
    return Recording(
        states=ported.stacked([row.states[index] for row in rows]),
        images=np.stack([row.answers[index]["image"] for row in rows]),
        actions=np.array([row.actions[index] for row in rows[1:]], np.int32),
        rewards=np.array([row.answers[index]["reward"] for row in rows[1:]], np.float32),
    )


def follow(env: MemoryMaze, recording: Recording) -> Ours:
    """Play a recording's actions in ours, both ways."""
    return jax.tree.map(np.asarray, _follow(env, recording.states, jnp.asarray(recording.actions)))


@partial(jax.jit, static_argnums=0)
def _follow(env: MemoryMaze, states: MemoryMazeState, actions: jax.Array) -> Ours:
    params, key = env.default_params, jax.random.key(0)  # The key draws what is asked for next, which is not used.
    observe = lambda state: env.observe(key, state, None, params)
    pick = lambda tree, index: jax.tree.map(lambda leaf: leaf[index], tree)
    joined = lambda join, *trees: jax.tree.map(lambda *leaves: join(leaves), *trees)

    def step(pair, row):  # One batch of three, so that there is one program of the physics to compile.
        given, asked, action = row
        trio = joined(jnp.concatenate, pair, pick(given, None))
        _, trio, rewards, *_ = jax.vmap(env.step_env, (None, 0, None, None))(key, trio, action, params)
        trio = trio.replace(prompt=jnp.full(3, asked))
        own, twin, single = (pick(trio, index) for index in range(3))
        own_image, image = jax.vmap(observe)(joined(jnp.stack, own, given))
        ours = Ours(own, rewards[0], own_image, twin.body, single, rewards[2], image)
        return pick(trio, slice(2)), ours

    first = pick(states, 0)
    aside = first.body.replace(position=first.body.position + jnp.array([ASIDE, 0, 0]))
    pair = joined(jnp.stack, first, first.replace(body=aside))
    _, ours = jax.lax.scan(step, pair, (pick(states, slice(-1)), states.prompt[1:], actions))
    return ours._replace(image=jnp.concatenate([ours.image, observe(pick(states, -1))[None]]))


def compare(recording: Recording, ours: Ours) -> dict[str, float]:
    """Return figures of one episode, by name; NaN where it has none."""
    truth = jax.tree.map(lambda leaf: np.asarray(leaf)[1:], recording.states.body)
    away, turned = _errors(ours.open_state.body, truth)
    single_away, single_turned = _errors(ours.state.body, truth)
    same = (away < SAME[0]) & (turned < SAME[1])
    error = _levels(ours.image, recording.images)
    open_error = _levels(ours.open_image, recording.images[1:])
    length = len(away)
    result = {f"away {after}": away[after - 1] if after <= length else np.nan for after in AFTER}
    result |= {f"turned {after}": turned[after - 1] if after <= length else np.nan for after in AFTER}
    return result | {
        "steps": length,
        "parted": _first(away > APART),
        "twin parted": _first(_errors(ours.twin, ours.open_state.body)[0] > APART),
        "return": recording.rewards.sum(),
        "open return": ours.open_reward.sum(),
        "rewards differ": (ours.reward != recording.rewards).sum(),
        "step median": np.median(single_away) * task.CELL * 1000,
        "step 95": np.percentile(single_away, 95) * task.CELL * 1000,
        "step turned": np.mean(single_turned),
        "picture": error.mean(),
        "visible": (error > VISIBLE).mean() * 100,
        "same": same.mean() * 100,
        "picture of same": open_error[same].mean() if same.any() else np.nan,
    }


def _errors(body: Any, truth: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return distances in cells and angles between headings in degrees, (T,)."""
    away = np.linalg.norm(body.position[:, :2] - truth.position[:, :2], axis=-1) / task.CELL
    turned = np.rad2deg(body.yaw - truth.yaw)
    return away, np.abs((turned + 180) % 360 - 180)


def _first(flags: np.ndarray) -> float:
    """Return the number of the first step with a flag, counted from 1; infinity without one."""
    return float(flags.argmax() + 1) if flags.any() else np.inf


def _levels(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return absolute differences in levels of 255."""
    return np.abs(images.astype(np.int16) - truth)


def report(figures: dict[str, list[dict[str, float]]]) -> str:
    """Return tables of `compare`'s figures, medians over the episodes of each player."""
    opened, single = [], []
    for player, rows in figures.items():
        middle = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
        parted = [row["parted"] for row in rows]
        opened.append(
            [player, f"{len(rows)} x {middle['steps']:g}", _step(middle["parted"])]
            + [_step(middle["twin parted"])]
            + [f"{sum(step <= row['steps'] for step, row in zip(parted, rows, strict=True))} of {len(rows)}"]
            + [_off(middle[f"away {after}"], middle[f"turned {after}"]) for after in AFTER]
            + [f"{middle['same']:.0f} %", f"{middle['picture of same']:.2f}"]
            + [" ".join(f"{row['return']:g}:{row['open return']:g}" for row in rows)]
        )
        single.append(
            [player, f"{sum(row['steps'] for row in rows):g}", f"{middle['step median']:.2f}"]
            + [f"{middle['step 95']:.2f}", f"{middle['step turned']:.3f}"]
            + [f"{sum(row['rewards differ'] for row in rows):g} of {sum(row['return'] for row in rows):g}"]
            + [f"{middle['picture']:.2f}", f"{middle['visible']:.2f} %"]
        )
    head = ["player", "episodes x steps", f"apart by {APART:g} cells after", "two of ours", "episodes that part"]
    head += [f"cells, degrees off at {after}" for after in AFTER]
    head += ["steps in the same pose", "picture error there", "returns, original:ours"]
    steps = ["player", "steps", "mm off, median", "95 %", "degrees off, mean", "rewards that differ"]
    steps += ["picture error", f"values off by more than {VISIBLE}"]
    return (
        f"Open loop (medians over episodes):\n{table(head, opened)}\n\n"
        f"Step by step, from the original's states:\n{table(steps, single)}"
    )


def _step(step: float) -> str:
    return f"{step:.0f} steps" if np.isfinite(step) else "never"


def _off(away: float, turned: float) -> str:
    return f"{away:.2g}, {turned:.2g}" if np.isfinite(away) else "-"
