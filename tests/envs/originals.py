"""The original POPGym, played step by step so that the same episodes can be replayed in ours. Test dependency only."""

import random
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import popgym  # noqa: F401  (registers the games)

from tests.envs.families import Family


def original(family: Family, level: str) -> Any:
    """Construct the original of one of our ids."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the labyrinths, which can be solved without memory
        return gymnasium.make(family.original_id(level), disable_env_checker=True).unwrapped


@dataclass
class Recording:
    """Episodes of the original side by side, padded with zeros: `actions[:, t]` led to `observations[:, t + 1]`."""

    hidden: dict[str, np.ndarray]  # field of our state -> (B, ...)
    trail: dict[str, np.ndarray]  # the same before every step, (B, T, ...); empty for a family without `resync`
    actions: np.ndarray  # (B, T, ...), as ours takes them
    observations: np.ndarray  # (B, T + 1, ...)
    rewards: np.ndarray  # (B, T) float64
    terminated: np.ndarray  # (B, T)
    truncated: np.ndarray  # (B, T)
    lengths: np.ndarray  # (B,)


class Recorder:
    """Plays the original with a family's players in turn and counts the rules that fired."""

    def __init__(self, family: Family, level: str, seed: int):
        """Seed the original, the players and the global generators that the labyrinths draw from."""
        self.family, self.env = family, original(family, level)
        self.rng = np.random.default_rng(seed)
        self.labels: Counter[str] = Counter()
        self.ends: set[tuple[bool, bool]] = set()
        self.episodes = 0
        random.seed(seed)
        np.random.seed(seed)
        self.env.reset(seed=seed)

    def record(self, episodes: int, limit: int, draws: np.ndarray | None) -> Recording:
        """Play episodes of at most `limit` steps; `draws` (episodes, limit + 1, ...) are fed to the original."""
        rows = [self._play(limit, None if draws is None else draws[i]) for i in range(episodes)]
        hidden = {name: np.stack([row[0][name] for row in rows]) for name in rows[0][0]}
        names = hidden if self.family.resync else ()
        trail = {name: np.stack([_padded([at[name] for at in row[6]], limit) for row in rows]) for name in names}
        sequences = [np.stack([_padded(row[k], limit + (k == 2)) for row in rows]) for k in range(1, 6)]
        return Recording(hidden, trail, *sequences, lengths=np.array([len(row[3]) for row in rows]))

    def _play(self, limit: int, draws: np.ndarray | None) -> tuple:
        env, family = self.env, self.family
        policy = family.policies[self.episodes % len(family.policies)]
        self.episodes += 1
        self._feed(draws, 0)
        observation, _ = env.reset()
        hidden = {name: np.array(value) for name, value in family.hidden(env).items()}
        flat = lambda value: gymnasium.spaces.flatten(env.observation_space, value)
        observations, actions, rewards, terminated, truncated, trail = [flat(observation)], [], [], [], [], []
        while not (terminated and (terminated[-1] or truncated[-1])):
            assert len(rewards) < limit, f"{family.game}: the original plays longer than {limit} steps"
            action = policy(env, len(rewards), self.rng)
            self.labels[family.label(env, action)] += 1
            if family.resync:
                trail.append(family.hidden(env))
            self._feed(draws, len(rewards) + 1)
            observation, reward, over, cut, _ = env.step(action)
            actions.append(family.to_ours(action))
            observations.append(flat(observation))
            rewards.append(float(reward))
            terminated.append(bool(over))
            truncated.append(bool(cut))
        self.ends.add((terminated[-1], truncated[-1]))
        return hidden, actions, observations, rewards, terminated, truncated, trail

    def _feed(self, draws: np.ndarray | None, step: int) -> None:
        if draws is not None:
            assert self.family.feed is not None
            self.family.feed(self.env, draws[step])


def _padded(sequence: list, length: int) -> np.ndarray:
    values = np.asarray(sequence)
    return np.concatenate([values, np.zeros((length - len(values), *values.shape[1:]), values.dtype)])


def resets(family: Family, level: str, number: int, seed: int) -> dict[str, np.ndarray]:
    """Return the hidden states after `number` resets of the original, {field: (number, ...)}."""
    env = original(family, level)
    random.seed(seed)
    np.random.seed(seed)
    env.reset(seed=seed)
    rows = []
    for _ in range(number):
        env.reset()
        rows.append({name: np.array(value) for name, value in family.hidden(env).items()})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
