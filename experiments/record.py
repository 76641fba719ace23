"""Draw episodes of a trained agent: `python -m experiments.record runs/...`, or of random play with --env.

An animated GIF shows every step; a PNG shows a few of them. The episodes are the ones that `experiments.evaluate` plays
with the same seed and number of episodes. Writes nothing but the picture.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments import cli, restoring
from experiments.pictures import Frame, save_gif, save_strip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    args = _parser().parse_args(argv)
    out = _checked(args)
    cli.use_compilation_cache()
    played_by = _random_play(args) if args.policy == "random" else _agent_play(args)
    try:
        frames = _frames(args, *played_by)
    except ValueError as error:
        cli.fail(error)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".gif":
            save_gif(frames, out, args.fps)
        else:
            save_strip(frames, out, args.frames)
    except OSError as error:
        cli.fail(f"cannot write the picture: {error.strerror or error}")
    print(out)
    return 0


def _parser() -> cli.Parser:
    parser = cli.Parser(prog="python -m experiments.record", description=__doc__)
    parser.add_argument("run_dir", type=Path, nargs="?", metavar="RUN_DIR", help="a run directory")
    restoring.add_step_argument(parser)
    parser.add_argument(
        "--member", type=cli.whole(0), default=0, metavar="I", help="which of the run's agents (default: %(default)s)"
    )
    parser.add_argument("--env", metavar="ID", help="environment id, in the place of a run directory")
    parser.add_argument("--policy", choices=("agent", "random"), help="default: agent of a run, random play with --env")
    parser.add_argument(
        "--episodes", type=cli.whole(1, 1000), default=1, metavar="N", help="one after another (default: %(default)s)"
    )
    parser.add_argument("--max-steps", type=cli.whole(1), metavar="N", help="of an episode (default: all)")
    parser.add_argument(
        "--seed", type=cli.whole(0, 2**32 - 1), default=0, metavar="S", help="of the episodes (default: %(default)s)"
    )
    parser.add_argument("--hidden", action="store_true", help="show the hidden state, too")
    parser.add_argument("--out", type=Path, metavar="GIF|PNG", help="default: RUN_DIR/plots/episode.gif or episode.gif")
    parser.add_argument(
        "--fps", type=cli.whole(1, 50), default=4, metavar="N", help="steps per second of a GIF (default: %(default)s)"
    )
    parser.add_argument(
        "--frames", type=cli.whole(1, 100), default=6, metavar="N", help="steps in a PNG (default: %(default)s)"
    )
    return parser


def _checked(args: Any) -> Path:
    """Complete the options and return where the picture goes; exit 2 if they do not fit together."""
    if (args.run_dir is None) == (args.env is None):
        cli.fail("give a run directory or --env ID" + (", not both" if args.env else ""))
    args.policy = args.policy or ("random" if args.run_dir is None else "agent")
    if args.policy == "agent" and args.run_dir is None:
        cli.fail("--policy agent needs a run directory")
    folder = Path() if args.run_dir is None else args.run_dir / "plots"
    out = args.out or folder / "episode.gif"
    if out.suffix not in (".gif", ".png"):
        cli.fail(f"--out {out}: the name should end in .gif or .png")
    return out


def _random_play(args: Any) -> tuple[str, Any, Any, Any, Any]:
    """Return (environment id, environment, its parameters, policy, key)."""
    import envs
    from experiments import rundir
    from experiments.evaluation import SEPARATE, evaluation_key
    from r2i_jit.recording import random_policy

    name = args.env or rundir.load(args.run_dir)[0].env
    try:
        env, params = envs.make(name)
    except ValueError as error:
        cli.fail(error)
    return name, env, params, random_policy(env, params), evaluation_key(args.seed, SEPARATE, 0)


def _agent_play(args: Any) -> tuple[str, Any, Any, Any, Any]:
    """Return (environment id, environment, its parameters, policy, key)."""
    import jax

    from experiments import rundir
    from experiments.evaluation import SEPARATE, evaluation_key
    from r2i_jit.recording import agent_policy

    members = rundir.load(args.run_dir)[1].members
    if args.member >= len(members):
        cli.fail(f"--member {args.member}: the run has agents 0 to {len(members) - 1}")
    trainer, _, step, state = restoring.restore(args.run_dir, args.step)
    agent_state = jax.tree.map(lambda leaf: leaf[args.member], state.seeds.agent)
    greedy = trainer.config.loop.evaluation_greedy
    policy = agent_policy(trainer.agent, trainer.env, trainer.env_params, agent_state, greedy=greedy)
    # As Trainer.evaluate derives it.
    key = jax.random.fold_in(evaluation_key(args.seed, SEPARATE, step), args.member)
    return trainer.config.env, trainer.env, trainer.env_params, policy, key


def _frames(args: Any, name: str, env: Any, params: Any, policy: Any, key: Any) -> list[Frame]:
    """Play, print one line per episode, and return what is to be drawn."""
    import jax

    from experiments import scene
    from r2i_jit import recording

    actions = scene.Actions(env, params)
    played = recording.record(env, params, policy, key, args.episodes, args.max_steps or _longest_episode(env, params))
    frames: list[Frame] = []
    for number, episode in enumerate(recording.separate(scene.on_host(played)), 1):
        title = name + (f" | episode {number} of {args.episodes}" if args.episodes > 1 else "")
        frames += _episode_frames(title, env, params, actions, episode, args.hidden)
        rewards = episode.step.reward
        flags = _flags(env, params, jax.tree.map(lambda leaf: leaf[-1], episode))
        print(scene.result(number, float(rewards.sum()), len(rewards) - 1, *flags))
    return frames


def _episode_frames(title: str, env: Any, params: Any, actions: Any, episode: Any, hidden: bool) -> Iterator[Frame]:
    """Yield the frames of one `Recording` without its axis of episodes."""
    import jax

    from experiments import scene

    total, label = 0.0, None
    length = len(episode.step.reward)
    for t in range(length):
        row = jax.tree.map(lambda leaf, t=t: leaf[t], episode)
        reward = float(row.step.reward)
        total += reward
        if scene.is_image(env, params):
            image, text = scene.colour(row.step.obs), scene.revealed(env, params, row.env_state) if hidden else ""
        else:
            image, text = None, scene.scene(env, params, row.env_state, row.step.obs, hidden)
        yield Frame(
            title, image, text, scene.caption(t, label, reward, total, *_flags(env, params, row)), t == length - 1
        )
        label = actions.label(row.action)


def _flags(env: Any, params: Any, row: Any) -> tuple[bool, bool]:
    """Return (terminated, truncated) at one step of a recording, which keeps apart only whether it is terminated."""
    return bool(row.step.is_terminal), bool(row.step.is_last and env.is_truncated(row.env_state, params))


def _longest_episode(env: Any, params: Any) -> int:
    """Return the number of steps of the longest episode, or raise a ValueError if that is not known."""
    for owner, name in ((env, "max_episode_steps"), (params, "max_steps_in_episode")):
        if (length := getattr(owner, name, None)) is not None and math.isfinite(length):
            return int(length)
    raise ValueError(f"{env.name} does not say how long its episodes are; give --max-steps")


if __name__ == "__main__":
    sys.exit(main())
