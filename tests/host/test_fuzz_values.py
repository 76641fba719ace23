"""Random values through the command line, up to the traced program: refused in one line and soon, or sound.

About 10 minutes of one core.
"""

import collections
import math
import random
import signal
import time

import pytest

import envs
from r2i_jit.config import ConfigError, _keys
from tests.host.test_ranges import assert_inside

TRIALS, SEED = 2000, 0
SECONDS = 60  # that one command line may take, on a machine shared with other work
KEYS = _keys()
EDGES = [
    *("0", "-1", "1", "2", "-0.0", "0.5", "1.5", "1e-45", "1e-30", "1e-8", "1e9", "1e39", "-1e39", "1e300", "1e999"),
    *("2147483647", "2147483648", "-2147483648", "9223372036854775808", "1" + "0" * 400, "nan", "inf", "-inf", ""),
    *("true", "False", "none", "null", "[]", "{}", "0x10", "1_000", "1e", "٣", "½", "−1", "naïve", "1 2", " 7 ", "\t"),
    *("\n", "\x1b[31m", "\x00", "a=b", "%s", "x" * 5000, "../../etc", "'", '"', "--help"),
]


def command_line():
    """Return what `experiments.train` calls to read a command line, to resolve its config and to build its Trainer."""
    from experiments.running import cli
    from experiments.running.asking import asked_config
    from experiments.running.starting import _trainer

    return cli, asked_config, _trainer


def value(name: str, chance: random.Random) -> str:
    """Return a text for a key: half of them edges, the other half from its range, small and large alike."""
    limits, is_whole = KEYS[name].range, KEYS[name].kind is int
    if chance.random() < 0.5 or limits is None:
        ends = [] if limits is None else [f"{end + step:.17g}" for end in limits[:2] for step in (-1, 0, 0, 0, 1)]
        choices = list(getattr(KEYS[name].kind, "__args__", ("true", "false")))
        return chance.choice(EDGES + 3 * (ends or choices))
    low, high = max(limits.low, 1 if is_whole else 1e-9), min(limits.high, 1e9)
    number = math.exp(chance.uniform(math.log(low), math.log(high)))
    return str(round(number)) if is_whole else repr(min(max(number, limits.low), limits.high))


def refuse_slow(number, frame):
    raise TimeoutError(f"took more than {SECONDS} s")


def outcome(argv: list[str], capsys: pytest.CaptureFixture) -> tuple[str, str]:
    """Return what became of a command line, and what it said: "fault" is what must not be."""
    cli, asked_config, build = command_line()
    names = [word.partition("=")[0] for word in argv if word.partition("=")[0] in KEYS]
    try:
        parser = cli.Parser("train", None)
        cli.add_run_arguments(parser)
        args = parser.parse_args(argv)
        config = build(asked_config(args, "tiny", args.env), args, 1, new=True).config
    except SystemExit as error:
        lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("replay.capacity=")]
        said = "\n".join(lines)
        if error.code != 2 or len(lines) != 1 or not said.startswith("error: ") or len(said) > 400:
            return "fault", said
        if "no program has these sizes" in said:  # a traceback in disguise
            return "fault", said
        if said.startswith("error: the state of "):
            return "too large for memory", said
        return ("refused by name" if any(name in said for name in names) else "fault"), said
    except Exception as error:
        return "fault", f"{type(error).__name__}: {error}"
    capsys.readouterr()
    try:
        assert_inside(config)
        assert type(config).from_json(config.to_json()) == config
    except (AssertionError, ConfigError) as error:
        return "fault", f"accepted, but {error}"
    return "accepted", ""


@pytest.mark.slow
def test_random_values_are_refused_by_name_or_give_a_program(capsys):
    chance = random.Random(SEED)
    ids = [name for name in envs.registered() if name.startswith("popgym/")]
    counts: collections.Counter[str] = collections.Counter()
    faults, slowest, begin = [], (0.0, ""), time.perf_counter()
    before = signal.signal(signal.SIGALRM, refuse_slow)
    for _ in range(TRIALS):
        names = chance.sample(list(KEYS), chance.choice((1, 1, 2, 3)))
        assignments = [f"{name}={value(name, chance)}" for name in names if name != "env"] or ["model.units=1"]
        argv = ["popgym", "--env", chance.choice(ids), "--size", "tiny", "--set", *assignments]
        start = time.perf_counter()
        signal.alarm(SECONDS)
        result, said = outcome(argv, capsys)
        signal.alarm(0)
        counts[result] += 1
        slowest = max(slowest, (time.perf_counter() - start, " ".join(argv)[:300]))
        if result == "fault":
            faults.append(f"{argv} -> {said}")
    signal.signal(signal.SIGALRM, before)
    with capsys.disabled():
        took = time.perf_counter() - begin
        print(f"\n{TRIALS} command lines in {took:.0f} s: {dict(counts)}; slowest {slowest[0]:.1f} s: {slowest[1]}")
    assert not faults, "\n".join(fault[:600] for fault in faults)
    assert min(counts["accepted"], counts["refused by name"]) > TRIALS // 10
