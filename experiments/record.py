"""Draw episodes of a trained agent: `python -m experiments.record runs/...`, or without one with --env.

An animated GIF or an MP4 shows every step (of long episodes, every second one or fewer); a PNG shows a few of them.
What a game hides (its board, its deck, a maze from above) is drawn beside what the agent sees of it. The episodes are
the ones that `experiments.evaluate` plays with the same seed and number of episodes. Writes nothing but the picture.

With --imagine N the picture shows what the agent's world model makes of an episode of images: of the first C steps
(--context C) what it remembers of each image that it sees; of the next N, told only the actions, what it predicts.
That is from its most likely latents; with --sampled it is from samples of them, one of the futures that it holds
possible. A PNG begins with the last image seen.
"""

import importlib.util
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.drawing.filming import CONTEXT
from experiments.drawing.pictures import IMAGE_FPS, TEXT_FPS, Frame, save_gif, save_mp4, save_strip
from experiments.running import cli, importing, process, restoring, startup
from experiments.running.waiting import wait_for

_SUFFIXES = (".gif", ".mp4", ".png")
_MOST_FRAMES = 500


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    args = _parser().parse_args(argv)
    args.out = out = _checked(args)
    startup.prepare()
    importing.prepare(args.imports)
    match = _match(args)
    from experiments.drawing import film

    try:
        frames = _frames(args, match)
    except ValueError as error:
        cli.fail(error)
    fps = args.fps or film.frames_per_second(match.env, match.params)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".png":
            save_strip(frames, out, args.frames)
        else:
            (save_gif if out.suffix == ".gif" else save_mp4)(frames, out, fps)
            print(f"{len(frames)} frames, {fps} a second, {out.stat().st_size / 1e6:.2f} MB")
    except OSError as error:
        cli.fail(f"cannot write the picture: {error.strerror or error}")
    print(out)
    return 0


def _parser() -> cli.Parser:
    parser = cli.Parser(cli.program("record"), __doc__)
    restoring.add_agent_arguments(parser)
    parser.add_argument("--env", metavar="ID|MODULE:NAME", help="an environment, in the place of a run directory")
    cli.add_import_argument(parser)
    parser.add_argument(
        "--policy", choices=("agent", "oracle", "random"),
        help="who plays; oracle: the best reference player (default: agent of a run, random play with --env)",
    )  # fmt: skip
    parser.add_argument(
        "--episodes", type=cli.whole(1, 1000), default=1, metavar="N", help="one after another (default: %(default)s)"
    )
    parser.add_argument("--max-steps", type=cli.whole(1), metavar="N", help="of an episode (default: all)")
    parser.add_argument(
        "--seed", type=cli.whole(0, 2**32 - 1), default=0, metavar="S", help="of the episodes (default: %(default)s)"
    )
    parser.add_argument("--hidden", action="store_true", help="write the hidden state below it, too")
    parser.add_argument("--imagine", type=cli.whole(1), metavar="N", help="let the world model predict N steps")
    parser.add_argument(
        "--context", type=cli.whole(1), metavar="C", help=f"steps that it sees before (default: {CONTEXT})"
    )
    parser.add_argument("--sampled", action="store_true", help="draw samples of the world model's latents")
    parser.add_argument(
        "--out", type=cli.path, metavar="GIF|MP4|PNG", help="default: RUN_DIR/plots/episode.gif or episode.gif"
    )
    parser.add_argument(
        "--fps", type=cli.whole(1, 50), metavar="N",
        help=f"frames per second of a GIF or MP4 (default: {TEXT_FPS}, of images {IMAGE_FPS})",
    )  # fmt: skip
    parser.add_argument(
        "--every", type=cli.whole(1), metavar="N",
        help=f"draw every N-th step (default: 1, or what makes about {_MOST_FRAMES} frames or fewer)",
    )  # fmt: skip
    parser.add_argument(
        "--frames", type=cli.whole(1, 100), default=6, metavar="N", help="steps in a PNG (default: %(default)s)"
    )
    return parser


