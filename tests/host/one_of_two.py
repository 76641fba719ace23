"""One of two processes that share a state: `python -m tests.host.one_of_two I PORT FOLDER`. The first compares.

No agent is trained here: what is read, put on the devices of both, saved and read again are arrays of every kind.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Agent(NamedTuple):
    """The same on all devices."""

    weights: Any
    halves: Any


class State(NamedTuple):
    """As a run's: an agent, keys, and rows that are shared out."""

    agent: Agent
    key: Any
    rows: Any
    flags: Any
    none: Any


def main(number: int, port: int, folder: Path) -> None:
    """Do it as process `number` of two, with two devices each."""
    jax.config.update("jax_num_cpu_devices", 2)
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, number)
    from jax.sharding import Mesh, NamedSharding
    from jax.sharding import PartitionSpec as P

    from r2i_jit import processes
    from r2i_jit.checkpoint import Checkpoints
    from tests.trees import leaves

    mesh = Mesh(np.array(jax.devices()).reshape(1, 4), ("seed", "batch"))
    own = State(
        Agent(np.array([[-0.0, np.nan, 1e-45]], np.float32), np.arange(6, dtype=jnp.bfloat16).reshape(1, 6)),
        jax.random.split(jax.random.key(7), 1),
        np.arange(24, dtype=np.int32).reshape(1, 3, 8),
        np.arange(8).reshape(1, 8) % 3 == 0,
        np.zeros((1, 0), np.float32),
    )
    seed, rows = NamedSharding(mesh, P("seed")), NamedSharding(mesh, P("seed", None, "batch"))
    places = State(Agent(seed, seed), seed, rows, NamedSharding(mesh, P("seed", "batch")), seed)
    shapes = jax.tree.map(lambda a, place: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), own, places)
    first = processes.is_first()
    state = processes.placed(own if first else None, shapes)
    assert jax.tree.map(lambda leaf: leaf.sharding, state) == places
    whole = processes.whole(state)
    if first:

        def same(found: Any, known: Any = own) -> bool:
            pairs = zip(leaves(found), leaves(known), strict=True)
            return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)

        assert same(whole) and whole.key.dtype == own.key.dtype
        with Checkpoints(folder) as checkpoints:
            checkpoints.save(1, whole, {})
            checkpoints.wait()
            assert same(checkpoints.restore(shapes).state)
            assert same(checkpoints.restore_part(".agent", lambda _: shapes.agent).state, own.agent)
        print("the same")
    else:
        assert jax.tree.leaves(whole) == []
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
