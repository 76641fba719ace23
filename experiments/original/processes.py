"""Originals as processes, stepped as one batch."""

import base64
import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from experiments.running import cli

SERVER = Path(__file__).with_name("server.py")
REQUIREMENTS = SERVER.with_name("requirements.txt")
BROKE = 1  # Exit code when the original fails on its way.


class Original:
    """One original in a process of its own; `server` says what the answers hold."""

    def __init__(self, python: str, size: int, seed: int, errors: IO[str], *, plain: bool):
        """Start it; `started` waits until it is there.

        Exits with 2 if there is no such program.

        Args:
          python: the Python of the virtual environment that holds the original.
          size: 9, 11, 13 or 15.
          seed: of its mazes.
          errors: a file for what it says on its stderr.
          plain: without pictures.
        """
        # -I: the folder of the script, with modules of ours, is not to be searched for the original's imports.
        words = [python, "-I", str(SERVER), "--size", str(size), "--seed", str(seed), *["--plain"] * plain]
        self._python, self._errors = python, errors
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, encoding="utf-8"
            )
        except OSError as error:
            cli.fail(f"--original {python}: {error.strerror or error}; it should be the Python that has memory-maze")

    def started(self) -> dict[str, str]:
        """Wait until it is there and return the versions of its packages."""
        return self.receive()["versions"]

    def send(self, action: int | None) -> None:
        """Ask for a step, or with None for a new maze; `receive` has the answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `receive` says what happened.
            self._process.stdin.write(f"{json.dumps(action)}\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Return an answer, its picture as an array (height, width, 3) or None.

        Exits with 2 if the original's modules are missing, with 1 if it fails, saying why in one line.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            answer = json.loads(line)
        except ValueError:
            cli.fail(f"the original broke off{self._last_words()}", BROKE)
        if "missing" in answer:
            cli.fail(
                f"{self._python} does not have the original ({answer['missing']}): "
                f"{self._python} -m pip install -r {REQUIREMENTS}"
            )
        if "error" in answer:
            cli.fail(f"the original failed: {answer['error']}", BROKE)
        if answer.get("image") is not None:
            image = np.frombuffer(base64.b64decode(answer["image"]), np.uint8)
            answer["image"] = image.reshape(answer["shape"])
        return answer

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().split("\n")
        said = [line for line in lines if line.strip()]
        return f" (exit code {code})" + (f": {said[-1]}" if said else "")


@contextlib.contextmanager
def running(python: str, size: int, seed: int, count: int, *, plain: bool) -> Iterator[list[Original]]:
    """Start `count` originals with mazes of their own, wait for them, and end them afterwards.

    Args:
      python: the Python that has the original.
      size: 9, 11, 13 or 15.
      seed: of all their mazes.
      count: how many.
      plain: without pictures.
    """
    seeds = np.random.SeedSequence(seed).generate_state(count)
    originals: list[Original] = []
    with contextlib.ExitStack() as stack:
        for own in seeds:
            errors = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
            originals.append(Original(python, size, int(own), errors, plain=plain))
            stack.callback(originals[-1].stop)
        versions = [original.started() for original in originals]
        cli.note("original: " + ", ".join(f"{name} {version}" for name, version in versions[0].items()))
        yield originals


def step(originals: Sequence[Original], actions: Sequence[int | None]) -> list[dict[str, Any]]:
    """Let each take its action, None for a new maze, at the same time; return the answers."""
    for original, action in zip(originals, actions, strict=True):
        original.send(action)
    return [original.receive() for original in originals]
