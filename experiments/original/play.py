"""A policy plays the original, and ours from the same states."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import episodes
from envs.memory_maze.environment import MemoryMaze, MemoryMazeState
from experiments.original import ported, processes
from experiments.running import cli
from r2i_jit.recording import Policy


class Row(NamedTuple):
    """What is there after a step, one entry for each original.

    Attributes:
      actions: that led to it; none after a reset.
      answers: of the originals.
      states: ours of theirs.
    """

    actions: list[int]
    answers: list[dict[str, Any]]
    states: list[MemoryMazeState]


class Player:
    """A policy that chooses actions for originals on the host."""

    def __init__(self, policy: Policy, count: int, key: jax.Array):
        """Get ready to play up to `count` originals at once."""
        self._policy, self._count = policy, count
        self._act, self._start = jax.jit(policy.act), jax.jit(policy.start, static_argnums=1)
        self._key, self._memory = key, None

    def choose(self, row: Row) -> list[int]:
        """Return an action for each; after a reset the policy begins anew."""
        if not row.actions:
            self._memory = self._start(self._policy.weights, self._count)
        # The compiled program has one batch size: the last of fewer originals fills it up.
        spare = self._count - len(row.answers)
        stream = ported.stream_of(row.states + row.states[-1:] * spare, row.answers + row.answers[-1:] * spare)
        self._key, key = jax.random.split(self._key)
        actions, self._memory = self._act(self._policy.weights, self._memory, stream, key)
        return np.asarray(actions)[: len(row.answers)].tolist()


def play(
    originals: list[processes.Original], policy: Policy, key: jax.Array, number: int
) -> tuple[np.ndarray, MemoryMazeState]:
    """Play `number` whole episodes of the original, as many at once as there are processes.

    Returns:
      Their returns, float64 (number,), and the states that they began in, with the same leading axis.
    """
    player, begin = Player(policy, len(originals), key), time.monotonic()
    returns: list[float] = []
    begun: list[MemoryMazeState] = []
    while len(returns) < number:
        first, *rows = steps(originals[: number - len(returns)], player.choose)
        begun += first.states
        returns += np.sum([[answer["reward"] for answer in row.answers] for row in rows], 0).tolist()
        cli.note(f"original: {len(returns)} of {number} episodes, {time.monotonic() - begin:.0f} s")
    return np.array(returns), ported.stacked(begun)


def play_ours(env: MemoryMaze, policy: Policy, states: MemoryMazeState, key: jax.Array) -> np.ndarray:
    """Play one whole episode of ours from each of the states, all at once.

    Args:
      env: gives the pictures, too, if the policy looks at them.
      policy: who plays.
      states: where episodes begin, leading axis E.
      key: typed PRNG key.

    Returns:
      The returns, float64 (E,).
    """
    params, count = env.default_params, states.time.shape[0]

    def run(weights, states, key):
        obs = jax.vmap(lambda state: env.observe(key, state, None, params))(states)
        no, nothing = jnp.zeros(count, bool), jnp.zeros(count)
        now = episodes.TimeStep(obs, nothing, is_first=~no, is_last=no, is_terminal=no)

        def step(carry, key):
            stream, memory, total = carry
            key_act, key_env = jax.random.split(key)
            action, memory = policy.act(weights, memory, stream, key_act)
            stream = episodes.advance(env, params, stream, action, key_env)
            return (stream, memory, total + stream.step.reward), None

        carry = (episodes.Stream(states, now, jnp.zeros(count, jnp.int32)), policy.start(weights, count), nothing)
        return jax.lax.scan(step, carry, jax.random.split(key, env.max_episode_steps))[0][2]

    return np.asarray(jax.jit(run)(policy.weights, states, key), np.float64)


def steps(
    originals: list[processes.Original], choose: Callable[[Row], list[int]], most: int | None = None
) -> Iterator[Row]:
    """Play one episode in each of the originals; all of a size are equally long.

    Args:
      originals: of one size.
      choose: makes the actions of the latest row.
      most: steps after which to stop early.
    """
    answers = processes.step(originals, [None] * len(originals))
    row = Row([], answers, [ported.begun(answer) for answer in answers])
    yield row
    while not answers[0]["last"] and row.states[0].time != most:
        actions = choose(row)
        answers = processes.step(originals, actions)
        row = Row(actions, answers, [ported.moved(*pair) for pair in zip(row.states, answers, strict=True)])
        yield row
