"""Play an environment in the terminal: `python -m experiments.play popgym/RepeatPreviousEasy`.

Each line is one action: a number, a name where the game has names, "3 4" where an action has two parts. Other lines:
  h  show or hide the hidden state
  o  the observation that an agent gets, part by part
  ?  the rules and the actions
  q  leave (as the end of the input does)
"""

import inspect
import itertools
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from experiments import cli

_ARROWS = {"\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left"}
_MOST_KEYS = 10
_COMMANDS = "h hidden state, o observation, ? help, q quit"

Ask = Callable[[str], str | None]  # prompt -> what was typed, or None at the end of the input


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = cli.Parser(prog="python -m experiments.play", description=__doc__)
    parser.add_argument("env", metavar="ENV", help="environment id, such as popgym/RepeatPreviousEasy")
    parser.add_argument(
        "--seed", type=cli.whole(0, 2**32 - 1), metavar="S", help="of the episodes (default: a new one, printed)"
    )
    parser.add_argument("--hidden", action="store_true", help="begin with the hidden state shown")
    parser.add_argument(
        "--actions", metavar="LIST|random",
        help='play these instead of asking, such as "0 1 2" or "3 4, 0 1", or uniformly random ones',
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=cli.whole(1), metavar="N", help="of --actions (default: all; random: one episode)"
    )
    parser.add_argument("--keys", action="store_true", help="one key is one action, without Enter (arrows too)")
    args = parser.parse_args(argv)
    if args.steps is not None and args.actions is None:
        parser.error("--steps needs --actions")
    if args.keys and args.actions is not None:
        parser.error("give --keys or --actions, not both")

    cli.use_compilation_cache()
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    try:
        session = Session(args.env, seed, args.hidden)
        script = None if args.actions is None else _script(session, args.actions, args.steps)
        ask = _KeyAsker(session.actions) if args.keys else _ask_line
    except ValueError as error:
        cli.fail(error)
    print(f"{args.env}, seed {seed}" + ("" if script else f"; {_COMMANDS}"))
    code = 0
    try:
        if script is None:
            converse(session, ask)
        else:
            replay(session, script)
    except KeyboardInterrupt:
        print()
        code = 130
    print(session.summary())
    return code


class Session:
    """The episodes that one person plays, one after another."""

    def __init__(self, env_id: str, seed: int, hidden: bool):
        """Build the environment and start the first episode.

        Raises:
          ValueError: if there is no such environment, or its actions cannot be typed.
        """
        import jax

        import envs
        from experiments.scene import Actions

        self.env_id, self.hidden = env_id, hidden
        self.env, self.params = envs.make(env_id)
        self.actions = Actions(self.env, self.params)
        self._key = jax.random.key(seed)
        self._reset_jit = jax.jit(self.env.reset_env)
        self._step_jit = jax.jit(self._turn)
        self._sample_jit = jax.jit(self.actions.space.sample)
        self._returns: list[float] = []  # of the finished episodes
        self._all_steps = 0
        self.start()

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

    def step(self, action: Any) -> None:
        """Take one step of the running episode."""
        self._obs, self._state, reward, terminated, truncated = self._step_jit(
            self._step_key(0), self._state, action, self.params
        )
        self._time, self._all_steps = self._time + 1, self._all_steps + 1
        self._action, self._reward = self.actions.label(action), float(reward)
        self._return += self._reward
        self._terminated, self._truncated = bool(terminated), bool(truncated)
        if self.over:
            self._returns.append(self._return)

    def random_action(self) -> Any:
        """Draw a uniformly random action for the next step."""
        import numpy as np

        return np.asarray(self._sample_jit(self._step_key(1)))

    def screen(self) -> str:
        """Return the scene and the line about the last step."""
        from experiments import scene

        view = scene.scene(self.env, self.params, scene.on_host(self._state), self._obs, self.hidden)
        return f"\n{view}\n" + scene.caption(
            self._time, self._action, self._reward, self._return, self._terminated, self._truncated
        )

    def observation(self) -> str:
        """Return the observation as the agent gets it."""
        from experiments import scene

        return scene.observation_text(self.env, self.params, self._obs)

    def rules(self) -> str:
        """Return what the environment's class says of itself, and what can be typed."""
        from experiments.scene import innermost

        inner = innermost(self.env)
        return f"{inspect.getdoc(type(inner)) or inner.name}\n\naction: {self.actions.usage}\nothers: {_COMMANDS}"

    def verdict(self) -> str:
        """Return how the episode ended, and the known returns of the environment."""
        from experiments.references import summary
        from experiments.scene import result

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


