"""Small runs that cover what a configuration can choose, for `test_strict.py`: JAX reads its settings at import.

    python -m tests.equivalence.strict_runs RESULTS.npz [NAME ...]

Every array of the results is saved under its path. The configurations that are named are run; of the others, which are
traced and not run, shapes and dtypes are saved, as zeros. With 64-bit types allowed, how many of the training's values
are 64-bit floats is saved for each configuration as well.
"""

import dataclasses
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import envs
from r2i_jit import Config, Trainer, recording
from r2i_jit.open_loop import open_loop
from tests.agents import small_config
from tests.equivalence import test_images
from tests.trees import equations

SEEDS = 1
STEPS = 8  # of recorded and evaluated episodes
WATCHED = ("continuous",)  # recorded and foreseen as well


def configs() -> dict[str, Config]:
    """Return one configuration for each kind of game; together they take every branch of the agent's code."""
    pictures = test_images.config()
    convolutions = dict(image_net="convolutions", decoded_steps=0, unimix=0.0)
    return {
        "one-hot": small_config(
            model__posterior="observation", model__dynamics_input="change", model__prior_skip=True,
            model__scan="chunked", behavior__actor_gates=2, behavior__policy_input="output",
            behavior__imagination_starts=0, replay__rewarded=0.5, replay__prefill_repeat=0.5,
            hypers__warmup_updates=3, hypers__decay_updates=9, hypers__model_weight_decay=0.1,
            loop__evaluation_greedy=False,
        ),
        "continuous": small_config(
            env="popgym/PositionOnlyPendulumEasy", model__ssm_layers=1, model__discretization="zoh",
            model__clip_eigenvalues=True,
            model__initial_state="zeros", model__scan="associative", model__decoded_steps=3, model__reset="none",
            behavior__policy_input="full", behavior__actor_gates=1, replay__start="paper", replay__prefill_repeat=0.5,
        ),
        "multi-discrete": small_config(
            env="popgym/BattleshipEasy", model__ssm_layers=1, model__observation_loss="symlog_mse", model__scan="fused",
            model__reset="released", behavior__continue_mode="mean", loop__precision="bfloat16",
        ),
        "patches": pictures,
        "convolutions": dataclasses.replace(pictures, model=dataclasses.replace(pictures.model, **convolutions)),
    }  # fmt: skip


def results(trainer: Trainer):
    """Return the state at the start, and what two chunks and evaluations make of it."""
    start = trainer.init(jax.random.split(jax.random.key(0), SEEDS))
    copied = jax.tree.map(jnp.copy, start)
    state, first = trainer.train_chunk(start)
    state, second = trainer.train_chunk(state)
    return copied, state, first, second, trainer.evaluate(state, jax.random.key(1), forget=3, max_steps=STEPS)


def traced(trainer: Trainer):
    """Return the shapes and dtypes of `results`."""
    start = trainer.state_shapes(SEEDS)
    state, metrics, _ = jax.eval_shape(trainer._train_chunk, jax.eval_shape(trainer._prefill, start)[0])
    loop = trainer.config.loop
    settings = dict(episodes=loop.evaluation_episodes, max_steps=STEPS)
    given = state.seeds.agent, state.seeds.setting, state.seeds.key, jnp.bool_(loop.evaluation_greedy), jnp.int32(3)
    played = jax.eval_shape(partial(trainer._evaluate, **settings), *given)
    names = ("episode_return", "episode_length", "episode_cut")
    return start, state, metrics, metrics, dict(zip(names, played, strict=True))


def wide_floats(trainer: Trainer) -> int:
    """Return how many values of the training's program are 64-bit floats."""
    shapes, _ = jax.eval_shape(trainer._prefill, trainer.state_shapes(SEEDS))
    steps = equations(jax.make_jaxpr(trainer._train_chunk)(shapes).jaxpr)
    values = [value for equation in steps for value in equation.outvars]
    return sum(getattr(value.aval, "dtype", None) in (np.float64, np.complex128) for value in values)


def watched(trainer: Trainer, agent):
    """Return episodes of the agent and of random play, and an open-loop prediction of the agent's."""
    place, key = (trainer.env, trainer.env_params), jax.random.key(2)
    policies = recording.agent_policy(trainer.agent, *place, agent, greedy=True), recording.random_policy(*place)
    episode, stroll = (recording.record(*place, policy, key, 2, STEPS) for policy in policies)
    step, action = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (episode.step, episode.action))
    return episode, stroll, open_loop(trainer.agent, agent, step.obs, action, step.is_first, 3, key)


def plain(leaf) -> np.ndarray:
    """Return an array on the host, a key as its bits and bfloat16 as its; of a shape, zeros."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.zeros(leaf.shape) if isinstance(leaf, jax.ShapeDtypeStruct) else np.asarray(jax.random.key_data(leaf))
    return np.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else np.asarray(leaf)


def main(path: str, *run: str) -> None:
    envs.registered()  # Load the suites first.
    envs.registry.register("little/Dot", test_images.Dot)
    saved = {}
    for name, config in configs().items():
        trainer = Trainer(config, quick_compile=True)
        if jax.config.jax_enable_x64:
            saved[f"{name}: 64-bit floats"] = np.int32(wide_floats(trainer))
        made = {"loop": results(trainer) if name in run else traced(trainer)}
        if name in run and name in WATCHED:
            agent = jax.tree.map(lambda leaf: leaf[0], made["loop"][1].seeds.agent)
            made["watched"] = watched(trainer, agent)
        for where, leaf in jax.tree_util.tree_leaves_with_path(made):
            saved[name + jax.tree_util.keystr(where)] = plain(leaf)
    np.savez(path, **saved)


if __name__ == "__main__":
    main(*sys.argv[1:])
