"""`launch` on the stand-in trainer, as a program whose jobs are this program, too, on whatever machine they run.

Six games, fake/A to fake/F. The variables of `tests.host.fake` hold for the jobs. FAKE_FAULTS says, by their numbers,
with which codes jobs fail before they do anything, one an attempt: "1:4,4 2:2".
"""

import os
import sys
from pathlib import Path

from tests.host import fake

GAMES = tuple(f"fake/{letter}" for letter in "ABCDEF")


def install() -> None:
    """Put the stand-in, its games and its jobs in their places."""
    import envs
    from envs.popgym.repeat_first import RepeatFirst
    from experiments.drawing import curves
    from experiments.launching import engines

    fake.install()
    envs.registered()
    for name in GAMES:
        envs.register(name, RepeatFirst)
    presets = sys.modules["experiments.presets"]
    presets.preset = _preset
    curves.draw = _undrawn
    words = engines.words
    engines.words = lambda plan, number: ["-m", "tests.host.launched", "work", *words(plan, number)[3:]]


def _preset(suite, size="tiny", env=None, agent="r2i"):
    return fake.preset("fake", size).override([f"env={env or GAMES[0]}"])


def _undrawn(curves, envs, out):
    """Write a picture of one black pixel: Matplotlib takes as long as the rest of such a run."""
    from PIL import Image

    out.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (1, 1)).save(out)
    return out


def _fail(folder: str, number: str) -> None:
    """Let a job fail whose turn it is."""
    from experiments import train
    from experiments.launching import plan
    from experiments.running import cli

    faults = dict(text.split(":") for text in os.environ.get("FAKE_FAULTS", "").split())
    codes = [int(code) for code in faults.get(number, "").split(",") if code]
    failed = plan.read(Path(folder)).log(int(number)).read_text().count("no luck") if codes else 0
    if failed < len(codes):
        train.main = lambda *_: cli.fail("no luck", codes[failed])


def main(argv: list[str]) -> int:
    """Run `launch` or, of a job, `work`."""
    install()
    name, *words = argv
    if name == "work":
        from experiments.launching import work

        _fail(*words[:2])
        return work.main(words)
    from experiments import launch

    return launch.main(words)


if __name__ == "__main__":
    from experiments.running import process

    process.run(lambda: main(sys.argv[1:]))
