"""A run of two small agents on the disk, with weights that are drawn: to initialise an agent takes long to compile."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.running import rundir, runinfo
from r2i_jit import Trainer
from r2i_jit.checkpoint import Checkpoints
from tests.agents import small_config

MEMBERS = [{"hypers.reward_scale": 2.0, "seed": 0}, {"hypers.reward_scale": 4.0, "seed": 0}]
STEPS = (10, 20)  # the first is the best


def config_of(env: str):
    return small_config(
        env, model__ssm_layers=1, replay__capacity=80, replay__sequence_length=4, behavior__policy_input="full"
    )


def drawn(shapes: Any, seed: int) -> Any:
    """Return weights that are large enough for what is done to hang on what is seen."""
    rng = np.random.default_rng(seed)

    def weights(path, leaf):
        values, name = rng.normal(size=leaf.shape) * 0.3, getattr(path[-1], "key", "")
        if name == "kernel":
            values *= 10 / np.prod(leaf.shape[1:-1]) ** 0.5
        return jnp.asarray(values + (name == "scale"), leaf.dtype)

    return jax.tree_util.tree_map_with_path(weights, shapes)


def make_run(path: Path, env: str, members: list[dict[str, Any]] = MEMBERS, log_episodes: int | None = None) -> Trainer:
    """Make a run directory and return its trainer."""
    path.mkdir(parents=True)
    config = config_of(env)
    trainer = Trainer(config, quick_compile=True, tallied=log_episodes is not None)
    shapes = trainer.state_shapes(len(members))
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), dataclasses.replace(shapes.seeds, key=None))
    empty = dataclasses.replace(empty, setting=trainer.settings.stacked(len(members)))
    keys = jax.random.split(jax.random.key(0), len(members))
    info = runinfo.RunInfo(
        "sweep", "popgym", "tiny", 0, members, STEPS[-1], 10, 0.0, {}, log_episodes=log_episodes
    )  # fmt: skip
    rundir.write(path, config, info)
    metadata = {"config": config.to_dict(), "members": members, "seed": 0, "wall_seconds": 1.0}
    with Checkpoints(path / "checkpoints") as checkpoints:
        for step, score in zip(STEPS, (1.0, 0.5), strict=True):
            agents = drawn(shapes.seeds.agent, step)
            seeds = dataclasses.replace(empty, agent=agents, key=keys)
            state = shapes.replace(seeds=seeds, written=jnp.int32(step), env_steps=jnp.int32(step))
            checkpoints.save(step, state, metadata, score)
    rows = [{**member, "mean": 0.25 * i, "stderr": 0.125} for i, member in enumerate(members)]
    document = {"env": env, "env_steps": STEPS[-1], "episodes": 128, "members": rows, "mean": 0.125, "stderr": 0.1}
    (path / "evaluation.json").write_text(json.dumps(document))
    return trainer
