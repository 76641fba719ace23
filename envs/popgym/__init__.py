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
    "count_recall:CountRecall": {
        "Easy": {"num_decks": 1, "count": "colors"},
        "Medium": {"num_decks": 2, "count": "suits"},
        "Hard": {"num_decks": 4, "count": "ranks"},
    },
    "higher_lower:HigherLower": {
        "Easy": {"num_decks": 1},
        "Medium": {"num_decks": 2},
        "Hard": {"num_decks": 3},
    },
    "concentration:Concentration": {
        "Easy": {"num_decks": 1, "match": "colors"},
        "Medium": {"num_decks": 2, "match": "colors"},
        "Hard": {"num_decks": 1, "match": "ranks"},
    },
    "multiarmed_bandit:MultiarmedBandit": {
        "Easy": {"num_bandits": 10, "episode_length": 200},
        "Medium": {"num_bandits": 20, "episode_length": 400},
        "Hard": {"num_bandits": 30, "episode_length": 600},
    },
    "mine_sweeper:MineSweeper": {
        "Easy": {"board_size": 4, "num_mines": 2},
        "Medium": {"board_size": 6, "num_mines": 6},
        "Hard": {"board_size": 8, "num_mines": 10},
    },
    "battleship:Battleship": {
        "Easy": {"board_size": 8},
        "Medium": {"board_size": 10},
        "Hard": {"board_size": 12},
    },
    "position_only_cart_pole:PositionOnlyCartPole": {
        "Easy": {"max_episode_length": 200},
        "Medium": {"max_episode_length": 400},
        "Hard": {"max_episode_length": 600},
    },
    "velocity_only_cart_pole:VelocityOnlyCartPole": {
        "Easy": {"max_episode_length": 200},
        "Medium": {"max_episode_length": 400},
        "Hard": {"max_episode_length": 600},
    },
    "noisy_position_only_cart_pole:NoisyPositionOnlyCartPole": {
        "Easy": {"noise_sigma": 0.1},
        "Medium": {"noise_sigma": 0.2},
        "Hard": {"noise_sigma": 0.3},
    },
    "position_only_pendulum:PositionOnlyPendulum": {
        "Easy": {"max_episode_length": 200},
        "Medium": {"max_episode_length": 150},
        "Hard": {"max_episode_length": 100},
    },
    "noisy_position_only_pendulum:NoisyPositionOnlyPendulum": {
        "Easy": {"noise_sigma": 0.1},
        "Medium": {"noise_sigma": 0.2},
        "Hard": {"noise_sigma": 0.3},
    },
    "labyrinth_explore:LabyrinthExplore": {
        "Easy": {"maze_size": 10},
        "Medium": {"maze_size": 14},
        "Hard": {"maze_size": 18},
    },
    "labyrinth_escape:LabyrinthEscape": {
        "Easy": {"maze_size": 10},
        "Medium": {"maze_size": 14},
        "Hard": {"maze_size": 18},
    },
}

for _target, _levels in _LEVELS.items():
    for _level, _kwargs in _levels.items():
        register(f"popgym/{_target.partition(':')[2]}{_level}", Lazy(f"{__name__}.{_target}", _kwargs))
