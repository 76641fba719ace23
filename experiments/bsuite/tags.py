"""The experiments of bsuite 0.3.6: what each is about, how many settings it has and how many episodes it takes.

Ref: bsuite/experiments/*/sweep.py (0.3.6). The three mnist experiments download their images and are left out, so that
the tags basic, noise, scale and generalization have one experiment less than in the original.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
      tags: what it is about; the first one is its type.
      settings: of it: the ids are `<experiment>/0` to `<experiment>/<settings - 1>`.
      episodes: that an agent is to play in each of them.
    """

    tags: tuple[str, ...]
    settings: int
    episodes: int


def _experiments() -> dict[str, Experiment]:
    """Return the experiments in the order of the original's bar plot (summary_analysis.py:180-188)."""
    basic = {
        "bandit": (10_000, ()),
        "catch": (10_000, ("credit_assignment",)),
        "mountain_car": (1_000, ("generalization",)),
        "cartpole": (1_000, ("credit_assignment", "generalization")),
    }
    found = {name: Experiment(("basic", *more), 20, episodes) for name, (episodes, more) in basic.items()}
    for kind in ("noise", "scale"):
        for name, (episodes, more) in basic.items():
            # With other rewards, cartpole is no longer about credit assignment (cartpole_noise/sweep.py:28).
            more = ("generalization",) if name == "cartpole" else more
            found[f"{name}_{kind}"] = Experiment((kind, *more), 20, episodes)
    return found | {
        "deep_sea": Experiment(("exploration",), 21, 10_000),
        "deep_sea_stochastic": Experiment(("exploration", "noise"), 21, 10_000),
        "cartpole_swingup": Experiment(("exploration", "generalization"), 20, 1_000),
        "umbrella_length": Experiment(("credit_assignment", "noise"), 23, 10_000),
        "umbrella_distract": Experiment(("credit_assignment", "noise"), 23, 10_000),
        "discounting_chain": Experiment(("credit_assignment",), 20, 1_000),
        "memory_len": Experiment(("memory",), 23, 10_000),
        "memory_size": Experiment(("memory",), 17, 10_000),
    }


EXPERIMENTS = _experiments()
TAGS = tuple(sorted({tag for experiment in EXPERIMENTS.values() for tag in experiment.tags}))


def experiment_of(bsuite_id: str) -> str:
    """Return the experiment of an id such as `memory_len/17`.

    Raises:
      ValueError: if it is none, saying what would be.
    """
    name, _, number = bsuite_id.partition("/")
    if name not in EXPERIMENTS:
        raise ValueError(f"{bsuite_id!r} is no bsuite id: should begin with one of {', '.join(EXPERIMENTS)}")
    settings = EXPERIMENTS[name].settings
    if number not in map(str, range(settings)):
        raise ValueError(f"{bsuite_id!r} is no bsuite id: should be {name}/0 to {name}/{settings - 1}")
    return name


def number_of(bsuite_id: str) -> int:
    """Return the setting's number in an id such as `memory_len/17`."""
    return int(bsuite_id.partition("/")[2])