def converse(session: Session, ask: Ask) -> None:
    """Let a person play until `q` or the end of the input."""
    print(f"action: {session.actions.usage}")
    print(session.screen())
    while (typed := ask("action> ")) is not None and typed.lower() != "q":
        if typed.lower() == "h":
            session.hidden = not session.hidden
            print(session.screen())
        elif typed.lower() == "o":
            print(session.observation())
        elif typed == "?":
            print(session.rules())
        else:
            try:
                session.step(session.actions.parse(typed))
            except ValueError as error:
                print(f"{error}; or {_COMMANDS}")
                continue
            print(session.screen())
            if session.over:
                print(session.verdict())
                if not _another(ask):
                    return
                session.start()
                print(session.screen())


def replay(session: Session, actions: Iterable[Any]) -> None:
    """Play given actions, over as many episodes as they last, and print every step."""
    print(session.screen())
    for action in actions:
        if session.over:
            session.start()
            print(session.screen())
        session.step(action)
        print(session.screen())
        if session.over:
            print(session.verdict())


def _script(session: Session, text: str, steps: int | None) -> Iterator[Any]:
    """Return the actions that `--actions` asks for; a list is read whole before anything is played."""
    if text != "random":
        words = text.split(",") if "," in text else text.split()
        return itertools.islice([session.actions.parse(word.strip()) for word in words], steps)
    counts = itertools.count() if steps is None else range(steps)
    goes_on = lambda index: steps is not None or index == 0 or not session.over
    return (session.random_action() for _ in itertools.takewhile(goes_on, counts))


def _another(ask: Ask) -> bool:
    """Ask whether to play another episode."""
    while (typed := ask("another episode? (y or n)> ")) is not None:
        if typed.lower() in ("y", "yes", "n", "no", "q"):
            return typed.lower() in ("y", "yes")
        print(f"{typed!r} is no answer; give y or n")
    return False


def _ask_line(prompt: str) -> str | None:
    try:
        typed = input(prompt).strip()
    except EOFError:
        print()
        return None
    if not sys.stdin.isatty():
        print(typed)  # so that a transcript shows what was answered
    return typed


class _KeyAsker:
    """Asks for one key at a time; arrows are the names up, down, left and right."""

    def __init__(self, actions: Any):
        """Refuse with a ValueError where a key cannot be an action."""
        if not 0 < actions.count <= _MOST_KEYS:
            raise ValueError(f"--keys works with at most {_MOST_KEYS} actions; leave it out and type {actions.usage}")
        self._waiting: list[str] = []

    def __call__(self, prompt: str) -> str | None:
        """Return the next key; None at the end of the input and for Ctrl-D."""
        print(prompt, end="", flush=True)
        while not self._waiting:
            text = self._read()
            if not text or "\x04" in text:
                print()
                return None
            self._waiting = [key for key in re.findall(r"\x1b\[.|.", text) if key.strip()]
        key = self._waiting.pop(0)
        key = _ARROWS.get(key, key)
        print(key)
        return key

    def _read(self) -> str:
        """Wait for keys; a terminal gives them without Enter, anything else by the line."""
        if not sys.stdin.isatty():
            return sys.stdin.readline()
        import termios
        import tty

        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        try:
            tty.setcbreak(terminal)
            return os.read(terminal, 64).decode(errors="ignore")
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


if __name__ == "__main__":
    sys.exit(main())
