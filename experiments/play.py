"""Play an environment in the terminal: `python -m experiments.play popgym/RepeatPreviousEasy`.

Each line is one action: a number, a name where the game has names, "3 4" where an action has two parts. With --keys,
each key is one: `python -m experiments.play memory_maze/9x9 --keys`. Other lines or keys:
  h  show or hide the hidden state
  o  the observation that an agent gets, part by part
  ?  the rules and the actions
  q  leave (as the end of the input does)
"""

import inspect
import itertools
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.drawing.terminal import Ask, InPlace, KeyAsker, Pages, ask_line
from experiments.running import cli, importing, process, startup

_MOST_STEPS = 10_000  # of random play where the environment does not say how long an episode is
_COMMANDS = "h hidden state, o observation, ? help, q quit"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    args = _arguments(argv)
    startup.prepare()
    importing.prepare(args.imports)
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    heading = f"{args.env}, seed {seed}"
    ask: Ask = ask_line
    try:
        session = Session(args.env, seed, args.hidden)
        script = None if args.actions is None else _script(session, args.actions, args.steps)
        in_place = sys.stdout.isatty() and (args.keys or session.is_image)
        if script is None:
            usage = session.actions.usage
            if args.keys:
                ask = keys = KeyAsker(session.actions, echo=not in_place)
                usage = keys.usage
            heading += f"; {_COMMANDS}\naction: {usage}"
    except ValueError as error:
        cli.fail(error)
    pages = InPlace(heading) if in_place else Pages()
    code = 0
    try:
        if in_place:
            print(f"{args.env}: compiling", flush=True)
            session.prepare()
        with pages:
            if not in_place:
                print(heading)
            if script is None:
                converse(session, ask, pages)
            else:
                replay(session, script, pages, 1 / args.fps if in_place else 0.0)
    except KeyboardInterrupt:
        print()
        code = 130
    print((f"{args.env}, seed {seed}\n" if in_place else "") + session.summary())
    if args.save is not None:
        _save(session, args.save, f"{args.env}, seed {seed}")
    return code


def _arguments(argv: Sequence[str] | None) -> Any:
    """Parse the command line."""
    parser = cli.Parser(cli.program("play"), __doc__)
    parser.add_argument("env", metavar="ENV", help="an environment: popgym/RepeatPreviousEasy, or your MODULE:NAME")
    cli.add_import_argument(parser)
    parser.add_argument(
        "--seed", type=cli.whole(0, 2**32 - 1), metavar="S", help="of the episodes (default: a new one, printed)"
    )
    parser.add_argument("--hidden", action="store_true", help="begin with the hidden state shown")
    parser.add_argument(
        "--actions", metavar="LIST|@FILE|random",
        help='play these instead of asking, such as "0 1 2" or "3 4, 0 1", or a file of them, or uniformly random ones',
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=cli.whole(1), metavar="N", help="of --actions (default: all; random: one episode)"
    )
    parser.add_argument(
        "--fps", type=cli.whole(1, 100), metavar="N",
        help="of --actions, where images are shown in a terminal: actions per second (default: 4)",
    )  # fmt: skip
    parser.add_argument("--keys", action="store_true", help="one key is one action, without Enter (arrows too)")
    parser.add_argument(
        "--save", type=cli.path, metavar="FILE", help="write what was played there, for --actions @FILE"
    )
    args = parser.parse_args(argv)
    for option in ("steps", "fps"):
        if getattr(args, option) is not None and args.actions is None:
            parser.error(f"--{option} needs --actions")
    if args.keys and args.actions is not None:
        parser.error("give --keys or --actions, not both")
    args.fps = args.fps or 4
    return args