def _checked(args: Any) -> Path:
    """Complete the options and return where the picture goes; exit 2 if they do not fit together."""
    if (args.run_dir is None) == (args.env is None):
        cli.fail("give a run directory or --env ID" + (", not both" if args.env else ""))
    args.policy = args.policy or ("random" if args.run_dir is None else "agent")
    for option, wanted in (("--policy agent", args.policy == "agent"), ("--imagine", args.imagine is not None)):
        if wanted and args.run_dir is None:
            cli.fail(f"{option} needs a run directory")
    for option, given in (("--context", args.context is not None), ("--sampled", args.sampled)):
        if given and args.imagine is None:
            cli.fail(f"{option} needs --imagine")
    if args.imagine is not None:
        if args.max_steps is not None:
            cli.fail("give --imagine or --max-steps, not both: --context and --imagine say how many steps are drawn")
        args.context = args.context or CONTEXT
        args.max_steps = args.context + args.imagine - 1  # The first observation is before any step.
    no_folder = args.run_dir is None or restoring.is_exported(args.run_dir)
    folder = Path() if no_folder else args.run_dir / "plots"
    out = args.out or folder / ("episode.gif" if args.imagine is None else "imagined.gif")
    if out.suffix not in _SUFFIXES:
        cli.fail(f"--out {out}: the name should end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}")
    if out.suffix == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        cli.fail("an MP4 needs the extra 'video' (pip install 'r2i-jit[video]'); a GIF needs nothing")
    return out


def _match(args: Any) -> Any:
    """Return the `players.Match` asked for."""
    from experiments.drawing import players

    if args.policy != players.AGENT and args.imagine is None:
        env_id = args.env or restoring.described(args.run_dir, args.member)
        return players.without_run(env_id, args.policy, args.seed)
    if args.imagine is not None:
        _check_images(restoring.described(args.run_dir, args.member))
    match = players.of_run(args.run_dir, args.step, args.member, args.policy, args.seed)
    if args.imagine is not None and match.agent is not None and match.agent.on_policy:
        cli.fail(f"--imagine needs a world model, and the agent of {args.run_dir} has none")
    return match


def _check_images(env_id: str) -> None:
    """Exit 2 if there are no images to compare with predicted ones."""
    import envs
    from experiments.drawing.scene import is_image

    try:
        env, params = envs.make(env_id)
        has_image = is_image(env, params)
    except ValueError as error:
        cli.fail(error)
    if not has_image:
        cli.fail(f"--imagine needs an image environment: the observations of {env_id} are no images")


def _frames(args: Any, match: Any) -> list[Frame]:
    """Play, print one line per episode, and return what is to be drawn."""
    import jax

    from envs.episodes import longest_episode
    from experiments.drawing import film, scene
    from r2i_jit import recording

    title, env, params, policy, key, *_ = match
    if (steps := args.max_steps or longest_episode(env, params)) is None:
        raise ValueError(f"{env.name} does not say how long its episodes are; give --max-steps")
    play = lambda: scene.on_host(recording.record(env, params, policy, key, args.episodes, steps))
    episodes = recording.separate(wait_for(play, "playing"))
    every = args.every or max(1, math.ceil(sum(len(episode.action) - 1 for episode in episodes) / _MOST_FRAMES))
    style = film.Style(args.hidden, every, args.context or 0)
    frames: list[Frame] = []
    for number, episode in enumerate(episodes, 1):
        heading = title + (f" | episode {number} of {args.episodes}" if args.episodes > 1 else "")
        last = film.at(episode, len(episode.action) - 1)
        total = float(episode.step.reward.sum())
        print(scene.result(number, total, len(episode.action) - 1, *film.flags(env, params, last)))
        if args.imagine is None:
            drawn = film.episode_frames(heading, env, params, episode, style)
            frames += wait_for(partial(list, drawn), "drawing")
        else:
            sample_key = jax.random.fold_in(key, number) if args.sampled else None
            account = _account_frames(heading, match, episode, style, number, sample_key)
            # A strip has few pictures: the last one that the model sees, and what it predicts.
            frames += account[-(-style.context // every) - 1 if args.out.suffix == ".png" else 0 :]
    return frames


def _account_frames(heading: str, match: Any, episode: Any, style: Any, number: int, key: Any) -> list[Frame]:
    """Ask the world model about an episode, print how far off it is, and return the frames; key as in `open_loop`."""
    from experiments.drawing import film, scene

    length = len(episode.action)
    if length <= style.context:
        raise ValueError(f"--context {style.context}: episode {number} has {length} steps, none is left to predict")
    images = film.account(match.agent, match.state, episode, style.context, key)
    truth = scene.picture(match.env, match.params, episode.step.obs)
    errors = film.difference(truth, images).reshape(length, -1).mean(1)
    seen, unseen = errors[: style.context].mean(), errors[style.context :].mean()
    print(f"  mean difference of 255: {seen:.1f} of {style.context} seen, {unseen:.1f} of {length - style.context} not")
    drawn = film.account_frames(heading, match.env, match.params, episode, images, style)
    return wait_for(partial(list, drawn), "drawing")


if __name__ == "__main__":
    process.run(main)
