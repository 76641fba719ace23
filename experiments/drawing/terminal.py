"""Playing at a terminal: pages that are drawn over one another, and keys that need no Enter."""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable
from types import TracebackType
from typing import Any

# What arrives for a key that is no character; where there are two, the second is what the same key says in the
# "application" mode of some terminals.
_ESCAPES = {"A": "up", "B": "down", "C": "right", "D": "left"}
_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.")
_SHOWN = {"up": "↑", "down": "↓", "right": "→", "left": "←", " ": "space"}
# The names of actions that a key may mean; the first that a game has.
_MEANINGS = {
    "up": ("up", "forward"),
    "left": ("left",),
    "right": ("right",),
    "down": ("down", "backward", "nothing"),
    "w": ("forward",),
    "a": ("forward-left",),
    "d": ("forward-right",),
    "s": ("nothing",),
    " ": ("nothing",),
}
_MOST_KEYS = 10
_CLEAR_LINE, _CLEAR_BELOW, _HOME = "\x1b[K", "\x1b[J", "\x1b[H"
_ENTER, _LEAVE = "\x1b[?1049h", "\x1b[?1049l"  # the screen that editors use, which leaves what was there alone


class Pages:
    """Where a game is shown: here, one thing after another."""

    replaced = False  # whether a scene is gone with the next one

    @property
    def room(self) -> tuple[int, int] | None:
        """Columns and lines that a scene may take, if that matters."""
        return None

    def show(self, scene: str) -> None:
        """Show a scene, which counts from now on."""
        print(scene)

    def say(self, text: str) -> None:
        """Show a text beside the scene, until the next one."""
        print(text)

    def __enter__(self) -> "Pages":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


class InPlace(Pages):
    """Scenes that replace one another, below a heading; the last one stays when the game is left."""

    replaced = True

    def __init__(self, heading: str):
        self._heading, self._scene = heading, ""

    @property
    def room(self) -> tuple[int, int]:
        """Columns and lines that a scene may take."""
        columns, lines = shutil.get_terminal_size()
        # Two lines are for a prompt and the line that Enter begins.
        return columns, max(1, lines - len(self._headings(columns)) - 2)

    def show(self, scene: str) -> None:
        """Draw over the last scene."""
        self._scene = scene.strip("\n")
        self._draw(self._scene)

    def say(self, text: str) -> None:
        """Draw a text below the scene, or in its place where both do not fit."""
        columns, lines = self.room
        if "\x1b" not in text:  # whose length is not its width
            text = "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, columns) or [""])
        both = f"{self._scene}\n{text}"
        self._draw(both if both.count("\n") < lines else text)

    def __enter__(self) -> "InPlace":
        sys.stdout.write(_ENTER)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        sys.stdout.write(f"{_LEAVE}{self._scene}\n")
        sys.stdout.flush()

    def _draw(self, text: str) -> None:
        columns, lines = self.room
        shown = [*self._headings(columns), *text.split("\n")[:lines]]
        sys.stdout.write(_HOME + "".join(f"{line}{_CLEAR_LINE}\n" for line in shown) + _CLEAR_BELOW)
        sys.stdout.flush()

    def _headings(self, columns: int) -> list[str]:
        return [part for line in self._heading.split("\n") for part in textwrap.wrap(line, max(20, columns))]


class KeyAsker:
    """Asks for one key at a time; arrows, and some letters and the space where a game has such actions, mean names."""

    def __init__(self, actions: Any, echo: bool = True):
        """Choose what the keys mean.

        Args:
          actions: `scene.Actions` of the game.
          echo: show prompts and keys, one below the other.

        Raises:
          ValueError: where a key cannot be an action.
        """
        if not 0 < actions.count <= _MOST_KEYS:
            raise ValueError(f"--keys works with at most {_MOST_KEYS} actions; leave it out and type {actions.usage}")
        found = {key: [name for name in names if name in actions.names] for key, names in _MEANINGS.items()}
        self._meaning = {key: names[0] for key, names in found.items() if names}
        self._actions, self._echo, self._waiting = actions, echo, list[str]()

    @property
    def waiting(self) -> bool:
        """Whether keys were read and not yet returned."""
        return bool(self._waiting)

    @property
    def usage(self) -> str:
        """Which keys do what, as part of a sentence."""
        if not self._meaning:
            return self._actions.usage
        parts = []
        for number, name in enumerate(self._actions.names):
            keys = [_SHOWN.get(key, key) for key, meaning in self._meaning.items() if meaning == name]
            parts.append(f"{name} ({' '.join([*keys, str(number)])})")
        return ", ".join(parts)

    def __call__(self, prompt: str) -> str | None:
        """Return the next key, or the action that it means; None at the end of the input and for Ctrl-D."""
        print(prompt, end="", flush=True)
        while not self._waiting:
            text = self._read()
            if not text or "\x04" in text:
                print()
                return None
            self._waiting = [key for match in _KEY.findall(text) if (key := self._named(match)) is not None]
        key = self._waiting.pop(0)
        if self._echo:
            print(key)
        return key

    def _named(self, text: str) -> str | None:
        """Return what a key means, or None if it means nothing."""
        if text[0] == "\x1b":
            # With a modifier, such as Shift, a number stands before the letter.
            text = _ESCAPES.get(text[-1], "") if len(text) > 1 else ""
        return self._meaning.get(text, text if text.strip() else None)

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


Ask = Callable[[str], str | None]  # prompt -> what was typed, or None at the end of the input


def ask_line(prompt: str) -> str | None:
    """Ask for a line."""
    try:
        typed = input(prompt).strip()
    except EOFError:
        print()
        return None
    if not sys.stdin.isatty():
        print(typed)  # so that a transcript shows what was answered
    return typed