class Session:
    """The episodes that one person plays, one after another."""

    def __init__(self, env_id: str, seed: int, hidden: bool):
        """Build the environment and start the first episode.

        Raises:
          ValueError: if there is no such environment, or its actions cannot be typed.
        """
        import jax

        import envs
        from envs.wrappers import arranged
        from experiments.drawing.scene import Actions

        self.env_id, self.hidden = env_id, hidden
        env, self.params = envs.make(env_id)
        self.env = arranged(env, self.params)
        self.actions = Actions(self.env, self.params)
        self._key = jax.random.key(seed)
        self._reset_jit = jax.jit(self.env.reset_env)
        self._step_jit = jax.jit(self._turn)
        self._sample_jit = jax.jit(self.actions.space.sample)
        self.played: list[str] = []  # all actions
        self._returns: list[float] = []  # of the finished episodes
        self._all_steps = 0
        self.start()

    @property
    def is_image(self) -> bool:
        """Whether an image is observed."""
        from experiments.drawing import scene

        return scene.is_image(self.env, self.params)

    @property
    def over(self) -> bool:
        """Whether the running episode has ended."""
        return self._terminated or self._truncated

    def start(self) -> None:
        """Start the next episode."""
        import jax

        self._episode_key = jax.random.fold_in(self._key, len(self._returns))
        self._obs, self._state = self._reset_jit(self._episode_key, self.params)
        self._time, self._reward, self._return = 0, 0.0, 0.0
        self._action: str | None = None
        self._terminated = self._truncated = False

    def prepare(self) -> None:
        """Compile a step, so that the first one is as quick as the others."""
        self._step_jit(self._step_key(0), self._state, self.random_action(), self.params)

    def step(self, action: Any) -> None:
        """Take one step of the running episode."""
        self._obs, self._state, reward, terminated, truncated = self._step_jit(
            self._step_key(0), self._state, action, self.params
        )
        self._time, self._all_steps = self._time + 1, self._all_steps + 1
        self._action, self._reward = self.actions.label(action), float(reward)
        self.played.append(self._action)
        self._return += self._reward
        self._terminated, self._truncated = bool(terminated), bool(truncated)
        if self.over:
            self._returns.append(self._return)

    def random_action(self) -> Any:
        """Draw a uniformly random action for the next step."""
        import numpy as np

        return np.asarray(self._sample_jit(self._step_key(1)))

    def screen(self, room: tuple[int, int] | None = None) -> str:
        """Return the scene and the line about the last step, in at most `room` columns and lines if it is an image."""
        from experiments.drawing import scene

        room = None if room is None else (room[0], room[1] - 1)  # the caption's line
        view = scene.scene(self.env, self.params, scene.on_host(self._state), self._obs, self.hidden, room)
        return f"\n{view}\n" + scene.caption(
            self._time, self._action, self._reward, self._return, self._terminated, self._truncated
        )

    def observation(self) -> str:
        """Return the observation as the agent gets it."""
        from experiments.drawing import scene

        return scene.observation_text(self.env, self.params, self._obs)

    def rules(self) -> str:
        """Return what the environment's class says of itself, and what can be typed."""
        from experiments.drawing.scene import innermost

        inner = innermost(self.env)
        return f"{inspect.getdoc(type(inner)) or inner.name}\n\naction: {self.actions.usage}\nothers: {_COMMANDS}"

    def verdict(self) -> str:
        """Return how the episode ended, and the known returns of the environment."""
        from experiments.drawing.scene import result
        from experiments.running.references import summary

        text = result(len(self._returns), self._return, self._time, self._terminated, self._truncated)
        known = summary(self.env_id)
        return text + (f"\nknown for {self.env_id}: {known}" if known else "")

    def summary(self) -> str:
        """Return one line about all that was played."""
        count = len(self._returns)
        text = f"played {self._all_steps} steps, finished {count} episode{'s' * (count != 1)}"
        if count:
            text += f", mean return {sum(self._returns) / count:.4g}"
        if self.over or not self._time:
            return text
        return f"{text}, left episode {count + 1} at step {self._time} with return {self._return:.4g}"

    def _turn(self, key: Any, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
        obs, state, reward, terminated, _ = self.env.step_env(key, state, action, params)
        return obs, state, reward, terminated, self.env.is_truncated(state, params)

    def _step_key(self, stream: int) -> Any:
        import jax

        return jax.random.fold_in(jax.random.fold_in(self._episode_key, self._time), stream)


def converse(session: Session, ask: Ask, pages: Pages) -> None:
    """Let a person play until `q` or the end of the input."""

    def show():
        # Held keys may come faster than a picture is drawn; it must not lag behind them.
        if not (pages.replaced and getattr(ask, "waiting", False)):
            pages.show(session.screen(pages.room))

    def tell(text):
        if pages.replaced:  # A scene may have been left out.
            pages.show(session.screen(pages.room))
        pages.say(text)

    show()
    while (typed := ask("action> ")) is not None and typed.lower() != "q":
        if typed.lower() == "h":
            session.hidden = not session.hidden
            show()
        elif typed.lower() == "o":
            tell(session.observation())
        elif typed == "?":
            tell(session.rules())
        else:
            try:
                session.step(session.actions.parse(typed))
            except ValueError as error:
                tell(f"{error}; or {_COMMANDS}")
                continue
            show()
            if session.over:
                tell(session.verdict())
                if not _another(ask, pages):
                    return
                session.start()
                show()


def replay(session: Session, actions: Iterable[Any], pages: Pages, pause: float) -> None:
    """Play given actions, over as many episodes as they last, and show every step for `pause` seconds."""
    show = lambda: pages.show(session.screen(pages.room))
    show()
    for action in actions:
        time.sleep(pause)
        if session.over:
            session.start()
            show()
        session.step(action)
        show()
        if session.over:
            pages.say(session.verdict())


def _script(session: Session, text: str, steps: int | None) -> Iterator[Any]:
    """Return the actions that `--actions` asks for; a list is read whole before anything is played."""
    if text != "random":
        text = _read(Path(text[1:])) if text.startswith("@") else text
        words = [word.strip() for word in text.split(",")] if "," in text else text.split()
        if len(words) > 1 and not words[-1]:
            words.pop()  # after the last comma
        return itertools.islice([session.actions.parse(word) for word in words], steps)
    from envs.episodes import longest_episode

    counts = range(steps or longest_episode(session.env, session.params) or _MOST_STEPS)
    goes_on = lambda index: steps is not None or index == 0 or not session.over
    return (session.random_action() for _ in itertools.takewhile(goes_on, counts))


def _read(path: Path) -> str:
    """Return a file of actions without its comments; exit 2 if there is none."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cli.fail(f"--actions @{path}: cannot read it: {getattr(error, 'strerror', None) or 'it is no text'}")
    return " ".join(line.partition("#")[0] for line in lines)


def _save(session: Session, path: Path, title: str) -> None:
    """Write what was played, with a comma after each action: some have several parts."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {title}\n" + "".join(f"{label},\n" for label in session.played))
    except OSError as error:
        cli.fail(f"--save {path}: cannot write it: {error.strerror or error}")
    print(path)


def _another(ask: Ask, pages: Pages) -> bool:
    """Ask whether to play another episode."""
    while (typed := ask("another episode? (y or n)> ")) is not None:
        if typed.lower() in ("y", "yes", "n", "no", "q"):
            return typed.lower() in ("y", "yes")
        pages.say(f"{typed!r} is no answer; give y or n")
    return False


if __name__ == "__main__":
    process.run(main)
