"""A small stand-in for `r2i_jit.Trainer`: jitted, vmapped over seeds, donated, driven by keys, with a replay ring.

It learns nothing, but its state has every kind of leaf the real one has and each chunk depends on all of it, so a
resume that restores anything wrongly changes the metrics. Compiles in under a second.

Run as a program, it is `experiments.train` (or, with `sweep`, `search`, `suite` or `evaluate` first, that one; with
`work`, a job of a plan) on the stand-in.
The variable FAKE_CHUNK_SECONDS slows every chunk down, FAKE_COMPILE_SECONDS, FAKE_INIT_SECONDS and
FAKE_EVALUATE_SECONDS (the last evaluation) what their names say, FAKE_NAN_AT makes the
last FAKE_NAN_MEMBERS members (one) diverge at that step.
"""

import importlib
import os
import sys
import time
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import envs
from r2i_jit import shares
from r2i_jit.config import Config, ConfigError

SLOW = ("CHUNK", "COMPILE", "INIT", "EVALUATE")
STEPS_PER_CHUNK, PREFILL, RING, WIDTH = 40, 80, 64, 16


class Ended(NamedTuple):
    """As `r2i_jit.rollout.Ended`, whose module would import gymnax."""

    is_last: jax.Array
    episode_return: jax.Array
    episode_length: jax.Array
    sums: dict[str, jax.Array]


class FakeAgent(NamedTuple):
    weights: jax.Array  # (WIDTH, WIDTH)
    half: jax.Array  # bfloat16
    spectrum: jax.Array  # complex64
    updates: jax.Array  # int32


class FakeSeeds(NamedTuple):
    agent: FakeAgent
    replay: dict[str, jax.Array]
    hypers: Any
    key: jax.Array
    diverged: jax.Array


class FakeState(NamedTuple):
    seeds: FakeSeeds
    env_steps: jax.Array


def _init_seed(key: jax.Array, hypers: Any) -> FakeSeeds:
    key, key_weights, key_replay = jax.random.split(key, 3)
    weights = jax.random.normal(key_weights, (WIDTH, WIDTH)) / WIDTH
    agent = FakeAgent(weights, weights[0].astype(jnp.bfloat16), jnp.exp(1j * weights[1]), jnp.int32(0))
    ring = {
        "obs": jax.random.randint(key_replay, (RING, 8), 0, 256).astype(jnp.uint8),
        "is_first": jnp.zeros(RING, bool),
        "reward": jnp.full(RING, jnp.nan).at[0].set(0.0),
    }
    return FakeSeeds(agent, ring, hypers, key, jnp.zeros((), bool))


def _step_seed(seeds: FakeSeeds, _: None) -> tuple[FakeSeeds, jax.Array]:
    key, key_act, key_sample = jax.random.split(seeds.key, 3)
    agent, at = seeds.agent, seeds.agent.updates % RING
    obs = jax.random.randint(key_act, (8,), 0, 256).astype(jnp.uint8)
    row = seeds.replay["obs"][jax.random.randint(key_sample, (), 0, RING)].astype(jnp.float32) / 255
    noise = jnp.concatenate([row, jnp.abs(agent.spectrum[:8])]) + agent.half.astype(jnp.float32)
    weights = jnp.tanh(agent.weights + seeds.hypers.model_lr * jnp.outer(noise, agent.weights @ noise))
    ring = {
        "obs": seeds.replay["obs"].at[at].set(obs),
        "is_first": seeds.replay["is_first"].at[at].set(obs[0] < 8),
        "reward": seeds.replay["reward"].at[at].set(weights[0, 0]),
    }
    spectrum = agent.spectrum * jnp.exp(1j * weights[2])
    agent = FakeAgent(weights, (agent.half + weights[3].astype(jnp.bfloat16)) / 2, spectrum, agent.updates + 1)
    return FakeSeeds(agent, ring, seeds.hypers, key, seeds.diverged), jnp.sum(weights)


