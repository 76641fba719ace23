"""The experiments of bsuite 0.3.6 (Osband et al. 2020, arXiv 1908.03568): `bsuite/<experiment>/<number>`.

The numbers are those of the original's sweep. Observations, rewards and lengths equal the original's step for step,
quirks included; every game's docstring names the source lines that it is faithful to. Observations that the original
makes as one row, (1, n), are vectors here. The original's seeds are the key's affair; what a `mapping_seed` fixes for a
whole run is a constant of the environment.

Where a setting is one number, another id says it, such as `bsuite/memory_len_100`; the number may also be one that the
sweep does not have, such as `bsuite/memory_len_10000`. The three mnist experiments need the pictures: they are listed
where the environment variable R2I_MNIST names the folder that has them.
"""

import os
from typing import Any

from envs.registry import Lazy, register, register_alias, register_experiment, register_numbered

Settings = list[dict[str, Any]]

_LENGTHS = (*range(1, 11), 12, 14, 17, 20, 25, *range(30, 101, 10))


def _other_rewards(target: str, game: str, setting: str, values: tuple[float, ...], seeds: str = "") -> Any:
    """Return class and settings of a *_noise or *_scale experiment: four seeds of each value, named or not."""
    kwargs: Settings = [{seeds: seed} if seeds else {} for seed in range(4)]
    games = [Lazy(f"{__name__}.{game}", inner) for inner in kwargs]
    return f"rewards:{target}", [{"game": inner, setting: value} for value in values for inner in games]


_NOISES = (0.1, 0.3, 1.0, 3.0, 10.0)
_FACTORS = (0.001, 0.03, 1.0, 30.0, 1000.0)
_SEEDS = range(20)
_SIZES = range(10, 51, 2)

# Experiment -> class, the settings in the order of the sweep. Where these differ in a seed only, they are the same.
_SWEEP: dict[str, tuple[str, Settings]] = {
    "memory_len": ("memory_chain:MemoryChain", [{"memory_length": length} for length in _LENGTHS]),
    "memory_size": (
        "memory_chain:MemoryChain",
        [{"memory_length": 2, "num_bits": bits} for bits in _LENGTHS if bits <= 40],
    ),
    "discounting_chain": ("discounting_chain:DiscountingChain", [{"mapping_seed": seed} for seed in _SEEDS]),
    "umbrella_length": (
        "umbrella_chain:UmbrellaChain",
        [{"chain_length": length, "n_distractor": 20} for length in _LENGTHS],
    ),
    "umbrella_distract": (
        "umbrella_chain:UmbrellaChain",
        [{"chain_length": 20, "n_distractor": bits} for bits in _LENGTHS],
    ),
    "catch": ("catch:Catch", [{} for _ in _SEEDS]),
    "bandit": ("bandit:Bandit", [{"mapping_seed": seed} for seed in _SEEDS]),
    "deep_sea": ("deep_sea:DeepSea", [{"size": size} for size in _SIZES]),
    "deep_sea_stochastic": ("deep_sea:DeepSea", [{"size": size, "deterministic": False} for size in _SIZES]),
    "mountain_car": ("mountain_car:MountainCar", [{} for _ in _SEEDS]),
    "cartpole": ("cartpole:Cartpole", [{} for _ in _SEEDS]),
    "cartpole_swingup": (
        "cartpole_swingup:CartpoleSwingup",
        [{"height_threshold": i / 20, "x_reward_threshold": 1 - i / 20} for i in _SEEDS],
    ),
}
for _experiment, _game, _seeds in (
    ("bandit", "bandit:Bandit", "mapping_seed"),
    ("cartpole", "cartpole:Cartpole", ""),
    ("catch", "catch:Catch", ""),
    ("mountain_car", "mountain_car:MountainCar", ""),
):
    _SWEEP[f"{_experiment}_noise"] = _other_rewards("RewardNoise", _game, "noise_scale", _NOISES, _seeds)
    _SWEEP[f"{_experiment}_scale"] = _other_rewards("RewardScale", _game, "factor", _FACTORS, _seeds)


# Experiment -> the setting that is spelled out in the other id.
_SPELLED = {
    "memory_len": "memory_length",
    "memory_size": "num_bits",
    "umbrella_length": "chain_length",
    "umbrella_distract": "n_distractor",
    "deep_sea": "size",
    "deep_sea_stochastic": "size",
}

_DELAYS = (1, 3, 10, 30, 100)  # of a chain's arms; the seed says which one pays more

