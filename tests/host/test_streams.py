"""Every stream of random numbers of a run has keys of its own."""

import jax
import numpy as np

from experiments.running import evaluation
from experiments.running.runinfo import RunInfo
from experiments.running.starting import _rows
from r2i_jit.config import Config

SEEDS = 4096  # the most that a run can have
STEPS = [0, 1, 2, 3, 1000, 40_768, 2**31 - 1]


def words(keys: jax.Array) -> set[tuple[int, ...]]:
    """Return the bits of keys, of any shape."""
    data = np.asarray(jax.random.key_data(keys))
    return set(map(tuple, data.reshape(-1, data.shape[-1]).tolist()))


def test_training_and_evaluation_share_no_key():
    """`split(key, n)[i]` is `fold_in(key, i)` today, so that a small tag would be a seed's index."""
    members = [{"seed": seed} for seed in range(SEEDS)]
    info = RunInfo("train", "popgym", "tiny", 7, members, 10, 5, 0.0, {})
    training, _ = _rows(Config(), info)
    streams = [words(training)]
    for child in range(3):  # what a seed splits off its key first: the agent's, the player's and its own
        streams.append(words(jax.vmap(lambda key, child=child: jax.random.split(key, 3)[child])(training)))
    for stream in (evaluation.DURING, evaluation.FINAL, evaluation.SEPARATE):
        for step in STEPS:
            key = evaluation.evaluation_key(7, stream, step)
            streams.append(words(jax.vmap(lambda i, key=key: jax.random.fold_in(key, i))(np.arange(SEEDS))))
            streams.append(words(key))
        streams.append(words(jax.random.fold_in(jax.random.key(7), stream)))
    assert sum(map(len, streams)) == len(set.union(*streams))


def test_a_member_has_the_same_key_however_many_there_are():
    few, many = (
        _rows(Config(), RunInfo("train", "popgym", "tiny", 7, [{"seed": i} for i in range(n)], 10, 5, 0.0, {}))[0]
        for n in (3, 64)
    )
    assert (jax.random.key_data(few) == jax.random.key_data(many)[:3]).all()
