"""The original POPGym, played step by step so that the same episode can be replayed in ours. Test dependency only."""

from collections import Counter
from dataclasses import dataclass, field

import gymnasium
import numpy as np
import popgym  # noqa: F401  (registers the games)

INVALID = (-1, 4, 100)


def original(env_id: str) -> gymnasium.Env:
    """Construct the original of one of our ids."""
    return gymnasium.make(f"popgym-{env_id.removeprefix('popgym/')}-v0", disable_env_checker=True).unwrapped


def cards_of(env: gymnasium.Env) -> np.ndarray:
    """The original's shuffled deck as our state holds it."""
    deck = env.unwrapped.deck
    if type(env.unwrapped).__mro__[1].__name__ == "Concentration":
        return env.unwrapped.deck_idx_type[deck.idx]  # Lies on the table by position.
    return deck.suits_idx[deck.idx[::-1]]  # Dealt from the end.


@dataclass
class Episode:
    """One episode of the original: `actions[t]` led to `observations[t + 1]`, `rewards[t]` and so on."""

    cards: np.ndarray
    observations: list = field(default_factory=list)
    actions: list = field(default_factory=list)
    rewards: list = field(default_factory=list)
    terminated: list = field(default_factory=list)
    truncated: list = field(default_factory=list)


def play(env: gymnasium.Env, policy, seed: int | None) -> Episode:
    """Play one episode; `policy(env, t)` returns an action and may look at the original's state."""
    observation, _ = env.reset(seed=seed)
    episode = Episode(cards_of(env))
    flat = lambda value: gymnasium.spaces.flatten(env.observation_space, value)
    episode.observations.append(flat(observation))
    while not episode.terminated or not (episode.terminated[-1] or episode.truncated[-1]):
        action = policy(env.unwrapped, len(episode.actions))
        observation, reward, terminated, truncated, _ = env.step(action)
        episode.actions.append(action)
        episode.observations.append(flat(observation))
        episode.rewards.append(reward)
        episode.terminated.append(terminated)
        episode.truncated.append(truncated)
    return episode


def right_suit(env, t: int) -> int:
    """The paid answer of a recall game now, or 0 where none is paid."""
    game = type(env).__mro__[1].__name__
    if game == "RepeatFirst":
        return int(env.card)
    if game == "RepeatPrevious":
        hand = env.deck["player"]
        return int(env.deck.suits_idx[hand[-env.k]]) if len(hand) >= env.k else 0
    return int(env.deck.suits_idx[env.deck["system"][-1]])  # Autoencode: free while watching, right while playing.


def recall_policy(rng: np.random.Generator, branches: Counter, skill: float, invalid: float):
    """Answer right with probability `skill`, otherwise anything, with probability `invalid` outside the space."""

    def act(env, t: int) -> int:
        right = right_suit(env, t)
        if rng.random() < skill:
            action = right
        elif rng.random() < invalid:
            action = int(rng.choice(INVALID))
        else:
            action = int(rng.integers(4))
        branches["right" if action == right else "wrong" if 0 <= action < 4 else "invalid"] += 1
        return action

    return act


def concentration_policy(rng: np.random.Generator, branches: Counter, skill: float):
    """Turn over a matching card with probability `skill`, otherwise one that provokes one of the penalties."""

    def act(env, t: int) -> int:
        deck, types = env.deck, env.deck_idx_type[env.deck.idx]
        up, in_play = deck["face_up_idx"], deck["in_play_idx"]
        down = [i for i in range(len(types)) if i not in up and i not in in_play]
        partners = [i for i in down if in_play and types[i] == types[in_play[0]]]
        others = [i for i in down if in_play and types[i] != types[in_play[0]]]
        wanted = rng.random() < skill
        choices = {"up": up, "same": in_play, "match": partners, "mismatch": others, "first": [] if in_play else down}
        good = ("match",) if in_play else ("first",)
        kinds = [kind for kind in (good if wanted else choices) if choices[kind]]
        kind = str(rng.choice(kinds))
        branches[kind if kind != "up" else "up as second" if in_play else "up as first"] += 1
        return int(rng.choice(choices[kind]))

    return act


def last_moment_policy(env, t: int) -> int:
    """Waste just as many steps of Concentration as leaves the last match to the last step."""
    types, up, in_play = env.deck_idx_type[env.deck.idx], env.deck["face_up_idx"], env.deck["in_play_idx"]
    if t < env.episode_length - len(types):
        return 0  # The same card twice.
    down = [i for i in range(len(types)) if i not in up and i not in in_play]
    return next(i for i in down if not in_play or types[i] == types[in_play[0]])
