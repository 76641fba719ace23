"""How many steps ahead a run's world model foresees what its agent will see, on fresh episodes of images.

    python -m benchmarks foresight runs/…
    python -m benchmarks foresight runs/… --sampled

The model sees an episode's first steps, then nothing but the actions. Errors are squared, in units of the largest
brightness, summed over a picture. A prediction is recognised if, of the true pictures of that step in all the episodes
played, it is nearest to its own episode's; of N episodes, chance recognises one in N. Borders do not count there: they
show the prompt, which does not change while nothing is found. The last picture seen, shown again, is the reference.

Of Memory Maze it is also said how far off objects are in the pictures seen, as the root mean square of levels of 255 at
their pixels: they are too small to tell in an error. And a second table says how much of the walls and objects in the
pictures to come had been in view in the steps seen, so that it could be remembered, and how far off the prediction is
there and where they are new.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from benchmarks import machine
from benchmarks.familiar import familiar, objects
from envs.memory_maze.environment import MemoryMaze
from experiments.drawing import players, scene
from experiments.running import cli, restoring
from r2i_jit.agent import Agent, AgentState
from r2i_jit.open_loop import open_loop
from r2i_jit.recording import record

BORDER = 2  # pixels


class Foresight(NamedTuple):
    """Means over episodes.

    Attributes:
      seen: (), error of the pictures in the context.
      predicted: (K,), of those so many steps ahead; again: of the last one seen, in their place.
      recognised: (K,), share of predictions recognised; recognised_again: of the last one seen, likewise.
      off_seen: (B, context, height, width, channels), the pictures in the context less the truth.
      off: (B, K, height, width, channels), predictions less the truth; off_again: the last one seen less it.
    """

    seen: Array
    predicted: Array
    again: Array
    recognised: Array
    recognised_again: Array
    off_seen: Array
    off: Array
    off_again: Array


def foresight(
    agent: Agent,
    state: AgentState,
    episodes: tuple[Array, Array, Array],
    context: int,
    ahead: tuple[int, ...],
    key: Array | None,
) -> Foresight:
    """Measure a world model.

    Args:
      agent: whose world model it is.
      state: its parameters.
      episodes: obs (B, T, height, width, channels), actions (B, T), is_first (B, T).
      context: steps that it sees.
      ahead: K numbers of steps after the last one seen.
      key: as in `open_loop`.
    """
    obs = episodes[0]
    made = open_loop(agent, state, *episodes, context, key).prediction + 0.5
    true = obs.astype(jnp.float32) / 255.0
    steps = context - 1 + jnp.array(ahead)
    guess, truth, last = made[:, steps], true[:, steps], true[:, [context - 1] * len(ahead)]
    error = lambda a, b: ((a - b) ** 2).sum((-3, -2, -1)).mean(0)

    def recognised(guess):
        inside = (slice(None), slice(None), slice(BORDER, -BORDER), slice(BORDER, -BORDER))
        a, b = guess[inside], truth[inside]
        # One truth at a time: all pairs of pictures at once would not fit.
        apart = jax.lax.map(lambda one: ((a - one) ** 2).sum((-3, -2, -1)), b)  # (truth, guess, K)
        return (apart.argmin(0) == jnp.arange(len(obs))[:, None]).mean(0)

    off_seen = made[:, :context] - true[:, :context]
    return Foresight(
        (off_seen**2).sum((-3, -2, -1)).mean(),
        error(guess, truth),
        error(last, truth),
        recognised(guess),
        recognised(last),
        off_seen,
        guess - truth,
        last - truth,
    )


def levels_off(difference: Array, where: Array, over: tuple[int, ...] | None = None) -> Array:
    """Return a root mean square in levels of 255.

    Args:
      difference: of pictures, (..., H, W, C), in units of the largest brightness.
      where: (..., H, W), the pixels that count.
      over: axes of `where` to take it over; None is all of them.
    """
    squares = jnp.where(where, ((255.0 * difference) ** 2).mean(-1), 0.0).sum(over)
    return jnp.sqrt(squares / jnp.maximum(1, where.sum(over)))


def main() -> None:
    """Play, measure and print a table."""
    parser = cli.Parser(prog="python -m benchmarks foresight", description=__doc__)
    restoring.add_agent_arguments(parser)
    whole = cli.whole(1)
    parser.add_argument("--episodes", type=whole, default=64, help="played side by side (%(default)s)")
    parser.add_argument("--context", type=whole, default=40, help="steps seen (%(default)s)")
    parser.add_argument("--ahead", type=whole, nargs="+", default=[1, 2, 4, 8, 12, 16, 24], help="steps (%(default)s)")
    parser.add_argument("--seed", type=cli.whole(0), default=0, help="of the episodes (%(default)s)")
    parser.add_argument("--sampled", action="store_true", help="draw samples of the latents (default: the most likely)")
    args = parser.parse_args()
    if args.run_dir is None:
        cli.fail("give a run directory")
    match = players.of_run(args.run_dir, args.step, args.member, players.AGENT, args.seed)
    if not scene.is_image(match.env, match.params):
        cli.fail(f"the observations of {match.title} are no images")
    steps = args.context + max(args.ahead) - 1
    played = record(match.env, match.params, match.policy, match.key, args.episodes, steps)
    episodes = [jnp.moveaxis(leaf, 0, 1) for leaf in (played.step.obs, played.action, played.step.is_first)]
    key = jax.random.key(args.seed) if args.sampled else None
    found = foresight(match.agent, match.state, tuple(episodes), args.context, tuple(args.ahead), key)
    print(machine.describe())
    latents = "samples of the latents" if args.sampled else "most likely latents"
    print(f"{match.title}, {args.episodes} episodes, {latents}")
    seen = f"error of the {args.context} pictures seen: {found.seen:.1f}"
    if is_maze := isinstance(match.env, MemoryMaze):
        there = jax.jit(lambda states: objects(states, match.env.size))
        states = jax.tree.map(lambda leaf: leaf[: args.context], played.env_state)
        seen += f"; objects in them {levels_off(found.off_seen, there(states)):.0f} levels off"
    print(seen + "\n")
    print("| steps ahead | error | last picture again | recognised | last picture again |")
    print("|--:|--:|--:|--:|--:|")
    for row in zip(args.ahead, *found[1:5], strict=True):
        print("| {} | {:.0f} | {:.0f} | {:.0%} | {:.0%} |".format(*row))
    if is_maze:
        known_before = jax.jit(lambda states: familiar(states, match.env.size, args.context, tuple(args.ahead)))
        told_apart, shown = known_before(played.env_state)
        known = shown.sum((0, 2, 3)) / told_apart.sum((0, 2, 3))
        pairs = itertools.product((shown, told_apart & ~shown), (found.off, found.off_again))
        columns = [levels_off(off, where, (0, 2, 3)) for where, off in pairs]
        print(
            "\n| steps ahead | in view before | off there | last picture again | off elsewhere | last picture again |"
        )
        print("|--:|--:|--:|--:|--:|--:|")
        for row in zip(args.ahead, known, *columns, strict=True):
            print("| {} | {:.0%} | {:.0f} | {:.0f} | {:.0f} | {:.0f} |".format(*row))


if __name__ == "__main__":
    main()