EXPERIMENTS = tuple(sorted(_SWEEP))
# Experiments that need the pictures; `EXPERIMENTS` are those that need nothing.
_MNIST: dict[str, tuple[str, Settings]] = {
    "mnist": ("mnist:Mnist", [{} for _ in _SEEDS]),
    "mnist_noise": _other_rewards("RewardNoise", "mnist:Mnist", "noise_scale", _NOISES),
    "mnist_scale": _other_rewards("RewardScale", "mnist:Mnist", "factor", _FACTORS),
}
# Another id -> the numbered one. Of the discounting chains with the same bonus the first one.
ALIASES: dict[str, str] = {
    f"bsuite/discounting_chain_delay_{delay}": f"bsuite/discounting_chain/{arm}" for arm, delay in enumerate(_DELAYS)
}

# Their settings are of unlike shapes: bits to remember, distractors, the size of the sea.
_UNLIKE = ("memory_size", "umbrella_distract", "deep_sea", "deep_sea_stochastic")

for _experiment, (_target, _settings) in _SWEEP.items():
    register_experiment(f"bsuite/{_experiment}", len(_settings), one_program=_experiment not in _UNLIKE)
    for _number, _kwargs in enumerate(_settings):
        _env_id, _factory = f"bsuite/{_experiment}/{_number}", Lazy(f"{__name__}.{_target}", _kwargs)
        register(_env_id, _factory)
        if _experiment in _SPELLED:
            ALIASES[f"bsuite/{_experiment}_{_kwargs[_SPELLED[_experiment]]}"] = _env_id
        for _alias in [alias for alias, numbered in ALIASES.items() if numbered == _env_id]:
            register_alias(_alias, _env_id)


def _spelled(experiment: str) -> None:
    """Let an experiment's other id take any number."""
    target, listed = _SWEEP[experiment]
    fixed = {name: value for name, value in listed[0].items() if name != _SPELLED[experiment]}

    def factory(number: int) -> Lazy:
        return Lazy(f"{__name__}.{target}", {**fixed, _SPELLED[experiment]: number})

    register_numbered(f"bsuite/{experiment}_", factory)


def _delayed(delay: int) -> Lazy:
    """Return the chain whose last choice pays more, after this many steps and not 100.

    Raises:
      ValueError: unless it is more than the other choices' delays.
    """
    if delay <= 30:
        raise ValueError(f"a delay of {delay} should be 1, 3, 10, 30 or above 30")
    return Lazy(f"{__name__}.discounting_chain:DiscountingChain", {"mapping_seed": 4, "delays": (1, 3, 10, 30, delay)})


for _experiment in _SPELLED:
    _spelled(_experiment)
register_numbered("bsuite/discounting_chain_delay_", _delayed)


def _has_mnist() -> bool:
    return bool(os.environ.get("R2I_MNIST"))


for _experiment, (_target, _settings) in _MNIST.items():
    register_experiment(f"bsuite/{_experiment}", len(_settings), one_program=False)  # Each would hold all pictures.
    for _number, _kwargs in enumerate(_settings):
        register(f"bsuite/{_experiment}/{_number}", Lazy(f"{__name__}.{_target}", _kwargs), available=_has_mnist)


# What differs between an experiment's settings, if that is a number, as it may be called under an axis.
_CALLED = {
    "memory_length": "steps to remember", "num_bits": "bits to remember", "chain_length": "steps to the end",
    "n_distractor": "bits of noise", "size": "side of the sea", "delay": "steps to the largest reward",
    "noise_scale": "noise of the reward", "factor": "factor of the reward",
    "height_threshold": "height that is paid",
}  # fmt: skip


def setting(env_id: str) -> tuple[str, str, float] | None:
    """Return an id's experiment, what differs between its settings, and the number that it has of that.

    Such as ("bsuite/memory_len", "steps to remember", 100). None where settings differ in no number, and of other ids.
    """
    suite, _, rest = env_id.partition("/")
    experiment, _, number = rest.rpartition("/" if "/" in rest else "_")
    if suite != "bsuite" or not number.isdigit():
        return None
    if "/" in rest:
        if experiment not in _SWEEP or int(number) >= len(_SWEEP[experiment][1]):
            return None
        kwargs = _SWEEP[experiment][1][int(number)]
        if experiment == "discounting_chain":
            kwargs = {"delay": _DELAYS[kwargs["mapping_seed"] % len(_DELAYS)]}
        own = [name for name in _CALLED if name in kwargs and name == _SPELLED.get(experiment, name)]
        return (f"bsuite/{experiment}", _CALLED[own[0]], float(kwargs[own[0]])) if own else None
    if experiment == "discounting_chain_delay":
        return "bsuite/discounting_chain", _CALLED["delay"], float(number)
    return (f"bsuite/{experiment}", _CALLED[_SPELLED[experiment]], float(number)) if experiment in _SPELLED else None