def _ended(state: FakeState) -> Ended:
    """Return episodes that hang on the state: in ten steps of four environments, at every third step in two of them."""
    step, env = jnp.arange(10)[:, None], jnp.arange(4)
    is_last = jnp.broadcast_to((step % 3 == 2) & (env % 2 == 0), (state.seeds.key.shape[0], 10, 4))
    returns = jnp.sum(state.seeds.agent.weights, (1, 2))[:, None, None] + 10.0 * step + env
    length = jnp.broadcast_to(step + 1, is_last.shape)
    return Ended(is_last, returns, length, {"regret": jnp.float32(2) - returns})


class FakeTrainer:
    """See the module's docstring."""

    steps_per_chunk, updates_per_chunk, prefill_steps = STEPS_PER_CHUNK, 10, PREFILL
    replay_bytes_per_step = 8
    settings = types.SimpleNamespace(longest=50)

    def __init__(
        self, config: Config, *, devices: object = None, devices_per_seed: int = 1, tallied: bool = False
    ) -> None:
        shares.check(config, devices_per_seed)
        self._tallied = tallied
        if config.loop.num_envs < 1:
            raise ConfigError(f"loop.num_envs={config.loop.num_envs}: expected a whole number of at least 1")
        if is_own(config.env):
            make(config.env)
        self.config = config
        self._init = jax.jit(self._init_all)
        self._chunk = jax.jit(self._chunk_all, donate_argnums=0)
        self._nan_at = int(os.environ.get("FAKE_NAN_AT", 2**31 - 1))
        self._nan_members = int(os.environ.get("FAKE_NAN_MEMBERS", 1))
        self._slow = {name: float(os.environ.get(f"FAKE_{name}_SECONDS", 0)) for name in SLOW}

    def devices_for(self, num_seeds: int) -> int:
        return 1

    def compile(self, num_seeds: int, *, init: bool = False, evaluation: bool = False) -> float:
        begin = time.perf_counter()
        time.sleep(self._slow["COMPILE"])
        self._compiled = self._chunk.lower(self.state_shapes(num_seeds)).compile()
        return time.perf_counter() - begin

    def state_shapes(self, num_seeds: int) -> FakeState:
        keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), num_seeds))
        hypers = jax.tree.map(lambda _: jax.ShapeDtypeStruct((num_seeds,), jnp.float32), self.config.hypers)
        return jax.eval_shape(self._init_all, keys, hypers)

    def init(self, keys: jax.Array, hypers: Any = None) -> FakeState:
        return self.begin(keys, hypers)[0]

    def begin(self, keys: jax.Array, hypers: Any = None) -> tuple[FakeState, Any]:
        time.sleep(self._slow["INIT"])
        hypers = self.config.hypers if hypers is None else hypers
        state = self._init(keys, jax.tree.map(lambda x: jnp.broadcast_to(jnp.float32(x), keys.shape), hypers))
        return state, _ended(state) if self._tallied else ()

    def _init_all(self, keys: jax.Array, hypers: Any) -> FakeState:
        # One by one, as on a processor: what is beside a seed changes no bit of it.
        return FakeState(jax.lax.map(lambda each: _init_seed(*each), (keys, hypers)), jnp.int32(PREFILL))

    def train_chunk(self, state: FakeState) -> tuple[FakeState, dict[str, jax.Array]]:
        time.sleep(self._slow["CHUNK"])
        return self._compiled(state)

    def _chunk_all(self, state: FakeState) -> tuple[FakeState, dict[str, jax.Array]]:
        seeds, sums = jax.lax.map(
            lambda seeds: jax.lax.scan(_step_seed, seeds, None, self.updates_per_chunk), state.seeds
        )
        steps = state.env_steps + self.steps_per_chunk
        ended = (steps // self.steps_per_chunk) % 3 > 0  # in some chunks no episode ends
        num_seeds = sums.shape[0]
        poison = jnp.where(steps >= self._nan_at, jnp.nan, 0.0)
        lost = jnp.arange(num_seeds) >= jnp.where(steps >= self._nan_at, num_seeds - self._nan_members, num_seeds)
        seeds = seeds._replace(diverged=seeds.diverged | lost)
        metrics = {
            "env_steps": jnp.full(num_seeds, steps),
            "updates": seeds.agent.updates,
            "episodes": jnp.full(num_seeds, jnp.where(ended, 3, 0)),
            "episode_return": jnp.where(ended, jnp.tanh(sums[:, -1]), 0.0),
            "episode_length": jnp.where(ended, jnp.full(num_seeds, 51.0), 0.0),
            "loss/model": jnp.mean(sums, 1) + jnp.where(lost, poison, 0.0),
            "diverged": seeds.diverged,
            "loss/actor": jax.lax.map(lambda obs: jnp.std(obs.astype(jnp.float32)), seeds.replay["obs"]),
        }
        state = FakeState(seeds, steps)
        return state, {**metrics, "ended": _ended(state)} if self._tallied else metrics

    def evaluate(
        self,
        state: FakeState,
        key: jax.Array,
        episodes: int | None = None,
        greedy: bool | None = None,
        forget: int | None = None,
        max_steps: int | None = None,
        rows: Any = None,
    ) -> dict[str, jax.Array]:
        time.sleep(self._slow["EVALUATE"] if episodes else 0)
        episodes = episodes or 4
        rows = jnp.arange(state.seeds.key.shape[0]) if rows is None else jnp.asarray(rows)
        noise = jax.vmap(lambda row: jax.random.normal(jax.random.fold_in(key, row), (episodes,)))(rows)
        returns = jnp.tanh(jnp.sum(state.seeds.agent.weights, (1, 2))[:, None] + 0.1 * noise) - (forget or 0)
        returns = returns - 0.25 * (greedy is False)
        length = min(51, max_steps or 51)
        cut = jnp.full(returns.shape, length < 51)
        return {"episode_return": returns, "episode_length": jnp.full(returns.shape, length), "episode_cut": cut}


def arrays(state: FakeState) -> list[np.ndarray]:
    """Return the state's leaves on the host, keys as their bits."""

    def host(leaf: jax.Array) -> np.ndarray:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(leaf) if is_key else leaf)

    return [host(leaf) for leaf in jax.tree.leaves(state)]


