"""One of several processes that train one agent: `python -m tests.equivalence.one_of_several I N PORT FILE`.

The first writes what the agent is after two chunks, each array whole.
"""

import sys

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from r2i_jit import Trainer
from tests.host import little_games
from tests.trees import leaves

CHUNKS = 2


def main(number: int, count: int, port: int, file: str) -> None:
    """Train with `count` processes of one device each, of which this is `number`."""
    jax.config.update("jax_num_cpu_devices", 1)
    jax.distributed.initialize(f"127.0.0.1:{port}", count, number)
    from tests.equivalence.test_data_parallel import KEYS, config  # which asks for JAX's devices

    little_games.register(pytest.MonkeyPatch())
    trainer = Trainer(config("discrete"), devices=jax.devices(), devices_per_seed=count, quick_compile=True)
    state = trainer.init(KEYS[:1])
    for _ in range(CHUNKS):
        state, _ = trainer.train_chunk(state)
    everywhere = NamedSharding(jax.tree.leaves(state)[0].sharding.mesh, P())
    whole = jax.tree.map(lambda leaf: jax.jit(lambda x: x, out_shardings=everywhere)(leaf), state)
    arrays = leaves(whole)
    if number == 0:
        np.savez(file, *arrays)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
