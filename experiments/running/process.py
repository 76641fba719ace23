"""A command as a process of its own."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from experiments.running import signals
from experiments.running.cli import note
from experiments.running.waiting import anything_given_up


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command as a process: what nobody reads any more does not stop it, and Ctrl-C is no traceback."""
    sys.stdout, sys.stderr = _Unread(sys.stdout), _Unread(sys.stderr)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signals.interrupt)
    try:
        code: Any = main()
    except SystemExit as error:
        code = error.code
    except KeyboardInterrupt:
        note("interrupted")
        code = 130
    sys.stdout.flush()
    sys.stderr.flush()
    if anything_given_up():  # XLA does not stand the end of the interpreter while it works
        os._exit(code if isinstance(code, int) else 1)
    raise SystemExit(code)


class _Unread:
    """A text stream that goes on into nothing where its reader has left (`| head`), its terminal or its disk went."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._lose()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._lose()

    def _lose(self) -> None:
        # The descriptor itself leads nowhere from here on, for what is still in the buffer and for the interpreter.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())
        os.close(nothing)