def is_own(env: str) -> bool:
    """Return whether an environment is one that a test wrote: it is made, though not played."""
    return ":" in env or env.startswith("mine/")


def make(env: str) -> None:
    """Make an environment as the Trainer and the presets do."""
    try:
        envs.make(env)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def preset(suite: str | None, size: str = "tiny", env: str | None = None, agent: str = "r2i") -> Config:
    """Stand in for `experiments.presets.preset`."""
    if suite not in (None, "fake"):
        raise ConfigError(f"unknown suite {suite!r}; did you mean fake?")
    if env is not None and is_own(env):
        make(env)
    elif env not in (None, "fake/A", "fake/B"):
        raise ConfigError(f"unknown environment {env!r}; did you mean fake/A?")
    units = 64 if agent == "r2i" else 32
    return Config(env=env or "fake/A").override([f"model.units={units}"] if size == "tiny" else [])


def install() -> None:
    """Put the stand-ins in the place of the Trainer and the presets."""
    import r2i_jit

    module = types.ModuleType("experiments.presets")
    module.preset, module.default_steps, module.SUITES = preset, lambda config, size: 2000, ("fake",)
    module.suite_of = lambda env: None if is_own(env) else "fake"
    module.log_episodes = lambda env: None
    sys.modules["experiments.presets"] = module
    r2i_jit.Trainer = FakeTrainer


def main(argv: list[str]) -> int:
    """Run an entry point on the stand-in."""
    install()
    commands = ("compare", "evaluate", "launch", "plot", "search", "suite", "sweep", "work")
    name = argv.pop(0) if argv[0] in commands else "train"
    return importlib.import_module(f"experiments.{'launching.work' if name == 'work' else name}").main(argv)


if __name__ == "__main__":
    from experiments.running import process

    process.run(lambda: main(sys.argv[1:]))
