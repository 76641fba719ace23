"""POPGym 1.0.7's memory games (Morad et al. 2023, arXiv 2303.01859): `popgym/<Game><Easy|Medium|Hard>`.

Observations, rewards, lengths and flags equal the original's step for step, quirks included; every game's docstring
names the source lines that it is faithful to. Observations are what gymnasium's `flatten` makes of the original's.
"""

from typing import Any

from envs.registry import Lazy, register

_LEVELS: dict[str, dict[str, dict[str, Any]]] = {
    "repeat_first:RepeatFirst": {
        "Easy": {"num_decks": 1},
        "Medium": {"num_decks": 8},
        "Hard": {"num_decks": 16},
    },
    "repeat_previous:RepeatPrevious": {
        "Easy": {"num_decks": 1, "k": 4},
        "Medium": {"num_decks": 2, "k": 32},
        "Hard": {"num_decks": 3, "k": 64},
    },
    "autoencode:Autoencode": {
        "Easy": {"num_decks": 1},
        "Medium": {"num_decks": 2},
        "Hard": {"num_decks": 3},
    },
    "concentration:Concentration": {
        "Easy": {"num_decks": 1, "match": "colors"},
        "Medium": {"num_decks": 2, "match": "colors"},
        "Hard": {"num_decks": 1, "match": "ranks"},
    },
}

for _target, _levels in _LEVELS.items():
    for _level, _kwargs in _levels.items():
        register(f"popgym/{_target.partition(':')[2]}{_level}", Lazy(f"{__name__}.{_target}", _kwargs))
